"""The stage of the demonstration's picture: its measures, and the layers it is stacked from.

Everything with detail is rendered once, onto canvases finer than the frame, and averaged down to
layers by distance. Distances are metres: x right, z away from the camera, the camera EYE above
the meadow. A canvas is premultiplied RGBA float32 [h, w, 4] in 0..1.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.demo.plants import Floats, floats, fractal, tree

EYE = 8.0
PIVOT = 150.0  # what lies this far stays in the middle while the camera moves sideways
HAZE = (0.70, 0.79, 0.89)
FINE = 2  # layers are drawn this much finer and averaged: edges without stairs
CONIFERS, STOCK = 7, 11  # trees in stock for the distance: conifers first, then broadleaves


class Layer(NamedTuple):
    """A finished picture of all that stands at one distance."""

    pixels: NDArray[np.uint8]  # [h, w, 4] premultiplied
    left: float  # where the pixels' corner lies in the frame, with the camera in the middle
    top: float
    depth: float  # 0: not upright but the ground, running away from the camera
    sway: float  # how far wind moves the upper end, in pixels


class Stage:
    """The measures of frames of one size, and the stock all rooms draw from.

    The random numbers are one sequence: layers come out the same when drawn in the same order.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.unit = height / 360
        self.focal = 620 * self.unit
        self.middle, self.horizon = width / 2, 150 * self.unit
        self.margin = round(64 * self.unit)
        self.rng = np.random.default_rng(1868)
        self.soft = fractal(self.rng, 512, 4, 0.55, ridged=False)
        self.fine = fractal(self.rng, 512, 32, 0.8, ridged=False)
        self.ridged = fractal(self.rng, 512, 4, 0.55, ridged=True)
        tall = max(8, round(130 * FINE * self.unit))
        self._stock = [tree(self.rng, tall, which < CONIFERS) for which in range(STOCK)]
        self._scaled: dict[tuple[int, int], Floats] = {}

    def row(self, z: float) -> float:
        """Return the row of the frame in which the ground at distance z lies."""
        return self.horizon + self.focal * EYE / z

    def blank(self, rows: float) -> Floats:
        """Return an empty canvas for rows of the frame, margins on both sides."""
        wide = (self.width + 2 * self.margin) * FINE
        return np.zeros((int(rows) * FINE, wide, 4), np.float32)

    def columns(self, canvas: Floats) -> Floats:
        """Return x / z of every column of a canvas."""
        at = (np.arange(canvas.shape[1]) + 0.5) / FINE - self.margin - self.middle
        return floats(at / self.focal)

    def finish(self, canvas: Floats, top: float, depth: float, sway: float = 0) -> Layer:
        """Average a canvas down to a layer whose first row is `top` in the frame."""
        h, w = canvas.shape[0] // FINE, canvas.shape[1] // FINE
        small = cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA)
        pixels = np.clip(floats(small) * 255 + 0.5, 0, 255).astype(np.uint8)
        return Layer(pixels, -self.margin, top, depth, sway)

    def sprite(self, which: int, tall: float) -> Floats:
        """Return a stock tree scaled to `tall` pixels of a canvas."""
        key = (which, max(3, round(tall)))
        if key not in self._scaled:
            stock = self._stock[which]
            w = max(2, round(stock.shape[1] * key[1] / stock.shape[0]))
            scaled = cv2.resize(stock, (w, key[1]), interpolation=cv2.INTER_AREA)
            self._scaled[key] = floats(scaled)
        return self._scaled[key]


def stamp(
    canvas: Floats, sprite: Floats, foot: tuple[float, float], light: float, haze: float
) -> None:
    """Draw a sprite with its foot at canvas x, y, dimmed by light and veiled by haze."""
    h, w = sprite.shape[:2]
    x0, y0 = round(foot[0] - w / 2), round(foot[1] - h)
    a, t = max(0, -x0), max(0, -y0)
    r, b = min(w, canvas.shape[1] - x0), min(h, canvas.shape[0] - y0)
    if r <= a or b <= t:
        return
    piece, under = sprite[t:b, a:r], canvas[y0 + t : y0 + b, x0 + a : x0 + r]
    alpha = piece[..., 3:]
    under *= 1 - alpha
    under[..., :3] += piece[..., :3] * (light * (1 - haze)) + alpha * (floats(HAZE) * haze)
    under[..., 3:] += alpha
