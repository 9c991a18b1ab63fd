"""Picture files through the engine: stills, pages and animations, each file with all it says."""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.codec.images import SUFFIXES, Making, Picture, opened, write_pictures
from cgvideo.codec.images.formats import suffix_of
from cgvideo.codec.images.picture import to_eight_bits
from cgvideo.codec.images.profiles import space_of
from cgvideo.codec.images.reading import Kind
from cgvideo.frame import Frame, Pixels, side_by_side
from cgvideo.places import choose_output
from cgvideo.requests import alone, picture_request, picture_tiling
from cgvideo.settings import Settings
from cgvideo.sizes import engine_size, working_size
from cgvideo.stages.scenes import marked
from cgvideo.stages.smoothing import smoothed
from cgvideo.stages.tiled_engine import TiledEngine, Tiling, open_tiled
from cgvideo.stages.translate import blend, translate, translate_picture
from engines.model_file import Model
from engines.store import EngineStore

LEAST_SMOOTHED = 32  # pixels: the motion in smaller animations is not looked for


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


class PictureEngine:
    """Engines for pictures as they come: one for all sizes that fit into the memory whole, else tiles.

    One is open at a time.
    """

    def __init__(
        self, model: Model, settings: Settings, deep: bool, store: EngineStore | None = None
    ) -> None:
        self._model = model
        self._settings = settings
        self._store = store
        self._request = picture_request(settings, deep, None)
        self._stack = ExitStack()
        self._engine: TiledEngine | None = None
        self._for: Tiling | None = None
        self._steps: list[str] = []

    def of(self, size: tuple[int, int]) -> TiledEngine:
        """The engine for pictures of `size` (height, width) as they come out.

        Raises:
            UserError: none can be had.
        """
        model, request = self._model, self._request
        work_size = size_of_work(size, self._settings) or size
        tiling = picture_tiling(model, request, self._settings, engine_size(work_size, model))
        for_any = tiling.grid.whole and tiling.measuring == "inside"
        wanted = None if for_any else tiling
        if self._engine is None or self._engine.stepped_down or self._for != wanted:
            self._leave()
            engine = open_tiled(model, tiling, request, self._store)
            self._engine, self._for = self._stack.enter_context(engine), wanted
        self._engine.tiling = tiling  # for the step to tiles, should the memory run out
        return self._engine

    @property
    def steps(self) -> list[str]:
        """Where the memory ran out and smaller tiles were taken, a line each."""
        return self._steps + ([] if self._engine is None else self._engine.stepped_down)

    @property
    def said(self) -> str:
        """What was chosen and why, in one line."""
        return "" if self._engine is None else f"{self.description}: {self.why}"

    @property
    def tiling(self) -> Tiling | None:
        """How pictures of the last size that was asked for go through it."""
        return None if self._engine is None else self._engine.tiling

    @property
    def description(self) -> str:
        """What was chosen."""
        return "" if self._engine is None else self._engine.description

    @property
    def why(self) -> str:
        """Why it was chosen."""
        return "" if self._engine is None else self._engine.why

    def _leave(self) -> None:
        if self._engine is not None:
            self._steps += self._engine.stepped_down
        self._engine = None
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._leave()


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
) -> Iterator[tuple[PicturePlan, PictureEngine]]:
    """Look at a picture file, decide what becomes of it, and make an engine of any size ready.

    Nothing is written but what `store` keeps.
    """
    settings = alone(settings)
    suffix = picture_suffix(source, settings)
    output = choose_output(source, model.name, settings, suffix, kinds=tuple(SUFFIXES))
    plan = plan_picture(source, output, settings)
    with PictureEngine(model, settings, plan.deep, store) as engine:
        engine.of(plan.size)
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


def run_picture(
    plan: PicturePlan, engines: PictureEngine, scratch: Path | None = None
) -> PictureResult:
    """Translate a picture file and put the finished one in place (or into `scratch`).

    Raises:
        UserError: it cannot be read, translated or written.
    """
    began, steps_before = time.monotonic(), len(engines.steps)
    settings = plan.settings
    with opened(plan.source, settings.max_pixels) as file:
        making = Making.like(file, plan.output, settings.quality)
        pictures = (ready(picture, settings, plan.deep) for picture in file.pictures())
        translated = _frames if plan.kind == "frames" else _pages
        finished_ones = translated(pictures, engines, settings)
        notices = write_pictures(plan.output, finished_ones, making, scratch)
    notices += engines.steps[steps_before:]
    seconds = time.monotonic() - began
    return PictureResult(plan.output, plan.size, seconds, engines.said, tuple(notices))


def _pages(
    pictures: Iterable[Ready], engines: PictureEngine, settings: Settings
) -> Iterator[Picture]:
    """Pictures one by one, for they may differ in size."""
    for picture in pictures:
        size = picture.picture.size
        engine, work_size = engines.of(size), size_of_work(size, settings)
        result = translate_picture(picture.pixels, engine, size=work_size)
        yield finished(picture, result, settings)


def _frames(
    pictures: Iterable[Ready], engines: PictureEngine, settings: Settings
) -> Iterator[Picture]:
    """Frames of an animation as those of a clip, smoothed as they are; times are in milliseconds."""
    waiting: deque[Ready] = deque()

    def frames() -> Iterator[Frame]:
        moment = 0.0
        for number, picture in enumerate(pictures):
            waiting.append(picture)
            pts, moment = round(moment), moment + picture.picture.milliseconds
            yield Frame(number, pts, round(moment) - pts, picture.pixels)

    first = next(incoming := frames(), None)
    if first is None:
        return
    size = waiting[0].picture.size
    engine, work_size = engines.of(size), size_of_work(size, settings)
    steadiness = settings.smoothing() if min(size) >= LEAST_SMOOTHED else 0.0
    source = itertools.chain([first], incoming)
    scenes = marked(source) if steadiness else source
    results = translate(scenes, engine, engine.batch, size=work_size)
    for result in smoothed(results, steadiness) if steadiness else results:
        yield finished(waiting.popleft(), result.pixels, settings)


def size_of_work(size: tuple[int, int], settings: Settings) -> tuple[int, int] | None:
    """The (height, width) at which a picture of `size` is translated, if not as it is."""
    work_size = working_size(size, settings.work_size)
    return None if work_size == size else work_size


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


def _shrunk(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    smaller = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, dtype=pixels.dtype)


def _of_depth(pixels: Pixels, deep: bool) -> Pixels:
    if not deep:
        return to_eight_bits(pixels)
    return pixels if pixels.dtype != np.uint8 else pixels.astype(np.float32) / np.float32(255)
