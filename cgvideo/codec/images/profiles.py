"""Colour spaces of pictures: to sRGB, in which generators learnt to see, and back.

Profiles that say their space by three curves and a matrix (Display P3, Adobe RGB, ProPhoto,
Rec. 2020 …) are computed here in float32, so that 16 bits stay 16 bits; others go through
littleCMS, once, to sRGB. The format is that of ICC.1:2022, sections 7 to 10.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from cgvideo.frame import Pixels

SRGB_TO_XYZ = np.array(  # of D50, as profiles have it
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
PRIMARIES = {  # of ITU-T H.273: each channel's XYZ of D50
    9: ((0.67348, 0.27904, -0.00193), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686)),  # Rec. 2020
    12: ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)),  # Display P3
}  # fmt: skip
SAMPLES = 1 << 14  # of a curve, for deep pixels
CODES = (
    1 << 16
)  # steps of linear light between curves of 8 bits: 0.05 of a level where it is darkest
SRGB_GAMMA, SAME_GAMMA = 0.45455, 0.01  # what PNGs say that mean sRGB
NOTHING = 0.6 / 255  # a space that is nowhere further than this from sRGB is sRGB

Curve = NDArray[Any]
"""linear light `[SAMPLES + 1]`, 0 to 1, at even steps of the coded value"""


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """An RGB space: each channel's curve, and the matrix from linear light to sRGB's."""

    curves: tuple[Curve, Curve, Curve]
    matrix: NDArray[Any]

    def to_srgb(self, pixels: Pixels) -> Pixels:
        """Coded values of this space `[H, W, 3]` as those of sRGB, of the same dtype; clipped."""
        return _through(pixels, self.curves, self.matrix, (SRGB_CURVE,) * 3)

    def from_srgb(self, pixels: Pixels) -> Pixels:
        """The way back: colours of sRGB in this space, of the same dtype."""
        return _through(pixels, (SRGB_CURVE,) * 3, np.linalg.inv(self.matrix), self.curves)


def _steps() -> NDArray[Any]:
    return np.linspace(0, 1, SAMPLES + 1)


def _parametric(kind: int, numbers: tuple[float, ...]) -> Curve:
    """ICC.1 table 68: y = (a x + b)^g + e above d, c x + f below."""
    g, a, b, c, d, e, f = (*numbers, *[0.0] * (7 - len(numbers)))
    match kind:
        case 0:
            a = 1.0
        case 1:
            d = -b / a
        case 2:
            d, e, f, c = -b / a, c, c, 0.0
    steps = _steps()
    above = np.maximum(a * steps + b, 0) ** g + e
    return np.asarray(np.clip(np.where(steps >= d, above, c * steps + f), 0, 1))


SRGB_CURVE = _parametric(3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))


def space_by_code(primaries: int) -> Space | None:
    """The space of primaries by their number in ITU-T H.273, with sRGB's curve; None where sRGB's will do."""
    columns = PRIMARIES.get(primaries)
    if columns is None:
        return None
    return Space((SRGB_CURVE,) * 3, np.linalg.inv(SRGB_TO_XYZ) @ np.array(columns).T)


@lru_cache(maxsize=64)
def space_of(profile: bytes | None) -> Space | None:
    """The space that a profile says by curves and a matrix; None where that is sRGB, or another way."""
    if not profile or not is_matrix(profile):
        return None
    tags = _tags(profile)
    columns = [struct.unpack(">3i", tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    to_xyz = np.array(columns).T / 65536
    red, green, blue = (_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
    space = Space((red, green, blue), np.linalg.inv(SRGB_TO_XYZ) @ to_xyz)
    even = np.linspace(0, 1, 9, dtype=np.float32)
    grid = np.stack(np.meshgrid(even, even, even), -1).reshape(1, -1, 3)
    return None if np.abs(space.to_srgb(grid) - grid).max() < NOTHING else space


def is_matrix(profile: bytes) -> bool:
    """Whether it is a whole profile of an RGB space that is said by curves and a matrix."""
    try:
        tags = _tags(profile)
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        columns = [struct.unpack(">3i", tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    except (struct.error, KeyError, ValueError, TypeError, ZeroDivisionError, IndexError):
        return False
    rises = all(np.all(np.diff(curve) >= 0) and curve[-1] > curve[0] for curve in curves)
    volume = abs(np.linalg.det(np.array(columns) / 65536))
    return profile[16:20] == b"RGB " and rises and bool(volume > 1e-3)


def gray_to_srgb(gray: NDArray[Any], profile: bytes) -> NDArray[Any] | None:
    """Gray `[H, W]` of a gray profile as sRGB's, of the same dtype; None where it says no curve."""
    try:
        curve = _curve(_tags(profile)[b"kTRC"])
    except (struct.error, KeyError, ValueError, TypeError, ZeroDivisionError, IndexError):
        return None
    if profile[16:20] != b"GRAY":
        return None
    return _by_curve(gray, curve)


