"""A picture: pixels, and what its file says about them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, a page or a frame of an animation: upright RGB as `cgvideo.frame.Pixels` has it.

    Deep pixels come from more than 8 bits. `alpha` is `[H, W]` of the same dtype and range, where
    the file has transparency.
    """

    pixels: Pixels
    alpha: NDArray[Any] | None = None
    exif: bytes = b""
    """without orientation: the pixels are upright"""
    icc_profile: bytes | None = None
    """of the RGB space that `pixels` are in; None is sRGB"""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""
    milliseconds: float = 0.0
    """how long a frame of an animation stays"""
    notices: tuple[str, ...] = ()
    """what did not come along, a line each"""

    @property
    def deep(self) -> bool:
        """Whether the pixels are float32 of more than 8 bits."""
        return self.pixels.dtype != np.uint8

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.pixels.shape[0], self.pixels.shape[1]


def to_eight_bits(pixels: NDArray[Any]) -> NDArray[Any]:
    """Deep pixels or alpha, 0 to 1, as 0 to 255; others as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.asarray(np.clip(pixels, 0, 1) * 255 + 0.5, np.uint8)


def to_sixteen_bits(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels or alpha as 0 to 65535; what came from 16 bits goes back to the same numbers."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    return np.asarray(np.clip(pixels, 0, 1) * np.float32(65535) + np.float32(0.5), np.uint16)
