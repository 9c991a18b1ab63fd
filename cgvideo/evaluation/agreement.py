"""Agreement: the same frames at the same times, the same sound, and the picture that belongs there."""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np

from cgvideo.codec.contents import Contents, Sound
from cgvideo.evaluation.detail import Luma

LAGS = 2
"""Frames either way within which a shifted result is noticed."""
SMALL = 192  # pixels of the longer side: enough to tell frames apart
CLEARLY = 0.02  # by how much another frame must match better
IN_STEP = Fraction(1, 25)  # seconds by which sound may be off


@dataclass(frozen=True, slots=True)
class Agreement:
    """What of a source's course in time its result has."""

    source_frames: int
    result_frames: int
    source_rate: float | None
    """frames a second, as a mean; None of a single frame"""
    result_rate: float | None
    worst_time: float
    """seconds from a frame of the result to the nearest of the source, both from their first on"""
    same_times: bool
    """as many frames, none further off than half a tick of the coarser time base"""
    sound: Literal["none", "same", "as long", "missing", "other length", "added"]
    sound_shift: float | None
    """seconds by which the sound comes later against the picture than in the source"""
    lag: int | None
    """frames by which the result's picture is late; None where nothing moves or nothing matches"""

    @property
    def whole(self) -> bool:
        """Everything is in its place."""
        in_step = self.sound_shift is None or abs(self.sound_shift) <= IN_STEP
        sound = self.sound in ("none", "same", "as long", "added") and in_step
        return self.same_times and sound and self.lag in (0, None)


def agreement(source: Contents, result: Contents, lag: int | None) -> Agreement:
    """Compare what two files hold; `lag` is what `Lag` found."""
    worst = _worst_time(source.times, result.times)
    sound, shift = _sound(source, result)
    tolerance = max(source.tick, result.tick) / 2
    same = len(source.times) == len(result.times) and worst <= tolerance
    return Agreement(
        len(source.times), len(result.times), source.rate, result.rate,
        float(worst), same, sound, shift, lag,
    )  # fmt: skip


def _worst_time(source: tuple[Fraction, ...], result: tuple[Fraction, ...]) -> Fraction:
    if not source or not result:
        return Fraction(0)
    wanted = [time - source[0] for time in source]
    worst = Fraction(0)
    for time in result:
        place = bisect_left(wanted, time - result[0])
        near = wanted[max(place - 1, 0) : place + 1]
        worst = max(worst, min(abs(time - result[0] - each) for each in near))
    return worst


def _sound(
    source: Contents, result: Contents
) -> tuple[Literal["none", "same", "as long", "missing", "other length", "added"], float | None]:
    if not source.sounds:
        return ("added" if result.sounds else "none"), None
    if len(result.sounds) < len(source.sounds):
        return "missing", None
    shifts = [
        (made.begin - result.begin) - (own.begin - source.begin)
        for own, made in zip(source.sounds, result.sounds, strict=False)
    ]
    shift = float(max(shifts, key=abs))
    pairs = list(zip(source.sounds, result.sounds, strict=False))
    if all(own.digest == made.digest for own, made in pairs):
        return "same", shift
    if all(_as_long(own, made) for own, made in pairs):
        return "as long", shift
    return "other length", shift


def _as_long(own: Sound, made: Sound) -> bool:
    return abs((own.end - own.begin) - (made.end - made.begin)) <= 3 * IN_STEP


@dataclass(slots=True)
class Lag:
    """Whether each result belongs to the source frame at its place, or to one some frames away."""

    _sources: deque[Luma] = field(default_factory=lambda: deque(maxlen=2 * LAGS + 1))
    _results: deque[Luma] = field(default_factory=lambda: deque(maxlen=LAGS + 1))
    _likeness: list[float] = field(default_factory=lambda: [0.0] * (2 * LAGS + 1))
    _counted: int = 0

    def add(self, source: Luma, result: Luma) -> None:
        """The next pair, lumas `[H, W]` of one size."""
        self._sources.append(_outline(source))
        self._results.append(_outline(result))
        if len(self._sources) < 2 * LAGS + 1:
            return
        self._counted += 1
        for place, each in enumerate(self._sources):
            self._likeness[place] += float(np.dot(each.ravel(), self._results[0].ravel()))

    @property
    def frames(self) -> int | None:
        """Frames by which the result is late (early: below 0); None where that cannot be told."""
        if not self._counted:
            return None
        likeness = np.array(self._likeness) / self._counted
        best = int(np.argmax(likeness))
        if likeness[best] < 0.1 or np.ptp(likeness) < CLEARLY:
            return None
        if likeness[best] - likeness[LAGS] < CLEARLY * (1 - likeness[LAGS]):
            return 0
        return LAGS - best


def _outline(picture: Luma) -> Luma:
    """A small picture's edges, of length 1 as a vector, so that products are correlations."""
    height, width = picture.shape
    factor = min(1.0, SMALL / max(height, width))
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    small = small - cv2.GaussianBlur(small, (0, 0), 2)
    length = float(np.linalg.norm(small))
    return np.asarray(small / length if length > 1e-3 else small * 0, np.float32)
