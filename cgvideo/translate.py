"""Frames go through the engine, in batches that do not depend on where a run began."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Frame, Pixels, TranslatedFrame
from cgvideo.patience import patiently
from engines.engine import Engine
from engines.errors import UserError, first_line
from engines.spec import GeneratorSpec

Call = Callable[[NDArray[Any]], NDArray[Any]]
"""An engine, as far as frames of one plan need it."""


def translate(
    frames: Iterable[Frame], engine: Engine, batch: int, strength: float = 1.0
) -> Iterator[TranslatedFrame]:
    """Translate frames, blending the result over the source by `strength` (0 source, 1 result).

    Batches are cut at multiples of `batch` in frame numbers and padded to full size, so that a
    frame always shares its call with the same neighbours in the same places.

    Raises:
        UserError: the engine fails, or gives back anything but pictures of the same size.
    """
    waiting: list[Frame] = []
    with patiently(engine) as call:
        for frame in frames:
            waiting.append(frame)
            if frame.number % batch == batch - 1:
                yield from _translated(waiting, engine.spec, call, batch, strength)
                waiting = []
        if waiting:
            yield from _translated(waiting, engine.spec, call, batch, strength)


def translate_picture(pixels: Pixels, engine: Engine, strength: float = 1.0) -> Pixels:
    """Translate one picture `[H, W, 3]` of any size."""
    frame = Frame(0, 0, 0, pixels)
    with patiently(engine) as call:
        return next(_translated([frame], engine.spec, call, 1, strength)).pixels


def padded_size(size: tuple[int, int], multiple: int, least: int) -> tuple[int, int]:
    """The smallest (height, width) not below `size` that a generator takes."""

    def up(side: int) -> int:
        return -(-max(side, least) // multiple) * multiple

    return up(size[0]), up(size[1])


def _translated(
    frames: Sequence[Frame], spec: GeneratorSpec, call: Call, batch: int, strength: float
) -> Iterator[TranslatedFrame]:
    height, width, _ = frames[0].pixels.shape
    place = [frame.number % batch for frame in frames]
    # Places without a frame of their own (before a resumed run, after the end) repeat the nearest.
    nearest = [int(np.argmin([abs(p - slot) for p in place])) for slot in range(batch)]
    pictures = np.stack([_padded(frames[index].pixels, spec) for index in nearest])
    translated = _run(call, pictures)
    for frame, slot in zip(frames, place, strict=True):
        result = translated[slot, :height, :width]
        yield TranslatedFrame(frame, blend(frame.pixels, result, strength))


def _padded(pixels: Pixels, spec: GeneratorSpec) -> Pixels:
    """Reflect a picture's lower and right edges up to a size that the generator takes."""
    height, width, _ = pixels.shape
    rows, columns = padded_size((height, width), spec.multiple_of, spec.minimum_size)
    if (rows, columns) == (height, width):
        return pixels
    return np.pad(pixels, ((0, rows - height), (0, columns - width), (0, 0)), mode="reflect")


def _run(call: Call, pictures: NDArray[Any]) -> NDArray[Any]:
    try:
        translated = call(pictures)
    except TimeoutError as error:
        raise UserError(
            f"The engine hangs ({error})", "Try again; if it comes back, try another --backend"
        ) from error
    except (RuntimeError, MemoryError) as error:
        raise UserError(
            f"The engine failed ({first_line(error)})",
            "Try a smaller --max-size or another --backend",
        ) from error
    if translated.shape != pictures.shape or translated.dtype != pictures.dtype:
        raise UserError(
            f"The engine gave {translated.dtype} {list(translated.shape)} for"
            f" {pictures.dtype} {list(pictures.shape)}",
            "Use another model or --backend",
        )
    if translated.dtype.kind == "f" and not np.isfinite(translated).all():
        raise UserError("The engine gave numbers that are no colours (NaN)", "Try --precision fp32")
    return translated


def blend(source: Pixels, result: Pixels, strength: float) -> Pixels:
    """Go from `source` (strength 0) to `result` (1), both of one shape and dtype."""
    if strength >= 1:
        return np.ascontiguousarray(result)
    blended = cv2.addWeighted(source, 1 - strength, result, strength, 0)
    return np.asarray(blended, dtype=source.dtype)
