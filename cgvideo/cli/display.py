"""What the user sees while a conversion runs: a bar, a line a minute, or JSON."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cgvideo.cli.reports import emit, say
from cgvideo.cli.wording import (
    Speed,
    cost_of_smaller,
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
from cgvideo.stages.tiled_engine import TiledEngine
from engines.engine import Engine
from engines.errors import UserError
from engines.model_file import Model


class Display(Protocol):
    """Everything a conversion says to its user."""

    def preparing(self, source: Path) -> None: ...

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None: ...

    def explain_picture(self, plan: PicturePlan, engine: PictureEngine, model: Model) -> None: ...

    def note(self, text: str) -> None: ...

    def failed(self, source: Path, error: UserError) -> None: ...

    def picture_done(self, source: Path, result: PictureResult) -> None: ...

    def explain_folder(self, plan: FolderPlan, model: Model) -> None: ...

    def folder_planned(self, plan: FolderPlan, todo: int, skipped: int) -> None: ...

    def file_done(self, entry: Entry, done: int, todo: int) -> None: ...

    def folder_finished(self, plan: FolderPlan, result: FolderResult) -> None: ...

    def stopping(self) -> None: ...

    def stopped(self, plan: Plan, stopped: Stopped) -> None: ...

    def left(self, inputs: int, total: int) -> None: ...

    def finished(self, result: Result) -> None: ...

    def leave(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    # the Progress that a run reports to
    def planned(self, plan: Plan) -> None: ...

    def notice(self, text: str) -> None: ...

    def resumed(self, frame: int) -> None: ...

    def frame_done(self, number: int, stages: StageTimes) -> None: ...

    def finishing(self) -> None: ...


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


class JsonDisplay(Watch):
    """One JSON object a line on standard output, for programs."""

    SECONDS = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0  # the first frame is reported

    def preparing(self, source: Path) -> None:
        emit("preparing", input=str(source))

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None:
        smaller = cost_of_smaller(plan, cost)
        emit(
            "plan",
            input=str(plan.clip.path),
            output=str(plan.output),
            model=model.name,
            fingerprint=plan.fingerprint,
            frames=plan.expected_frames,
            engine=engine.description,
            why=engine.why,
            seconds=cost.seconds,
            workers=cost.workers,
            disk_bytes=cost.disk_bytes,
            with_max_size=dict([smaller]) if smaller else {},
            notices=list(plan.notices),
            decisions=plan.describe(),
        )

    def explain_picture(self, plan: PicturePlan, engine: PictureEngine, model: Model) -> None:
        emit(
            "plan",
            input=str(plan.source),
            output=str(plan.output),
            model=model.name,
            frames=1,
            size=list(plan.size),
            tiling=engine.tiling.describe() if isinstance(engine, TiledEngine) else None,
            engine=engine.description,
            why=engine.why,
        )

    def explain_folder(self, plan: FolderPlan, model: Model) -> None:
        emit(
            "folder",
            input=str(plan.source),
            output=str(plan.output),
            model=model.name,
            pictures=len(plan.pictures),
            videos=len(plan.videos),
            left_alone=dict(plan.left_alone),
        )

    def file_done(self, entry: Entry, done: int, todo: int) -> None:
        self.files.mark(done)
        emit(
            "file",
            **asdict(entry),
            done=done,
            of=todo,
            files_per_second=self.files.frames_per_second,
            seconds_left=self.files.seconds_left(todo, done),
        )

    def folder_finished(self, plan: FolderPlan, result: FolderResult) -> None:
        emit(
            "done",
            input=str(plan.source),
            output=str(result.output),
            manifest=str(result.manifest),
            converted=result.done,
            failed=result.failed,
            skipped=result.skipped,
            left=result.left,
            left_alone=dict(result.left_alone),
            seconds=result.seconds,
        )

    def note(self, text: str) -> None:
        emit("notice", text=text)

    def failed(self, source: Path, error: UserError) -> None:
        emit("error", input=str(source), problem=error.problem, mend=error.mend)

    def picture_done(self, source: Path, result: PictureResult) -> None:
        emit(
            "done",
            input=str(source),
            output=str(result.output),
            frames=1,
            seconds=result.seconds,
            notices=list(result.notices),
        )

    def notice(self, text: str) -> None:
        emit("notice", text=text)

    def resumed(self, frame: int) -> None:
        emit("resumed", frame=frame, frames=self.total)
        super().resumed(frame)

    def report(self, done: int, stages: StageTimes) -> None:
        emit(
            "progress",
            frame=done,
            frames=self.total,
            frames_per_second=self.speed.frames_per_second,
            seconds_left=self.speed.seconds_left(self.total, done),
            slowest=stages.slowest,
        )

    def finishing(self) -> None:
        emit("finishing")

    def stopping(self) -> None:
        emit("stopping")

    def stopped(self, plan: Plan, stopped: Stopped) -> None:
        emit("stopped", frames=stopped.frames_done, frames_dropped=stopped.frames_dropped)

    def left(self, inputs: int, total: int) -> None:
        emit("left", inputs=inputs, of=total)

    def finished(self, result: Result) -> None:
        emit(
            "done",
            output=str(result.output),
            frames=result.frames,
            seconds=result.seconds,
            bytes=result.bytes,
            damaged_packets=result.damage.packets,
            concealed_frames=result.damage.concealed,
            moved_pts=result.damage.moved_pts,
            cut_short=result.damage.cut_short,
            stage_seconds=result.stage_seconds,
            steps=list(result.steps),
        )
