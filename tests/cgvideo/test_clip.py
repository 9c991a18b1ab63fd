"""What a clip says of itself: turns, colours, how many frames."""

import struct
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from clips import DISPLAY_MATRICES, picture

from cgvideo.clip import Clip, ColorTags, Orientation
from cgvideo.frame import Frame

TURNS = pytest.mark.parametrize("turn", DISPLAY_MATRICES)


@TURNS
def test_a_turned_picture_turns_back(turn: str) -> None:
    orientation = Orientation(*DISPLAY_MATRICES[turn])
    pixels = picture(5, (7, 4))
    upright = orientation.upright(pixels)
    assert upright.shape[:2] == orientation.turned(pixels.shape[:2])
    np.testing.assert_array_equal(orientation.coded(upright), pixels)
    np.testing.assert_array_equal(orientation.upright(orientation.coded(upright)), upright)


@TURNS
def test_each_pixel_goes_where_the_matrix_says(turn: str) -> None:
    a, b, c, d = DISPLAY_MATRICES[turn]
    pixels = picture(3, (5, 3))
    places = {(a * x + c * y, b * x + d * y): pixels[y, x] for y, x in product(range(3), range(5))}
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    upright = Orientation(a, b, c, d).upright(pixels)
    for (x, y), color in places.items():
        np.testing.assert_array_equal(upright[y - top, x - left], color)


def test_every_turn_gives_another_picture() -> None:
    turned = {
        Orientation(*matrix).upright(picture(3, (6, 6))).tobytes()
        for matrix in DISPLAY_MATRICES.values()
    }
    assert len(turned) == 8


@TURNS
def test_the_matrix_is_written_in_fixed_point(turn: str) -> None:
    a, b, c, d = DISPLAY_MATRICES[turn]
    packed = struct.pack("=9i", *Orientation(a, b, c, d).matrix)
    left, top, right, bottom = (
        value / 65536
        for place in (0, 4, 12, 16)
        for value in struct.unpack_from("=i", packed, place)
    )
    assert (left, top, right, bottom) == (a, b, c, d)
    assert struct.unpack_from("=i", packed, 32) == (1 << 30,)


@pytest.mark.parametrize(
    ("tags", "height", "matrix"),
    [
        (ColorTags(), 480, "bt601"),
        (ColorTags(), 576, "bt601"),
        (ColorTags(), 720, "bt709"),
        (ColorTags(matrix=1), 480, "bt709"),
        (ColorTags(matrix=6), 1080, "bt601"),
        (ColorTags(matrix=5), 1080, "bt601"),
        (ColorTags(matrix=9), 1080, "bt2020"),
    ],
)
def test_untagged_pictures_go_by_their_height(tags: ColorTags, height: int, matrix: str) -> None:
    assert tags.matrix_name(height) == matrix


@pytest.mark.parametrize(("transfer", "hdr"), [(1, False), (2, False), (16, True), (18, True)])
def test_hdr_is_known_by_its_transfer(transfer: int, hdr: bool) -> None:
    assert ColorTags(transfer=transfer).is_hdr is hdr


@pytest.mark.parametrize(
    ("seconds", "from_header", "expected"),
    [(10.0, 250, 250), (10.0, None, 250), (None, 250, 250), (None, None, None), (0.0, None, 0)],
)
def test_the_header_says_how_many_frames_to_expect(
    seconds: float | None, from_header: int | None, expected: int | None
) -> None:
    clip = Clip(
        path=Path("in.mp4"),
        container="mp4",
        codec="h264",
        pixel_format="yuv420p",
        bit_depth=8,
        stream_index=0,
        size=(64, 96),
        sample_aspect_ratio=Fraction(1),
        rate=Fraction(25),
        time_base=Fraction(1, 12800),
        first_pts=0,
        duration_seconds=seconds,
        frame_count_from_header=from_header,
        color=ColorTags(),
        orientation=Orientation(),
        interlaced=False,
        has_alpha=False,
        other_streams=(),
    )
    assert clip.expected_frames(0, None) == expected


def test_a_frame_is_told_by_every_pixel() -> None:
    pixels = picture(1)
    changed = pixels.copy()
    changed[63, 95, 2] ^= 1
    hashes = [Frame(0, 0, 0, these).content_hash() for these in (pixels, pixels.copy(), changed)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_frames_hash_does_not_depend_on_how_it_lies_in_memory() -> None:
    pixels = picture(1)
    mirrored = pixels[:, ::-1]
    assert Frame(0, 0, 0, mirrored).content_hash() == Frame(0, 0, 0, mirrored.copy()).content_hash()
