"""Pictures and motion that are known by construction, to measure."""

import cv2
import numpy as np

SIZE = (144, 192)


def texture(size=SIZE, seed=0, sigma=2.0, contrast=50):
    """A smooth random picture, RGB uint8 `[H, W, 3]`."""
    noise = np.random.default_rng(seed).uniform(0, 255, (*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    smooth = (smooth - smooth.mean()) * (contrast / smooth.std()) + 128
    return smooth.clip(0, 255).astype(np.uint8)


def panned(number, step=3, size=SIZE, seed=0):
    """Frame `number` of a camera that turns to the right by whole pixels."""
    whole = texture((size[0], size[1] + 64), seed)
    return whole[:, step * number : step * number + size[1]]


def passing(number, size=SIZE, step=8):
    """Frame `number` of a square that moves to the right over a still ground."""
    frame, side = texture(size).copy(), 64
    left = 20 + step * number
    frame[40 : 40 + side, left : left + side] = texture((side, side), seed=3)
    return frame


def noisy(picture, sigma, seed):
    """The picture with noise of a standard deviation in levels, rounded to levels."""
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return (picture + noise).round().clip(0, 255).astype(np.uint8)
