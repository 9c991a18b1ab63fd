"""Sound and subtitles on their way into the output."""

from fractions import Fraction

import pytest

from cgvideo.clip import StreamInfo
from cgvideo.codec.streams import TimeShift, plain_text, possible_ways


@pytest.mark.parametrize(
    ("codec", "payload", "text"),
    [
        ("subrip", b"Good <i>morning</i>", "Good morning"),
        ("subrip", b'<font color="red">1 < 2</font>', "1 < 2"),
        ("subrip", "Zwölf\nGrad".encode(), "Zwölf\nGrad"),
        ("subrip", b"broken \xff byte", "broken \N{REPLACEMENT CHARACTER} byte"),
        ("mov_text", b"\x00\x05Hello\x00\x00\x00\x0cstyl", "Hello"),
        ("mov_text", b"\x00\x00", ""),
        ("mov_text", b"", ""),
        ("ass", b"0,0,Default,,0,0,0,,{\\i1}One,{\\i0} two\\Nthree", "One, two\nthree"),
        ("webvtt", b"<v Ann>Hi</v>", "Hi"),
    ],
)
def test_the_words_of_a_subtitle(codec: str, payload: bytes, text: str) -> None:
    assert plain_text(codec, payload) == text


@pytest.mark.parametrize(
    ("kind", "codec", "ways"),
    [
        ("audio", "flac", ["copy", "to aac", "to opus"]),
        ("subtitle", "subrip", ["copy", "to mov_text", "to subrip"]),
        ("subtitle", "hdmv_pgs_subtitle", ["copy"]),
        ("data", "bin_data", ["copy"]),
        ("video", "mjpeg", ["copy"]),
    ],
)
def test_copying_is_always_tried_first(kind: str, codec: str, ways: list[str]) -> None:
    assert list(possible_ways(StreamInfo(1, kind, codec))) == ways


def test_a_stream_is_named_for_people() -> None:
    assert str(StreamInfo(2, "audio", "aac", "eng")) == "audio stream 2 (aac, eng)"
    assert str(StreamInfo(3, "data", "")) == "data stream 3 (unknown codec)"


@pytest.mark.parametrize(
    ("shift", "admitted"),
    [
        (TimeShift(), [-1, 0, 1, 2, 3]),
        (TimeShift(Fraction(1), None, True), [1, 2, 3]),
        (TimeShift(Fraction(1), Fraction(3), True), [1, 2]),
        (TimeShift(Fraction(0), Fraction(2)), [-1, 0, 1]),
    ],
)
def test_the_part_that_is_wanted(shift: TimeShift, admitted: list[int]) -> None:
    assert [time for time in range(-1, 4) if shift.admits(Fraction(time))] == admitted
