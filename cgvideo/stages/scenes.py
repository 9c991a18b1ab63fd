"""Where scenes begin: cuts, told from a few frames around them and from nothing else.

A cut is a frame that nothing before resembles, in colour and in structure, though what changes from frame
to frame on either side is little. So a flash is no cut, since what follows it resembles what came before
it; and a fade or a dissolve is none, since each of its steps is as large as the next.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice, pairwise, repeat
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Frame, Pixels

REACH = 8
"""How many frames before and after its own decide whether a scene begins: a flash may be as long."""

THUMBNAIL = (64, 36)  # (width, height)
BLOCKS = (8, 6)
LEAST_STRUCTURE = 0.5  # levels
NEIGHBOURS = cv2.getStructuringElement(cv2.MORPH_RECT, (5, 5))  # motion within it is no change
LEAST_CHANGE = 6.0  # levels: less is no cut, whatever lies around it
USUAL_CHANGE = (
    0.7  # levels, added to what changes around: a still picture's neighbours differ by noise
)
USUAL_DISORDER = 0.05  # of 1: likewise
NOVELTY = 18.0  # in eight clips whose cuts were read by eye: cuts 33 and more, all else 10 and less


def marked(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames, with `begins_scene` set at frame 0 and at every cut.

    The mark of a frame depends on the frames up to `REACH` before and after it alone. Reads so many ahead.
    """
    window: deque[tuple[Frame, _Thumbnail] | None] = deque([None] * 2 * REACH, 2 * REACH + 1)
    seen = ((frame, _Thumbnail(frame.pixels)) for frame in frames)
    for newest in chain(seen, repeat(None, REACH)):
        window.append(newest)
        middle = window[REACH]
        if middle is None:
            continue
        pictures = [None if item is None else item[1] for item in window]
        before = [picture for picture in islice(pictures, REACH) if picture is not None]
        after = [picture for picture in islice(pictures, REACH, None) if picture is not None]
        frame, _ = middle
        yield replace(frame, begins_scene=frame.number == 0 or _is_cut(before, after))


class _Thumbnail:
    """A frame as small as it takes to know a scene by. What is derived is kept."""

    def __init__(self, pixels: Pixels) -> None:
        levels = pixels if pixels.dtype == np.uint8 else (pixels * 255 + 0.5).astype(np.uint8)
        small = cv2.resize(levels, THUMBNAIL, interpolation=cv2.INTER_AREA)
        self.pixels = cv2.GaussianBlur(small, (3, 3), 0)

    @cached_property
    def highest(self) -> NDArray[np.uint8]:
        return np.asarray(cv2.dilate(self.pixels, NEIGHBOURS), np.uint8)

    @cached_property
    def lowest(self) -> NDArray[np.uint8]:
        return np.asarray(cv2.erode(self.pixels, NEIGHBOURS), np.uint8)

    @cached_property
    def structure(self) -> NDArray[np.float32]:
        """The picture less its surroundings: light that comes and goes leaves it alike."""
        levels = self.pixels.astype(np.float32)
        return np.asarray(levels - cv2.GaussianBlur(levels, (0, 0), 4), np.float32)


def change(a: _Thumbnail, b: _Thumbnail) -> float:
    """How far two pictures differ, in levels: by what neither shows near the same place.

    Two fifths of the picture differ by as much: one thing that comes or goes does not count.
    """
    unseen = np.maximum(_unseen(a, b), _unseen(b, a))
    blocks = cv2.resize(unseen, BLOCKS, interpolation=cv2.INTER_AREA)
    return float(np.quantile(blocks, 0.6))


def _unseen(a: _Thumbnail, b: _Thumbnail) -> NDArray[np.float32]:
    """What is in `a` and not near the same place in `b`, `[H, W]` in levels."""
    above, below = cv2.subtract(a.pixels, b.highest), cv2.subtract(b.lowest, a.pixels)
    return np.asarray(np.maximum(above, below).max(axis=2), np.float32)


def disorder(a: _Thumbnail, b: _Thumbnail) -> float:
    """How little structure two pictures share: 1 less their best correlation within two pixels.

    Pictures without structure share none: 1.
    """
    if min(float(a.structure.std()), float(b.structure.std())) < LEAST_STRUCTURE:
        return 1.0
    inner = np.ascontiguousarray(a.structure[2:-2, 2:-2])
    return 1 - float(cv2.matchTemplate(b.structure, inner, cv2.TM_CCOEFF_NORMED).max())


def _is_cut(before: Sequence[_Thumbnail], after: Sequence[_Thumbnail]) -> bool:
    """Whether a scene begins between the last picture `before` and the first one `after`."""
    if not before:
        return False
    here = change(before[-1], after[0])
    if here < LEAST_CHANGE:  # as nearly every frame
        return False
    usually = _usual(before, after, change) + USUAL_CHANGE
    if here < 2 * usually:
        return False
    disorderly = _usual(before, after, disorder) + USUAL_DISORDER
    return all(
        change(a, b) >= LEAST_CHANGE
        and change(a, b) * disorder(a, b) >= NOVELTY * usually * disorderly
        for a in reversed(before)
        for b in after
    )


def _usual(
    before: Sequence[_Thumbnail],
    after: Sequence[_Thumbnail],
    measure: Callable[[_Thumbnail, _Thumbnail], float],
) -> float:
    """The middle of what changes from frame to frame, on the side where that is more."""
    sides = ([measure(a, b) for a, b in pairwise(side)] for side in (before, after))
    return max((median(steps) for steps in sides if steps), default=0.0)
