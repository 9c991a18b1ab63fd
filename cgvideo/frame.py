"""A frame: pixels and the moment they belong to."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""RGB `[H, W, 3]`, upright: `uint8` 0..255, or deep pixels as `float32` 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame.

    `number` counts decoded frames from the first one wanted; `pts` and `duration` are in ticks of
    the clip's time base (`duration` 0 where the container does not say). `begins_scene`: nothing in
    the frame before belongs to this one. `statistics`: scale and shift float32 `[2, C]` that it is to
    be translated with; None: its own.
    """

    number: int
    pts: int
    duration: int
    pixels: Pixels
    begins_scene: bool = False
    statistics: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"Frame({self.number}, pts={self.pts}, {width}x{height} {self.pixels.dtype})"

    def content_hash(self) -> str:
        """Tell this frame's pixels from any others (hex, 128 bits)."""
        return hashlib.blake2b(np.ascontiguousarray(self.pixels).data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class TranslatedFrame:
    """A source frame beside what the generator made of it; both pictures have the same size."""

    source: Frame
    pixels: Pixels


def side_by_side(left: Pixels, right: Pixels) -> Pixels:
    """Two pictures of equal height as one."""
    joined: Pixels = np.concatenate([left, right], axis=1)
    return joined
