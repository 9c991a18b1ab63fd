"""Pictures of a folder through the engine in batches of one size, read and written meanwhile."""

import errno
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Self

from cgvideo.codec.images import Making, opened, write_pictures
from cgvideo.codec.images.formats import format_of
from cgvideo.codec.images.reading import Head, look
from cgvideo.folders.folder import FolderPlan, Item, picture_output
from cgvideo.folders.manifest import Entry, Manifest
from cgvideo.folders.pictures import (
    PictureEngine,
    Ready,
    finished,
    plan_picture,
    ready,
    run_picture,
    size_of_work,
)
from cgvideo.frame import Frame, Pixels
from cgvideo.journal import file_sha256
from cgvideo.plan import engine_size, working_size
from cgvideo.prefetch import in_parallel
from cgvideo.progress import StopRequest
from cgvideo.requests import picture_request, picture_tiling
from cgvideo.settings import Settings
from cgvideo.stages.tiled_engine import open_tiled
from cgvideo.stages.translate import translate
from engines.engine import Engine
from engines.errors import UserError, first_line
from engines.model_file import Model
from engines.store import EngineStore

WORKERS = min(8, os.cpu_count() or 1)
HEADS_AT_ONCE = 64
READ_BUDGET, READ_AHEAD = 48e6, 32  # pixels in hand, or small pictures
WRITE_BUDGET, WRITE_BEHIND = 24e6, 8
DEEP_COSTS = 4  # times the memory
FIXED_FROM = 8e6  # pixels of one size that pay for an engine of that size
MEASURED_FROM = 100  # pictures that pay for measuring how many at once are best
MOST_FAILURES = 3  # of the engine in a row: then it is not the pictures

Shape = tuple[bool, int, int]
"""deep, height and width of what the engine is given"""


@dataclass(frozen=True, slots=True)
class Job:
    """A picture as it was read, on its way through the engine."""

    item: Item
    ready: Ready
    making: Making
    input_sha256: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Outcome:
    """A picture that the engine has translated."""

    job: Job
    result: Pixels


