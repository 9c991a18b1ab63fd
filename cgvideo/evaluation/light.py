"""Light and colour over time: pumping from frame to frame, and drift over seconds."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels

Series = NDArray[np.float64]

ENOUGH = 320  # pixels of the longer side: more do not change a mean


def mean_color(pixels: Pixels) -> tuple[float, float, float]:
    """The mean colour of RGB uint8 `[H, W, 3]` in CIE L*a*b* (D65)."""
    height, width = pixels.shape[:2]
    factor = min(1.0, ENOUGH / max(height, width))
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lightness, a, b = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).mean(0, np.float64)
    return float(lightness), float(a), float(b)


def moving_mean(values: Series, window: int) -> Series:
    """The mean of the `window` values around each (made odd), fewer at both ends; `[T]` or `[T, C]`."""
    reach = window // 2
    count = len(values)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    steps = np.arange(count)
    around = np.minimum(np.minimum(steps, count - 1 - steps), reach)  # as many before as after
    widths = (2 * around + 1).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((sums[steps + around + 1] - sums[steps - around]) / widths)


def fluctuation(levels: Series, window: int) -> Series:
    """What is left of a mean luma over time `[T]` without its slow course: its mean over `window` frames.

    At both ends, where the window cannot be whole, it is left out; nothing is left of too short a scene.
    """
    reach = window // 2
    if len(levels) <= 2 * reach:
        return np.zeros(0)
    return (levels - moving_mean(levels, window))[reach : len(levels) - reach]


def pumping(scenes: Sequence[Series], window: int) -> float | None:
    """Root mean square of the fluctuation of mean luma, in levels of 255, over all scenes.

    `window` is a second in frames. The source has its own: passing clouds, a hand that shakes.
    """
    parts = np.concatenate([np.zeros(0), *(fluctuation(scene, window) for scene in scenes)])
    return float(np.sqrt(np.square(parts).mean())) if len(parts) else None


def color_drift(scenes: Sequence[Series], window: int) -> float | None:
    """How far a colour wanders within a scene, in CIE 1976 colour difference (2 is just seen).

    `scenes` are `[T, 3]`: result less source in mean L*a*b*. The largest distance between a mean over
    `window` frames (a second) and the mean of its scene.
    """
    farthest = [
        float(np.linalg.norm(moving_mean(scene, window) - scene.mean(0), axis=1).max())
        for scene in scenes
        if len(scene) > window
    ]
    return max(farthest) if farthest else None
