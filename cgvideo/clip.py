"""What is known of a video before its frames are wanted."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from cgvideo.frame import Pixels

YUV_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
UNSPECIFIED = 2  # ITU-T H.273: "unspecified", the same number for matrix, primaries and transfer
SD_HEIGHT = 576  # untagged pictures up to this height are taken for BT.601, as players do


@dataclass(frozen=True, slots=True)
class ColorTags:
    """How the numbers of a YUV picture are meant, by the code points of ITU-T H.273.

    `full_range` is None where the file does not say (then limited, as players take it).
    """

    full_range: bool | None = None
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def is_hdr(self) -> bool:
        """PQ (16) and HLG (18) carry light levels that an SDR generator cannot know."""
        return self.transfer in (16, 18)

    def matrix_name(self, height: int) -> str:
        """The matrix in FFmpeg's words; untagged pictures go by their height in pixels."""
        return YUV_MATRICES.get(self.matrix, "bt709" if height > SD_HEIGHT else "bt601")

    def for_yuv(self, height: int) -> "ColorTags":
        """The tags of a YUV picture made from one with these: RGB's own say nothing of YUV."""
        if self.matrix == UNSPECIFIED or self.matrix in YUV_MATRICES:
            return self
        return replace(self, full_range=False, matrix=1 if height > SD_HEIGHT else 6)

    def for_rgb(self) -> "ColorTags":
        """The tags of an RGB picture made from one with these."""
        return replace(self, full_range=True, matrix=0)


@dataclass(frozen=True, slots=True)
class Orientation:
    """The right-angled turn (and mirroring) that shows a coded picture upright.

    The four signs of a display matrix: a coded pixel (x, y) is shown at (a x + c y, b x + d y).
    """

    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    @property
    def swaps_sides(self) -> bool:
        return self.a == 0

    @property
    def is_upright(self) -> bool:
        return (self.a, self.b, self.c, self.d) == (1, 0, 0, 1)

    @property
    def matrix(self) -> tuple[int, ...]:
        """The nine numbers of a display matrix (16.16 fixed point, the last column 2.30)."""
        one = 1 << 16
        return (self.a * one, self.b * one, 0, self.c * one, self.d * one, 0, 0, 0, 1 << 30)

    def upright(self, pixels: Pixels) -> Pixels:
        """Turn a coded picture upright."""
        if self.swaps_sides:
            pixels = pixels.transpose(1, 0, 2)
            x_sign, y_sign = self.c, self.b
        else:
            x_sign, y_sign = self.a, self.d
        return np.ascontiguousarray(pixels[::y_sign, ::x_sign])

    def coded(self, pixels: Pixels) -> Pixels:
        """Turn an upright picture back to how it is coded: the inverse of `upright`."""
        inverse = Orientation(self.a, self.c, self.b, self.d)  # of signed permutations: transpose
        return inverse.upright(pixels)

    def turned(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) after the turn, either way."""
        return size[::-1] if self.swaps_sides else size


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream of the container other than the one that is translated."""

    index: int
    kind: str
    """ "audio", "subtitle", "data", "attachment" or "video" (a cover, a second picture)"""
    codec: str
    language: str = ""

    def __str__(self) -> str:
        language = f", {self.language}" if self.language else ""
        return f"{self.kind} stream {self.index} ({self.codec or 'unknown codec'}{language})"


@dataclass(frozen=True, slots=True)
class Light:
    """How bright an HDR video is by its own word: SMPTE ST 2086 and CTA-861.3."""

    mastering: tuple[Fraction, ...] = ()
    """x and y of red, green, blue and white, then the least and the most in cd/m2; () if not said"""
    brightest: int = 0
    """MaxCLL: the brightest pixel, in cd/m2; 0 if not said"""
    brightest_frame: int = 0
    """MaxFALL: the brightest average of a frame, in cd/m2; 0 if not said"""
    dynamic: tuple[str, ...] = ()
    """what tells it for each frame anew: "Dolby Vision", "HDR10+" """

    @property
    def peak(self) -> float | None:
        """The brightest there is, in cd/m2; None if nothing is said."""
        if self.brightest:
            return float(self.brightest)
        return float(self.mastering[-1]) if self.mastering and self.mastering[-1] else None


@dataclass(frozen=True, slots=True)
class Clip:
    """A video as its container and first frame describe it. `size` is coded (height, width)."""

    path: Path
    container: str
    codec: str
    pixel_format: str
    bit_depth: int
    stream_index: int
    size: tuple[int, int]
    sample_aspect_ratio: Fraction
    rate: Fraction
    """average frames per second, by the header"""
    time_base: Fraction
    """seconds in a tick of `pts`"""
    first_pts: int
    duration_seconds: float | None
    frame_count_from_header: int | None
    """often wrong by a few: good for an estimate, for nothing else"""
    color: ColorTags
    orientation: Orientation
    interlaced: bool
    has_alpha: bool
    """there is transparency, which may be in a place that FFmpeg does not decode (VP9, VP8)"""
    other_streams: tuple[StreamInfo, ...]
    light: Light = Light()
    several_views: bool = False
    """it is stereoscopic (MV-HEVC), of which the first view is decoded"""

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) as it is seen."""
        return self.orientation.turned(self.size)

    @property
    def usual_step(self) -> int:
        """Ticks from one frame to the next, by the header's rate."""
        return max(1, round(1 / self.rate / self.time_base))

    def expected_frames(self, start: float, duration: float | None) -> int | None:
        """How many frames `start` and `duration` (seconds) leave, by the header; None if unknown."""
        total = self.frame_count_from_header
        seconds = self.duration_seconds
        if total is None and seconds is not None:
            total = round(seconds * self.rate)
        if total is None:
            return None
        whole = seconds if seconds is not None else float(total / self.rate)
        left = max(0.0, whole - start)
        wanted = min(left, duration) if duration is not None else left
        return max(1, round(total * wanted / whole)) if whole > 0 else total

    def describe(self) -> dict[str, Any]:
        """What decides the conversion's bytes, ready for JSON (the path is not among it)."""
        return {
            "stream": self.stream_index,
            "size": list(self.size),
            "sample_aspect_ratio": str(self.sample_aspect_ratio),
            "time_base": str(self.time_base),
            "color": [
                self.color.full_range,
                self.color.matrix,
                self.color.primaries,
                self.color.transfer,
            ],
            "orientation": list(self.orientation.matrix),
        }
