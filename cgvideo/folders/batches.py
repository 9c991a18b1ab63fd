"""Pictures through the engine in batches of one size, read and written meanwhile."""

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

from cgvideo.codec.images import Making, opened, write_pictures
from cgvideo.folders.folder import FolderPlan, Item, picture_output
from cgvideo.folders.manifest import Entry
from cgvideo.folders.pictures import (
    Ready,
    finished,
    plan_picture,
    ready,
    run_picture,
    size_of_work,
)
from cgvideo.folders.shapes import Census, Shape, ShapeEngines, cost_of
from cgvideo.frame import Frame, Pixels
from cgvideo.journal import file_sha256
from cgvideo.prefetch import in_parallel
from cgvideo.stages.translate import translate
from engines.engine import Engine
from engines.errors import UserError, first_line

WORKERS = min(8, os.cpu_count() or 1)
READ_BUDGET, READ_AHEAD = 48e6, 32  # pixels in hand, or small pictures
WRITE_BUDGET, WRITE_BEHIND = 24e6, 8
MOST_FAILURES = 3  # of the engine in a row: then it is not the pictures


@dataclass(frozen=True, slots=True)
class Task:
    """A file to convert, and what its head says of it."""

    item: Item
    shape: Shape
    is_still: bool


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


class Commits(Protocol):
    """What is needed of a manifest."""

    def add(self, entry: Entry) -> Entry:
        """This and what is below: see `Manifest`."""

    def committing(self, path: Path) -> AbstractContextManager[tuple[Path, list[Entry]]]: ...


class PictureBatches:
    """Pictures of a folder, each until it is recorded as done or failed; `report` is told of each."""

    def __init__(
        self,
        plan: FolderPlan,
        census: Census,
        engines: ShapeEngines,
        manifest: Commits,
        report: Callable[[Entry], None],
        debug: bool = False,
    ) -> None:
        self._plan = plan
        self._census = census
        self._engines = engines
        self._manifest = manifest
        self._report = report
        self._debug = debug
        self._failures = 0  # of the engine, in a row

    def convert(self, tasks: Iterable[Task]) -> None:
        """Convert files in order: the better for the engine where those of a shape follow each other.

        Raises:
            UserError: no engine can be had or it fails again and again; the disk is full.
        """
        for are_stills, those in groupby(tasks, key=lambda task: task.is_still):
            if are_stills:
                self._convert_stills(those)
                continue
            for task in those:
                self._report(self._whole(task))

    def _convert_stills(self, tasks: Iterable[Task]) -> None:
        def to_read(task: Task) -> float:
            return max(READ_BUDGET / READ_AHEAD, cost_of(task.shape))

        def to_write(outcome: Outcome) -> float:
            return max(WRITE_BUDGET / WRITE_BEHIND, cost_of(outcome.job.shape))

        with (
            in_parallel(self._read, tasks, WORKERS, to_read, READ_BUDGET) as read,
            closing(self._translated(read)) as translated,
            in_parallel(self._write, translated, WORKERS, to_write, WRITE_BUDGET) as written,
        ):
            for entry in written:
                self._report(entry)

    # the three stages

    def _read(self, task: Task) -> Job | Entry:
        settings, item = self._plan.settings, task.item
        try:
            output = picture_output(self._plan, item)
            with opened(item.source, settings.max_pixels) as file:
                making = Making.like(file, output, settings.quality)
                deep = file.deep and making.format.deep
                made = ready(next(file.pictures()), settings, deep)
            digest = file_sha256(item.source)
            return Job(item, made, making, digest, (deep, *made.picture.size))
        except Exception as error:
            return self._failed(item, error)

    def _translated(self, read: Iterator[Job | Entry]) -> Generator[Outcome]:
        for shape, jobs in groupby(self._readable(read), key=lambda job: job.shape):
            yield from self._through(self._engines.of(shape), jobs, shape)

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
        batch = min(engine.batch, self._census.counts.get(shape, 1))
        size = size_of_work(shape[1:], self._plan.settings)

        def frames() -> Iterator[Frame]:
            for number, job in enumerate(more):
                waiting.append(job)
                yield Frame(number, 0, 0, job.ready.pixels)

        while True:
            try:
                for translated in translate(frames(), engine, batch, size=size):
                    yield Outcome(waiting.popleft(), translated.pixels)
                    self._failures = 0
            except UserError as error:
                self._failures += 1
                if self._failures == MOST_FAILURES or self._debug:
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

    def _whole(self, task: Task) -> Entry:
        """Convert a file of frames or pages, which are as many as it has."""
        plan, item = self._plan, task.item
        try:
            engine = self._engines.for_depth(task.shape[0])
            output = picture_output(plan, item)
            picture_plan = plan_picture(item.source, output, plan.settings)
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
