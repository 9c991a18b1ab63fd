"""The built-in demonstration: the same every time, moving smoothly, green, audible."""

from itertools import islice, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from cgvideo import demo
from cgvideo.demo import picture


@pytest.fixture(scope="module")
def shot() -> list[NDArray[np.uint8]]:
    return list(demo.frames((320, 180), 24))


def test_frames_have_the_asked_size_and_count(shot: list[NDArray[np.uint8]]) -> None:
    assert len(shot) == 24
    assert {(frame.shape, frame.dtype.name) for frame in shot} == {((180, 320, 3), "uint8")}


@pytest.mark.parametrize("size", [(64, 96), (131, 75)])
def test_other_sizes_leave_nothing_black(size: tuple[int, int]) -> None:
    for frame in demo.frames(size, 3):
        assert frame.shape == (size[1], size[0], 3)
        assert (frame.max(axis=2) == 0).mean() < 0.002


def test_no_frames() -> None:
    assert list(demo.frames((64, 96), 0)) == []


def test_frames_are_the_same_every_time(shot: list[NDArray[np.uint8]]) -> None:
    picture._scene.cache_clear()
    again = islice(demo.frames((320, 180), 24), 6)
    assert all(np.array_equal(a, b) for a, b in zip(shot[:6], again, strict=True))


def test_frames_change_smoothly(shot: list[NDArray[np.uint8]]) -> None:
    steps = [
        float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean()) for a, b in pairwise(shot)
    ]
    assert min(steps) > 0.5
    assert max(steps) < 25
    assert max(steps) < 4 * min(steps)


def test_the_meadow_is_green_and_the_sky_is_not(shot: list[NDArray[np.uint8]]) -> None:
    for frame in (shot[0], shot[-1]):
        red, green, blue = np.moveaxis(frame.astype(np.int16), 2, 0)
        grassy = (green >= red) & (green > blue)
        assert grassy[90:].mean() > 0.6
        assert (blue > green)[:20].mean() > 0.3
        assert frame.std() > 30


@pytest.mark.parametrize(("seconds", "rate"), [(4.0, 48000), (1.5, 44100), (0.2, 48000)])
def test_sound_has_its_length_and_stays_below_the_ceiling(seconds: float, rate: int) -> None:
    samples = demo.sound(seconds, rate)
    assert samples.shape == (2, round(seconds * rate))
    assert samples.dtype == np.int16
    assert 1000 < np.abs(samples.astype(np.int32)).max() < 32767 * 10 ** (-6 / 20)
    assert np.abs(samples[:, [0, -1]]).max() < 10
    assert np.array_equal(samples, demo.sound(seconds, rate))


def test_sound_is_stereo_and_never_silent() -> None:
    samples = demo.sound(4).astype(np.float64)
    assert np.corrcoef(samples)[0, 1] < 0.98
    loudness = np.sqrt((samples**2).reshape(2, 16, -1).mean(axis=2))
    assert loudness[:, 1:-1].min() > 100


def test_no_sound() -> None:
    assert demo.sound(0).shape == (2, 0)
