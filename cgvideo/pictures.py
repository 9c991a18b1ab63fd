"""Picture files through the engine: stills, pages and animations, each file with all it says."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.codec.images import SUFFIXES, Making, Picture, opened, write_pictures
from cgvideo.codec.images.formats import format_of, suffix_of
from cgvideo.codec.images.picture import to_eight_bits
from cgvideo.codec.images.profiles import space_of
from cgvideo.codec.images.reading import Kind
from cgvideo.frame import Frame, Pixels, side_by_side
from cgvideo.plan import choose_output, engine_request, working_size
from cgvideo.settings import Settings
from cgvideo.translate import blend, translate, translate_picture
from engines.backends import open_engine
from engines.engine import Engine, EngineRequest
from engines.model_file import Model
from engines.store import EngineStore


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """A conversion of a picture file, decided. `size` is the (height, width) that is translated."""

    source: Path
    source_size: tuple[int, int]
    output: Path
    size: tuple[int, int]
    kind: Kind
    deep: bool
    """whether the engine is given float32"""
    settings: Settings


@dataclass(frozen=True, slots=True)
class PictureResult:
    """A finished picture file. `seconds` are those of translating and writing it."""

    output: Path
    size: tuple[int, int]
    seconds: float
    engine: str
    notices: tuple[str, ...] = ()
    """what could not be kept, a line each"""


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture in its own colours, and as the engine is given it: in sRGB."""

    picture: Picture
    pixels: Pixels


def convert_picture(source: Path, model: Model, settings: Settings) -> PictureResult:
    """Convert one picture file. Metadata, profile and transparency are kept.

    Raises:
        UserError: something the caller can mend.
    """
    with prepared_picture(source, model, settings, EngineStore()) as (plan, engine):
        return run_picture(plan, engine)


@contextmanager
def prepared_picture(
    source: Path, model: Model, settings: Settings, store: EngineStore | None = None
) -> Iterator[tuple[PicturePlan, Engine]]:
    """Look at a picture file, decide what becomes of it, and make an engine of any size ready.

    Nothing is written but what `store` keeps.
    """
    suffix = picture_suffix(source, settings)
    output = choose_output(source, model.name, settings, suffix, kinds=tuple(SUFFIXES))
    plan = plan_picture(source, output, settings)
    with open_engine(model, picture_request(settings, plan.deep), store) as engine:
        yield plan, engine


def plan_picture(source: Path, output: Path, settings: Settings) -> PicturePlan:
    """Decide how a picture file becomes `output`, by its head.

    Raises:
        UserError: it cannot be read, or the output's format cannot hold it.
    """
    with opened(source, settings.max_pixels) as file:
        making = Making.like(file, output, settings.quality)
        size = working_size(file.size, settings.max_size)
        deep = file.deep and making.format.deep
        return PicturePlan(source, file.size, output, size, file.kind, deep, settings)


def picture_suffix(source: Path, settings: Settings) -> str:
    """The suffix of what becomes of a picture: its own, or that of the format asked for."""
    own = source.suffix
    if settings.format is None:
        return own.lower()
    asked = suffix_of(settings.format)
    return own.lower() if SUFFIXES.get(own.lower()) is SUFFIXES[asked] else asked


def picture_request(
    settings: Settings, deep: bool, size: tuple[int, int] | None = None, streams: int | None = 1
) -> EngineRequest:
    """What is asked of an engine for pictures: of any size, if not of `size` (height, width).

    Deep pixels are computed in fp32, if nothing else is asked for: half precision has 8 to 11 bits.
    """
    request = replace(engine_request(settings, size), streams=streams)
    if not deep:
        return request
    precision = "fp32" if request.precision == "auto" else request.precision
    return replace(request, pixels="float32", precision=precision)


def run_picture(plan: PicturePlan, engine: Engine, scratch: Path | None = None) -> PictureResult:
    """Translate a picture file and put the finished one in place (or into `scratch`).

    Raises:
        UserError: it cannot be read, translated or written.
    """
    began = time.monotonic()
    settings = plan.settings
    with opened(plan.source, settings.max_pixels) as file:
        making = Making.like(file, plan.output, settings.quality)
        pictures = (ready(picture, settings, plan.deep) for picture in file.pictures())
        translated = _translated(pictures, engine, plan)
        notices = write_pictures(plan.output, translated, making, scratch)
    description = f"{engine.description}: {engine.why}"
    seconds = time.monotonic() - began
    return PictureResult(plan.output, plan.size, seconds, description, tuple(notices))


def _translated(pictures: Iterable[Ready], engine: Engine, plan: PicturePlan) -> Iterator[Picture]:
    """Pages one by one, for they may differ in size; frames of an animation as those of a clip."""
    if plan.kind != "frames":
        for page in pictures:
            yield finished(page, translate_picture(page.pixels, engine), plan.settings)
        return
    waiting: deque[Ready] = deque()
    for translated in translate(_frames(pictures, waiting), engine, engine.batch):
        yield finished(waiting.popleft(), translated.pixels, plan.settings)


def _frames(pictures: Iterable[Ready], waiting: deque[Ready]) -> Iterator[Frame]:
    """An animation as frames with pts and durations in milliseconds; `waiting` keeps the pictures."""
    moment = 0.0
    for number, picture in enumerate(pictures):
        waiting.append(picture)
        pts, moment = round(moment), moment + picture.picture.milliseconds
        yield Frame(number, pts, round(moment) - pts, picture.pixels)


def ready(picture: Picture, settings: Settings, deep: bool) -> Ready:
    """Shrink a picture as the settings ask, and make of it what an engine takes."""
    height, width = size = working_size(picture.size, settings.max_size)
    if size != picture.size:
        smaller = _shrunk(picture.pixels, (height, width))
        alpha = None if picture.alpha is None else _shrunk(picture.alpha, (height, width))
        picture = replace(picture, pixels=smaller, alpha=alpha)
    space = space_of(picture.icc_profile)
    pixels = picture.pixels if space is None else space.to_srgb(picture.pixels)
    return Ready(picture, _of_depth(pixels, deep))


def finished(source: Ready, result: Pixels, settings: Settings) -> Picture:
    """What becomes of a picture by the engine's `result`: in its own colours, blended, side by side."""
    picture = source.picture
    result = _of_depth(result, picture.deep)
    space = space_of(picture.icc_profile)
    if space is not None:
        result = space.from_srgb(result)
    result = blend(picture.pixels, result, settings.strength)
    if not settings.compare:
        return replace(picture, pixels=result)
    alpha = picture.alpha
    alpha = None if alpha is None else np.concatenate([alpha, alpha], axis=1)
    return replace(picture, pixels=side_by_side(picture.pixels, result), alpha=alpha)


def same_format(source: Path, output: Path) -> bool:
    """Whether two names say the same picture format."""
    return format_of(source) is format_of(output)


def _shrunk(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    smaller = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, dtype=pixels.dtype)


def _of_depth(pixels: Pixels, deep: bool) -> Pixels:
    if not deep:
        return to_eight_bits(pixels)
    return pixels if pixels.dtype != np.uint8 else pixels.astype(np.float32) / np.float32(255)
