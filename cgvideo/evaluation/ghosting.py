"""Ghosting: how much of a neighbouring frame shows through where the source shows none of it.

Where motion uncovers something, a ghost is the edge of what was there a frame ago (or will be a frame
later). There the result's edges are explained by two pictures at once:

    edges(result[t]) = a edges(source[t]) + g edges(source[neighbour]) + what is neither

by least squares over all such places. The ghost is g / a: 0 without one, 0.5 where the neighbour shows at
half its strength. It needs no reference, does not mind what a generator makes of the source (a takes
that up), and a source measured against itself has exactly 0. It looks one frame back and one ahead, and gives
the larger.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.evaluation.detail import Luma
from cgvideo.evaluation.steadiness import Motion
from cgvideo.stages.flow import Mask

Edges = NDArray[np.float32]
"""`[2, H, W]`: the bands of a luma between three blurs: without grain, and without brightness."""

BLURS = 1.0, 2.0, 4.0  # sigmas in pixels
CHANGED = 10.0  # levels by which the source's frames must differ in a place
LEAST_PLACES = 200  # pixels: fewer say nothing
LEAST_OWN = 0.05  # of the source's contrast: below it the result has nothing to do with the source


def edges(picture: Luma) -> Edges:
    """The fine and the broad edges of a luma `[H, W]`."""
    fine, middle, broad = (cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in BLURS)
    return np.stack([fine - middle, middle - broad])


@dataclass(slots=True)
class Neighbour:
    """The normal equations of one neighbour: own edges, fine and broad, then the neighbour's."""

    products: NDArray[Any] = field(default_factory=lambda: np.zeros((4, 4)))
    matches: NDArray[Any] = field(default_factory=lambda: np.zeros(4))
    places: int = 0

    def add(self, own: Edges, neighbour: Edges, made: Edges, where: Mask) -> None:
        """Edges of the source's frame, of its neighbour, and of the result's frame."""
        explaining = np.concatenate([own[:, where], neighbour[:, where]]).astype(np.float64)
        self.products += explaining @ explaining.T
        self.matches += explaining @ made[:, where].sum(0)
        self.places += explaining.shape[1]

    @property
    def share(self) -> float | None:
        """g; None where too little was uncovered, or the result does not follow the source."""
        if self.places < LEAST_PLACES or np.linalg.cond(self.products) > 1e6:
            return None
        solved = np.linalg.solve(self.products, self.matches)
        own, ghost = solved[:2], solved[2:]
        power = self.products[:2, :2]
        strength = float(own @ power @ own)
        if strength < LEAST_OWN**2 * float(power.sum()):
            return None
        return float(ghost @ power @ own) / strength


@dataclass(slots=True)
class Ghosts:
    """What trails from the frame before, and what shows of the next one too early."""

    behind: Neighbour = field(default_factory=Neighbour)
    ahead: Neighbour = field(default_factory=Neighbour)

    def add(
        self, source: tuple[Edges, Edges], result: tuple[Edges, Edges], motion: Motion, change: Luma
    ) -> None:
        """Two frames in a row of source and of result, (before, now), as `edges` gives them.

        `change` is how far the lumas of the source's two frames are apart, `[H, W]` in levels.
        """
        differs = change > CHANGED
        self.behind.add(source[1], source[0], result[1], motion.uncovered & differs)
        self.ahead.add(source[0], source[1], result[0], motion.about_to_be_covered & differs)

    @property
    def share(self) -> float | None:
        """g / a of the neighbour that shows more; None where neither can be told."""
        known = [each for each in (self.behind.share, self.ahead.share) if each is not None]
        return max(known, key=abs) if known else None
