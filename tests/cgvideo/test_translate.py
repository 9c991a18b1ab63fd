"""Batches, padding and blending, seen from the engine's side."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from converting import IdentityEngine, InvertingEngine
from numpy.typing import NDArray

from cgvideo.frame import Frame
from cgvideo.stages.translate import padded_size, translate, translate_picture
from engines.errors import UserError


class Remembering(IdentityEngine):
    """Keeps each call's pictures."""

    def __init__(self, batch: int = 4) -> None:
        super().__init__(batch)
        self.given: list[NDArray[Any]] = []

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        self.given.append(frames.copy())
        return frames.copy()

    @property
    def batches(self) -> list[list[int]]:
        """The value of each picture's first pixel, call by call."""
        return [[int(picture[0, 0, 0]) for picture in call] for call in self.given]


def plain_frames(
    numbers: range, size: tuple[int, int] = (16, 24), dtype: str = "uint8"
) -> Iterator[Frame]:
    """Frames of one colour: that of their number."""
    for number in numbers:
        yield Frame(number, number * 10, 10, np.full((*size, 3), number, dtype))


def noise(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def test_frames_come_out_in_order_with_their_source_and_time() -> None:
    results = list(translate(plain_frames(range(10)), InvertingEngine(), 4))
    assert [result.source.number for result in results] == list(range(10))
    assert [result.source.pts for result in results] == list(range(0, 100, 10))
    assert [int(result.pixels[3, 3, 1]) for result in results] == [255 - n for n in range(10)]


@pytest.mark.parametrize("first", [0, 1, 3, 4, 6])
def test_batches_are_cut_at_the_same_frames_wherever_a_run_begins(first: int) -> None:
    engine = Remembering()
    list(translate(plain_frames(range(first, 10)), engine, 4))
    given: set[int] = set()
    for batch in engine.batches:
        assert len(batch) == 4
        assert len({number // 4 for number in batch}) == 1  # always with the same neighbours …
        given |= {number for place, number in enumerate(batch) if number % 4 == place}
    assert given == set(range(first, 10))  # … in the same places


def test_every_call_is_a_full_batch_even_for_one_frame() -> None:
    engine = Remembering()
    assert len(list(translate(plain_frames(range(1)), engine, 4))) == 1
    assert engine.batches == [[0, 0, 0, 0]]


def test_no_frame_is_translated_twice() -> None:
    engine = Remembering()
    list(translate(plain_frames(range(12)), engine, 4))
    assert engine.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_nothing_in_nothing_out() -> None:
    assert list(translate(iter(()), IdentityEngine(), 4)) == []


@pytest.mark.parametrize("size", [(17, 23), (16, 16), (1, 1), (3, 50), (50, 2)])
def test_any_size_is_padded_for_the_engine_and_cut_back(size: tuple[int, int]) -> None:
    engine = Remembering()
    pixels = noise(size)
    np.testing.assert_array_equal(translate_picture(pixels, engine), pixels)
    rows, columns = engine.given[0].shape[1:3]
    spec = engine.spec
    assert rows % spec.multiple_of == columns % spec.multiple_of == 0
    assert min(rows, columns) >= spec.minimum_size


def test_padding_reflects_and_so_adds_no_edge() -> None:
    engine = Remembering()
    pixels = noise((17, 22))
    translate_picture(pixels, engine)
    (given,) = engine.given[0]
    assert given.shape == (20, 24, 3)
    np.testing.assert_array_equal(given[17], pixels[15][np.r_[:22, 20, 19]])


@pytest.mark.parametrize(
    ("size", "padded"), [((16, 16), (16, 16)), ((17, 16), (20, 16)), ((2, 31), (12, 32))]
)
def test_padded_size(size: tuple[int, int], padded: tuple[int, int]) -> None:
    assert padded_size(size, 4, 12) == padded


@pytest.mark.parametrize(("strength", "expected"), [(0, 100), (0.25, 114), (0.5, 128), (1, 155)])
def test_strength_goes_from_source_to_result(strength: float, expected: int) -> None:
    pixels = np.full((16, 16, 3), 100, np.uint8)
    blended = translate_picture(pixels, InvertingEngine(), strength)
    assert blended.dtype == np.uint8
    assert np.abs(blended.astype(int) - expected).max() <= 1


def test_deep_pixels_pass_as_float() -> None:
    pixels = noise((16, 16)).astype(np.float32) / 255
    result = translate_picture(pixels, IdentityEngine())
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, pixels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_no_colours_are_refused(bad: float) -> None:
    class Spoiling(IdentityEngine):
        def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
            spoilt = frames.copy()
            spoilt[-1, 0, 0, 0] = bad
            return spoilt

    with pytest.raises(UserError, match="no colours"):
        list(translate(plain_frames(range(3), dtype="float32"), Spoiling(), 4))


def test_a_defect_of_the_program_is_not_hidden_as_the_users_error() -> None:
    class Defective(IdentityEngine):
        def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
            raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        translate_picture(noise((16, 16)), Defective())
