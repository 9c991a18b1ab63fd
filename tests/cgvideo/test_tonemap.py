"""HDR becomes SDR as the standards say, or stays HDR with its light levels; never silently wrong."""

import struct
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from clips import BT709, Tags, make_clip
from converting import convert, plan_for

from cgvideo.clip import ColorTags, Light
from cgvideo.codec.probe import probe
from cgvideo.codec.tonemap import REFERENCE_WHITE, ToneMap, curve, pq_code, pq_light
from cgvideo.fidelity import choose_fidelity
from cgvideo.settings import Settings
from engines.errors import UserError

PQ_TAGS = replace(BT709, numbers=(9, 9, 16))
HLG_TAGS = replace(BT709, numbers=(9, 9, 18))
MASTERED = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
X265 = f"log-level=none:hdr10=1:master-display={MASTERED}:max-cll=1000,400"


def shown(tone: ToneMap, *codes: float) -> list[float]:
    """What a gray of these codes (0 to 1) becomes, in levels of 255."""
    coded = np.array([[[round(code * 65535)] * 3 for code in codes]], np.uint16)
    return [float(level) for level in tone(coded)[0, :, 1] * 255]


def pq(light: float) -> float:
    return float(pq_code(np.array(light)))


def test_pq_is_that_of_the_standard() -> None:
    """BT.2100's curve at the levels that BT.2408 names: 58 % is 203 cd/m2, 75 % is 1000."""
    assert pq(203) == pytest.approx(0.5807, abs=1e-4)
    assert pq(1000) == pytest.approx(0.7518, abs=1e-4)
    assert pq(10000) == pytest.approx(1)
    light = np.array([0.01, 1, 100, 4000])
    np.testing.assert_allclose(pq_light(pq_code(light)), light, rtol=1e-6)


@pytest.mark.parametrize("peak", [400.0, 1000.0, 4000.0])
def test_the_curve_leaves_the_dark_alone_and_keeps_room_for_highlights(peak: float) -> None:
    light = np.linspace(0.01, peak, 2000)
    mapped = curve(light, peak)
    assert (np.diff(mapped) > 0).all()
    np.testing.assert_allclose(mapped[light < 40], light[light < 40], rtol=1e-6)
    assert mapped[-1] == pytest.approx(REFERENCE_WHITE, rel=1e-6)


def test_an_sdr_picture_in_pq_comes_back_as_it_was() -> None:
    """What is no brighter than diffuse white keeps its light where nothing is brighter."""
    tone = ToneMap(16, REFERENCE_WHITE)
    levels = [16, 64, 128, 200, 255]
    codes = [pq(REFERENCE_WHITE * (level / 255) ** 2.4) for level in levels]
    assert shown(tone, *codes) == pytest.approx(levels, abs=0.1)


def test_hlg_and_pq_of_the_same_scene_look_the_same() -> None:
    """BT.2408, table 1: 38 % of HLG is 26 cd/m2, 75 % is 203."""
    hlg = shown(ToneMap(18, 1000), 0.38, 0.75, 1.0)
    assert hlg == pytest.approx(shown(ToneMap(16, 1000), pq(26), pq(203), pq(1000)), abs=1.5)


def test_hues_stay_and_what_bt709_cannot_show_is_paler() -> None:
    tone = ToneMap(16, 1000)
    red = np.array([[[round(pq(light) * 65535) for light in (300, 150, 150)]]], np.uint16)
    r, g, b = (float(level) for level in tone(red)[0, 0])
    assert r > g > 0
    assert abs(g - b) < 0.05
    pure = tone(np.array([[[round(pq(200) * 65535), 0, 0]]], np.uint16))[0, 0]
    assert pure.min() >= 0
    assert pure.max() <= 1
    assert pure[0] > 0.8


@pytest.mark.parametrize("tags", [PQ_TAGS, HLG_TAGS], ids=["PQ", "HLG"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_hdr_becomes_sdr_and_says_so(tmp_path: Path, tags: Tags, codec: str) -> None:
    source = make_clip(tmp_path / "in.mkv", 3, tags=tags)
    plan = plan_for(source, tmp_path / "out.mp4", codec=codec, tonemap="sdr")
    assert any("made SDR" in notice for notice in plan.notices)
    output = convert(source, tmp_path / "out.mp4", codec=codec, tonemap="sdr").output
    color = probe(output).color
    assert (color.full_range, color.matrix, color.primaries, color.transfer) == (False, 1, 1, 1)


def test_other_words_are_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 2)
    with pytest.raises(UserError, match="--tonemap"):
        plan_for(source, tmp_path / "out.mp4", tonemap="hable")


def hdr10(folder: Path) -> Path:
    return make_clip(
        folder / "in.mp4",
        3,
        codec="libx265",
        pixel_format="yuv420p10le",
        tags=PQ_TAGS,
        options={"x265-params": X265, "preset": "ultrafast"},
    )


def light_of(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        known = {side.type.name: bytes(side) for side in frame.side_data}
    mastering = struct.unpack("=22i", known["MASTERING_DISPLAY_METADATA"][:88])
    scaled = tuple(
        round(50000 * a / b) for a, b in zip(mastering[0:20:2], mastering[1:20:2], strict=True)
    )
    return scaled, struct.unpack("=2I", known["CONTENT_LIGHT_LEVEL"][:8])


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_what_stays_hdr_keeps_its_light_levels(tmp_path: Path, codec: str) -> None:
    source = hdr10(tmp_path)
    preset = {"hevc": "ultrafast", "av1": "10"}[codec]
    output = convert(
        source, tmp_path / "out.mp4", codec=codec, preset=preset, tonemap="keep"
    ).output
    assert probe(output).color.transfer == 16
    assert probe(output).bit_depth == 10
    (places, levels), (wanted, asked) = light_of(output), light_of(source)
    assert levels == asked == (1000, 400)
    np.testing.assert_allclose(places, wanted, rtol=1e-3, atol=2)


def test_hdr_is_not_squeezed_into_eight_bits(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too few bits for HDR"):
        plan_for(hdr10(tmp_path), tmp_path / "out.mp4", tonemap="keep")


def test_the_peak_is_what_the_file_says(tmp_path: Path) -> None:
    plan = plan_for(hdr10(tmp_path), tmp_path / "out.mp4", tonemap="sdr")
    assert plan.fidelity.development.peak == 1000


def test_dolby_vision_without_an_ordinary_picture_is_refused(tmp_path: Path) -> None:
    """Profile 5: its colours are coded in a way of its own, and no tag says so."""
    clip = probe(make_clip(tmp_path / "in.mp4", 2))
    bare = replace(clip, light=Light(dynamic=("Dolby Vision",)))
    with pytest.raises(UserError, match="Dolby Vision"):
        choose_fidelity(bare, Settings(tonemap="sdr"), clip.size)
    tagged = replace(bare, color=ColorTags(False, 1, 1, 1))
    notices = choose_fidelity(tagged, Settings(), clip.size).notices
    assert "Dolby Vision data are left out" in notices
