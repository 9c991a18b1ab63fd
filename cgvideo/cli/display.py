"""What the user sees while a conversion runs: a bar, a line a minute, or JSON."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cgvideo.cli.wording import (
    Speed,
    damage_lines,
    explanation,
    progress_line,
    result_line,
    stop_lines,
)
from cgvideo.convert import PictureResult
from cgvideo.estimate import Estimate
from cgvideo.pipeline import Result, Stopped
from cgvideo.plan import Plan
from cgvideo.progress import StageTimes
from engines.engine import Engine
from engines.errors import UserError
from engines.model_file import Model

LINE_SECONDS = 60.0  # between two lines where there is no terminal
JSON_SECONDS = 1.0


class Display(Protocol):
    """Everything a conversion says to its user."""

    def preparing(self, source: Path) -> None: ...

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None: ...

    def note(self, text: str) -> None: ...

    def failed(self, source: Path, error: UserError) -> None: ...

    def picture_done(self, source: Path, result: PictureResult) -> None: ...

    def stopping(self) -> None: ...

    def stopped(self, plan: Plan, stopped: Stopped) -> None: ...

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


class PlainDisplay:
    """Lines of text: what is decided, one line a minute, one at the end."""

    def __init__(self) -> None:
        self.speed = Speed()
        self.total: int | None = None
        self._last_line = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line."""
        print(text, file=sys.stderr, flush=True)

    def preparing(self, source: Path) -> None:
        self.say(f"{source}: looking at it and making the engine ready …")

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None:
        for line in explanation(plan, engine, model, cost):
            self.say(line)

    def note(self, text: str) -> None:
        self.say(text)

    def failed(self, source: Path, error: UserError) -> None:
        self.say(f"cgvideo: {error}")

    def picture_done(self, source: Path, result: PictureResult) -> None:
        height, width = result.size
        self.say(f"{result.output}: {width}x{height} in {result.seconds:.1f} s ({result.engine})")

    def planned(self, plan: Plan) -> None:
        self.total = plan.expected_frames
        self.speed = Speed()
        self.speed.mark(0)

    def notice(self, text: str) -> None:
        self.say(f"note: {text}")

    def resumed(self, frame: int) -> None:
        self.say(f"resuming at frame {frame} of {self.total or 'an unknown number'}")
        self.speed = Speed()
        self.speed.mark(frame)

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.speed.mark(number + 1)
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self.say(progress_line(number + 1, self.total, self.speed, stages))

    def finishing(self) -> None: ...

    def stopping(self) -> None:
        self.say(
            "Stopping: the segment in hand is finished if that takes under a minute."
            " Ctrl-C again stops at once."
        )

    def stopped(self, plan: Plan, stopped: Stopped) -> None:
        for line in stop_lines(plan, stopped):
            self.say(line)

    def finished(self, result: Result) -> None:
        for line in damage_lines(result):
            self.say(f"note: {line}")
        self.say(result_line(result))

    def leave(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class TerminalDisplay(PlainDisplay):
    """The same, with a bar in place of the line a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.speed.mark(number + 1)
        if self._bar is not None:
            line = progress_line(number + 1, self.total, self.speed, stages)
            self._bar.update(self._task, completed=number + 1, total=self.total, description=line)

    def finishing(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description="putting the file together and checking it")


class JsonDisplay:
    """One JSON object a line on standard output, for programs."""

    def __init__(self) -> None:
        self.speed = Speed()
        self.total: int | None = None
        self._last = 0.0

    def emit(self, event: str, **fields: Any) -> None:
        """Print one object."""
        print(json.dumps({"event": event, **fields}), flush=True)

    def preparing(self, source: Path) -> None:
        self.emit("preparing", input=str(source))

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None:
        self.emit(
            "plan",
            input=str(plan.clip.path),
            output=str(plan.output),
            model=model.name,
            fingerprint=plan.fingerprint,
            frames=plan.expected_frames,
            engine=engine.description,
            why=engine.why,
            seconds=cost.seconds,
            disk_bytes=cost.disk_bytes,
            notices=list(plan.notices),
            decisions=plan.describe(),
        )

    def note(self, text: str) -> None:
        self.emit("notice", text=text)

    def failed(self, source: Path, error: UserError) -> None:
        self.emit("error", input=str(source), problem=error.problem, mend=error.mend)

    def picture_done(self, source: Path, result: PictureResult) -> None:
        self.emit(
            "done", input=str(source), output=str(result.output), frames=1, seconds=result.seconds
        )

    def planned(self, plan: Plan) -> None:
        self.total = plan.expected_frames
        self.speed = Speed()
        self.speed.mark(0)

    def notice(self, text: str) -> None:
        self.emit("notice", text=text)

    def resumed(self, frame: int) -> None:
        self.emit("resumed", frame=frame, frames=self.total)
        self.speed = Speed()
        self.speed.mark(frame)

    def frame_done(self, number: int, stages: StageTimes) -> None:
        self.speed.mark(number + 1)
        if time.monotonic() - self._last >= JSON_SECONDS:
            self._last = time.monotonic()
            self.emit(
                "progress",
                frame=number + 1,
                frames=self.total,
                frames_per_second=self.speed.frames_per_second,
                seconds_left=self.speed.seconds_left(self.total, number + 1),
                slowest=stages.slowest,
            )

    def finishing(self) -> None:
        self.emit("finishing")

    def stopping(self) -> None:
        self.emit("stopping")

    def stopped(self, plan: Plan, stopped: Stopped) -> None:
        self.emit("stopped", frames=stopped.frames_done, frames_dropped=stopped.frames_dropped)

    def finished(self, result: Result) -> None:
        self.emit(
            "done",
            output=str(result.output),
            frames=result.frames,
            seconds=result.seconds,
            bytes=result.bytes,
            damaged_packets=result.damage.packets,
            moved_pts=result.damage.moved_pts,
            cut_short=result.damage.cut_short,
            stage_seconds=result.stage_seconds,
        )

    def leave(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
