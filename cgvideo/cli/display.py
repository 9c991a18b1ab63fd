"""What the user sees while a conversion runs: a bar, a line a minute, or JSON."""

import json
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cgvideo.convert import PictureResult
from cgvideo.pipeline import Result, Stopped
from cgvideo.plan import Estimate, Plan, working_size
from cgvideo.progress import StageTimes
from engines.engine import Engine
from engines.errors import UserError
from engines.model_file import Model

LINE_SECONDS = 60.0  # between two lines where there is no terminal
JSON_SECONDS = 1.0
SPEED_WINDOW = 10.0  # seconds: "current speed" is that of the last so many
SMALLER_SIZES = (1280, 960, 640, 480)
SUGGEST_FROM_SECONDS = 120.0  # shorter runs need no advice on --max-size


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


class Speed:
    """Frames a second over the last moments, and the time that is left at that speed."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def mark(self, frames: int) -> None:
        now = time.monotonic()
        self._marks.append((now, frames))
        while len(self._marks) > 2 and now - self._marks[0][0] > SPEED_WINDOW:
            self._marks.pop(0)

    @property
    def frames_per_second(self) -> float | None:
        if len(self._marks) < 2:
            return None
        (began, first), (now, last) = self._marks[0], self._marks[-1]
        return (last - first) / (now - began) if now > began else None

    def seconds_left(self, total: int | None, done: int) -> float | None:
        speed = self.frames_per_second
        return max(0, total - done) / speed if total and speed else None


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
        self._first: int | None = None

    def notice(self, text: str) -> None:
        self.say(f"note: {text}")

    def resumed(self, frame: int) -> None:
        self.say(f"resuming at frame {frame} of {self.total or 'an unknown number'}")
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
            BarColumn(bar_width=None),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            expand=True,
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


def explanation(plan: Plan, engine: Engine, model: Model, cost: Estimate) -> list[str]:
    """The plan in words: what comes in, what is done with it, what comes out, what it costs."""
    clip, encoding = plan.clip, plan.encoding
    height, width = clip.upright_size
    frames = plan.expected_frames
    lines = [
        f"input   {clip.path}: {width}x{height}, {decimal(clip.rate)} frames/s,"
        f" {frames or 'unknown number of'} frames, {clip.codec}",
        f"model   {model.name}: {model.card.get('does', 'no description')} ({model.spec.name})",
        f"engine  {engine.description}: {engine.why}",
    ]
    rows, columns = encoding.size
    options = dict(encoding.options)
    settings = [f"{name} {options[name]}" for name in ("crf", "preset") if name in options]
    made = ", ".join([encoding.codec, *settings, encoding.pixel_format])
    streams = ", ".join(
        f"{way.info} {'copied' if way.how == 'copy' else 'converted ' + way.how}"
        for way in plan.muxing.carried
    )
    lines.append(
        f"output  {plan.output}: {columns}x{rows}, {made}" + (f"; {streams}" if streams else "")
    )
    lines += [f"note    {notice}" for notice in plan.notices]
    lines.append(f"cost    {cost_line(plan, cost)}")
    return lines


def cost_line(plan: Plan, cost: Estimate) -> str:
    """Time and disk, and what a smaller size would save."""
    if cost.seconds is None or cost.disk_bytes is None:
        return f"{cost.seconds_per_frame:.2f} s a frame; the clip does not say how long it is"
    text = f"about {span(cost.seconds)} and {size_text(cost.disk_bytes)} of disk"
    if cost.disk_bytes > cost.free_bytes:
        text += f" (only {size_text(cost.free_bytes)} are free)"
    height, width = plan.size
    smaller = next((size for size in SMALLER_SIZES if size < 0.8 * max(plan.size)), None)
    if smaller is not None and cost.seconds > SUGGEST_FROM_SECONDS:
        rows, columns = working_size(plan.size, smaller)
        share = rows * columns / (height * width)
        text += f"; --max-size {smaller} would take about {span(cost.seconds * share)}"
    return text


def progress_line(done: int, total: int | None, speed: Speed, stages: StageTimes) -> str:
    """Frames, speed, time left, and the stage that everything waits for."""
    parts = [f"frame {done} of {total}" if total else f"frame {done}"]
    if speed.frames_per_second is not None:
        parts.append(f"{speed.frames_per_second:.1f} frames/s")
    left = speed.seconds_left(total, done)
    if left is not None:
        parts.append(f"{span(left)} left")
    if stages.slowest is not None:
        parts.append(f"slowest: {stages.slowest}")
    return ", ".join(parts)


def stop_lines(plan: Plan, stopped: Stopped) -> list[str]:
    """How far it came, what was dropped, and how to go on."""
    total = plan.expected_frames
    lines = []
    if stopped.frames_dropped:
        lines.append(f"{stopped.frames_dropped} frames of an unfinished segment were dropped.")
    lines.append(
        f"Stopped. {stopped.frames_done} of {total or 'an unknown number of'} frames are kept;"
        " give the same command again to go on."
    )
    return lines


def damage_lines(result: Result) -> list[str]:
    """What decoding had to put up with."""
    damage, lines = result.damage, []
    if damage.packets:
        lines.append(f"{damage.packets} damaged packets of the source were skipped")
    if damage.moved_pts:
        lines.append(
            f"{damage.moved_pts} frames did not come after the one before; moved by a tick"
        )
    if damage.cut_short:
        lines.append("the source ends with a read error; converted up to there")
    return lines


def result_line(result: Result) -> str:
    """The one line at the end: frames, seconds, speed, size, where."""
    speed = result.frames_rendered / result.seconds if result.seconds else 0.0
    return (
        f"{result.frames} frames in {span(result.seconds)} ({speed:.1f} frames/s),"
        f" {size_text(result.bytes)}: {result.output}"
    )


def span(seconds: float) -> str:
    """A length of time in words that one grasps."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size_text(count: int) -> str:
    """Bytes in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def decimal(rate: Fraction) -> str:
    """A rate without needless digits."""
    return f"{float(rate):.2f}".rstrip("0").rstrip(".")
