"""Where scenes begin: on clips by formula, and on real ones whose cuts were read by eye."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import RGB

from cgvideo.codec.decode import VideoSource
from cgvideo.codec.probe import probe
from cgvideo.frame import Frame
from cgvideo.stages.scenes import REACH, marked

CLIPS = Path(__file__).parents[3] / "shared" / "clips"
TRUE_CUTS = Path(__file__).parents[1] / "true_cuts.tsv"
SIZE = (96, 160)


@cache
def ground(seed: int) -> RGB:
    """A landscape of its own for each seed, larger than a frame."""
    random = np.random.default_rng(seed)
    coarse = random.integers(20, 235, (9, 14, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (260, 150), interpolation=cv2.INTER_CUBIC), np.uint8)


def view(seed: int, number: int, noise: float = 2.0) -> RGB:
    """A slow pan over a landscape, with a camera's noise."""
    pixels = ground(seed)[number // 2 :, number:][: SIZE[0], : SIZE[1]].astype(np.float32)
    random = np.random.default_rng(1000 * seed + number)
    return np.clip(pixels + random.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


def begins(pictures: Sequence[RGB], first: int = 0) -> list[int]:
    """The numbers of the frames that begin a scene; the pictures are numbered from `first`."""
    frames = [Frame(first + i, i, 1, pixels) for i, pixels in enumerate(pictures)]
    out = list(marked(iter(frames)))
    assert [frame.number for frame in out] == [frame.number for frame in frames]
    assert all(a.pixels is b.pixels for a, b in zip(out, frames, strict=True))
    return [frame.number for frame in out if frame.begins_scene]


def test_cuts_are_found_where_they_are_even_close_together() -> None:
    lengths = [20, 3, 1, 12, 5, 9]
    pictures = [view(seed, n) for seed, length in enumerate(lengths) for n in range(length)]
    assert begins(pictures) == [0, 20, 23, 24, 36, 41]


@pytest.mark.parametrize("length", [1, 3, 6])
def test_a_flash_is_no_cut(length: int) -> None:
    pictures = [view(0, n) for n in range(40)]
    for n in range(15, 15 + length):
        pictures[n] = np.clip(pictures[n].astype(int) * 2 + 120, 0, 255).astype(np.uint8)
    assert begins(pictures) == [0]


def test_a_fade_to_black_and_back_is_no_cut() -> None:
    levels = np.concatenate(
        [np.ones(8), np.linspace(1, 0, 20), np.zeros(10), np.linspace(0, 1, 20)]
    )
    pictures = [(view(0, n, 0) * level).astype(np.uint8) for n, level in enumerate(levels)]
    assert begins(pictures) == [0]


@pytest.mark.parametrize("length", [10, 25])
def test_a_dissolve_is_no_cut(length: int) -> None:
    shares = np.concatenate([np.zeros(12), np.linspace(0, 1, length), np.ones(12)])
    pictures = [
        cv2.addWeighted(view(0, n), 1 - share, view(1, n), share, 0)
        for n, share in enumerate(shares)
    ]
    assert begins([np.asarray(pixels, np.uint8) for pixels in pictures]) == [0]


def test_a_thing_that_rushes_through_the_picture_is_no_cut() -> None:
    pictures = [view(0, n) for n in range(30)]
    for n in range(10, 16):
        left = (n - 10) * 30 - 10
        pictures[n][20:90, max(left, 0) : left + 50] = (240, 20, 20)
    assert begins(pictures) == [0]


def test_a_mark_depends_on_its_surroundings_alone() -> None:
    pictures = [view(seed, n) for seed in range(4) for n in range(11)]
    whole = begins(pictures)
    assert whole == [0, 11, 22, 33]
    for number in (10, 11, 12, 22, 25, 33):
        first, after = number - REACH, number + REACH + 1
        within = begins(pictures[max(first, 0) : after], max(first, 0))
        assert (number in within) == (number in whole)


def test_nothing_is_read_further_ahead_than_it_reaches() -> None:
    read: list[int] = []

    def frames():  # type: ignore[no-untyped-def]
        for n in range(40):
            read.append(n)
            yield Frame(n, n, 1, view(0, n))

    stage = marked(frames())
    for n in range(20):
        assert next(stage).number == n
        assert read[-1] <= n + REACH
    assert [frame.number for frame in stage] == list(range(20, 40))


def test_pictures_of_one_colour_have_no_structure_and_do_no_harm() -> None:
    plain = [np.full((*SIZE, 3), 12 * n, np.uint8) for n in range(21)]
    assert begins(plain) == [0]
    assert begins([plain[2]] * 12 + [plain[20]] * 12) == [0, 12]
    assert begins([]) == []


def test_deep_pixels_are_understood() -> None:
    pictures = [view(seed, n) for seed in range(2) for n in range(10)]
    frames = (Frame(i, i, 1, (p / 255).astype(np.float32)) for i, p in enumerate(pictures))
    assert [frame.number for frame in marked(frames) if frame.begins_scene] == [0, 10]


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"there are no real clips at {CLIPS}")
@pytest.mark.parametrize("line", TRUE_CUTS.read_text().splitlines()[1:])
def test_the_cuts_of_real_clips(line: str) -> None:
    name, cuts = line.split("\t")
    clip = probe(CLIPS / name)
    frames = VideoSource(clip, clip.upright_size, 0.0, None).frames(None, 0)
    small = (replace(f, pixels=cv2.resize(f.pixels, (320, 180))) for f in frames)
    found = [frame.number for frame in marked(small) if frame.begins_scene]
    assert found == [0, *map(int, cuts.split())]
