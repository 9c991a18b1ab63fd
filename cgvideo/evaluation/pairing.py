"""Frames of several films that belong together, by the time at which they are shown."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2

from cgvideo.clip import Clip
from cgvideo.codec.decode import shown
from cgvideo.codec.images import is_picture, read_picture
from cgvideo.codec.probe import probe
from cgvideo.frame import Pixels
from engines.errors import UserError

Left = TypeVar("Left")
Right = TypeVar("Right")


class Moment(NamedTuple):
    """What is shown at one time, RGB uint8 `[H, W, 3]` of one size; seconds after the source's first."""

    seconds: float
    source: Pixels
    result: Pixels
    reference: Pixels | None = None


class Shown(NamedTuple):
    """A picture and when it is shown: seconds after its film's first."""

    seconds: Fraction
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Films:
    """Source, result and perhaps a reference, opened: two or three videos, or as many pictures."""

    paths: tuple[Path, ...]
    clips: tuple[Clip, ...]
    """none of pictures"""
    size: tuple[int, int]
    """(height, width) of the source, to which the others are brought"""
    start: float
    notices: tuple[str, ...]

    @property
    def expected(self) -> int | None:
        """How many moments there will be, by the source's header."""
        return self.clips[0].expected_frames(self.start, None) if self.clips else 1

    def moments(self) -> Iterator[Moment]:
        """All times at which each film has a picture, in order."""
        if not self.clips:
            pictures = [_at_size(read_picture(path).pixels, self.size) for path in self.paths]
            yield Moment(0.0, *pictures)
            return
        with ExitStack() as stack:
            source, result, *more = (
                stack.enter_context(closing(_shown(clip, self.size, self.start)))
                for clip in self.clips
            )
            pairs = paired(source, result, _time, _time)
            if not more:
                yield from (Moment(float(a.seconds), a.pixels, b.pixels) for a, b in pairs)
                return
            for (a, b), c in paired(pairs, more[0], lambda pair: pair[0].seconds, _time):
                yield Moment(float(a.seconds), a.pixels, b.pixels, c.pixels)


def open_films(paths: Iterable[Path], start: float = 0.0) -> Films:
    """Look at two or three files, the source first; `start` in seconds is where the moments begin.

    Raises:
        UserError: a file cannot be read, or they are not of one kind.
    """
    paths = tuple(paths)
    if len({is_picture(path) for path in paths}) > 1:
        raise UserError(
            f"{', '.join(path.name for path in paths)} are not of one kind",
            "Give videos or pictures (PNG, JPEG), not both",
        )
    clips: tuple[Clip, ...] = ()
    if is_picture(paths[0]):
        sizes = [read_picture(path).pixels.shape[:2] for path in paths]
    else:
        clips = tuple(probe(path) for path in paths)
        sizes = [clip.upright_size for clip in clips]
    notices = [
        f"{path.name} is {width}x{height}: brought to the source's {sizes[0][1]}x{sizes[0][0]}, which"
        " changes its detail"
        for path, (height, width) in zip(paths, sizes, strict=True)
        if (height, width) != sizes[0]
    ]
    return Films(paths, clips, (sizes[0][0], sizes[0][1]), start, tuple(notices))


def paired(
    left: Iterable[Left],
    right: Iterable[Right],
    left_time: Callable[[Left], Fraction],
    right_time: Callable[[Right], Fraction],
) -> Iterator[tuple[Left, Right]]:
    """Pairs of which each is the other's nearest in time (the earlier of two that are as near).

    So films of different rates or with frames missing are compared where both have a picture. Both
    must ascend in time; two of each are held.
    """
    lefts, rights = iter(left), iter(right)
    a, b = next(lefts, None), next(rights, None)
    next_a, next_b = next(lefts, None), next(rights, None)
    while a is not None and b is not None:
        at = left_time(a)
        while next_b is not None and abs(right_time(next_b) - at) < abs(right_time(b) - at):
            b, next_b = next_b, next(rights, None)
        if next_a is None or abs(left_time(next_a) - right_time(b)) >= abs(at - right_time(b)):
            yield a, b
            b, next_b = next_b, next(rights, None)
        a, next_a = next_a, next(lefts, None)


def _time(shown: Shown) -> Fraction:
    return shown.seconds


def _shown(clip: Clip, size: tuple[int, int], start: float) -> Generator[Shown, None, None]:
    for frame in shown(clip, size, start).frames():
        yield Shown((frame.pts - clip.first_pts) * clip.time_base, frame.pixels)


def _at_size(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    resized: Pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC)
    return resized
