"""The demonstration's picture: a summer valley with a lake, under a camera on a slow dolly.

A frame only moves the layers as the camera's move demands, mirrors what stands behind the lake
into moving ripples and stacks all of it.
"""

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.demo import distance, lake, meadow
from cgvideo.demo.stage import EYE, PIVOT, Layer, Stage

SIZE = (640, 360)  # width, height in pixels
FRAME_RATE = 24
SECONDS = 4

DOLLY, FORWARD = 3.2, 2.4  # the way of the camera over the whole shot


class _Scene:
    """All layers for frames of one size, and how to look at them at one moment of the shot."""

    def __init__(self, width: int, height: int) -> None:
        self.stage = stage = Stage(width, height)
        self.sky = distance.sky(stage)
        self.back = [*distance.ranges(stage), lake.far_shore(stage)]
        trees = meadow.plan(stage)
        self.front = [meadow.ground(stage, trees), *meadow.near_trees(stage, trees)]
        self.grade = _grade()

    def frame(self, t: float, seconds: float) -> NDArray[np.uint8]:
        """Render the moment t (0..1 of the camera's way), `seconds` after the start."""
        stage, dx, dz = self.stage, DOLLY * (t - 0.5), FORWARD * t
        frame = np.zeros((stage.height, stage.width, 3), np.uint8)
        drift = self.sky._replace(left=self.sky.left + (2.2 * seconds - 5) * stage.unit)
        for layer in (drift, *self.back):
            _lay(frame, layer, _move(stage, layer, dx, dz, seconds))
        lake.mirror(stage, frame, dx, dz, seconds)
        for layer in self.front:
            _lay(frame, layer, _move(stage, layer, dx, dz, seconds))
        return np.asarray(cv2.LUT(frame, self.grade), np.uint8)


def _grade() -> NDArray[np.uint8]:
    """Return the curve [256] that every finished frame goes through."""
    curve = np.arange(256) / 255.0
    curve = 0.03 + 0.97 * curve**0.84  # the veil of light that every lens adds
    curve = curve + 0.12 * (curve - 0.5) * 4 * curve * (1 - curve)
    return np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8)


def _move(stage: Stage, layer: Layer, dx: float, dz: float, seconds: float) -> NDArray[np.float64]:
    """Return the [3, 3] move of a layer's pixels, the camera being dx to the right, dz ahead."""
    f, d = stage.focal, layer.depth
    pan = f * dx / PIVOT
    to_axis = np.array(
        [[1, 0, layer.left - stage.middle], [0, 1, layer.top - stage.horizon], [0, 0, 1]]
    )
    if d:
        zoom = d / (d - dz)
        blow = layer.sway * np.sin(1.9 * seconds + d) / max(layer.pixels.shape[0], 1)
        go = np.array([[zoom, 0, -f * dx / (d - dz)], [0, zoom, 0], [0, 0, 1]])
        lean = np.array([[1, -blow, blow * layer.pixels.shape[0]], [0, 1, 0], [0, 0, 1]])
        to_axis = to_axis @ lean
    else:  # a plane seen from its side: exact for every row at once
        go = np.array([[1, -dx / EYE, 0], [0, 1, 0], [0, -dz / (f * EYE), 1]])
    home = np.array([[1, 0, stage.middle + pan], [0, 1, stage.horizon], [0, 0, 1]])
    return np.asarray(home @ go @ to_axis, np.float64)


def _lay(frame: NDArray[np.uint8], layer: Layer, move: NDArray[np.float64]) -> None:
    """Stack a layer onto frame [h, w, 3] in place; move [3, 3] takes its pixels there."""
    h, w = layer.pixels.shape[:2]
    corners = move @ np.array([[0, w, 0, w], [0, 0, h, h], [1, 1, 1, 1]], np.float64)
    spots = corners[:2] / corners[2]
    x0, y0 = np.maximum(np.floor(spots.min(1)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(spots.max(1)).astype(int) + 1, frame.shape[1::-1])
    if x1 <= x0 or y1 <= y0:
        return
    shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
    size = (int(x1 - x0), int(y1 - y0))
    if layer.depth:
        seen = cv2.warpAffine(layer.pixels, (shift @ move)[:2], size, flags=cv2.INTER_CUBIC)
    else:
        seen = cv2.warpPerspective(layer.pixels, shift @ move, size, flags=cv2.INTER_CUBIC)
    part = frame[y0:y1, x0:x1]
    rest = cv2.cvtColor(255 - seen[..., 3], cv2.COLOR_GRAY2RGB)
    under = cv2.multiply(part, rest, scale=1 / 255)
    part[:] = cv2.add(under, cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB))


@lru_cache(maxsize=2)
def _scene(width: int, height: int) -> _Scene:
    return _Scene(width, height)


def frames(
    size: tuple[int, int] = SIZE, count: int = FRAME_RATE * SECONDS
) -> Iterator[NDArray[np.uint8]]:
    """Yield `count` RGB frames uint8 [height, width, 3]; size is (width, height) in pixels.

    The camera's way is spread over the count; wind, water and clouds run at FRAME_RATE. The same
    arguments give the same pictures every time.
    """
    scene = _scene(*size)
    for index in range(count):
        at = index / max(count - 1, 1)
        # Gently into motion and out of it, never at rest: the first frame already moves.
        eased = 0.35 * at + 0.65 * (at * at * (3 - 2 * at))
        yield scene.frame(eased, index / FRAME_RATE)
