"""An engine for whole frames that runs in tiles, with the statistics of the whole frame."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.stages.tiling import MOST_SIDE, Grid, Norm, Size, choose_grid, fits, most_whole
from engines.backends import memory_for, open_engine
from engines.engine import Engine, EngineRequest
from engines.errors import UserError, first_line
from engines.model_file import Model
from engines.spec import Form, GeneratorSpec
from engines.store import EngineStore

Measuring = Literal["inside", "whole", "strips", "thumbnail"]
"""Where statistics come from: computed in the pass itself, by a pass of their own over the whole
frame, by one in strips, or from a small picture."""

THUMBNAIL_SIDE = 512
"""The longer side of the picture that `--norm fast` measures."""

MOST_STREAMS = 4
"""The most frames that an engine runs at once by its own choice."""

OUT_OF_MEMORY = (
    "out of memory",
    "out_of_memory",
    "outofmemory",
    "bad_alloc",
    "alloc_failed",
    "failed to allocate",
)
"""What runtimes say, in lower case."""

Statistics = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tiling:
    """How frames of one size go through the engine, decided."""

    grid: Grid
    norm: Norm
    measuring: Measuring
    exact: bool
    """whether the halo is as large as the generator's reach"""

    @property
    def form(self) -> Form:
        """What the engine of the tiles is asked for."""
        return "self" if self.measuring == "inside" else "statistics"

    def describe(self) -> dict[str, Any]:
        """All that decides bytes, ready for JSON."""
        grid = self.grid
        return {
            "size": list(grid.size),
            "tile": list(grid.tile),
            "halo": 0 if grid.whole else grid.halo,
            "norm": self.norm,
            "measuring": self.measuring,
        }

    def __str__(self) -> str:
        where = {
            "inside": "each frame's own statistics",
            "whole": "statistics of the whole frame",
            "strips": "statistics of the whole frame, measured in strips",
            "thumbnail": f"statistics of a picture of {THUMBNAIL_SIDE} pixels (not exact)",
        }
        text = f"{self.grid}, {where[self.measuring]}"
        return text if self.exact else f"{text}; the halo is smaller than the network's reach"


def decide_tiling(
    model: Model,
    size: Size,
    request: EngineRequest,
    norm: Norm = "frame",
    tile: int | None = None,
    halo: int | None = None,
    tiled: bool = True,
    sharers: int = 1,
) -> Tiling:
    """Tiles and statistics for frames of `size` (padded for the generator already).

    `tile` and `halo` as in `choose_grid`; without `tiled` it is the whole frame in any case. The
    device's memory is for as many engines as there are `sharers`. A whole
    frame that needs its own statistics alone takes the engine that computes them inside.

    Raises:
        UserError: the generator cannot be tiled as is asked.
    """
    spec = model.spec
    memory = memory_for(request)
    share = None if memory is None else memory // sharers
    most = most_whole(spec, share, request.streams or 1) if tiled else None
    # A picture's engine takes any size up to this one; a clip's is made for its frames.
    side = MOST_SIDE if tiled and request.size is None else None
    grid = choose_grid(size, spec, tile if tiled else None, halo, most, side)
    exact = grid.whole or grid.halo >= spec.halo
    measuring: Measuring = "whole"
    if not spec.statistics_channels or (grid.whole and norm == "frame"):
        measuring, norm = "inside", "frame"
    elif norm == "fast":
        measuring = "thumbnail"
    elif spec.tileable and not fits(size, most, side):
        measuring = "strips"
    return Tiling(grid, norm, measuring, exact)


def open_tiled(
    model: Model, tiling: Tiling, request: EngineRequest, store: EngineStore | None = None
) -> "TiledEngine":
    """Make the engines of a tiling ready.

    A `request` without a size gets engines for any: a picture comes once, and building one for its
    tiles would take longer than they do.

    Raises:
        UserError: as `open_engine` does.
    """

    # What is measured to be the best number of streams would not ask for the memory.
    height, width = tiling.grid.tile
    scarce = height * width > most_whole(model.spec, memory_for(request), MOST_STREAMS)
    usual = 1 if scarce and request.streams is None else request.streams

    def opened(form: Form, size: Size | None) -> Engine:
        streams = usual if form != "measure" else 1
        asked = replace(request, form=form, size=size, streams=streams)
        return open_engine(model, asked, store)

    return TiledEngine(model, tiling, opened, request.size is not None, request.threads)


