"""The judge itself: what it sees, and what it lets pass."""

import time

import numpy as np
import pytest

from engines.spec import GeneratorSpec
from engines.verify import Parity, check_parity, held_frames, held_pictures

FRAMES = [np.full((1, 8, 8, 3), level, np.uint8) for level in (50, 100, 150)]


def _same(frames, statistics=None):
    return frames.copy()


def _off_at(level, by):
    """Gives the frame back, but that of one level a little brighter."""
    return lambda frames, statistics=None: frames + np.uint8(by if frames.flat[0] == level else 0)


@pytest.mark.parametrize("level", [50, 100, 150])
def test_the_worst_frame_counts_wherever_it_stands(level):
    parity = check_parity(_off_at(level, 10), "self", lambda form: _same, FRAMES)
    assert parity == Parity(28.13, 10)  # 20 log10(255/10)
    assert check_parity(_same, "self", lambda form: _same, FRAMES) == Parity(99.0, 0)


def test_the_worst_of_a_batch_counts():
    frames = np.concatenate(FRAMES)
    spoiled = frames.copy()
    spoiled[1] += 10
    assert Parity.between(spoiled, frames) == Parity(28.13, 10)


def test_one_pixel_far_off_is_not_fp32():
    """In a large picture it hardly changes the dB."""
    assert Parity(60.0, 1).reaches("fp32")
    assert not Parity(60.0, 2).reaches("fp32")
    assert Parity(60.0, 40).reaches("bf16")
    assert not Parity(39.9, 1).reaches("bf16")


def test_it_stops_after_a_frame_when_there_is_no_time():
    shown = []

    def slow(frames, statistics=None):
        shown.append(frames)
        time.sleep(0.02)
        return frames

    check_parity(slow, "self", lambda form: _same, FRAMES, seconds=0.01)
    assert len(shown) == 1


@pytest.mark.parametrize("size", [(192, 256), (360, 640), (64, 96)])
def test_all_pictures_are_shown_in_as_few_frames_as_hold_them(size):
    frames = list(held_frames(GeneratorSpec(), size))
    across = -(-size[0] // 192) * -(-size[1] // 256)
    assert len(frames) == -(-8 // across)
    pictures = held_pictures()
    height, width = min(size[0], 192), min(size[1], 256)
    np.testing.assert_array_equal(frames[0][0, :height, :width], pictures[0][:height, :width])
