"""Damage is put up with, counted and said; a file that is cut short is known for it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from clips import flip_bytes, make_clip, numbers
from commandline import Cli
from converting import IdentityEngine, convert, plan_for

from cgvideo.pipeline import run
from cgvideo.progress import Silent, StageTimes, Stopped, StopRequest
from engines.errors import UserError

FRAMES = 60
SMALL = ("--max-size", "32", "--preset", "ultrafast")


def cut(path: Path, share: float = 0.6) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def rewritten(source: Path, target: Path, flags: str) -> Path:
    """The same packets in an MP4 of another layout."""
    with (
        av.open(source) as before,
        av.open(target, "w", options={"movflags": flags}) as after,
    ):
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    return target


MAKERS: dict[str, Any] = {
    "MP4 with its index first": lambda folder: rewritten(
        make_clip(folder / "whole.mp4", FRAMES), folder / "in.mp4", "+faststart"
    ),
    "MP4 in fragments": lambda folder: rewritten(
        make_clip(folder / "whole.mp4", FRAMES), folder / "in.mp4", "+frag_keyframe+empty_moov"
    ),
    "Matroska": lambda folder: make_clip(folder / "in.mkv", FRAMES),
    "GIF": lambda folder: make_clip(
        folder / "in.gif", FRAMES, codec="gif", pixel_format="rgb8", time_base=Fraction(1, 100)
    ),
    "MPEG-TS": lambda folder: make_clip(folder / "in.ts", FRAMES),
    "FLV": lambda folder: make_clip(folder / "in.flv", FRAMES),
    "AVI": lambda folder: make_clip(folder / "in.avi", FRAMES, time_base=Fraction(1, 25)),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_file_cut_short_is_known_for_it(tmp_path: Path, kind: str) -> None:
    source = MAKERS[kind](tmp_path)
    whole = convert(source, tmp_path / "whole.mkv")
    assert not whole.damage.cut_short
    result = convert(cut(source), tmp_path / "out.mkv")
    assert result.damage.cut_short
    assert FRAMES // 3 < result.frames < FRAMES
    assert numbers(result.output)[:10] == list(range(10))
    assert any("cut short" in line for line in result.damage.lines())


def test_many_packets_that_fail_are_no_cut(tmp_path: Path) -> None:
    """AV1 does not go on after damage: the last packet fails as all before it did."""
    source = make_clip(
        tmp_path / "in.mp4", 40, codec="libsvtav1", options={"preset": "10", "crf": "20"}
    )
    with av.open(source) as container:
        places = [
            packet.pos for packet in container.demux(video=0) if packet.size and packet.pos > 0
        ]
    content = bytearray(source.read_bytes())
    for place in places[20:]:
        content[place : place + 8] = bytes(255 - byte for byte in content[place : place + 8])
    source.write_bytes(content)
    damage = convert(source, tmp_path / "out.mkv").damage
    assert damage.is_real
    assert not damage.cut_short


def test_an_mp4_without_its_index_is_said_to_lack_it(tmp_path: Path) -> None:
    source = cut(make_clip(tmp_path / "in.mp4", 20))
    with pytest.raises(UserError, match="lacks its index"):
        convert(source, tmp_path / "out.mkv")


def test_the_part_before_the_cut_alone_is_whole(tmp_path: Path) -> None:
    source = cut(make_clip(tmp_path / "in.mkv", FRAMES))
    assert not convert(source, tmp_path / "out.mkv", duration=0.5).damage.cut_short


@pytest.mark.slow
def test_the_exit_code_tells_a_cut(here: Cli, tmp_path: Path) -> None:
    cut(make_clip(tmp_path / "in.mkv", 20))
    result = here("convert", "in.mkv", *SMALL)
    assert result.returncode == 3
    assert "cut short" in result.stderr
    assert (tmp_path / "in.summer2winter.mkv").exists()


def test_strictly_a_damaged_source_is_an_error(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 150)
    flip_bytes(source, 0.5)
    with pytest.raises(UserError, match=r"damaged before frame \d+.*--strict"):
        convert(source, tmp_path / "out.mp4", strict=True)
    with pytest.raises(UserError, match="damaged at the end"):
        convert(cut(make_clip(tmp_path / "cut.mkv", 20)), tmp_path / "out.mkv", strict=True)
    assert not (tmp_path / "out.mp4").exists()


class _Stopping(Silent):
    def __init__(self) -> None:
        self.request = StopRequest()

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.request.wanted = number > 100


def test_a_resumed_run_says_of_the_whole_clip_what_was_damaged(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 250, options={"g": "25"})
    for place in (0.2, 0.3, 0.7):
        flip_bytes(source, place, 3000)
    whole = convert(source, tmp_path / "whole.mp4").damage
    stopping = _Stopping()
    plan = plan_for(source, tmp_path / "out.mp4")
    with pytest.raises(Stopped):
        run(plan, IdentityEngine(), stopping, stopping.request)
    assert run(plan, IdentityEngine()).damage == whole
    assert whole.is_real
