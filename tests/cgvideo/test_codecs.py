"""Every codec that can be asked for: right frames at right times, in a container that holds it."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import BT709_FULL, make_clip, packets, read_numbers, video_tick
from converting import MODEL, IdentityEngine, convert, plan_for

from cgvideo.codec.decode import VideoSource
from cgvideo.codec.probe import probe
from cgvideo.pipeline import run
from cgvideo.plan import SEGMENT_FRAMES, make_plan
from cgvideo.progress import Silent, StageTimes, Stopped, StopRequest
from cgvideo.settings import Settings
from engines.errors import UserError

QUICK = {"av1": "10", "vp9": "8", "prores": "proxy", "hevc": "ultrafast"}
SIZE = (96, 64)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("av1", "mp4"),
        ("av1", "webm"),
        ("av1", "mkv"),
        ("vp9", "webm"),
        ("vp9", "mp4"),
        ("prores", "mov"),
        ("prores", "mkv"),
        ("hevc", "nut"),
    ],
)
def test_frames_times_and_sound_in_every_container(tmp_path: Path, codec: str, suffix: str) -> None:
    """With a frame rate that varies."""
    source = make_clip(
        tmp_path / "in.mp4",
        12,
        pts=lambda number: 512 * number + 100 * (number % 3),
        audio="aac",
    )
    output = convert(source, tmp_path / f"out.{suffix}", codec=codec, preset=QUICK[codec]).output
    before, after = read_numbers(source), read_numbers(output)
    assert [number for number, _ in after] == [number for number, _ in before]
    moved = after[0][1] - before[0][1] if suffix == "nut" else 0  # all streams together
    worst = max(abs(b[1] - a[1] - moved) for a, b in zip(before, after, strict=True))
    assert worst <= video_tick(output) / 2
    assert packets(output, "audio")


@pytest.mark.parametrize(
    ("codec", "source", "result"),
    [
        ("prores", ".mp4", ".mov"),
        ("prores", ".mkv", ".mkv"),
        ("av1", ".mov", ".mkv"),
        ("av1", ".webm", ".webm"),
        ("vp9", ".ts", ".mkv"),
        ("vp9", ".webm", ".webm"),
        ("h264", ".webm", ".mkv"),
        ("hevc", ".flv", ".mkv"),
    ],
)
def test_the_container_is_the_sources_if_it_holds_the_codec(
    tmp_path: Path, codec: str, source: str, result: str
) -> None:
    clip = probe(make_clip(tmp_path / "in.mkv", 2))
    moved = tmp_path / f"moved{source}"
    clip.path.rename(moved)
    plan = make_plan(
        probe(moved), MODEL, IdentityEngine(), Settings(codec=codec, preset=QUICK.get(codec))
    )
    assert plan.output.suffix == result


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "prores"])
def test_a_pixel_keeps_its_shape(tmp_path: Path, codec: str) -> None:
    """In the container that is chosen; in one that cannot say it, it is said to be lost."""
    source = make_clip(tmp_path / "in.mkv", 3, sample_aspect_ratio=Fraction(4, 3))
    settings = {"codec": codec} | ({"preset": QUICK[codec]} if codec in QUICK else {})
    (tmp_path / "out").mkdir()
    output = convert(source, tmp_path / "out", **settings).output
    assert probe(output).sample_aspect_ratio == Fraction(4, 3)
    notices = plan_for(source, tmp_path / "other.mkv", **settings).notices
    lost = any("shown stretched" in notice for notice in notices)
    assert lost is (codec in ("av1", "vp9", "prores"))


def test_a_clock_finer_than_the_encoders_own_is_kept(tmp_path: Path) -> None:
    """libvpx counts in ten-millionths of a second."""
    source = make_clip(
        tmp_path / "in.mp4",
        12,
        time_base=Fraction(1, 23_040_000),
        pts=lambda number: 767_849 * number,
    )
    output = convert(source, tmp_path / "out.mp4", codec="vp9", preset="8").output
    assert read_numbers(output) == read_numbers(source)


def test_prores_of_a_full_range_source_looks_the_same(tmp_path: Path) -> None:
    """ProRes has limited range only, and players take it so."""
    source = make_clip(tmp_path / "in.mp4", 3, tags=BT709_FULL)
    output = convert(source, tmp_path / "out.mov", codec="prores", preset="hq").output
    assert probe(output).color.full_range is not True
    pictures = [
        next(VideoSource(probe(path), (64, 96)).frames()).pixels.astype(int)
        for path in (source, output)
    ]
    assert abs(pictures[0].mean() - pictures[1].mean()) < 1


def test_webm_takes_sound_that_it_does_not_know_as_opus(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 25, audio="aac")
    plan = plan_for(source, tmp_path / "out.webm", codec="vp9", preset="8")
    assert any("converted to opus" in notice for notice in plan.notices)
    output = convert(source, tmp_path / "out.webm", codec="vp9", preset="8").output
    with av.open(output) as container:
        assert container.streams.audio[0].codec_context.name == "opus"
    sound = packets(output, "audio")
    assert abs(sound[0][0] - packets(source, "audio")[0][0]) < Fraction(1, 20)
    assert abs(sound[-1][0] - packets(source, "audio")[-1][0]) < Fraction(1, 10)


@pytest.mark.parametrize("codec", ["av1", "vp9", "prores"])
@pytest.mark.parametrize("size", [(33, 17), (16, 16)])
def test_odd_and_small_sizes(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    source = make_clip(tmp_path / "in.mkv", 3, size=size, pixel_format="yuv444p")
    output = convert(source, tmp_path / "out.mkv", codec=codec, preset=QUICK[codec]).output
    assert probe(output).size == size[::-1]


class _Stopping(Silent):
    def __init__(self) -> None:
        self.request = StopRequest()

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.request.wanted = number > 5


@pytest.mark.parametrize(("codec", "suffix"), [("av1", "mp4"), ("vp9", "webm"), ("prores", "mov")])
def test_a_resumed_run_gives_the_same_bytes(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_clip(tmp_path / "in.mkv", SEGMENT_FRAMES + 20, size=(48, 32))
    settings = {"codec": codec, "preset": QUICK[codec]}
    whole = convert(source, tmp_path / f"whole.{suffix}", **settings).output
    plan = plan_for(source, tmp_path / f"out.{suffix}", **settings)
    stopping = _Stopping()
    with pytest.raises(Stopped):
        run(plan, IdentityEngine(), stopping, stopping.request)
    result = run(plan, IdentityEngine())
    assert result.frames_rendered == 20
    assert result.output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"codec": "av1", "crf": 64}, "0 .best. to 63"),
        ({"codec": "prores", "crf": 20}, "prores takes no --crf"),
        ({"codec": "prores", "preset": "fast"}, "proxy, lt, standard, hq"),
        ({"codec": "ffv1", "preset": "fast"}, "ffv1 takes no --preset"),
        ({"codec": "theora"}, "There is no codec"),
    ],
)
def test_what_a_codec_does_not_know_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Settings(**settings)  # type: ignore[arg-type]
