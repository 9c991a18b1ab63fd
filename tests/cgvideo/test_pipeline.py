"""Whole conversions of made-up clips: what comes out against what went in, read independently."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import (
    BT601,
    BT601_FULL,
    BT709,
    BT709_FULL,
    DISPLAY_MATRICES,
    INTRA_REFRESH,
    OPEN_GOP,
    RGB,
    Tags,
    flip_bytes,
    make_clip,
    number_in,
    numbers,
    packets,
    picture,
    read_numbers,
    read_pictures,
    read_planes,
    video_tick,
)
from converting import (
    CrashingEngine,
    DroppingEngine,
    GreedyEngine,
    IdentityEngine,
    InvertingEngine,
    Misbehaving,
    RetypingEngine,
    ShrinkingEngine,
    StallingEngine,
    convert,
    plan_for,
)
from numpy.typing import NDArray

from cgvideo.journal import Journal
from cgvideo.pipeline import run
from cgvideo.plan import SEGMENT_FRAMES
from cgvideo.prepare import prepared
from cgvideo.progress import Silent, StageTimes, Stopped, StopRequest
from cgvideo.settings import Settings
from engines.errors import UserError
from engines.library import find_model

SEVERAL_SEGMENTS = 2 * SEGMENT_FRAMES + 10


def assert_same_frames_and_times(source: Path, output: Path) -> None:
    """Every frame once, in order, shown when the source shows it (to half a tick)."""
    before, after = read_numbers(source), read_numbers(output)
    assert [number for number, _ in after] == [number for number, _ in before]
    worst = max(abs(a - b) for (_, a), (_, b) in zip(after, before, strict=True))
    assert worst <= video_tick(output) / 2


def assert_same_sound(source: Path, output: Path) -> None:
    """Every packet, byte for byte, heard when it was.

    To half a tick of the picture: where a track begins is written in ticks of the whole file.
    """
    before, after = packets(source, "audio"), packets(output, "audio")
    assert before, "the source should have had sound"
    assert [data for _, data in after] == [data for _, data in before]
    worst = max(abs(a - b) for (a, _), (b, _) in zip(after, before, strict=True))
    assert worst <= video_tick(output) / 2


@pytest.mark.parametrize(
    ("suffix", "sound"),
    [(".mp4", "aac"), (".mov", "pcm_s16le"), (".mkv", "aac"), (".m4v", "aac"), (".ts", "aac"),
     (".flv", "aac")],
)  # fmt: skip
def test_every_frame_and_sound_keeps_its_time(tmp_path: Path, suffix: str, sound: str) -> None:
    source = make_clip(tmp_path / f"in{suffix}", SEVERAL_SEGMENTS, audio=sound)
    result = convert(source, tmp_path / f"out{suffix}")
    assert result.frames == result.frames_rendered == SEVERAL_SEGMENTS
    assert_same_frames_and_times(source, result.output)
    assert_same_sound(source, result.output)


@pytest.mark.parametrize("options", [OPEN_GOP, INTRA_REFRESH], ids=["open GOP", "intra refresh"])
def test_every_kind_of_group_of_pictures(tmp_path: Path, options: dict[str, str]) -> None:
    source = make_clip(tmp_path / "in.mp4", SEVERAL_SEGMENTS, options=options)
    assert_same_frames_and_times(source, convert(source, tmp_path / "out.mp4").output)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_variable_frame_rate_stays_variable(tmp_path: Path, suffix: str) -> None:
    source = make_clip(
        tmp_path / f"in{suffix}",
        SEVERAL_SEGMENTS,
        time_base=Fraction(1, 90000),
        pts=lambda number: 3600 * number + (number * number * 37) % 3000 + 40000 * (number > 100),
        audio="aac",
    )
    output = convert(source, tmp_path / f"out{suffix}").output
    assert_same_frames_and_times(source, output)
    assert_same_sound(source, output)
    times = [seconds for _, seconds in read_numbers(output)]
    assert len({b - a for a, b in pairwise(times)}) > 10


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_clip_that_starts_late_stays_in_step_with_its_sound(tmp_path: Path, suffix: str) -> None:
    source = make_clip(
        tmp_path / f"in{suffix}", 30, pts=lambda number: 128_000 + 512 * number, audio="aac"
    )
    output = convert(source, tmp_path / f"out{suffix}").output
    assert read_numbers(output)[0][1] == 10
    assert_same_frames_and_times(source, output)
    assert_same_sound(source, output)


def test_sound_that_starts_long_before_the_picture(tmp_path: Path) -> None:
    late = make_clip(tmp_path / "late.mp4", 25, pts=lambda number: 25_600 + 512 * number)
    sounding = make_clip(tmp_path / "sound.mp4", 75, audio="aac")
    source = _muxed(tmp_path / "in.mp4", picture_of=late, sound_of=sounding)
    output = convert(source, tmp_path / "out.mp4").output
    assert_same_frames_and_times(source, output)
    assert_same_sound(source, output)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_frame_stays_as_long_as_it_did(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / f"in{suffix}", 30, pts=lambda number: 512 * number)
    output = convert(source, tmp_path / f"out{suffix}").output
    lengths = []
    for path in (source, output):
        with av.open(path) as container:
            lengths.append(float((container.duration or 0) / av.time_base))
    assert abs(lengths[1] - lengths[0]) < 0.002


def test_transport_stream_to_mp4_keeps_times_finer_than_a_millisecond(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.ts",
        60,
        time_base=Fraction(1, 90000),
        pts=lambda number: 12_347 + 3600 * number,
        audio="aac",
    )
    output = convert(source, tmp_path / "out.mp4").output
    assert_same_frames_and_times(source, output)

    def lead_of_sound(path: Path) -> Fraction:
        return packets(path, "audio")[0][0] - read_numbers(path)[0][1]

    assert abs(lead_of_sound(output) - lead_of_sound(source)) < Fraction(1, 1000)


# --start and --duration


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("offset", [0, 5])
def test_a_part_of_a_clip_is_cut_with_its_sound_in_step(
    tmp_path: Path, suffix: str, offset: int
) -> None:
    source = make_clip(
        tmp_path / f"in{suffix}",
        200,
        pts=lambda number: 512 * number + 12800 * offset,
        audio="aac",
    )
    output = convert(source, tmp_path / f"out{suffix}", start=2, duration=3).output
    before, after = dict(read_numbers(source)), read_numbers(output)
    assert [number for number, _ in after] == list(range(50, 125))
    moved = {round(float(before[number] - seconds), 3) for number, seconds in after}
    assert len(moved) == 1
    frame_shift = moved.pop()
    source_sound, sound = packets(source, "audio"), packets(output, "audio")
    places = {data: time for time, data in source_sound}
    one_packet = 1024 / 48000
    assert all(abs(float(places[data] - time) - frame_shift) <= one_packet for time, data in sound)
    assert 3 - 2 * one_packet <= float(sound[-1][0] - sound[0][0]) <= 3 + one_packet
    first = source_sound.index((places[sound[0][1]], sound[0][1]))
    assert [data for _, data in sound] == [
        data for _, data in source_sound[first : first + len(sound)]
    ]


def test_a_duration_alone_leaves_the_beginning_as_it_is(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 50, audio="aac")
    output = convert(source, tmp_path / "out.mp4", duration=1).output
    assert read_numbers(output) == read_numbers(source)[:25]


def test_a_start_alone_goes_to_the_end(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 50)
    assert numbers(convert(source, tmp_path / "out.mp4", start=1.5).output) == list(range(38, 50))


def test_a_start_after_the_end_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 25)
    settings = Settings(output=tmp_path / "out.mp4", start=60)
    with (
        pytest.raises(UserError, match="after the end"),
        prepared(source, find_model("summer2winter"), settings),
    ):
        pass
    assert list(tmp_path.iterdir()) == [source]


def test_what_another_run_has_finished_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    source, output = make_clip(tmp_path / "in.mp4", 5), tmp_path / "out.mp4"
    engine = IdentityEngine()
    plan = plan_for(source, output, engine)
    output.write_bytes(b"finished by another")
    with pytest.raises(UserError, match="exists already"):
        run(plan, engine)
    assert output.read_bytes() == b"finished by another"
    assert sorted(tmp_path.iterdir()) == [source, output]


def test_chapters_and_subtitles_move_with_a_cut(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mkv",
        100,
        subtitles=[(0.5, 1, "gone"), (2.5, 3, "kept")],
        chapters=[(0, 1.5, "first"), (1.5, 4, "second")],
    )
    output = convert(source, tmp_path / "out.mkv", start=2, duration=1.5).output
    assert packets(output, "subtitle") == [(Fraction(1, 2), b"kept")]
    assert _chapters(output) == [(0, 1.5, "second")]


# How the picture is shown


UNTURNED: dict[str, Callable[[RGB], RGB]] = {
    "as it is": lambda upright: upright,
    "a quarter clockwise": lambda upright: np.rot90(upright, 1),
    "half a turn": lambda upright: np.rot90(upright, 2),
    "a quarter anticlockwise": lambda upright: np.rot90(upright, -1),
    "mirrored": lambda upright: upright[:, ::-1],
    "upside down": lambda upright: upright[::-1],
    "transposed": lambda upright: upright.transpose(1, 0, 2),
    "transposed the other way": lambda upright: np.rot90(upright.transpose(1, 0, 2), 2),
}


class Witness(IdentityEngine):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(batch=1)
        self.seen: list[RGB] = []

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        self.seen += [frame.copy() for frame in frames]
        return frames


@pytest.mark.parametrize("turn", DISPLAY_MATRICES)
def test_the_engine_sees_turned_clips_upright_and_the_output_is_turned_alike(
    tmp_path: Path, turn: str
) -> None:
    def coded(number: int, size: tuple[int, int]) -> RGB:
        coded_like = UNTURNED[turn](np.zeros((1, 2, 3), np.uint8))
        upright_size = size if coded_like.shape[1] == 2 else size[::-1]
        return np.ascontiguousarray(UNTURNED[turn](picture(number + 1, upright_size)))

    source = make_clip(
        tmp_path / "in.mp4", 6, size=(96, 64), painter=coded, display_matrix=DISPLAY_MATRICES[turn]
    )
    witness = Witness()
    output = convert(source, tmp_path / "out.mp4", engine=witness).output
    assert [number_in(frame) for frame in witness.seen] == [1, 2, 3, 4, 5, 6]
    assert _display_matrix(output) == _display_matrix(source)
    for (_, before), (_, after) in zip(read_pictures(source), read_pictures(output), strict=True):
        assert before.shape == after.shape
        assert np.abs(before.astype(int) - after).mean() < 6


def test_comparison_of_a_turned_clip_stands_side_by_side_when_shown(tmp_path: Path) -> None:
    turn = "a quarter clockwise"
    source = make_clip(
        tmp_path / "in.mp4",
        3,
        size=(96, 64),
        painter=lambda number, size: np.ascontiguousarray(
            np.rot90(picture(number + 1, size[::-1]))
        ),
        display_matrix=DISPLAY_MATRICES[turn],
    )
    output = convert(source, tmp_path / "out.mp4", compare=True).output
    shown = [np.rot90(pixels, -1) for _, pixels in read_pictures(output)]
    assert [frame.shape for frame in shown] == [(96, 128, 3)] * 3
    assert [number_in(frame[:, :64]) for frame in shown] == [1, 2, 3]
    assert [number_in(frame[:, 64:]) for frame in shown] == [1, 2, 3]


@pytest.mark.parametrize("suffix", [".ts", ".flv"])
def test_a_container_that_cannot_turn_a_picture_gets_it_upright(
    tmp_path: Path, suffix: str
) -> None:
    turn = "a quarter clockwise"
    source = make_clip(
        tmp_path / "in.mp4",
        3,
        size=(96, 64),
        painter=lambda number, size: np.ascontiguousarray(
            np.rot90(picture(number + 1, size[::-1]))
        ),
        display_matrix=DISPLAY_MATRICES[turn],
        sample_aspect_ratio=Fraction(16, 11),
    )
    output = tmp_path / f"out{suffix}"
    engine = IdentityEngine()
    plan = plan_for(source, output, engine)
    assert any("upright" in notice for notice in plan.notices)
    run(plan, engine)
    frames = [pixels for _, pixels in read_pictures(output)]
    assert [frame.shape for frame in frames] == [(96, 64, 3)] * 3
    assert [number_in(frame) for frame in frames] == [1, 2, 3]
    with av.open(output) as container:
        assert container.streams.video[0].codec_context.sample_aspect_ratio == Fraction(11, 16)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixels_that_are_not_square_stay_so(tmp_path: Path, suffix: str) -> None:
    ratio = Fraction(16, 11)
    source = make_clip(tmp_path / f"in{suffix}", 3, sample_aspect_ratio=ratio)
    output = convert(source, tmp_path / f"out{suffix}").output
    with av.open(output) as container:
        assert container.streams.video[0].sample_aspect_ratio == ratio


# Colour


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize(
    ("tags", "expected"),
    [(BT601, (1, 6, 6, 6)), (BT709_FULL, (2, 1, 1, 1)), (None, (0, 2, 2, 2))],
    ids=["601", "709 full", "untagged"],
)
def test_colour_tags_come_through(
    tmp_path: Path, suffix: str, codec: str, tags: Tags | None, expected: tuple[int, ...]
) -> None:
    source = make_clip(tmp_path / f"in{suffix}", 2, tags=tags)
    output = convert(source, tmp_path / f"out{suffix}", codec=codec).output
    if codec == "hevc" and tags is None:  # its decoder says limited where the stream says nothing
        expected = (1, 2, 2, 2)
    assert _color_tags(output) == expected


def _calm(number: int, size: tuple[int, int]) -> RGB:
    """Colours that stay inside RGB after being stored as YUV, all over the middle range."""
    width, height = size
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    turn = number / 5
    channels = [
        128 + 70 * np.sin(6 * across + turn),
        128 + 70 * np.cos(5 * down - turn),
        128 + 70 * np.sin(4 * (across + down) + turn),
    ]
    return np.stack(channels, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("tags", "size"),
    [
        pytest.param(BT601, (96, 64), id="BT.601 limited"),
        pytest.param(BT601_FULL, (96, 64), id="BT.601 full"),
        pytest.param(BT709, (96, 64), id="BT.709 limited"),
        pytest.param(BT709_FULL, (96, 64), id="BT.709 full"),
        pytest.param(None, (96, 64), id="untagged, low"),
        pytest.param(None, (96, 640), id="untagged, high"),
    ],
)
def test_the_identity_does_not_shift_colours(
    tmp_path: Path, tags: Tags | None, size: tuple[int, int]
) -> None:
    source = make_clip(tmp_path / "in.mkv", 4, size=size, codec="ffv1", tags=tags, painter=_calm)
    output = convert(source, tmp_path / "out.mkv", codec="ffv1").output
    for before, after in zip(read_planes(source), read_planes(output), strict=True):
        for plane, result in zip(before, after, strict=True):
            error = result.astype(float) - plane
            assert np.abs(error).mean() < 0.3
            assert abs(error.mean()) < 0.1


@pytest.mark.parametrize(
    ("tags", "level"),
    [(BT601, (81, 90, 240)), (BT709, (63, 102, 240)), (BT709_FULL, (54, 99, 255))],
    ids=["BT.601", "BT.709", "BT.709 full"],
)
def test_the_engine_sees_the_colours_that_a_player_shows(
    tmp_path: Path, tags: Tags, level: tuple[int, int, int]
) -> None:
    """Pure red, in the levels that the standards give for it, is 255, 0, 0."""
    source = tmp_path / "in.mkv"
    with av.open(source, "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame(64, 64, "yuv420p")
        for plane, value in zip(frame.planes, level, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.color_range = stream.codec_context.color_range = 2 if tags.full_range else 1
        frame.colorspace = stream.codec_context.colorspace = tags.numbers[0]
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    witness = Witness()
    convert(source, tmp_path / "out.mkv", engine=witness)
    assert np.abs(witness.seen[0].astype(int) - [255, 0, 0]).max() <= 2


# Other streams and tags


def test_metadata_and_chapters_come_through(tmp_path: Path) -> None:
    chapters = [(0.0, 0.4, "dawn"), (0.4, 1.0, "noon")]
    source = make_clip(
        tmp_path / "in.mp4", 25, chapters=chapters, metadata={"title": "A valley", "artist": "me"}
    )
    output = convert(source, tmp_path / "out.mp4").output
    assert _chapters(output) == chapters
    with av.open(output) as container:
        assert container.metadata["title"] == "A valley"
        assert container.metadata["artist"] == "me"


CAPTIONS = [(0.1, 0.5, "It is <i>cold</i>"), (0.6, 0.9, "Zwölf Grad\nunter null")]


def test_subtitles_are_copied_where_the_container_takes_them(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", 25, subtitles=CAPTIONS)
    output = convert(source, tmp_path / "out.mkv").output
    assert packets(output, "subtitle") == packets(source, "subtitle")
    assert len(packets(output, "subtitle")) == 2


def test_subtitles_become_mov_text_in_mp4(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", 25, subtitles=CAPTIONS)
    plan = plan_for(source, tmp_path / "out.mp4")
    assert any("mov_text" in notice for notice in plan.notices)
    output = run(plan, IdentityEngine()).output
    with av.open(output) as container:
        assert container.streams.subtitles[0].codec_context.name == "mov_text"
    # MP4 fills the gaps between captions with empty ones.
    texts = {
        float(time): data[2:].decode() for time, data in packets(output, "subtitle") if data[2:]
    }
    assert texts == {0.1: "It is cold", 0.6: "Zwölf Grad\nunter null"}


def test_sound_that_the_container_refuses_is_encoded_anew_in_step(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", 75, audio="pcm_s16le")
    plan = plan_for(source, tmp_path / "out.flv")
    output = run(plan, IdentityEngine()).output
    assert any("aac" in notice for notice in plan.notices)
    assert numbers(output) == list(range(75))
    clicks = [_clicks(source), _clicks(output)]
    lag = read_numbers(output)[0][1] - read_numbers(source)[0][1]
    assert len(clicks[0]) == len(clicks[1]) == 13
    for before, after in zip(*clicks, strict=True):
        assert abs(before - (after - float(lag))) < 0.002


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 10, audio="aac")
    assert packets(convert(source, tmp_path / "out.mp4", audio=False).output, "audio") == []


# Codecs and sizes


def test_hevc_in_mp4_is_tagged_as_all_players_know_it(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 12)
    output = convert(source, tmp_path / "out.mp4", codec="hevc").output
    with av.open(output) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
    assert_same_frames_and_times(source, output)


def test_ffv1_goes_into_matroska(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 12)
    result = convert(source, codec="ffv1")
    assert result.output == tmp_path / "in.identity.mkv"
    with av.open(result.output) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
    assert_same_frames_and_times(source, result.output)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_odd_sizes_are_kept_and_encoded_in_444(tmp_path: Path, codec: str) -> None:
    source = make_clip(tmp_path / "in.mkv", 6, size=(97, 65), codec="ffv1")
    plan = plan_for(source, tmp_path / "out.mp4", codec=codec)
    assert any("odd" in notice for notice in plan.notices)
    output = run(plan, IdentityEngine()).output
    with av.open(output) as container:
        video = container.streams.video[0]
        assert (video.width, video.height, video.format.name) == (97, 65, "yuv444p")
    assert numbers(output) == list(range(6))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 16), (3, 5), (16, 8)])
def test_tiny_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    source = make_clip(tmp_path / "in.mkv", 3, size=size, codec="ffv1", pixel_format="yuv444p")
    output = convert(source, tmp_path / "out.mkv").output
    shapes = [pixels.shape for _, pixels in read_pictures(output)]
    assert shapes == [(size[1], size[0], 3)] * 3


@pytest.mark.parametrize("frames", [1, 2, SEGMENT_FRAMES, SEGMENT_FRAMES + 1])
@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_clips_of_few_frames_and_of_whole_segments(
    tmp_path: Path, frames: int, suffix: str
) -> None:
    source = make_clip(tmp_path / f"in{suffix}", frames)
    result = convert(source, tmp_path / f"out{suffix}")
    assert result.frames == frames
    assert_same_frames_and_times(source, result.output)


def test_the_longer_side_is_bounded(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 3, size=(192, 128))
    output = convert(source, tmp_path / "out.mp4", max_size=96).output
    assert [(number_in(pixels), pixels.shape) for _, pixels in read_pictures(output)] == [
        (number, (64, 96, 3)) for number in range(3)
    ]


# What the engine makes of it


def test_comparison_shows_source_left_and_result_right(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 5)
    output = convert(source, tmp_path / "out.mp4", engine=InvertingEngine(), compare=True).output
    for number, (_, pixels) in enumerate(read_pictures(output)):
        assert pixels.shape == (64, 192, 3)
        assert number_in(pixels[:, :96]) == number
        assert number_in(255 - pixels[:, 96:]) == number


def test_the_translation_is_what_is_encoded(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 5)
    output = convert(source, tmp_path / "out.mp4", engine=InvertingEngine()).output
    assert [number_in(255 - pixels) for _, pixels in read_pictures(output)] == list(range(5))


def test_no_strength_gives_the_source(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 5)
    outputs = [
        convert(source, tmp_path / "none.mkv", engine=InvertingEngine(), strength=0, codec="ffv1"),
        convert(source, tmp_path / "identity.mkv", codec="ffv1"),
    ]
    first, second = (list(read_pictures(result.output)) for result in outputs)
    for (_, left), (_, right) in zip(first, second, strict=True):
        np.testing.assert_array_equal(left, right)


# When something goes wrong


ENGINES = [
    (CrashingEngine, r"engine failed \(device lost\)"),
    (GreedyEngine, "engine failed"),
    (ShrinkingEngine, r"engine gave uint8 \[4, 32, 48, 3\]"),
    (RetypingEngine, "engine gave int16"),
    (DroppingEngine, r"engine gave uint8 \[3, 64, 96, 3\]"),
]


@pytest.mark.parametrize(("kind", "says"), ENGINES)
def test_a_misbehaving_engine_ends_the_run_with_one_clear_line(
    tmp_path: Path, kind: type[Misbehaving], says: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", 60)
    with pytest.raises(UserError, match=says) as caught:
        convert(source, tmp_path / "out.mp4", engine=kind())
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


def test_what_was_committed_before_an_engine_failed_is_kept_for_the_next_run(
    tmp_path: Path,
) -> None:
    source = make_clip(tmp_path / "in.mp4", SEVERAL_SEGMENTS)
    engine = CrashingEngine(good_calls=SEGMENT_FRAMES // 4 + 3)
    with pytest.raises(UserError):
        convert(source, tmp_path / "out.mp4", engine=engine)
    assert not (tmp_path / "out.mp4").exists()
    assert [path.name for path in tmp_path.rglob("*partial*")] == []
    engine.good_calls = 10**6
    result = convert(source, tmp_path / "out.mp4", engine=engine)
    assert result.frames_rendered == SEVERAL_SEGMENTS - SEGMENT_FRAMES
    assert numbers(result.output) == list(range(SEVERAL_SEGMENTS))


def test_a_finished_run_leaves_only_the_output(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", SEVERAL_SEGMENTS)
    output = convert(source, tmp_path / "out.mp4").output
    assert sorted(tmp_path.iterdir()) == [source, output]


def test_an_engine_that_hangs_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends in one line and leaves the hung call behind; what was committed counts."""
    monkeypatch.setattr("cgvideo.patience.LATER_CALLS_SECONDS", 0.3)
    monkeypatch.setattr("cgvideo.patience.TIMES_THE_LONGEST", 0)
    source = make_clip(tmp_path / "in.mp4", SEVERAL_SEGMENTS)
    engine = StallingEngine(good_calls=SEGMENT_FRAMES // 4 + 3)
    try:
        with pytest.raises(UserError, match="engine hangs"):
            convert(source, tmp_path / "out.mp4", engine=engine)
    finally:
        engine.released.set()
    assert not (tmp_path / "out.mp4").exists()


def test_an_output_that_exists_stays_whole_when_a_run_fails(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 60)
    (tmp_path / "out.mp4").write_bytes(b"precious")
    with pytest.raises(UserError):
        convert(source, tmp_path / "out.mp4", engine=CrashingEngine(), overwrite=True)
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize("crf", [17, 30])
def test_a_second_run_to_the_same_output_is_refused(tmp_path: Path, crf: int) -> None:
    source = make_clip(tmp_path / "in.mp4", 10)
    first = plan_for(source, tmp_path / "out.mp4", crf=17)
    second = plan_for(source, tmp_path / "out.mp4", crf=crf)
    with (
        Journal(first.work_folder, first.fingerprint, first.describe()),
        pytest.raises(UserError, match="Another run"),
    ):
        run(second, IdentityEngine())
    assert run(second, IdentityEngine()).frames == 10
    assert sorted(tmp_path.iterdir()) == [source, tmp_path / "out.mp4"]


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_other_settings_start_afresh_and_the_unfinished_work_is_kept_aloud(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", SEVERAL_SEGMENTS)
    stopper, listener = Stopper(at=10), Listener()
    stopped = plan_for(source, tmp_path / "out.mp4", crf=17)
    with pytest.raises(Stopped):
        run(stopped, IdentityEngine(), stopper, stopper.request)
    other = plan_for(source, tmp_path / "out.mp4", crf=30)
    assert run(other, IdentityEngine(), listener).frames_rendered == SEVERAL_SEGMENTS
    assert "starts afresh" in listener.notices[0]
    assert stopped.work_folder.exists()
    (tmp_path / "out.mp4").unlink()
    again = run(stopped, IdentityEngine())
    assert again.frames_rendered == SEVERAL_SEGMENTS - SEGMENT_FRAMES


def test_damage_is_survived_and_counted(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 150)
    flip_bytes(source, 0.5)
    result = convert(source, tmp_path / "out.mp4")
    assert result.damage.packets > 0
    assert len(read_numbers(source)) == result.frames < 150
    assert_same_frames_and_times(source, result.output)


class Stopper(Silent):
    """Wants to stop at a frame."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.request = StopRequest()

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.request.wanted |= number >= self.at


def test_a_wish_to_stop_finishes_the_segment_and_the_next_run_goes_on(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", SEVERAL_SEGMENTS)
    plan = plan_for(source, tmp_path / "out.mp4")
    stopper = Stopper(at=10)
    with pytest.raises(Stopped) as caught:
        run(plan, IdentityEngine(), stopper, stopper.request)
    assert (caught.value.frames_done, caught.value.frames_dropped) == (SEGMENT_FRAMES, 0)
    assert run(plan, IdentityEngine()).frames_rendered == SEVERAL_SEGMENTS - SEGMENT_FRAMES


# Readers used above only


def _muxed(path: Path, picture_of: Path, sound_of: Path) -> Path:
    """One clip's picture with another's sound, each at its own times."""
    with (
        av.open(picture_of) as left,
        av.open(sound_of) as right,
        av.open(path, "w") as container,
    ):
        taken = [
            (container.add_stream_from_template(stream), packet)
            for stream, packet in _first_packets(left.streams.video[0], right.streams.audio[0])
        ]
        ready = []
        for stream, found in taken:
            for packet in found:
                packet.stream = stream
                ready.append(packet)
        for packet in sorted(ready, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def _first_packets(*streams: Any) -> Sequence[tuple[Any, list[Any]]]:
    return [
        (stream, [packet for packet in stream.container.demux(stream) if packet.size])
        for stream in streams
    ]


def _chapters(path: Path) -> list[tuple[float, float, str]]:
    with av.open(path) as container:
        return [
            (
                float(chapter["start"] * chapter["time_base"]),
                float(chapter["end"] * chapter["time_base"]),
                chapter["metadata"]["title"],
            )
            for chapter in container.chapters()
        ]


def _display_matrix(path: Path) -> bytes | None:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        matrices = [
            bytes(data)[:20] for data in frame.side_data if data.type.name == "DISPLAYMATRIX"
        ]
    return matrices[0] if matrices else None


def _color_tags(path: Path) -> tuple[int, ...]:
    with av.open(path) as container:
        frame: Any = next(container.decode(video=0))
        return tuple(
            int(tag)
            for tag in (
                frame.color_range,
                frame.colorspace,
                frame.color_primaries,
                frame.color_trc,
            )
        )


def _clicks(path: Path) -> list[float]:
    """When the loud clicks begin, in seconds."""
    found: list[float] = []
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(float).reshape(-1)
            loud = np.abs(samples) > (0.5 if frame.format.name == "fltp" else 16000)
            for sample in np.flatnonzero(loud):
                moment = float(frame.pts * frame.time_base) + sample / frame.sample_rate
                if not found or moment - found[-1] > 0.1:
                    found.append(moment)
    return found
