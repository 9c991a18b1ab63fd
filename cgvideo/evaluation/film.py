"""What is gathered about each film, the source among them, while its frames pass by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cgvideo.evaluation.detail import Luma, coherent_detail, luma, sharpness
from cgvideo.evaluation.ghosting import Edges, Ghosts, edges
from cgvideo.evaluation.light import Series, mean_color
from cgvideo.evaluation.seams import Profile
from cgvideo.evaluation.steadiness import Motion, warp_error
from cgvideo.frame import Pixels

LEAST_SECOND = 5
"""Frames: of fewer, as in a slow clip, a mean says nothing."""


class View(NamedTuple):
    """A frame and what several measures need of it, made once."""

    pixels: Pixels
    luma: Luma
    edges: Edges

    @classmethod
    def of(cls, pixels: Pixels) -> "View":
        gray = luma(pixels)
        return cls(pixels, gray, edges(gray))


@dataclass(slots=True)
class Film:
    """Figures of each frame, in its order; NaN where a frame has none."""

    warp_errors: list[float] = field(default_factory=list)
    coherent: list[tuple[float, float]] = field(default_factory=list)
    """numerator and denominator of the regression on the source"""
    sharpness: list[float] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    colors: list[tuple[float, float, float]] = field(default_factory=list)
    ghosts: Ghosts = field(default_factory=Ghosts)
    profile: Profile = field(default_factory=Profile)
    _before: View | None = None

    def add(
        self, view: View, source: View, source_before: View | None, motion: Motion | None
    ) -> None:
        """The next frame, beside the source's; `motion` is None at the first and where a scene begins."""
        error = None
        if motion is not None and source_before is not None and self._before is not None:
            error = warp_error(self._before.pixels, view.pixels, motion)
            change = np.abs(source.luma - source_before.luma)
            self.ghosts.add(
                (source_before.edges, source.edges),
                (self._before.edges, view.edges),
                motion,
                change,
            )
        self.warp_errors.append(float("nan") if error is None else error)
        self.coherent.append(coherent_detail(source.luma, view.luma))
        self.sharpness.append(sharpness(view.luma))
        self.brightness.append(float(view.luma.mean()))
        self.colors.append(mean_color(view.pixels))
        self.profile.add(view.luma)
        self._before = view

    @property
    def warp_error(self) -> float | None:
        """E_warp: the mean over the pairs of frames, as Lai et al. 2018, eq. 6."""
        known = np.array(self.warp_errors)
        known = known[~np.isnan(known)]
        return float(known.mean()) if len(known) else None

    @property
    def coherent_detail(self) -> float | None:
        """The regression coefficient over all frames; None if the source is flat."""
        made, own = np.sum(self.coherent, axis=0)
        return float(made / own) if own > 0 else None


@dataclass(slots=True)
class Measured:
    """What the frames have shown. `reference` is empty where there is none."""

    source: Film = field(default_factory=Film)
    result: Film = field(default_factory=Film)
    reference: Film = field(default_factory=Film)
    seconds: list[float] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """places in `seconds` at which nothing could be followed: a scene begins"""
    low_band: list[float] = field(default_factory=list)
    """mean squared differences of result and reference, blurred"""

    @property
    def second(self) -> int:
        """A second in frames, by the usual time from one to the next; odd, and never very few."""
        steps = np.diff(self.seconds)
        usual = float(np.median(steps)) if len(steps) else 1.0
        return max(round(1 / usual) if usual > 0 else 1, LEAST_SECOND) // 2 * 2 + 1

    def scenes(self, series: Sequence[object]) -> list[Series]:
        """Figures of all frames, parted where a scene begins."""
        return np.split(np.array(series, np.float64), self.cuts)
