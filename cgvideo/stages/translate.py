"""Frames go through the engine, in batches that do not depend on where a run began."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Frame, Pixels, TranslatedFrame
from cgvideo.patience import patiently
from cgvideo.stages.tiled_engine import TiledEngine
from cgvideo.stages.upsampling import put_back
from engines.engine import Engine
from engines.errors import UserError, first_line
from engines.spec import GeneratorSpec

Call = Callable[..., NDArray[Any]]
"""An engine, as far as frames of one plan need it: pictures, and statistics where they are given."""


def translate(
    frames: Iterable[Frame],
    engine: Engine,
    batch: int,
    strength: float = 1.0,
    size: tuple[int, int] | None = None,
) -> Iterator[TranslatedFrame]:
    """Translate frames, blending the result over the source by `strength` (0 source, 1 result).

    With a `size` (height, width) the engine sees frames of that size, and what it changes in them is
    put back into the frames as they are.

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
                yield from _translated(waiting, engine.spec, call, batch, strength, size)
                waiting = []
        if waiting:
            yield from _translated(waiting, engine.spec, call, batch, strength, size)


def translate_picture(
    pixels: Pixels,
    engine: Engine,
    strength: float = 1.0,
    size: tuple[int, int] | None = None,
) -> Pixels:
    """Translate one picture `[H, W, 3]` of any size; `size` as in `translate`."""
    frame = Frame(0, 0, 0, pixels)
    with patiently(engine) as call:
        return next(_translated([frame], engine.spec, call, 1, strength, size)).pixels


def padded_size(size: tuple[int, int], multiple: int, least: int) -> tuple[int, int]:
    """The smallest (height, width) not below `size` that a generator takes."""

    def up(side: int) -> int:
        return -(-max(side, least) // multiple) * multiple

    return up(size[0]), up(size[1])


def _translated(
    frames: Sequence[Frame],
    spec: GeneratorSpec,
    call: Call,
    batch: int,
    strength: float,
    size: tuple[int, int] | None,
) -> Iterator[TranslatedFrame]:
    sources = [resized(frame.pixels, size) for frame in frames]
    height, width, _ = sources[0].shape
    place = [frame.number % batch for frame in frames]
    # Places without a frame of their own (before a resumed run, after the end) repeat the nearest.
    nearest = [int(np.argmin([abs(p - slot) for p in place])) for slot in range(batch)]
    pictures = np.stack([padded(sources[index], spec) for index in nearest])
    statistics = [frames[index].statistics for index in nearest]
    given = [np.stack(cast(Any, statistics))] if statistics[0] is not None else []
    translated = _run(call, pictures, *given)
    for frame, source, slot in zip(frames, sources, place, strict=True):
        result = translated[slot, :height, :width]
        if size is not None:
            result = put_back(frame.pixels, source, result)
        yield TranslatedFrame(frame, blend(frame.pixels, result, strength))


@contextmanager
def measuring(
    engine: TiledEngine, size: tuple[int, int] | None
) -> Iterator[Callable[[Pixels], NDArray[np.float32]]]:
    """Give what measures the statistics `[2, C]` of a picture; `size` as in `translate`."""
    with patiently(engine.measure) as call:

        def measure(pixels: Pixels) -> NDArray[np.float32]:
            picture = padded(resized(pixels, size), engine.spec)
            with _failing():
                return np.asarray(call(picture[None])[0], np.float32)

        yield measure


def resized(pixels: Pixels, size: tuple[int, int] | None) -> Pixels:
    """A picture at another (height, width); as it is without one."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)


def padded(pixels: Pixels, spec: GeneratorSpec) -> Pixels:
    """Reflect a picture's lower and right edges up to a size that the generator takes."""
    height, width, _ = pixels.shape
    rows, columns = padded_size((height, width), spec.multiple_of, spec.minimum_size)
    if (rows, columns) == (height, width):
        return pixels
    return np.pad(pixels, ((0, rows - height), (0, columns - width), (0, 0)), mode="reflect")


def _run(call: Call, pictures: NDArray[Any], *given: NDArray[np.float32]) -> NDArray[Any]:
    with _failing():
        translated = call(pictures, *given)
    if translated.shape != pictures.shape or translated.dtype != pictures.dtype:
        raise UserError(
            f"The engine gave {translated.dtype} {list(translated.shape)} for"
            f" {pictures.dtype} {list(pictures.shape)}",
            "Use another model or --backend",
        )
    if translated.dtype.kind == "f" and not np.isfinite(translated).all():
        raise UserError("The engine gave numbers that are no colours (NaN)", "Try --precision fp32")
    return translated


@contextmanager
def _failing() -> Iterator[None]:
    """What an engine fails at is the user's to mend."""
    try:
        yield
    except TimeoutError as error:
        raise UserError(
            f"The engine hangs ({error})", "Try again; if it comes back, try another --backend"
        ) from error
    except (RuntimeError, MemoryError) as error:
        raise UserError(
            f"The engine failed ({first_line(error)})",
            "Try a smaller --max-size or another --backend",
        ) from error


def blend(source: Pixels, result: Pixels, strength: float) -> Pixels:
    """Go from `source` (strength 0) to `result` (1), both of one shape and dtype."""
    if strength >= 1:
        return np.ascontiguousarray(result)
    blended = cv2.addWeighted(source, 1 - strength, result, strength, 0)
    return np.asarray(blended, dtype=source.dtype)
