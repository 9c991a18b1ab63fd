"""Ten bits in, ten bits out: no step on the way has fewer, and transparency comes along."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import (
    BT709,
    BT709_FULL,
    Tags,
    make_clip,
    make_planes,
    read_deep_planes,
    read_planes,
)
from converting import IdentityEngine, convert, plan_for
from numpy.typing import NDArray

import cgvideo
from engines.errors import UserError

HEIGHT, WIDTH = 64, 256
FRAMES = 3


BT2020 = Tags("bt2020", False, (9, 9, 14))


class Recording(IdentityEngine):
    """The identity; keeps the types that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[str] = set()

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        self.types.add(str(frames.dtype))
        return super().translated(frames)


def ramp(bits: int = 10, tags: Tags = BT709) -> list[list[NDArray[np.uint16]]]:
    """A slope so gentle that each step is one level of 10 bits, with soft colours."""
    unit = 1 << (bits - 8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frames = []
    for number in range(FRAMES):
        luma = (100 + number) * unit + (columns * unit) // 4 + rows * 0
        half = np.mgrid[: HEIGHT // 2, : WIDTH // 2][1] * unit // 8
        frames.append([luma.astype(np.uint16), *((112 * unit + half).astype(np.uint16),) * 2])
    return frames


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize(
    "tags", [BT709, BT709_FULL, BT2020], ids=["limited", "full range", "BT.2020"]
)
def test_a_slope_of_many_bits_comes_back_level_by_level(
    tmp_path: Path, bits: int, tags: Tags
) -> None:
    source = make_planes(
        tmp_path / "in.mkv", ramp(bits), pixel_format=f"yuv420p{bits}le", tags=tags
    )
    engine = Recording()
    output = convert(source, tmp_path / "out.mkv", engine, codec="ffv1").output
    assert engine.types == {"float32"}
    for before, after in zip(ramp(bits), read_deep_planes(output), strict=True):
        for plane, kept in zip(before, after, strict=True):
            off = np.abs(plane.astype(int) - kept)
            # What little there is in full range is swscale's: a quarter of a level of 8 bits.
            assert off.max() <= (1 << (bits - 10) if tags.full_range else 0)


@pytest.mark.parametrize(("codec", "suffix"), [("hevc", "mp4"), ("av1", "mp4"), ("prores", "mov")])
def test_a_gentle_slope_shows_no_bands(tmp_path: Path, codec: str, suffix: str) -> None:
    """8 bits would have 64 steps where the source has 256."""
    source = make_planes(tmp_path / "in.mkv", ramp())
    settings = {"preset": {"hevc": "ultrafast", "av1": "10", "prores": "hq"}[codec]}
    output = convert(source, tmp_path / f"out.{suffix}", codec=codec, **settings).output
    with av.open(output) as container:
        assert "10le" in str(container.streams.video[0].codec_context.pix_fmt)
    slope = next(read_deep_planes(output))[0].astype(float).mean(axis=0)
    assert np.abs(slope - ramp()[0][0][0]).max() < 4
    assert len(np.unique(np.rint(slope))) > 180


def test_h264_keeps_eight_bits_and_says_so(tmp_path: Path) -> None:
    source = make_planes(tmp_path / "in.mkv", ramp())
    engine = Recording()
    plan = plan_for(source, tmp_path / "out.mp4")
    assert plan.encoding.pixel_format == "yuv420p"
    assert any("10 bits" in notice and "--codec hevc" in notice for notice in plan.notices)
    convert(source, tmp_path / "out.mp4", engine)
    assert engine.types == {"uint8"}


def test_ten_bits_may_be_asked_for_of_any_source(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 4)
    engine = Recording()
    output = convert(
        source, tmp_path / "out.mp4", engine, codec="hevc", pixel_format="yuv420p10le"
    ).output
    assert engine.types == {"float32"}
    before, after = list(read_planes(source)), list(read_deep_planes(output))
    assert np.abs(before[0][0].astype(float) * 4 - after[0][0]).mean() < 8


def with_alpha(number: int) -> list[NDArray[np.uint16]]:
    luma, blue, red = ramp()[number]
    alpha = np.mgrid[:HEIGHT, :WIDTH][1] * 1023 // (WIDTH - 1)
    double = [plane.repeat(2, 0).repeat(2, 1) for plane in (blue, red)]
    return [luma, *double, alpha.astype(np.uint16)]


def test_transparency_is_kept_in_prores_4444(tmp_path: Path) -> None:
    frames = [with_alpha(number) for number in range(FRAMES)]
    source = make_planes(tmp_path / "in.mkv", frames, pixel_format="yuva444p10le")
    output = convert(source, tmp_path / "out.mov", codec="prores", preset="hq").output
    with av.open(output) as container:
        context: Any = container.streams.video[0].codec_context
        assert "yuva444p" in context.pix_fmt
        bits = context.format.components[3].bits
    kept = list(read_deep_planes(output))
    assert len(kept) == FRAMES
    off = kept[0][3].astype(float) / (2**bits - 1) - frames[0][3] / 1023
    assert np.abs(off).max() < 0.002


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_transparency_that_does_not_fit_is_left_out_and_said(tmp_path: Path, codec: str) -> None:
    frames = [with_alpha(number) for number in range(FRAMES)]
    source = make_planes(tmp_path / "in.mkv", frames, pixel_format="yuva444p10le")
    preset = {"h264": "ultrafast", "vp9": "8"}[codec]
    plan = plan_for(source, tmp_path / "out.mkv", codec=codec, preset=preset)
    assert any("transparency is left out; --codec prores" in notice for notice in plan.notices)


def test_a_format_that_no_encoder_knows_is_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 2)
    with pytest.raises(UserError, match="does not encode 'yuv420p10le'"):
        plan_for(source, tmp_path / "out.webm", codec="vp9", preset="8", pixel_format="yuv420p10le")


@pytest.mark.slow
def test_a_real_engine_gives_more_than_eight_bits(tmp_path: Path) -> None:
    """The whole way, through the interface that people use."""
    source = make_planes(tmp_path / "in.mkv", ramp())
    output = cgvideo.convert(source, output=tmp_path / "out.mkv", codec="ffv1", smooth="off")
    row = next(read_deep_planes(output))[0][HEIGHT // 2]
    assert len(np.unique(row)) > 1.3 * len(np.unique(row // 4))
