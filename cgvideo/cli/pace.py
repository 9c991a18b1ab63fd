"""How often a conversion reports, whoever reads it."""

import time
from typing import Self

from cgvideo.cli.wording import (
    Speed,
)
from cgvideo.folders.folder import FolderPlan
from cgvideo.folders.manifest import Entry
from cgvideo.plan import Plan
from cgvideo.progress import StageTimes


class Watch:
    """What every display keeps of a run: its length and its speed, and when it last spoke."""

    SECONDS: float
    """between two reports"""

    def __init__(self) -> None:
        self.speed = Speed()
        self.files = Speed()
        self.total: int | None = None
        self._last = time.monotonic()

    def planned(self, plan: Plan) -> None:
        self.total = plan.expected_frames
        self._begin(0)

    def resumed(self, frame: int) -> None:
        self._begin(frame)

    def _begin(self, frame: int) -> None:
        self.speed = Speed()
        self.speed.mark(frame)

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.speed.mark(number + 1)
        now = time.monotonic()
        if now - self._last >= self.SECONDS:
            self._last = now
            self.report(number + 1, stages)

    def report(self, done: int, stages: StageTimes) -> None:
        """Say how far the run is."""

    def folder_planned(self, plan: FolderPlan, todo: int, skipped: int) -> None:
        self.files = Speed()
        self.files.mark(0)

    def file_done(self, entry: Entry, done: int, todo: int) -> None:
        self.files.mark(done)
        if entry.status == "failed":
            self.file_failed(entry)
        now = time.monotonic()
        if now - self._last >= self.SECONDS:
            self._last = now
            self.report_files(done, todo)

    def file_failed(self, entry: Entry) -> None:
        """Say why a file could not be converted."""

    def report_files(self, done: int, todo: int) -> None:
        """Say how far a folder is."""

    def finishing(self) -> None: ...

    def leave(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()
