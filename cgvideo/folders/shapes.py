"""Pictures by what the engine is given of them, and the engine for each shape."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Self

from cgvideo.folders.pictures import PictureEngine, size_of_work
from cgvideo.plan import without_number
from cgvideo.requests import picture_request, picture_tiling
from cgvideo.settings import Settings
from cgvideo.sizes import engine_size
from cgvideo.stages.tiled_engine import TiledEngine, open_tiled
from engines.errors import UserError
from engines.model_file import Model
from engines.store import EngineStore

FIXED_FROM = 8e6  # pixels of one size that pay for an engine of that size
MEASURED_FROM = 100  # pictures that pay for measuring how many at once are best
DEEP_COSTS = 4  # times the memory

Shape = tuple[bool, int, int]
"""deep, height and width of what the engine is given"""


def cost_of(shape: Shape) -> float:
    """What a picture of a shape costs: pixels of 8 bits that take as much memory."""
    deep, height, width = shape
    return height * width * (DEEP_COSTS if deep else 1)


@dataclass(frozen=True, slots=True)
class Census:
    """How many stills of each shape a folder has, of those that decide over engines.

    It is of all in the folder: what is done already has a part in the choice, so that a run that was
    interrupted goes on to the same bytes, and so has what other workers do.
    """

    counts: Mapping[Shape, int]

    def pays(self, shape: Shape) -> bool:
        """Whether so many pictures have this shape that an engine of this size pays."""
        _, height, width = shape
        return self.counts.get(shape, 0) * height * width >= FIXED_FROM


class ShapeEngines:
    """Engines for shapes: one of any size for the rest, and one of the last size that pays."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        store: EngineStore,
        census: Census,
        measured: bool = True,
    ) -> None:
        """`measured`: the number of streams may be what is best on this machine."""
        self._model = model
        self._settings = settings
        self._store = store
        self._census = census
        self._measured = measured
        self._any = ExitStack()
        self._any_engine: tuple[bool, PictureEngine] | None = None
        self._fixed = ExitStack()
        self._fixed_engine: tuple[Shape, TiledEngine | None] | None = None
        self.used: dict[str, dict[str, str]] = {}
        """what decides the bytes of each shape that was asked for, and of the engine of any size"""

    def of(self, shape: Shape) -> TiledEngine:
        """The engine for stills of a shape.

        Raises:
            UserError: none can be had.
        """
        deep, height, width = shape
        engine = self._of_its_size(shape) if self._census.pays(shape) else None
        if engine is None:
            engine = self.for_depth(deep).of((height, width))
            self._note(f"any size {deep} {engine.tiling.form}", engine.identity)
        tiles = json.dumps(engine.tiling.describe(), sort_keys=True)
        self._note(str(shape), {**engine.identity, "tiles": tiles})
        return engine

    def for_depth(self, deep: bool) -> PictureEngine:
        """The engines of any size, for 8 bits or deep pixels: one at a time."""
        if self._any_engine is None or self._any_engine[0] != deep:
            self._any_engine = None
            self._any.close()
            engine = PictureEngine(self._model, self._settings, deep, self._store)
            self._any_engine = deep, self._any.enter_context(engine)
        return self._any_engine[1]

    def _note(self, what: str, identity: Mapping[str, str]) -> None:
        self.used.setdefault(what, without_number(identity))

    def _of_its_size(self, shape: Shape) -> TiledEngine | None:
        """An engine of one size; None where there can be none, as it is too large, say."""
        if self._fixed_engine is None or self._fixed_engine[0] != shape:
            self._fixed_engine = None
            self._fixed.close()
            self._fixed_engine = shape, self._opened(shape)
        return self._fixed_engine[1]

    def _opened(self, shape: Shape) -> TiledEngine | None:
        deep, height, width = shape
        settings = self._settings
        size = engine_size(size_of_work((height, width), settings) or (height, width), self._model)
        request = picture_request(settings, deep, size)
        if self._measured and self._census.counts[shape] >= MEASURED_FROM:
            request = replace(request, streams=None)
        try:
            tiling = picture_tiling(self._model, request, settings, size)
            return self._fixed.enter_context(open_tiled(self._model, tiling, request, self._store))
        except UserError:
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._any_engine = self._fixed_engine = None
        self._fixed.close()
        self._any.close()
