"""Draw the eight pictures on which engines are verified: `engines/pictures/*.png`.

    python benchmarks/held_pictures.py

Everything by formula, RGB, 256x192: landscapes as the built-in models know them, and what strains a
generator: dark, bright, hard edges, noise of every scale, saturated colours.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgvideo.demo import frames

SIZE = WIDTH, HEIGHT = 256, 192
FOLDER = Path(__file__).parent.parent / "engines" / "pictures"

Picture = NDArray[np.uint8]


def main() -> None:
    valley = [frame for number, frame in enumerate(frames((768, 432), 97)) if number in (0, 48, 96)]
    pictures = {
        "valley": _crop(valley[0], 60, 250),
        "shore": _crop(valley[1], 200, 30),
        "meadow": _crop(valley[2], 235, 500),
        "dusk": _graded(_crop(valley[1], 40, 300), gamma=2.2, gain=0.7),
        "haze": _graded(_crop(valley[2], 40, 120), gamma=0.6, gain=1.1),
        "clouds": clouds(),
        "tiles": tiles(),
        "rainbow": rainbow(),
    }
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(FOLDER / f"{name}.png", optimize=True)


def clouds() -> Picture:
    """Noise with a spectrum of 1/f in each colour, as natural pictures have."""
    rng = np.random.default_rng(7)
    rows, columns = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    fall = 1 / np.maximum(np.hypot(rows, columns), 1 / WIDTH)
    shared = rng.normal(size=(HEIGHT, WIDTH))
    colours = []
    for _ in range(3):
        white = 0.8 * shared + 0.2 * rng.normal(size=(HEIGHT, WIDTH))
        pink = np.fft.irfft2(np.fft.rfft2(white) * fall, (HEIGHT, WIDTH))
        colours.append(128 + 48 * pink / pink.std())
    return np.clip(np.stack(colours, axis=2), 0, 255).astype(np.uint8)


def tiles() -> Picture:
    """Hard edges: squares that shrink to the right, under discs."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    side = np.select([x < 96, x < 160, x < 208], [24, 8, 4], 2)
    picture = np.where(((x // side + y // side) % 2)[..., None], (235, 225, 210), (25, 40, 60))
    for number in range(6):
        middle = (28 + 42 * number, 40 + 110 * (number % 2))
        inside = np.hypot(x - middle[0], y - middle[1]) < 10 + 4 * number
        picture[inside] = (200 - 30 * number, 40 * number, 90 + 25 * number)
    return picture.astype(np.uint8)


def rainbow() -> Picture:
    """All hues from left to right, from full light to full shade, with a fine grid."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    phases = 2 * np.pi * (x[..., None] / WIDTH - np.arange(3) / 3)
    colours = 0.5 + 0.5 * np.cos(phases)
    light = 1 - y[..., None] / HEIGHT
    grid = np.where(((x % 16 == 0) | (y % 16 == 0))[..., None], 0.6, 1.0)
    return np.clip(255 * grid * light * (0.2 + 0.8 * colours), 0, 255).astype(np.uint8)


def _crop(picture: Picture, top: int, left: int) -> Picture:
    return picture[top : top + HEIGHT, left : left + WIDTH]


def _graded(picture: Picture, gamma: float, gain: float) -> Picture:
    return np.clip(255 * gain * (picture / 255.0) ** gamma, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
