"""What containers make difficult: times before zero, streams they swallow, names FFmpeg misreads."""

import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from clips import make_clip, numbers, packets, read_numbers
from converting import convert, plan_for

from cgvideo.codec.probe import probe
from cgvideo.pipeline import run
from cgvideo.plan import SEGMENT_FRAMES
from cgvideo.progress import Silent, StageTimes, Stopped, StopRequest
from cgvideo.settings import Settings
from cgvideo.sizes import working_size
from engines.errors import UserError


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_sound_that_begins_before_the_picture_does_not_move_it_in_matroska(
    tmp_path: Path, codec: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", 20, audio="aac")
    assert packets(source, "audio")[0][0] < 0  # AAC's priming
    output = convert(source, tmp_path / "out.mkv", codec=codec).output
    assert read_numbers(output) == read_numbers(source)
    for (before, data), (after, same) in zip(
        packets(source, "audio"), packets(output, "audio"), strict=True
    ):
        assert data == same
        assert abs(before - after) <= Fraction(1, 1000)


def test_sound_that_a_container_would_swallow_is_converted_aloud(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", 25, audio="flac")
    plan = plan_for(source, tmp_path / "out.ts")
    assert [way.how for way in plan.muxing.carried] == ["to aac"]
    assert "converted to aac" in plan.notices[0]
    output = convert(source, tmp_path / "out.ts").output
    with av.open(output) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    sound = packets(output, "audio")
    pictures = [time for _, time in read_numbers(output)]
    assert abs(sound[0][0] - pictures[0]) < Fraction(1, 20)
    assert abs(sound[-1][0] - pictures[-1]) < Fraction(1, 10)


def test_surround_sound_stays_surround(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "mono.mkv", 10)
    surround = tmp_path / "in.mkv"
    with av.open(source) as picture, av.open(surround, "w") as container:
        video = container.add_stream_from_template(picture.streams.video[0], opaque=True)
        sound = container.add_stream("flac", rate=48_000, layout="5.1")
        for packet in picture.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux(packet)
        silence = av.AudioFrame(format="s16", layout="5.1", samples=19_200)
        silence.sample_rate, silence.pts, silence.time_base = 48_000, 0, Fraction(1, 48_000)
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    output = convert(surround, tmp_path / "out.ts").output
    with av.open(output) as container:
        assert container.streams.audio[0].codec_context.layout.nb_channels == 6


@pytest.mark.parametrize("suffix", [".ts", ".mov", ".flv"])
def test_a_container_that_cannot_hold_the_codec_is_refused_before_rendering(
    tmp_path: Path, suffix: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", 5)
    with pytest.raises(UserError, match="ffv1"):
        plan_for(source, tmp_path / f"out{suffix}", codec="ffv1")
    assert list(tmp_path.iterdir()) == [source]


class _StopAt(Silent):
    def __init__(self, frame: int) -> None:
        self.frame, self.request = frame, StopRequest()

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.request.wanted |= number >= self.frame


def test_a_raw_stream_which_cannot_be_sought_resumes_and_is_cut(tmp_path: Path) -> None:
    from converting import IdentityEngine

    frames = 2 * SEGMENT_FRAMES + 20
    source = make_clip(tmp_path / "in.h264", frames)
    plan = plan_for(source, tmp_path / "out.mkv")
    stopper = _StopAt(10)
    with pytest.raises(Stopped):
        run(plan, IdentityEngine(), stopper, stopper.request)
    assert run(plan, IdentityEngine()).frames_rendered == frames - SEGMENT_FRAMES
    assert numbers(plan.output) == list(range(frames))
    cut = convert(source, tmp_path / "cut.mkv", start=1).output
    assert numbers(cut) == numbers(plan.output)[-len(numbers(cut)) :]


def test_made_up_times_of_an_avi_run_evenly(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.avi", 60, options={"bf": "2"}, time_base=Fraction(1, 25))
    result = convert(source, tmp_path / "out.mkv")
    times = [time for _, time in read_numbers(result.output)]
    assert numbers(result.output) == list(range(60))
    steps = [after - before for before, after in pairwise(times)]
    assert max(steps) <= Fraction(4, 25)
    assert sum(abs(step - Fraction(1, 25)) > Fraction(1, 500) for step in steps) < 6


@pytest.mark.parametrize(("codec", "matrix"), [("h264", 6), ("ffv1", 0)])
def test_rgb_becomes_yuv_with_tags_of_yuv(tmp_path: Path, codec: str, matrix: int) -> None:
    source = make_clip(
        tmp_path / "in.mkv", 5, codec="libx264rgb", pixel_format="rgb24", options={"crf": "1"}
    )
    assert probe(source).color.matrix == 0
    output = convert(source, tmp_path / "out.mkv", codec=codec).output
    with av.open(output) as container:
        context = container.streams.video[0].codec_context
        assert context.colorspace == matrix
        assert context.color_range == (2 if codec == "ffv1" else 1)
    assert numbers(output) == list(range(5))


def test_a_name_with_a_colon_is_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", 5).rename("concat:1.mp4")
    output = convert(Path("concat:1.mp4"), Path("tcp:2.mp4")).output
    assert numbers(output.absolute()) == list(range(5))


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 5)
    with pytest.raises(UserError, match="too long"):
        convert(source, tmp_path / f"{'x' * 249}.mp4")


def test_a_subtitle_that_spans_the_cut_begins_at_it(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", 100, subtitles=[(0.5, 1.5, "spans"), (2.5, 3, "kept")])
    output = convert(source, tmp_path / "out.mkv", start=1).output
    assert packets(output, "subtitle") == [(Fraction(0), b"spans"), (Fraction(3, 2), b"kept")]


def test_a_phones_own_tags_survive(tmp_path: Path) -> None:
    metadata = {"com.apple.quicktime.make": "Apple", "title": "valley"}
    source = tmp_path / "in.mov"
    with (
        av.open(make_clip(tmp_path / "plain.mov", 3)) as plain,
        av.open(source, "w", container_options={"movflags": "use_metadata_tags"}) as container,
    ):
        container.metadata.update(metadata)
        stream = container.add_stream_from_template(plain.streams.video[0], opaque=True)
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with av.open(convert(source, tmp_path / "out.mov").output) as container:
        assert metadata.items() <= container.metadata.items()


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["start", "duration", "crf"])
def test_numbers_that_do_not_count_are_refused(name: str, number: float) -> None:
    with pytest.raises(UserError, match=f"--{name}"):
        Settings(**{name: number})


@pytest.mark.parametrize("max_size", [51, 95, 99, 640])
def test_the_longer_side_stays_within_what_was_asked(max_size: int) -> None:
    for size in ((360, 640), (1080, 1920), (750, 1024), (1920, 1080)):
        height, width = working_size(size, max_size)
        assert max_size - 2 < max(height, width) <= max(max_size, 2)
        assert abs(height / width - size[0] / size[1]) < 0.15