class PictureBatches:
    """Pictures of a folder, until each is recorded as done or failed; `report` is told of each."""

    def __init__(
        self,
        plan: FolderPlan,
        model: Model,
        store: EngineStore,
        manifest: Manifest,
        report: Callable[[Entry], None],
        stop: StopRequest,
        debug: bool = False,
    ) -> None:
        self._plan = plan
        self._model = model
        self._store = store
        self._manifest = manifest
        self._report = report
        self._stop = stop
        self._debug = debug
        self._counts: Counter[Shape] = Counter()
        self._taken: dict[str, str] = {}
        """the inputs that outputs come of, by the outputs' names in small letters"""

    def convert(self, items: list[Item]) -> None:
        """Convert pictures, those of one size after each other; then animations and pages.

        Raises:
            UserError: no engine can be had or it fails again and again; the disk is full.
        """
        if not items:
            return
        wanted = frozenset(items)
        heads = self._heads(wanted)
        shapes = {item: self._shape(item, head) for item, head in heads}
        # Of all in the folder: what is done already has a part in the choice of engines, so that a
        # run that was interrupted goes on to the same bytes.
        self._counts = Counter(shapes[item] for item, head in heads if head.kind == "still")
        heads = [(item, head) for item, head in heads if item in wanted]
        stills = [item for item, head in heads if head.kind == "still"]
        stills.sort(key=lambda item: (shapes[item], item.name))

        sources = {item: (head.deep, *head.size) for item, head in heads}

        def to_read(item: Item) -> float:
            return max(READ_BUDGET / READ_AHEAD, _pixels(sources[item]))

        def to_write(outcome: Outcome) -> float:
            return max(WRITE_BUDGET / WRITE_BEHIND, _pixels(outcome.job.shape))

        with (
            _Engines(self._model, self._plan.settings, self._store) as engines,
            in_parallel(self._read, self._wanted(stills), WORKERS, to_read, READ_BUDGET) as read,
            closing(self._translated(read, engines)) as translated,
            in_parallel(self._write, translated, WORKERS, to_write, WRITE_BUDGET) as written,
        ):
            for entry in written:
                self._report(entry)
        whole = sorted(
            (item for item, head in heads if head.kind != "still"), key=lambda item: shapes[item][0]
        )
        with _Engines(self._model, self._plan.settings, self._store) as engines:
            for item in self._wanted(whole):
                self._report(self._whole(item, engines.for_depth(shapes[item][0])))

    def _heads(self, wanted: frozenset[Item]) -> list[tuple[Item, Head]]:
        """What the folder's pictures say of themselves; if `wanted`, one that says nothing has failed."""

        def head(item: Item) -> Head | UserError:
            try:
                return look(item.source, self._plan.settings.max_pixels)
            except UserError as error:
                return error

        found, items = [], self._plan.pictures
        with in_parallel(head, items, WORKERS, lambda item: 1, HEADS_AT_ONCE) as heads:
            for item, told in zip(items, heads, strict=True):
                if not isinstance(told, UserError):
                    found.append((item, told))
                elif item in wanted:
                    self._report(self._failed(item, told))
        return found

    def _shape(self, item: Item, head: Head) -> Shape:
        deep = head.deep and format_of(picture_output(self._plan, item)).deep
        return (deep, *working_size(head.size, self._plan.settings.max_size))

    def _wanted(self, items: list[Item]) -> Iterator[Item]:
        """Files until the user wants to stop."""
        for item in items:
            if self._stop.wanted:
                return
            yield item

    def _output(self, item: Item) -> Path:
        """Where a picture's result goes; raises UserError where something else is there."""
        output = picture_output(self._plan, item)
        first = self._taken.setdefault(str(output).casefold(), item.name)
        if first != item.name:
            raise UserError(
                f"{first} and {item.name} would both become {output}", "Rename one of them"
            )
        self._manifest.check_output(item.name, output, self._plan.settings.overwrite)
        return output

    # the three stages

    def _read(self, item: Item) -> Job | Entry:
        settings = self._plan.settings
        try:
            output = self._output(item)
            with opened(item.source, settings.max_pixels) as file:
                making = Making.like(file, output, settings.quality)
                deep = file.deep and making.format.deep
                made = ready(next(file.pictures()), settings, deep)
            digest = file_sha256(item.source)
            return Job(item, made, making, digest, (deep, *made.picture.size))
        except Exception as error:
            return self._failed(item, error)

    def _translated(self, read: Iterator[Job | Entry], engines: "_Engines") -> Generator[Outcome]:
        for shape, jobs in groupby(self._readable(read), key=lambda job: job.shape):
            with ExitStack() as own:
                engine = self._engine_for(shape, own, engines)
                yield from self._through(engine, jobs, shape)

    def _readable(self, read: Iterator[Job | Entry]) -> Iterator[Job]:
        for job in read:
            if isinstance(job, Entry):
                self._report(job)
            else:
                yield job

    def _through(self, engine: Engine, jobs: Iterable[Job], shape: Shape) -> Iterator[Outcome]:
        """Pictures of one size in full batches. Those of a batch that fails have failed."""
        waiting: deque[Job] = deque()
        more = iter(jobs)
        batch = min(engine.batch, self._counts[shape] or 1)
        size = size_of_work(shape[1:], self._plan.settings)

        def frames() -> Iterator[Frame]:
            for number, job in enumerate(more):
                waiting.append(job)
                yield Frame(number, 0, 0, job.ready.pixels)

        failures = 0
        while True:
            try:
                for translated in translate(frames(), engine, batch, size=size):
                    yield Outcome(waiting.popleft(), translated.pixels)
                    failures = 0
            except UserError as error:
                failures += 1
                if failures == MOST_FAILURES or self._debug:
                    raise
                while waiting:
                    self._report(self._failed(waiting.popleft().item, error))
            else:
                return

    def _write(self, outcome: Outcome) -> Entry:
        began = time.monotonic()
        job, plan = outcome.job, self._plan
        output = picture_output(plan, job.item)
        try:
            picture = finished(job.ready, outcome.result, plan.settings)
            with self._manifest.committing(output) as (scratch, entries):
                notices = write_pictures(output, [picture], job.making, scratch)
                entry = Entry(
                    job.item.name,
                    output.relative_to(plan.output).as_posix(),
                    "done",
                    notices=tuple(notices),
                    input_sha256=job.input_sha256,
                    output_sha256=file_sha256(scratch),
                    fingerprint=plan.picture_fingerprint,
                    seconds=round(time.monotonic() - began, 3),
                )
                entries.append(entry)
        except Exception as error:
            return self._failed(job.item, error)
        else:
            return entry

    def _whole(self, item: Item, engine: PictureEngine) -> Entry:
        """Convert a file of frames or pages, which are as many as it has."""
        plan, settings = self._plan, self._plan.settings
        try:
            output = self._output(item)
            picture_plan = plan_picture(item.source, output, settings)
            digest = file_sha256(item.source)
            with self._manifest.committing(output) as (scratch, entries):
                result = run_picture(picture_plan, engine, scratch)
                entry = Entry(
                    item.name,
                    output.relative_to(plan.output).as_posix(),
                    "done",
                    notices=result.notices,
                    input_sha256=digest,
                    output_sha256=file_sha256(scratch),
                    fingerprint=plan.picture_fingerprint,
                    seconds=round(result.seconds, 3),
                )
                entries.append(entry)
        except Exception as error:
            return self._failed(item, error)
        else:
            return entry

    def _failed(self, item: Item, error: Exception) -> Entry:
        """Record a file that could not be converted, and why; raise what would hit all others too."""
        if self._debug or is_full(error):
            raise error
        return self._manifest.add(failure(item, error))

    def _engine_for(self, shape: Shape, own: ExitStack, others: "_Engines") -> Engine:
        """An engine of this size, where so many pictures have it that it pays; else of any size."""
        deep, height, width = shape
        count, settings = self._counts[shape], self._plan.settings
        if count * height * width < FIXED_FROM:
            return others.of(shape)
        work_size = size_of_work((height, width), settings) or (height, width)
        size = engine_size(work_size, self._model)
        request = picture_request(settings, deep, size)
        if count >= MEASURED_FROM:
            request = replace(request, streams=None)
        try:
            tiling = picture_tiling(self._model, request, settings, size)
            return own.enter_context(open_tiled(self._model, tiling, request, self._store))
        except UserError:  # too large for one of its own, say
            return others.of(shape)


