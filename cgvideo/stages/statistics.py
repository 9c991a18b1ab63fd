"""Statistics over time: measured at anchors, in between interpolated, never across a cut.

Measured on every frame they follow whatever passes through the picture, and a fade to black divides
by nothing; measured once for a scene they go stale. The reach is finite, so that a segment's frames
have the same statistics wherever a run begins.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Frame, Pixels

Statistics = NDArray[np.float32]
"""Scale and shift of every channel at every norm, float32 `[2, C]`."""

FLAT = 16.0
"""Levels: a frame whose luma deviates less from its mean is black, white, fog or a card."""

AROUND = 2
"""An anchor is measured on the frame of median brightness among this many on each side: a flash of
two frames is never what is measured."""


def anchor_reach(interval: int) -> int:
    """How many frames before and after its own a frame's statistics depend on, at most.

    Its anchor is up to `interval` away, the one that stands in for a flat anchor up to twice that, and
    the frame that is measured for it `AROUND`.
    """
    return 3 * interval + AROUND


def anchored(
    frames: Iterable[Frame],
    measure: Callable[[Pixels], Statistics],
    interval: int,
    typical: Statistics | None = None,
    first: int = 0,
) -> Iterator[Frame]:
    """Give frames from number `first` on their statistics.

    Anchors are the frames whose number is a multiple of `interval`, and the first and last of a scene.
    A flat one takes the statistics of its nearest anchor in the scene that is not, at most twice
    `interval` away (of two as near the earlier), else the `typical` ones, else its own.

    `frames` begin `anchor_reach(interval)` before `first`, or at number 0. Up to that many are held
    where anchors are flat, else `interval` and a few.
    """
    scene = _Scene(interval, typical, measure)
    for frame in frames:
        if frame.begins_scene and scene.latest is not None:
            scene.close()
            yield from scene.ready(first)
            scene = _Scene(interval, typical, measure)
        scene.take(frame)
        yield from scene.ready(first)
    if scene.latest is not None:
        scene.close()
        yield from scene.ready(first)


@dataclass(slots=True)
class _Scene:
    """The frames of a scene that are not given yet, and its anchors so far."""

    interval: int
    typical: Statistics | None
    measure: Callable[[Pixels], Statistics]
    latest: int | None = None
    closed: bool = False
    _held: deque[Frame] = field(default_factory=deque)
    _recent: deque[Frame] = field(default_factory=lambda: deque(maxlen=2 * AROUND + 1))
    _anchors: dict[int, "_Anchor"] = field(default_factory=dict)
    _opening: int | None = None  # the first frame, where that is the scene's first

    def take(self, frame: Frame) -> None:
        """The scene's next frame."""
        if self.latest is None and (frame.begins_scene or frame.number == 0):
            self._opening = frame.number
        self.latest = frame.number
        self._held.append(frame)
        self._recent.append(frame)
        self._measure_at(frame.number - AROUND)

    def close(self) -> None:
        """There are no more."""
        assert self.latest is not None
        self.closed = True
        for number in range(self.latest - AROUND + 1, self.latest + 1):
            self._measure_at(number)

    def ready(self, first: int) -> Iterator[Frame]:
        """The frames whose statistics are known by now, from number `first` on."""
        while self._held:
            frame = self._held[0]
            if frame.number >= first:
                statistics = self._at(frame.number)
                if statistics is None:
                    return
                frame = replace(frame, statistics=statistics)
            self._held.popleft()
            if frame.number >= first:
                yield frame

    def _is_anchor(self, number: int) -> bool:
        return (
            number % self.interval == 0
            or number == self._opening
            or (self.closed and number == self.latest)
        )

    def _measure_at(self, number: int) -> None:
        """Measure the frames around an anchor by the one of median brightness."""
        there = [frame for frame in self._recent if abs(frame.number - number) <= AROUND]
        if not self._is_anchor(number) or all(frame.number != number for frame in there):
            return
        by_brightness = sorted(there, key=lambda frame: (_luma(frame.pixels).mean(), frame.number))
        pixels = by_brightness[(len(there) - 1) // 2].pixels
        self._anchors[number] = _Anchor(self.measure(pixels), bool(_luma(pixels).std() < FLAT))
        for old in [key for key in self._anchors if key < number - 7 * self.interval]:
            del self._anchors[old]

    def _at(self, number: int) -> Statistics | None:
        """A frame's statistics; None where frames to come have a say."""
        before = max((key for key in self._anchors if key <= number), default=None)
        after = min((key for key in self._anchors if key >= number), default=None)
        if before is None or after is None:
            return None
        ends = [self._usable(before), self._usable(after)]
        if ends[0] is None or ends[1] is None:
            return None
        share = (number - before) / max(1, after - before)
        return interpolated(ends[0], ends[1], share)

    def _usable(self, number: int) -> Statistics | None:
        """What an anchor counts for; None where frames to come have a say."""
        own = self._anchors[number]
        if not own.flat:
            return own.statistics
        farthest = 2 * self.interval
        others = [key for key, anchor in self._anchors.items() if not anchor.flat]
        near = min(others, key=lambda key: (abs(key - number), key), default=None)
        distance = farthest + 1 if near is None else abs(near - number)
        assert self.latest is not None
        # An anchor that is nearer may yet come: of the frames so far, all up to here are measured.
        known = self.latest - (0 if self.closed else AROUND)
        if not self.closed and known < number + min(farthest, distance - 1):
            return None
        if near is not None and distance <= farthest:
            return self._anchors[near].statistics
        return own.statistics if self.typical is None else self.typical


@dataclass(frozen=True, slots=True, eq=False)
class _Anchor:
    statistics: Statistics
    flat: bool


def interpolated(one: Statistics, other: Statistics, share: float) -> Statistics:
    """Between two packed statistics: mean and logarithm of the deviation go straight.

    Packed is scale = 1/std and shift = -mean/std. A batch norm's weight is a factor in both and stays;
    its bias counts as a part of the mean. Channels that are switched off (scale 0) go straight as they are.
    """
    if share <= 0 or np.array_equal(one, other):
        return one
    if share >= 1:
        return other
    (scale, shift), (scale2, shift2) = one.astype(np.float64), other.astype(np.float64)
    off = scale * scale2 <= 0
    scale, scale2 = np.where(off, 1, scale), np.where(off, 1, scale2)
    middle = np.sign(scale) * np.abs(scale) ** (1 - share) * np.abs(scale2) ** share
    mean = (1 - share) * -shift / scale + share * -shift2 / scale2
    packed = np.stack([np.where(off, 0, middle), -mean * middle])
    return packed.astype(np.float32)


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    """Of every fourth pixel on both axes, in levels of 255 (Rec. 601)."""
    few = pixels[::4, ::4].astype(np.float32)
    if pixels.dtype != np.uint8:
        few = few * np.float32(255)
    return few @ np.array([0.299, 0.587, 0.114], np.float32)
