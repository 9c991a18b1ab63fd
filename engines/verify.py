"""Whether an engine still draws the same picture: eight held pictures, and what they must come to."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.errors import UserError
from engines.spec import Form, GeneratorSpec, Pixels

LEAST_PSNR = {"fp32": 55.0, "fp16": 45.0, "bf16": 40.0, "int8": 38.0}
"""In dB, of the worst frame, against the same network in fp32."""

MOST_LEVELS = {"fp32": 1}
"""Of 255, at any pixel; the other precisions have no such limit."""

VERIFY_SECONDS = 5.0
"""An engine of its own for every clip must not take long to verify: so many, or one frame."""

Run = Callable[[NDArray[Any], NDArray[np.float32] | None], NDArray[Any]]
"""Frames and statistics in, frames (or statistics) out: an engine, or a file that a runtime runs."""

_FOLDER = Path(__file__).parent / "pictures"


@dataclass(frozen=True, slots=True)
class Parity:
    """How far translations are from those in fp32.

    `psnr` is in dB, that of the worst frame (99 at most); `levels` is the largest difference at any
    pixel, of 255.
    """

    psnr: float
    levels: int

    def reaches(self, precision: str) -> bool:
        """Whether this is good enough for `precision`."""
        return self.psnr >= LEAST_PSNR[precision] and self.levels <= MOST_LEVELS.get(precision, 255)

    def why_not(self, precision: str, asked: str, mend: str = "Use --precision fp32") -> str:
        """Why fp32 takes the place of `precision`, which "auto" had chosen; "" if it need not.

        Raises UserError where that precision was `asked` for, or is fp32 itself.
        """
        if self.reaches(precision):
            return ""
        if asked == "auto" and precision != "fp32":
            return f"{precision} would harm the picture ({self})"
        raise UserError(f"In {precision} the picture suffers ({self})", mend)

    def __str__(self) -> str:
        return f"{self.psnr:.1f} dB, at most {self.levels} of 255 levels apart"

    @classmethod
    def between(cls, translated: NDArray[np.uint8], reference: NDArray[np.uint8]) -> "Parity":
        """Of frames `[N, H, W, 3]`."""
        apart = translated.astype(np.float64) - reference
        squares = np.maximum((apart**2).mean(axis=(1, 2, 3)), 255**2 / 10**9.9)
        worst = 10 * np.log10(255**2 / squares.max())
        return cls(round(float(worst), 2), int(np.abs(apart).max()))

    def and_worse(self, other: "Parity") -> "Parity":
        """The worse of both."""
        return Parity(min(self.psnr, other.psnr), max(self.levels, other.levels))


def held_pictures() -> list[NDArray[np.uint8]]:
    """The eight pictures, RGB `[192, 256, 3]` each; `benchmarks/held_pictures.py` draws them."""
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(_FOLDER.glob("*.png"))]


@cache
def pictures_digest() -> str:
    """Tells this set of held pictures from another: a parity counts for the set it was measured on."""
    content = hashlib.sha256()
    for picture in held_pictures():
        content.update(picture.tobytes())
    return content.hexdigest()[:16]


def held_frames(
    spec: GeneratorSpec, size: tuple[int, int] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """The eight pictures as frames `[1, H, W, 3]` that a generator takes.

    For a fixed `size` (height, width) they are laid side by side until a frame is full: as few
    frames as show them all. Else each is a frame, mirrored at the edges where the generator wants
    more.
    """
    pictures = held_pictures()
    if size is None:
        multiple = spec.multiple_of
        height, width = (-(-side // multiple) * multiple for side in pictures[0].shape[:2])
        for picture in pictures:
            edges = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
            yield np.pad(picture, edges, mode="symmetric")[None]
        return
    shown = 0
    while shown < len(pictures):
        frame = np.empty((1, *size, 3), np.uint8)
        for top in range(0, size[0], pictures[0].shape[0]):
            for left in range(0, size[1], pictures[0].shape[1]):
                place = frame[0, top : top + 192, left : left + 256]
                place[:] = pictures[shown % len(pictures)][: place.shape[0], : place.shape[1]]
                shown += 1
        yield frame


def check_parity(
    run: Run,
    form: Form,
    reference: Callable[[Form], Run],
    frames: Iterable[NDArray[np.uint8]],
    pixels: Pixels = "uint8",
    seconds: float = float("inf"),
) -> Parity:
    """Hold `run`, of that form, to the fp32 network on `frames`; stops after about `seconds`.

    What measures is judged by the picture that its statistics make, what takes statistics is given
    the true ones.
    """
    plain = reference("self")
    other = (
        None if form == "self" else reference("measure" if form == "statistics" else "statistics")
    )
    began = time.monotonic()
    worst = Parity(99.0, 0)
    for frame in frames:
        given = frame if pixels == "uint8" else (frame / 255).astype(np.float32)
        if form == "measure" and other is not None:
            translated = other(frame, run(given, None))
        else:
            translated = run(given, None if other is None else other(frame, None))
        if translated.dtype != np.uint8:
            translated = np.clip(np.round(translated * 255), 0, 255).astype(np.uint8)
        worst = worst.and_worse(Parity.between(translated, plain(frame, None)))
        if time.monotonic() - began > seconds:
            break
    return worst