class _Engines:
    """The engine of any size, for 8 bits or deep pixels: one at a time."""

    def __init__(self, model: Model, settings: Settings, store: EngineStore) -> None:
        self._model = model
        self._settings = settings
        self._store = store
        self._stack = ExitStack()
        self._deep = False
        self._engine: PictureEngine | None = None

    def for_depth(self, deep: bool) -> PictureEngine:
        """The engines for pixels of a depth."""
        if self._engine is None or self._deep != deep:
            self._stack.close()
            engine = PictureEngine(self._model, self._settings, deep, self._store)
            self._engine, self._deep = self._stack.enter_context(engine), deep
        return self._engine

    def of(self, shape: Shape) -> Engine:
        """The engine for pictures of a shape."""
        deep, height, width = shape
        return self.for_depth(deep).of((height, width))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine = None
        self._stack.close()


def _pixels(shape: Shape) -> float:
    """What a picture of a shape costs: pixels of 8 bits that take as much memory."""
    deep, height, width = shape
    return height * width * (DEEP_COSTS if deep else 1)


def failure(item: Item, error: Exception) -> Entry:
    """The record of a file that could not be converted."""
    if isinstance(error, UserError):
        reason = str(error)
    elif isinstance(error, MemoryError):
        reason = f"{item.source} does not fit into the memory. Try --max-size"
    else:  # which must not cost the rest of a night's work
        what = f"{type(error).__name__}: {first_line(error)}"
        reason = f"{item.source}: this is a bug ({what}). The file alone with --debug shows where."
    return Entry(item.name, None, "failed", reason)


def is_full(error: Exception) -> bool:
    """Whether the disk is full, so that nothing else could be written either."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
