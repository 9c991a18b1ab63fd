"""HDR to SDR: what a PQ or HLG picture shows, on a screen of ordinary brightness.

The light of every pixel is computed from its code by the formulas of ITU-R BT.2100-2 (PQ: table 4; HLG:
table 5, shown on a screen of 1000 cd/m2 with the system gamma of 1.2), in cd/m2. Its primaries change
from BT.2020 to BT.709 (ITU-R BT.2407-0, section 2); a colour that BT.709 cannot show is mixed with gray of its
own luminance until it can. The brightest component then goes through the curve of ITU-R BT.2390-10, section
5.4.1 (EETF: straight below a knee, then a Hermite spline, in the domain of PQ), and the other two follow in
proportion, so that hues stay. Diffuse white of HDR, 203 cd/m2 (ITU-R BT.2408-7), is the most that SDR
shows. The result is coded for a display by BT.1886 (a gamma of 2.4).
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels

PQ, HLG = 16, 18  # ITU-T H.273, transfer characteristics
REFERENCE_WHITE = 203.0  # cd/m2
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2
USUAL_PEAK = 1000.0  # cd/m2: what most HDR is mastered for, where the file does not say
DISPLAY_GAMMA = 2.4

M1, M2 = 2610 / 16384, 2523 / 4096 * 128
C1, C2, C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

LUMINANCE_2020 = (0.2627, 0.6780, 0.0593)
LUMINANCE_709 = (0.2126, 0.7152, 0.0722)
BT2020_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    np.float32,
)
CURVE_STEPS = 1 << 14
STRIP = 64  # rows at once: what is in between stays in the processor's cache


class ToneMap:
    """RGB of 16 bits, as BT.2020 codes it by PQ or HLG, becomes SDR of BT.709.

    Args:
        transfer: 16 (PQ) or 18 (HLG), as H.273 counts.
        peak: cd/m2 of the brightest that the source holds. It is fixed for a clip, so that
            neighbouring frames agree.
    """

    def __init__(self, transfer: int, peak: float) -> None:
        self._hlg = transfer == HLG
        peak = max(HLG_PEAK if self._hlg else peak, REFERENCE_WHITE)
        self._light = _hlg_light() if self._hlg else _pq_light()
        # By the square root of the light: as fine in the dark as it needs to be.
        self._most = float(peak)
        steps = np.linspace(0, 1, CURVE_STEPS) ** 2 * peak
        gain = curve(steps, peak) / np.maximum(steps, 1e-9)
        gain[0] = gain[1]
        self._gain = (gain / REFERENCE_WHITE).astype(np.float32)

    def __call__(self, coded: NDArray[np.uint16]) -> Pixels:
        """`[H, W, 3 or 4]` of 0 to 65535 becomes float32 of 0 to 1; a fourth channel stays."""
        pixels: Pixels = np.empty(coded.shape, np.float32)
        for top in range(0, len(coded), STRIP):
            rows = slice(top, top + STRIP)
            pixels[rows, :, :3] = self._mapped(coded[rows, :, :3])
        if coded.shape[2] == 4:
            pixels[..., 3] = coded[..., 3] * np.float32(1 / 65535)
        return pixels

    def _mapped(self, coded: NDArray[np.uint16]) -> NDArray[Any]:
        light = self._light.take(coded)
        if self._hlg:
            luminance = cv2.transform(light, np.array([LUMINANCE_2020], np.float32))
            light *= (HLG_PEAK * cv2.pow(luminance, HLG_GAMMA - 1))[..., None]
        light = _within(cv2.transform(light, BT2020_TO_BT709))
        brightest = np.minimum(_over_colors(np.maximum, light), np.float32(self._most))
        place = np.sqrt(brightest / np.float32(self._most)) * (CURVE_STEPS - 1)
        light *= self._gain.take(np.rint(place).astype(np.int32))[..., None]
        return np.asarray(cv2.pow(np.minimum(light, 1), 1 / DISPLAY_GAMMA))


def curve(light: NDArray[Any], peak: float) -> NDArray[Any]:
    """The EETF of BT.2390 from 0 … `peak` to 0 … REFERENCE_WHITE, all in cd/m2."""
    top = pq_code(np.array(peak))
    coded = pq_code(light) / top
    most = pq_code(np.array(REFERENCE_WHITE)) / top
    knee = 1.5 * most - 0.5
    if knee >= 1:
        return np.asarray(light)
    t = np.clip((coded - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return pq_light(np.where(coded < knee, coded, spline) * top)


def pq_light(code: NDArray[Any]) -> NDArray[Any]:
    """PQ's code in 0 to 1 as cd/m2."""
    root = np.power(np.clip(code, 0, 1), 1 / M2)
    shown = np.maximum(root - C1, 0) / (C2 - C3 * root)
    return np.asarray(10000 * np.power(shown, 1 / M1))


def pq_code(light: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `pq_light`."""
    root = np.power(np.maximum(light, 0) / 10000, M1)
    return np.asarray(np.power((C1 + C2 * root) / (1 + C3 * root), M2))


@cache
def _pq_light() -> NDArray[np.float32]:
    return pq_light(np.arange(65536) / 65535).astype(np.float32)


@cache
def _hlg_light() -> NDArray[np.float32]:
    """The light of the scene, 0 to 1: the inverse of HLG's OETF."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    code = np.arange(65536) / 65535
    bright = (np.exp((code - c) / a) + b) / 12
    return np.where(code <= 0.5, code**2 / 3, bright).astype(np.float32)


def _over_colors(which: np.ufunc, light: NDArray[Any]) -> NDArray[Any]:
    """`which` (np.maximum or np.minimum) of the three; ten times as fast as along the axis."""
    return np.asarray(which(which(light[..., 0], light[..., 1]), light[..., 2]))


def _within(light: NDArray[Any]) -> NDArray[Any]:
    """Mix colours with a negative component with gray of their luminance, as much as it takes."""
    outside = _over_colors(np.minimum, light) < 0
    if outside.any():
        colors = light[outside]
        gray = np.maximum(colors @ np.array(LUMINANCE_709, np.float32), 0)[:, None]
        least = colors.min(axis=1, keepdims=True)
        mixed = gray + (colors - gray) * gray / np.maximum(gray - least, np.float32(1e-7))
        light[outside] = np.maximum(mixed, 0)
    return light