class TiledEngine:
    """An `Engine` for frames of `tiling.grid.size`.

    With more than one tile, or statistics from outside, it is an engine of the form "statistics" that
    measures what it is not given. When the device's memory runs out it goes on with smaller tiles:
    `stepped_down` then says so, once for each step, and results are within one level of those before.
    """

    def __init__(
        self,
        model: Model,
        tiling: Tiling,
        opened: Callable[[Form, Size | None], Engine],
        fixed: bool = True,
        threads: int | None = None,
    ) -> None:
        self.tiling = tiling
        self.stepped_down: list[str] = []
        self.crossings: Mapping[str, float] = {}
        self._model = model
        self._opened = opened
        self._fixed = fixed
        self._threads = threads
        self._stack = ExitStack()
        self._engine = self._open(tiling.form, tiling.grid.tile)
        self._measuring: Callable[[NDArray[Any]], Statistics] | None = None
        self._measured_by = ""
        if tiling.measuring in ("whole", "thumbnail"):
            engine = self._open("measure", _measured_size(tiling, self.spec))
            self._measuring, self._measured_by = engine, engine.description
            self._measure_identity = dict(engine.identity)
        elif tiling.measuring == "strips":
            self._measuring, self._measured_by = self._strips(), "strips"
            self._measure_identity = {"measured": "in strips, fp32"}
        else:
            self._measure_identity = {}

    @property
    def spec(self) -> GeneratorSpec:
        """See `engines.engine.Engine`."""
        return self._engine.spec

    @property
    def identity(self) -> Mapping[str, str]:
        """That of the engine of the tiles, and of the one that measures where they differ."""
        own = dict(self._engine.identity)
        other = {f"measure {k}": v for k, v in self._measure_identity.items() if own.get(k) != v}
        return own | other

    @property
    def batch(self) -> int:
        """See `engines.engine.Engine`."""
        return self._engine.batch

    @property
    def description(self) -> str:
        """See `engines.engine.Engine`."""
        return self._engine.description

    @property
    def why(self) -> str:
        """See `engines.engine.Engine`."""
        return self._engine.why

    @property
    def typical(self) -> Statistics | None:
        """The statistics `[2, C]` that the model typically sees, where it knows them."""
        typical = self._model.typical_statistics()
        return None if typical is None else typical[0]

    def measure(self, frames: NDArray[Any]) -> Statistics:
        """Scale and shift float32 `[N, 2, C]` of each of `frames` `[N, H, W, 3]`, of the grid's size."""
        assert self._measuring is not None
        if self.tiling.measuring == "thumbnail":
            height, width = _measured_size(self.tiling, self.spec)
            frames = np.stack(
                [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in frames]
            )
        try:
            return self._measuring(frames)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error) or self.tiling.measuring != "whole":
                raise
            self._measuring = self._strips()
            self.tiling = replace(self.tiling, measuring="strips")
            self._note(error, "statistics are measured in strips")
            return self._measuring(frames)

    def __call__(self, frames: NDArray[Any], statistics: Statistics | None = None) -> NDArray[Any]:
        """See `engines.engine.Engine`; `statistics` may be left out."""
        while True:
            try:
                if statistics is None and self._measuring is not None:
                    statistics = self.measure(frames)
                return self._run(frames, statistics)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error) or not self._step_down(error):
                    raise

    def _run(self, frames: NDArray[Any], statistics: Statistics | None) -> NDArray[Any]:
        grid = self.tiling.grid
        if grid.whole:
            result = self._engine(frames, statistics)
            self.crossings = self._engine.crossings
            return result
        result = np.empty_like(frames)
        for row, column in grid.tiles():
            tile = frames[:, row.start : row.stop, column.start : column.stop]
            translated = self._engine(np.ascontiguousarray(tile), statistics)
            if translated.shape != tile.shape or translated.dtype != tile.dtype:
                return translated  # for who checks it
            kept = translated[:, row.kept, column.kept]
            result[:, row.first : row.end, column.first : column.end] = kept
        return result

    def _step_down(self, error: BaseException) -> bool:
        """Half as large tiles from now on; False where there can be none."""
        old, spec = self.tiling.grid, self.spec
        if not spec.tileable:
            return False
        try:
            height, width = old.tile
            grid = choose_grid(old.size, spec, None, old.halo, height * width // 2, MOST_SIDE)
        except UserError:
            return False
        measuring = self.tiling.measuring
        if measuring == "inside" and spec.statistics_channels:
            measuring = "strips"
            self._measuring = self._strips()
        self._engine.__exit__(None, None, None)
        self.tiling = replace(self.tiling, grid=grid, measuring=measuring)
        self._engine = self._open(self.tiling.form, grid.tile)
        self._note(error, f"{grid} from here on")
        return True

    def _strips(self) -> Callable[[NDArray[Any]], Statistics]:
        # Imported here: only who measures in strips needs this runtime.
        from engines.strips import StripMeasurer

        return StripMeasurer(self._model, self._threads)

    def _note(self, error: BaseException, what: str) -> None:
        self.stepped_down.append(f"the device's memory ran out ({first_line(error)}): {what}")

    def _open(self, form: Form, size: Size) -> Engine:
        return self._stack.enter_context(self._opened(form, size if self._fixed else None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()


def _measured_size(tiling: Tiling, spec: GeneratorSpec) -> Size:
    """The (height, width) that the engine which measures sees."""
    if tiling.measuring != "thumbnail":
        return tiling.grid.size
    size = tiling.grid.size
    scale = min(1.0, THUMBNAIL_SIDE / max(size))
    multiple, least = spec.multiple_of, spec.minimum_size
    height, width = (max(least, round(side * scale / multiple) * multiple) for side in size)
    return height, width


def _is_out_of_memory(error: BaseException) -> bool:
    said = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(words in said for words in OUT_OF_MEMORY)
