"""A conversion as lines for people: with a bar on a terminal, else a line a minute."""

import sys
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cgvideo.cli.pace import Watch
from cgvideo.cli.reports import say
from cgvideo.cli.wording import (
    explanation,
    folder_lines,
    folder_progress_line,
    folder_result_lines,
    picture_lines,
    progress_line,
    result_line,
    stop_lines,
    wrapped,
)
from cgvideo.estimate import Estimate
from cgvideo.folders.folder import FolderPlan
from cgvideo.folders.folder_run import FolderResult
from cgvideo.folders.manifest import Entry
from cgvideo.folders.pictures import PictureEngine, PicturePlan, PictureResult
from cgvideo.pipeline import Result
from cgvideo.plan import Plan
from cgvideo.progress import StageTimes, Stopped
from engines.engine import Engine
from engines.errors import UserError
from engines.model_file import Model


class PlainDisplay(Watch):
    """Lines of text: what is decided, one line a minute, one at the end."""

    SECONDS = 60.0

    def say(self, text: str) -> None:
        """Print one line."""
        say(text, sys.stderr)

    def preparing(self, source: Path) -> None:
        self.say(f"{source}: looking at it and making the engine ready …")

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None:
        for line in explanation(plan, engine, model, cost):
            self.say(line)

    def explain_picture(self, plan: PicturePlan, engine: PictureEngine, model: Model) -> None:
        for line in picture_lines(plan, engine, model):
            self.say(line)

    def note(self, text: str) -> None:
        self.say(text)

    def failed(self, source: Path, error: UserError) -> None:
        self.say(f"cgvideo: {error}")

    def picture_done(self, source: Path, result: PictureResult) -> None:
        height, width = result.size
        self.say(f"{result.output}: {width}x{height} in {result.seconds:.1f} s ({result.engine})")

        for notice in result.notices:
            self.notice(notice)

    def explain_folder(self, plan: FolderPlan, model: Model) -> None:
        for line in folder_lines(plan, model):
            self.say(line)

    def folder_planned(self, plan: FolderPlan, todo: int, skipped: int) -> None:
        super().folder_planned(plan, todo, skipped)
        if skipped:
            self.say(f"{skipped} files are done already, {todo} are left")

    def file_failed(self, entry: Entry) -> None:
        self.say(f"cgvideo: {entry.reason}")

    def report_files(self, done: int, todo: int) -> None:
        self.say(folder_progress_line(done, todo, self.files))

    def folder_finished(self, plan: FolderPlan, result: FolderResult) -> None:
        for line in folder_result_lines(result):
            self.say(line)

    def notice(self, text: str) -> None:
        self.say(f"note: {text}")

    def resumed(self, frame: int) -> None:
        self.say(f"resuming at frame {frame} of {self.total or 'an unknown number'}")
        super().resumed(frame)

    def report(self, done: int, stages: StageTimes) -> None:
        self.say(progress_line(done, self.total, self.speed, stages))

    def stopping(self) -> None:
        self.say(
            "Stopping: the segment in hand is finished if that takes under a minute, a picture in"
            " any case. Ctrl-C again stops at once."
        )

    def stopped(self, plan: Plan, stopped: Stopped) -> None:
        for line in stop_lines(plan, stopped):
            self.say(line)

    def left(self, inputs: int, total: int) -> None:
        if total > 1:
            self.say(f"{inputs} of {total} inputs are left; give the same command again to go on.")

    def finished(self, result: Result) -> None:
        for line in result.damage.lines():
            self.say(f"note: {line}")
        self.say(result_line(result))


class TerminalDisplay(PlainDisplay):
    """The same, with a bar in place of the line a minute."""

    SECONDS = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def say(self, text: str) -> None:
        lines = wrapped(text, self._console.width)
        self._console.print(lines, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("starting", total=None)
        return self

    def leave(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()

    def report(self, done: int, stages: StageTimes) -> None:
        bar = self._bar  # Ctrl-C takes it away from another thread
        if bar is not None:
            line = progress_line(done, self.total, self.speed, stages)
            bar.update(self._task, completed=done, total=self.total, description=line)

    def report_files(self, done: int, todo: int) -> None:
        line = folder_progress_line(done, todo, self.files)
        end = "\r" if done < todo else "\n"
        self._console.print(line.ljust(60), end=end, markup=False, soft_wrap=True)

    def finishing(self) -> None:
        bar = self._bar
        if bar is not None:
            bar.update(self._task, description="putting the file together and checking it")
