"""A change that was made to a small picture, put back into the large one along its edges.

The guided filter (He, Sun and Tang, "Guided Image Filtering", TPAMI 2013) with its coefficients at
the small size (He and Sun, "Fast Guided Filter", arXiv 1505.00996): around each pixel the translation
is taken for an affine function of the source's three colours, and that function, not the picture, is
enlarged. So edges and fine detail are the large source's own, recoloured.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels

RADIUS = 4
"""Pixels of the small picture on each side that a function is fitted to."""

SOFTNESS = 0.01**2
"""Added to the colours' variances (of values in 0 to 1): what varies less counts as flat, where the
change is a shift of colour alone."""

BAND = 256
"""Rows that are put back at once: twelve coefficients a pixel are much memory."""

Floats = NDArray[np.float32]


def put_back(large: Pixels, small: Pixels, translated: Pixels) -> Pixels:
    """The translation at the size of `large`.

    `large` `[H, W, 3]` and `small` `[h, w, 3]` are the source at both sizes, `translated` is what was
    made of `small`; uint8, or float32 in 0 to 1. The result is as `large`.
    """
    slopes, shifts = fit(_unit(small), _unit(translated) - _unit(small))
    height, width, _ = large.shape
    result = np.empty_like(large)
    for top in range(0, height, BAND):
        rows = slice(top, min(top + BAND, height))
        source = _unit(large[rows])
        change = _enlarged(shifts, height, width, rows)
        for colour in range(3):
            change += _enlarged(slopes[colour], height, width, rows) * source[..., colour, None]
        result[rows] = _as(large, source + change)
    return result


def fit(source: Floats, change: Floats) -> tuple[list[Floats], Floats]:
    """Of every pixel, how the change around it goes by the source's colours.

    Both `[h, w, 3]`. Gives slopes by the source's red, green and blue, and shifts, `[h, w, 3]` each: the
    coefficients a and b of eq. 19 and 20 in TPAMI, averaged over all windows that hold the pixel.
    """
    mean, mean_change = _mean(source), _mean(change)
    covariance = np.empty((*source.shape, 3), np.float32)
    crossed = np.empty((*source.shape, 3), np.float32)  # [..., colour of source, colour of change]
    for one in range(3):
        covariance[..., one, :] = _mean(source * source[..., one, None])
        covariance[..., one, :] -= mean * mean[..., one, None]
        crossed[..., one, :] = _mean(change * source[..., one, None])
        crossed[..., one, :] -= mean_change * mean[..., one, None]
    covariance += SOFTNESS * np.eye(3, dtype=np.float32)
    slopes = np.linalg.solve(covariance, crossed).astype(np.float32)
    shifts = mean_change - np.einsum("hwc,hwcd->hwd", mean, slopes)
    return [_mean(slopes[..., colour, :]) for colour in range(3)], _mean(shifts)


def _enlarged(values: Floats, height: int, width: int, rows: slice) -> Floats:
    """Some rows of `values` `[h, w, 3]` at `height` x `width`, linearly between pixels' centres."""
    scale_x, scale_y = values.shape[1] / width, values.shape[0] / height
    offset = (rows.start + 0.5) * scale_y - 0.5
    where = np.array([[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, offset]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (width, rows.stop - rows.start)
    enlarged = cv2.warpAffine(values, where, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.float32)


def _mean(values: NDArray[Any]) -> Floats:
    """Over the square window around each pixel."""
    side = 2 * RADIUS + 1
    values = np.ascontiguousarray(values)
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32)


def _unit(pixels: Pixels) -> Floats:
    scaled = pixels.astype(np.float32)
    return scaled / np.float32(255) if pixels.dtype == np.uint8 else scaled


def _as(like: Pixels, values: Floats) -> Pixels:
    if like.dtype != np.uint8:
        return np.clip(values, 0, 1)
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
