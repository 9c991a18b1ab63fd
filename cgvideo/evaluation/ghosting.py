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
from cgvideo.flow import Mask

FINE, BROAD = 1.0, 4.0  # pixels: edges are the band between blurs of these sigmas
CHANGED = 10.0  # levels by which the source's frames must differ in a place
LEAST_PLACES = 200  # pixels: fewer say nothing
LEAST_OWN = 0.05  # of `a`: below it the result has nothing to do with the source


def edges(picture: Luma) -> Luma:
    """What lies between two blurs of a luma `[H, W]`: edges, without grain and without brightness."""
    fine = cv2.GaussianBlur(picture, (0, 0), FINE)
    return np.asarray(fine - cv2.GaussianBlur(picture, (0, 0), BROAD), np.float32)


@dataclass(slots=True)
class Neighbour:
    """The normal equations of one neighbour."""

    products: NDArray[Any] = field(default_factory=lambda: np.zeros((2, 2)))
    matches: NDArray[Any] = field(default_factory=lambda: np.zeros(2))
    places: int = 0

    def add(self, own: Luma, neighbour: Luma, made: Luma, where: Mask) -> None:
        """Edges of the source's frame, of its neighbour, and of the result's frame, `[H, W]` each."""
        pictures = np.stack([own[where], neighbour[where]]).astype(np.float64)
        self.products += pictures @ pictures.T
        self.matches += pictures @ made[where]
        self.places += pictures.shape[1]

    @property
    def share(self) -> float | None:
        """g / a; None where too little was uncovered, or the result does not follow the source."""
        if self.places < LEAST_PLACES or np.linalg.cond(self.products) > 1e6:
            return None
        own, ghost = np.linalg.solve(self.products, self.matches)
        return float(ghost / own) if own > LEAST_OWN else None


@dataclass(slots=True)
class Ghosts:
    """What trails from the frame before, and what shows of the next one too early."""

    behind: Neighbour = field(default_factory=Neighbour)
    ahead: Neighbour = field(default_factory=Neighbour)

    def add(
        self, source: tuple[Luma, Luma], result: tuple[Luma, Luma], motion: Motion, change: Luma
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