def gamma_to_srgb(pixels: NDArray[Any], gamma: float) -> NDArray[Any]:
    """Values that were coded by `light ** gamma`, as PNG's gAMA says, as sRGB's; of the same dtype."""
    if abs(gamma - SRGB_GAMMA) < SAME_GAMMA:
        return pixels
    return _by_curve(pixels, _steps() ** (1 / gamma))


def by_tables(image: Image.Image, profile: bytes | None, mode: str = "RGB") -> Image.Image | None:
    """A picture of 8 bits in sRGB by a profile of its own mode; None where that does not fit.

    By littleCMS, perceptually. Lab needs no profile.
    """
    space = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}.get(image.mode)
    try:
        if image.mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        if source.profile.xcolor_space.strip() != space:
            return None
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode=mode)
    except (OSError, ImageCms.PyCMSError, ValueError):
        return None


def _by_curve(values: NDArray[Any], curve: Curve) -> NDArray[Any]:
    """Values through a curve to light, and back by sRGB's."""
    if values.dtype == np.uint8:
        levels = np.interp(np.arange(256) / 255, _steps(), curve)
        table = np.interp(levels, SRGB_CURVE, _steps()) * 255 + 0.5
        return np.asarray(table.astype(np.uint8)[values])
    light = np.interp(values, _steps(), curve)
    return np.asarray(np.interp(light, SRGB_CURVE, _steps()), np.float32)


def _through(
    pixels: Pixels,
    decoding: tuple[Curve, ...],
    matrix: NDArray[Any],
    encoding: tuple[Curve, ...],
) -> Pixels:
    decode, encode = (_eight if pixels.dtype == np.uint8 else _deep)()
    light = np.stack([decode(pixels[..., i], decoding[i]) for i in range(3)], -1)
    turned = np.clip(cv2.transform(light, matrix.astype(np.float32)), 0, 1)
    return np.stack([encode(turned[..., i], encoding[i]) for i in range(3)], -1)


Coding = Callable[[NDArray[Any], Curve], NDArray[Any]]


def _eight() -> tuple[Coding, Coding]:
    """Decoding and encoding of uint8, by tables."""

    def decode(values: NDArray[Any], curve: Curve) -> NDArray[Any]:
        levels = np.interp(np.arange(256) / 255, _steps(), curve).astype(np.float32)
        return np.asarray(levels[values])

    def encode(light: NDArray[Any], curve: Curve) -> NDArray[Any]:
        codes = np.interp(np.arange(CODES) / (CODES - 1), curve, _steps())
        table = (codes * 255 + 0.5).astype(np.uint8)
        return np.asarray(table[(light * (CODES - 1) + 0.5).astype(np.uint16)])

    return decode, encode


def _deep() -> tuple[Coding, Coding]:
    """Decoding and encoding of float32."""

    def decode(values: NDArray[Any], curve: Curve) -> NDArray[Any]:
        return np.asarray(np.interp(values, _steps(), curve), np.float32)

    def encode(light: NDArray[Any], curve: Curve) -> NDArray[Any]:
        return np.asarray(np.interp(light, curve, _steps()), np.float32)

    return decode, encode


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The profile's tags by name; raises where one lies outside, as in a damaged profile."""
    (count,) = struct.unpack(">I", profile[128:132])
    if profile[36:40] != b"acsp" or count > 200:
        raise ValueError("no profile")
    tags = {}
    for number in range(count):
        name, offset, size = struct.unpack(">4s2I", profile[132 + 12 * number :][:12])
        if offset + size > len(profile):
            raise ValueError("a tag lies outside")
        tags[name] = profile[offset : offset + size]
    return tags


def _curve(tag: bytes) -> Curve:
    if tag[:4] == b"para":
        (kind,) = struct.unpack(">H", tag[8:10])
        count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind]
        numbers = struct.unpack(f">{count}i", tag[12 : 12 + 4 * count])
        return _parametric(kind, tuple(number / 65536 for number in numbers))
    if tag[:4] != b"curv":
        raise ValueError("no curve")
    (count,) = struct.unpack(">I", tag[8:12])
    if count == 0:
        return _steps()
    values = np.frombuffer(tag[12 : 12 + 2 * count], ">u2").astype(np.float64)
    if len(values) != count:
        raise ValueError("a curve that is cut short")
    if count == 1:
        return np.asarray(_steps() ** (values[0] / 256))
    return np.asarray(np.interp(_steps(), np.linspace(0, 1, count), values / 65535))
