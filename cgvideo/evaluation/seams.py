"""Seams: steps along the edges of tiles, where a picture was translated in pieces."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgvideo.evaluation.detail import Luma

STRETCH = 32  # pixels along an edge over which a step must keep its sign
RUN = 12  # frames over which it must stand still
LEAST_TILE = 64  # pixels that are searched: below it, the blocks of video codecs are seen instead
SEARCH_STEP = 4
BLOCK = 16
"""Edges are compared with those at the same place within blocks of a codec (and a generator's strides)."""
SURE, CLEAR = 3.3, 1.5  # standard errors, and times the steps elsewhere, from which a grid is one
MOST = 4.0  # times: a larger step counts no more, when a grid is looked for
LEAST = 0.02  # levels: steps below it are none

Steps = NDArray[np.float64]


class Seams(NamedTuple):
    """The steps at a grid of tiles as a multiple of those elsewhere: 1 without seams.

    `tile` is the grid's period in pixels, `found` whether there is one beyond chance.
    """

    score: float
    tile: int
    found: bool


@dataclass(slots=True)
class Profile:
    """How large a step there is between each column (row) and the one before, as a mean over all frames."""

    frames: int = 0
    _sums: list[Steps] = field(default_factory=list)
    _run: list[Steps] = field(default_factory=list)

    def add(self, picture: Luma) -> None:
        """A luma `[H, W]`; all of one size.

        Steps are summed with their sign over a run of frames: seams stand still, things move on.
        """
        steps = [_steps(picture), _steps(picture.T)]
        begins = self.frames % RUN == 0
        if begins:
            self._keep()
        self._run = steps if begins else [a + b for a, b in zip(self._run, steps, strict=True)]
        self.frames += 1

    def _keep(self) -> None:
        if self._run:
            self._sums = self._total()
            self._run = []

    def _total(self) -> list[Steps]:
        run = [np.abs(steps).mean(0) for steps in self._run]
        return [a + b for a, b in zip(self._sums, run, strict=True)] if self._sums else run

    @property
    def lines(self) -> list[Steps]:
        """Steps in levels, `[W]` across and `[H]` down; 0 at the ends."""
        return [steps / self.frames for steps in self._total()] if self.frames else []


def seams(source: Profile, result: Profile, tile: int | None = None) -> Seams | None:
    """The seams of a grid with period `tile`, or of the likeliest one; what the source has is no seam.

    None for pictures without an edge of such tiles inside. Tiles begin at the upper left corner.
    """
    lines = list(zip(source.lines, result.lines, strict=True))
    longest = max((len(own) for own, _ in lines), default=0)
    tiles = [tile] if tile else range(LEAST_TILE, longest // 2 + 1, SEARCH_STEP)
    scored = [found for each in tiles if (found := _score(lines, each)) is not None]
    if not scored:
        return None
    clear = [found for found in scored if found[1] >= CLEAR]
    sureness, score, period = max(clear or scored)
    return Seams(score, period, sureness >= SURE and score >= CLEAR)


def _steps(picture: Luma) -> Steps:
    """`[stretches, W]`: the step from column x - 1 to x beyond the slopes beside it, in levels; 0 at the ends.

    A mean over a stretch along the edge: steps keep their sign there, which edges of things rarely do.
    """
    rows = np.arange(0, picture.shape[0], STRETCH)
    heights = np.diff(np.append(rows, picture.shape[0]))[:, None]
    means = np.add.reduceat(picture, rows, axis=0, dtype=np.float64) / heights
    steps = np.zeros_like(means)
    slopes = np.diff(means, axis=1)
    if slopes.shape[1] >= 3:
        steps[:, 2:-1] = slopes[:, 1:-1] - (slopes[:, :-2] + slopes[:, 2:]) / 2
    return steps


def _score(lines: list[tuple[Steps, Steps]], tile: int) -> tuple[float, float, int] | None:
    """(standard errors above chance, steps at the grid over those elsewhere, tile)."""
    at, elsewhere = [], []
    for own, made in lines:
        places = np.arange(len(own))
        inner = (places >= 2) & (places < len(own) - 1)
        grid = inner & (places % tile == 0)
        for block in np.unique(places[grid] % BLOCK):
            alike = inner & (places % BLOCK == block)
            others = alike & ~grid
            if np.count_nonzero(others) < 2:
                continue
            step = made / max(float(np.median(made[others])), LEAST)
            natural = own / max(float(np.median(own[others])), LEAST)
            # The step itself where the source's is as elsewhere; 1 where both have the same.
            beyond = np.maximum(2 * (1 + step) / (1 + natural) - 1, 0)
            at.append(beyond[alike & grid])
            elsewhere.append(beyond[others])
    if not at:
        return None
    seen, chance = np.concatenate(at), np.concatenate(elsewhere)
    # A few edges of things, large as they may be, must neither make a grid nor hide one.
    low, high = np.percentile(chance, (16, 84))
    error = max(float(high - low) / 2, 0.05) / np.sqrt(len(seen))
    sureness = float(np.minimum(seen, MOST).mean() - np.minimum(chance, MOST).mean()) / error
    return sureness, float(seen.mean() / max(float(chance.mean()), 0.5)), tile
