"""Detail: what a result has kept of the source's, what is mere noise, and what is left when both are blurred."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels

Luma = NDArray[np.float32]

BROAD = 2.0
"""Sigma in pixels of the blur that leaves the low band."""


def luma(pixels: Pixels) -> Luma:
    """Luma `[H, W]`, 0..255, of RGB uint8 `[H, W, 3]` (weights of BT.601)."""
    gray = cv2.cvtColor(np.ascontiguousarray(pixels, np.float32), cv2.COLOR_RGB2GRAY)
    return np.asarray(gray, np.float32)


def laplacian(picture: Luma) -> Luma:
    """Each pixel's four neighbours less four times itself: detail at the scale of a pixel."""
    return np.asarray(cv2.Laplacian(picture, cv2.CV_32F, ksize=1), np.float32)


def coherent_detail(source: Luma, result: Luma) -> tuple[float, float]:
    """The regression coefficient of the result's Laplacian on the source's, as (numerator, denominator).

    Sum both over frames, then divide: 1 is the source's own detail; blur lowers it at once, and noise
    or dots that have nothing to do with the source do not raise it. A generator may well add contrast:
    compare with frame by frame. Given are two lumas `[H, W]`.
    """
    own, made = laplacian(source).ravel(), laplacian(result).ravel()
    return float(np.dot(made, own)), float(np.dot(own, own))


def sharpness(picture: Luma) -> float:
    """The mean absolute Laplacian in levels of 255: detail and noise alike."""
    return float(np.abs(laplacian(picture)).mean())


def low_band_error(result: Pixels, reference: Pixels, sigma: float = BROAD) -> float:
    """Mean squared difference in levels of two RGB pictures that are both blurred first."""
    difference = np.subtract(result, reference, dtype=np.float32)  # blurring is linear
    return float(np.square(cv2.GaussianBlur(difference, (0, 0), sigma)).mean())


def decibels(error: float) -> float:
    """PSNR of a mean squared difference in levels of 255; infinite where there is none."""
    return 10 * math.log10(255**2 / error) if error > 0 else math.inf
