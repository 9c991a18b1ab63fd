"""The demonstration's lake: its outline, the far shore, and the mirror image in its ripples."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.demo.plants import Floats, Reals, blend, floats, look_up, smoothstep
from cgvideo.demo.stage import CONIFERS, EYE, FINE, PIVOT, STOCK, Layer, Stage, stamp

SHORE = 215.0  # the far end of the lake


def inside(stage: Stage, x: Reals, z: Reals) -> Floats:
    """Return how far inside the lake a place is, metres, negative on land."""
    half = 6 + 60 * smoothstep(50, 190, z) + 14 * smoothstep(95, 75, z)
    half = half - 90 * smoothstep(66, 46, z)
    wave = 9 * look_up(stage.soft, x * 1.1 + 30, z * 1.1) * smoothstep(40, 120, z)
    return floats(half + wave - np.abs(x + 4 - 0.06 * z))


def far_shore(stage: Stage) -> Layer:
    """The strip of meadow behind the lake, and the edge of the wood standing on it."""
    canvas = stage.blank(stage.horizon + 40 * stage.unit)
    edge, top = int(stage.row(SHORE) * FINE), int(stage.row(600) * FINE)
    strip = look_up(
        stage.fine, *np.meshgrid(np.arange(canvas.shape[1]) * 0.8, np.arange(edge - top) * 6.0)
    )
    canvas[top:edge, :, :3] = blend((0.30, 0.36, 0.15), (0.47, 0.50, 0.24), floats(strip + 0.5))
    canvas[edge - FINE : edge, :, :3] *= 0.5
    canvas[top:edge, :, 3] = 1
    _wood(stage, canvas)
    _bushes(stage, canvas, edge)
    return stage.finish(canvas, 0, 260)


def _wood(stage: Stage, canvas: Floats) -> None:
    """Stand trees behind the far shore, higher and denser to both sides."""
    rng = stage.rng
    for d in np.sort(rng.uniform(SHORE + 6, 400, 620))[::-1]:
        x = rng.uniform(0, canvas.shape[1])
        side = abs(x / canvas.shape[1] - 0.52)
        gap = look_up(stage.soft, floats([x * 0.16 / stage.unit]), floats([d * 0.3]))[0]
        if gap > 0.5 * side + 0.35:
            continue
        conifer = rng.random() < 0.72
        which = int(rng.integers(0, CONIFERS) if conifer else rng.integers(CONIFERS, STOCK))
        tall = rng.uniform(6, 21 if which < CONIFERS else 13) * (0.7 + 0.9 * side)
        foot = stage.horizon * FINE + stage.focal * FINE * EYE / d
        stamp(
            canvas,
            stage.sprite(which, tall * stage.focal * FINE / d),
            (x, foot + 1),
            rng.uniform(0.8, 1.1),
            1 - float(np.exp(-d / 5200)),
        )


def _bushes(stage: Stage, canvas: Floats, edge: int) -> None:
    """Stand bushes along the water, whose edge is a row of the canvas."""
    rng = stage.rng
    for x in rng.uniform(0, canvas.shape[1], 500):
        which, tall = int(rng.integers(CONIFERS, STOCK)), rng.uniform(1.0, 3.6)
        tall *= stage.focal * FINE / SHORE
        stamp(canvas, stage.sprite(which, tall), (x, edge), rng.uniform(0.6, 1.1), 0.04)


def mirror(stage: Stage, frame: NDArray[np.uint8], dx: float, dz: float, seconds: float) -> None:
    """Fill frame's rows below the far shore with its mirror image, broken by ripples.

    dx and dz are the camera's way so far, to the right and forward.
    """
    shore = stage.row(SHORE - dz)
    y0, y1 = int(shore), int(min(stage.height, stage.horizon + 125 * stage.unit))
    y, x = np.mgrid[y0:y1, 0 : stage.width].astype(np.float32)
    z = stage.focal * EYE / (y - stage.horizon)
    wx = z * (x - stage.middle) / stage.focal + dx * (1 - z / PIVOT)
    wz = z + dz
    calm = smoothstep(240, 50, floats(z))
    small = look_up(stage.soft, wx * 16 + 22 * seconds, wz * 9 - 14 * seconds)
    swell = look_up(stage.soft, wx * 5 - 9 * seconds, wz * 3 - 8 * seconds)
    slope = floats((0.55 * small + 0.6 * swell) * (0.25 + calm))
    my = np.clip(2 * shore - y + slope * 5.5 * stage.unit, 0, shore - 1)
    image = cv2.remap(
        frame,
        floats(x + slope * 1.6 * stage.unit),
        floats(my),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    deep = floats(0.16 + 0.34 * calm + 0.10 * slope)
    water = blend(image, (38, 62, 58), np.clip(deep, 0, 1))
    water += (np.clip(slope - 0.55, 0, 1) * 60)[..., None]
    frame[y0:y1] = np.clip(water, 0, 255).astype(np.uint8)
