"""A change that was made to a small picture, put back into the large one along its edges.

The guided filter (He, Sun and Tang, "Guided Image Filtering", TPAMI 2013) with its coefficients at
the small size (He and Sun, "Fast Guided Filter", arXiv 1505.00996): around each pixel the translation
is taken for an affine function of the source's three colours, and that function, not the picture, is
enlarged. So edges and fine detail are the large source's own, recoloured.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels

RADIUS = 8
"""Pixels of the small picture on each side that a function is fitted to."""

SOFTNESS = 0.01**2
"""Added to the colours' variances (of values in 0 to 1): what varies less counts as flat, where the
change is a shift of colour alone."""

BAND = 256
"""Rows that are put back at once: all twelve coefficients of a large picture are much memory."""

Floats = NDArray[np.floating[Any]]


def put_back(large: Pixels, small: Pixels, translated: Pixels) -> Pixels:
    """The translation at the size of `large`.

    `large` `[H, W, 3]` and `small` `[h, w, 3]` are the source at both sizes, `translated` is what was
    made of `small`; uint8, or float32 in 0 to 1. The result is as `large`.
    """
    source = _planes(small)
    slopes, shifts = fit(source, [a - b for a, b in zip(_planes(translated), source, strict=True)])
    height, width, _ = large.shape
    result = np.empty_like(large)
    for top in range(0, height, BAND):
        rows = slice(top, min(top + BAND, height))
        colours = _planes(large[rows])
        for number, shift in enumerate(shifts):
            plane = colours[number] + _enlarged(shift, height, width, rows)
            for colour, slope in zip(colours, slopes[number], strict=True):
                plane += _enlarged(slope, height, width, rows) * colour
            result[rows, :, number] = _as(large, plane)
    return result


def fit(
    source: Sequence[Floats], change: Sequence[Floats]
) -> tuple[list[list[Floats]], list[Floats]]:
    """How the change around every pixel goes by the source's colours; planes `[h, w]` of three colours.

    Gives for each colour of the change its slopes by the source's red, green and blue, and its shift: the
    coefficients a and b of eq. 19 and 20 in TPAMI, averaged over all windows that hold the pixel.
    """
    means = [_mean(plane) for plane in source]
    covariance = {
        (one, two): _mean(source[one] * source[two]) - means[one] * means[two]
        for one, two in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    }
    solve = _solver(covariance)
    slopes, shifts = [], []
    for plane in change:
        mean = _mean(plane)
        own = solve(
            [_mean(plane * colour) - mean * m for colour, m in zip(source, means, strict=True)]
        )
        shift = mean - sum(slope * m for slope, m in zip(own, means, strict=True))
        slopes.append([_mean(slope) for slope in own])
        shifts.append(_mean(shift))
    return slopes, shifts


def _solver(matrix: Mapping[tuple[int, int], Floats]) -> Callable[[list[Floats]], list[Floats]]:
    """Solves (`matrix` + SOFTNESS) x = given at every pixel, by Cholesky's way without roots (LDL)."""
    a, b, c = (matrix[key] + np.float32(SOFTNESS) for key in ((0, 0), (1, 1), (2, 2)))
    first, second = matrix[0, 1] / a, matrix[0, 2] / a
    b = b - first * matrix[0, 1]
    left = matrix[1, 2] - second * matrix[0, 1]
    third = left / b
    c = c - second * matrix[0, 2] - third * left

    def solve(given: list[Floats]) -> list[Floats]:
        x, y, z = given[0], given[1], given[2]
        y = y - first * x
        z = (z - second * x - third * y) / c
        y = y / b - third * z
        return [x / a - first * y - second * z, y, z]

    return solve


def _enlarged(values: Floats, height: int, width: int, rows: slice) -> Floats:
    """Some rows of `values` `[h, w]` at `height` x `width`, linearly between pixels' centres."""
    scale_x, scale_y = values.shape[1] / width, values.shape[0] / height
    offset = (rows.start + 0.5) * scale_y - 0.5
    where = np.array([[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, offset]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (width, rows.stop - rows.start)
    enlarged = cv2.warpAffine(values, where, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.float32)


def _mean(values: Floats) -> Floats:
    """Over the square window around each pixel."""
    side = 2 * RADIUS + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32)


def _planes(pixels: Pixels) -> list[Floats]:
    """Red, green and blue `[H, W]` in 0 to 1."""
    scale = np.float32(1 / 255 if pixels.dtype == np.uint8 else 1)
    return [pixels[..., colour].astype(np.float32) * scale for colour in range(3)]


def _as(like: Pixels, values: Floats) -> Pixels:
    if like.dtype != np.uint8:
        return np.clip(values, 0, 1)
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
