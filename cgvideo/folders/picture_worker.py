"""A worker that converts pictures of a folder, in a process of its own."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cgvideo.codec.errors import writing
from cgvideo.folders.batches import PictureBatches, Task
from cgvideo.folders.folder import FolderPlan
from cgvideo.folders.manifest import Entry
from cgvideo.folders.shapes import Census, ShapeEngines
from cgvideo.requests import of_one_worker
from cgvideo.workers.worker import see
from engines.atomic import make_folder, waiting
from engines.errors import UserError
from engines.library import find_model
from engines.store import EngineStore

Errand = tuple[Task, ...]
"""Files to convert, one after the other; their paths are absolute."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of the files of an errand."""

    entries: tuple[tuple[Entry, Path | None], ...]
    """each record, and where the finished file waits for its name"""
    seconds: float
    engines: dict[str, dict[str, str]]
    """see `ShapeEngines.used`"""
    host: str


@dataclass(frozen=True, slots=True)
class FolderPost:
    """What a worker is hired for; paths are absolute."""

    plan: FolderPlan
    model: str
    """name of a model that all machines have, or path of its file"""
    model_sha256: str
    census: Census
    debug: bool

    def hand(self, device: str) -> "PictureWorker":
        """A worker; raises UserError where it cannot see the files."""
        return PictureWorker(self, device)


class PictureWorker:
    """Converts pictures, with engines that stay open from one errand to the next."""

    def __init__(self, post: FolderPost, device: str) -> None:
        plan = post.plan
        see(plan.source, plan.output)
        model = find_model(post.model)
        if model.sha256 != post.model_sha256:
            host = socket.gethostname()
            raise UserError(
                f"A worker on {host} has another model {post.model}",
                "Give a model file that all machines see by the same path",
            )
        # What is best on one machine of a cluster may not be on another, and decides bytes.
        measured = plan.settings.ray is None
        settings = of_one_worker(plan.settings, device)
        plan = replace(plan, settings=settings)
        self._engines = ShapeEngines(model, settings, EngineStore(), post.census, measured)
        self._place = _Place()
        self._entries: list[Entry] = []
        self._batches = PictureBatches(
            plan, post.census, self._engines, self._place, self._entries.append, post.debug
        )

    def do(self, errand: Errand) -> Made:
        """Convert files. Raises UserError for what would hit all others too."""
        began = time.monotonic()
        self._batches.convert(errand)
        waiting = self._place.waiting
        made = tuple((entry, waiting.get(entry.input)) for entry in self._entries)
        used = dict(self._engines.used)
        for told in (waiting, self._entries, self._engines.used):
            told.clear()
        return Made(made, time.monotonic() - began, used, socket.gethostname())

    def close(self) -> None:
        """Let the engines go."""
        self._engines.__exit__()


class _Place:
    """What batches need of a manifest, where the manifest is another process's."""

    def __init__(self) -> None:
        self.waiting: dict[str, Path] = {}
        """finished files that wait for their names, by their inputs"""

    def add(self, entry: Entry) -> Entry:
        return entry

    @contextmanager
    def committing(self, path: Path) -> Iterator[tuple[Path, list[Entry]]]:
        with writing(path):
            make_folder(path.parent)
            entries: list[Entry] = []
            with waiting(path) as scratch:
                yield scratch, entries
            for entry in entries:
                self.waiting[entry.input] = scratch
