"""The files of a folder through the engine: pictures in batches of one size, videos one by one."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cgvideo.codec.probe import probe
from cgvideo.folders.batches import failure, is_full
from cgvideo.folders.folder import FolderPlan, Item
from cgvideo.folders.manifest import NAME, Entry, Manifest, is_done
from cgvideo.folders.picture_run import PictureRun
from cgvideo.journal import file_sha256
from cgvideo.places import usual_suffix
from cgvideo.prefetch import in_parallel
from cgvideo.progress import Stopped, StopRequest
from cgvideo.settings import Settings
from engines.atomic import make_folder
from engines.errors import UserError
from engines.model_file import Model
from engines.store import EngineStore

WORKERS = min(8, os.cpu_count() or 1)
AT_ONCE = 32  # files that are hashed ahead

ConvertVideo = Callable[[Path, Settings], Sequence[str]]
"""Converts a video into the settings' output and gives what could not be kept, a line each; may raise
UserError, and Stopped."""


class FolderProgress(Protocol):
    """Who wants to know how a folder goes on. Called from one thread."""

    def folder_planned(self, plan: FolderPlan, todo: int, skipped: int) -> None:
        """Work begins; `skipped` files are done already."""

    def file_done(self, entry: Entry, done: int, todo: int) -> None:
        """A file is done, or has failed: the `done`-th of `todo`."""

    def notice(self, text: str) -> None:
        """Something the user should know, one line."""


class SilentFolder:
    """Tells nobody."""

    def folder_planned(self, plan: FolderPlan, todo: int, skipped: int) -> None: ...

    def file_done(self, entry: Entry, done: int, todo: int) -> None: ...

    def notice(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class FolderResult:
    """What became of a folder. `left` files are not converted since the user wanted to stop."""

    output: Path
    manifest: Path
    done: int
    failed: int
    skipped: int
    left: int
    left_alone: Mapping[str, int]
    seconds: float


def run_folder(
    plan: FolderPlan,
    model: Model,
    store: EngineStore,
    convert_video: ConvertVideo,
    progress: FolderProgress | None = None,
    stop: StopRequest | None = None,
    debug: bool = False,
) -> FolderResult:
    """Convert all files of a folder; one that cannot be converted does not stop the rest.

    What an earlier run with the same settings has finished, and nobody has changed since, is not
    done again. With `debug` the first error is raised.

    Raises:
        UserError: the output holds a finished conversion, no engine can be had, the disk is full.
    """
    description = {
        "source": str(plan.source),
        "model": plan.model,
        "model_sha256": model.sha256,
        "picture_fingerprint": plan.picture_fingerprint,
        "video_fingerprint": plan.video_fingerprint,
    }
    with Manifest(plan.output, description) as manifest:
        settings = plan.settings
        if manifest.entries and not (
            manifest.unfinished or settings.skip_existing or settings.overwrite
        ):
            raise UserError(
                f"{plan.output} holds a finished conversion",
                "Give --skip-existing to convert what is new or changed, --overwrite to replace"
                " what is there, or another folder with -o",
            )
        run = _Run(
            plan,
            model,
            store,
            manifest,
            progress or SilentFolder(),
            stop or StopRequest(),
            debug,
        )
        return run.run(convert_video)


class _Run:
    """A folder's files, until each is done or has failed."""

    def __init__(
        self,
        plan: FolderPlan,
        model: Model,
        store: EngineStore,
        manifest: Manifest,
        progress: FolderProgress,
        stop: StopRequest,
        debug: bool,
    ) -> None:
        self.plan = plan
        self.settings = plan.settings
        self.model = model
        self.store = store
        self.manifest = manifest
        self.progress = progress
        self.stop = stop
        self.debug = debug
        self.counts: Counter[str] = Counter()
        self.todo = 0

    def run(self, convert_video: ConvertVideo) -> FolderResult:
        began = time.monotonic()
        plan = self.plan
        self.manifest.begin()
        pictures = self._not_done(plan.pictures, plan.picture_fingerprint)
        videos = self._not_done(plan.videos, plan.video_fingerprint)
        self.todo = len(pictures) + len(videos)
        skipped = plan.total - self.todo
        self.progress.folder_planned(plan, self.todo, skipped)
        run = PictureRun(
            plan,
            self.model,
            self.store,
            self.manifest,
            self._done,
            self.progress.notice,
            self.stop,
            self.debug,
        )
        run.convert(pictures)
        for item in videos:
            if self.stop.wanted or not self._convert_video(item, convert_video):
                break
        left = self.todo - self.counts["done"] - self.counts["failed"]
        if not left:
            self.manifest.finish({**self.counts, "skipped": skipped})
        return FolderResult(
            plan.output,
            plan.output / NAME,
            self.counts["done"],
            self.counts["failed"],
            skipped,
            left,
            plan.left_alone,
            time.monotonic() - began,
        )

    def _not_done(self, items: tuple[Item, ...], fingerprint: str) -> list[Item]:
        """Files that no earlier run has finished with these settings."""
        if self.settings.overwrite:
            return list(items)

        def done(item: Item) -> bool:
            entry = self.manifest.entries.get(item.name)
            if entry is None or entry.output is None:
                return False
            # Of what the manifest says only the suffix goes into a path, and that has no slash.
            output = self.plan.output_of(item, Path(entry.output).suffix)
            if output != self.plan.output / entry.output:
                return False
            return is_done(entry, item.source, output, fingerprint)

        with in_parallel(done, items, WORKERS, lambda item: 1, AT_ONCE) as results:
            return [item for item, skip in zip(items, results, strict=True) if not skip]

    def _done(self, entry: Entry) -> None:
        """Count a file that is recorded, and say so."""
        self.counts[entry.status] += 1
        done = self.counts["done"] + self.counts["failed"]
        self.progress.file_done(entry, done, self.todo)

    def _convert_video(self, item: Item, convert_video: ConvertVideo) -> bool:
        """Convert a video and record it; False when the user wanted to stop before its end."""
        began = time.monotonic()
        before = self.manifest.entries.get(item.name)
        notices: tuple[str, ...] = ()
        try:
            output = self.plan.output_of(item, usual_suffix(probe(item.source), self.settings))
            name = output.relative_to(self.plan.output).as_posix()
            entry = Entry(
                item.name,
                name,
                "begun",
                input_sha256=file_sha256(item.source),
                fingerprint=self.plan.video_fingerprint,
            )
            finished = before == entry and output.is_file()  # and not recorded: a power cut, say
            if not finished:
                self.manifest.check_output(item.name, output, self.settings.overwrite)
                make_folder(output.parent)
                self.manifest.add(entry)
                own = replace(self.settings, output=output, overwrite=True)
                notices = tuple(convert_video(item.source, own))
        except Stopped:
            return False
        except UserError as error:
            if self.debug or is_full(error):
                raise
            entry = failure(item, error)
        else:
            seconds = round(time.monotonic() - began, 3)
            digest = file_sha256(output)
            entry = replace(
                entry, status="done", notices=notices, output_sha256=digest, seconds=seconds
            )
        self._done(self.manifest.add(entry))
        return True
