"""A frame: pixels and the moment they belong to."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""RGB `[H, W, 3]`, upright: `uint8` 0..255, or deep pixels as `float32` 0..1."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What decoding had to put up with, before a frame or in a whole clip."""

    packets: int = 0
    """packets that did not decode and were skipped"""
    concealed: int = 0
    """frames of which the decoder made up a part"""
    moved_pts: int = 0
    """frames moved by a tick or more because their pts did not come after the one before"""
    cut_short: bool = False
    """the file ends before it should"""

    def __add__(self, other: "Damage") -> "Damage":
        return Damage(
            self.packets + other.packets,
            self.concealed + other.concealed,
            self.moved_pts + other.moved_pts,
            self.cut_short or other.cut_short,
        )

    @property
    def is_real(self) -> bool:
        """Whether pictures are missing or partly made up; a moved frame is not."""
        return bool(self.packets or self.concealed or self.cut_short)

    def lines(self) -> list[str]:
        """It in words, a line each."""
        said = []
        if self.packets:
            said.append(f"damaged packets of the source that were skipped: {self.packets}")
        if self.concealed:
            said.append(f"damaged frames of the source that are partly made up: {self.concealed}")
        if self.moved_pts:
            said.append(
                f"frames that did not come after the one before, moved by a tick: {self.moved_pts}"
            )
        if self.cut_short:
            said.append("the source is cut short; converted up to there")
        return said


WHOLE = Damage()


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
    alpha: NDArray[np.float32] | None = None
    """`[H, W]`, 0 (transparent) to 1, where it is kept"""
    damage: Damage = WHOLE
    """what went wrong since the frame before"""
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
