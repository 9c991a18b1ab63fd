"""The lines that tell a user what is decided, how it goes on, and how it ended."""

import re
import textwrap
import time
from collections.abc import Mapping
from fractions import Fraction

from cgvideo.cli.reports import plain
from cgvideo.estimate import Estimate
from cgvideo.folders.folder import FolderPlan
from cgvideo.folders.folder_run import FolderResult
from cgvideo.folders.pictures import PictureEngine, PicturePlan
from cgvideo.pipeline import Result
from cgvideo.plan import Plan
from cgvideo.progress import StageTimes, Stopped
from cgvideo.sizes import working_size
from engines.engine import Engine
from engines.model_file import Model

LABEL_WIDTH = 8
LABELLED = re.compile(r"[a-z]{4,7} +(?<=^.{8})\S")  # "engine  OpenVINO ..."
NARROWEST = 40  # columns; in fewer, words would be all that fits
SPEED_WINDOW = 10.0  # seconds: "current speed" is that of the last so many
SMALLER_SIZES = (1280, 960, 640, 480)
SUGGEST_FROM_SECONDS = 20.0  # shorter runs need no advice on --max-size


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


def building_line(key: Mapping[str, str], model: Model) -> str:
    """What the engine store builds at this moment, and that it does so once."""
    if key.get("what") == "stream timings":
        return (
            f"measuring how many frames at once suit {model.name} here (kept for the next time) …"
        )
    what = " to measure" if key.get("form") == "measure" else ""
    size = " by ".join(reversed(key["size"].split("x"))) if "x" in key["size"] else "any size"
    return (
        f"building {model.name}{what} for {key['backend']} in {key['precision']}, {size}, and verifying it"
        " (kept for the next time) …"
    )


def waiting_line(model: Model) -> str:
    """What keeps it waiting: another process builds the same, and it will take what that keeps."""
    return f"waiting for another cgvideo that makes {model.name} ready in the same way …"


def explanation(plan: Plan, engine: Engine, model: Model, cost: Estimate) -> list[str]:
    """The plan in words: what comes in, what is done with it, what comes out, what it costs."""
    clip, encoding = plan.clip, plan.encoding
    height, width = clip.upright_size
    frames = plan.expected_frames
    lines = [
        f"input   {clip.path}: {width}x{height}, {decimal(clip.rate)} frames/s,"
        f" {frames or 'unknown number of'} frames, {clip.codec}",
        _model_line(model),
        f"engine  {engine.description}: {engine.why}",
    ]
    if plan.tiling is not None:
        lines.append(f"tiles   {_tiles_line(plan)}")
    lines.append(f"smooth  {_smoothing_line(plan)}")
    rows, columns = encoding.size
    options = dict(encoding.options)
    settings = [f"{name} {options[name]}" for name in ("crf", "cq", "preset") if name in options]
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


def picture_lines(plan: PicturePlan, engine: PictureEngine, model: Model) -> list[str]:
    """What becomes of a picture: what comes in, what is done with it, what comes out."""
    height, width = plan.source_size
    rows, columns = plan.size
    what = {"still": "a picture", "frames": "an animation", "pages": "pages"}[plan.kind]
    if plan.settings.compare:
        columns *= 2
    tiles = [] if engine.tiling is None else [f"tiles   {engine.tiling}"]
    return [
        f"input   {plan.source}: {what} of {width}x{height}",
        _model_line(model),
        f"engine  {engine.description}: {engine.why}",
        *tiles,
        f"output  {plan.output}: {columns}x{rows}",
    ]


def folder_lines(plan: FolderPlan, model: Model) -> list[str]:
    """What is in a folder, what is left alone, and where the results go."""
    lines = [
        f"input   {plan.source}: {len(plan.pictures)} pictures, {len(plan.videos)} videos",
        *(f"        left alone: {count} {why}" for why, count in plan.left_alone.items()),
        _model_line(model),
        f"output  {plan.output}",
    ]
    return lines


def folder_progress_line(done: int, todo: int, speed: Speed) -> str:
    """Files, speed and time left."""
    parts = [f"file {done} of {todo}"]
    if speed.frames_per_second:
        parts.append(f"{speed.frames_per_second:.1f} files/s")
    left = speed.seconds_left(todo, done)
    if left is not None:
        parts.append(f"{span(left)} left")
    return ", ".join(parts)


def folder_result_lines(result: FolderResult) -> list[str]:
    """What became of a folder, in one line, and in another what is still to do."""
    parts = [f"{result.done} files converted in {span(result.seconds)}"]
    if result.skipped:
        parts.append(f"{result.skipped} done before")
    if result.failed:
        parts.append(f"{result.failed} failed")
    if result.left_alone:
        parts.append(f"{sum(result.left_alone.values())} left alone")
    lines = [
        f"{', '.join(parts)}: {result.output} ({result.manifest.name} says what became of each)"
    ]
    if result.left:
        lines.append(
            f"Stopped. {result.left} files are left; give the same command again to go on."
        )
    return lines


def _tiles_line(plan: Plan) -> str:
    """Tiles, statistics, and the size at which frames are translated."""
    parts = [str(plan.tiling)]
    if plan.anchor_interval is not None:
        parts.append(f"every {plan.anchor_interval} frames")
    if plan.work_size is not None:
        height, width = plan.work_size
        parts.append(f"translated at {width}x{height}")
    return ", ".join(parts)


def _smoothing_line(plan: Plan) -> str:
    if not plan.smooth:
        return "off: frame by frame"
    share = "" if plan.smooth == 1 else f", {plan.smooth:g} of it"
    return f"each frame from {2 * plan.smoothing_reach + 1}, along the motion of the source{share}"


def _model_line(model: Model) -> str:
    does = model.card.get("does", "no description")
    return plain(f"model   {model.name}: {does} ({model.spec.name})")


def cost_line(plan: Plan, cost: Estimate) -> str:
    """Time and disk, and what a smaller size would save."""
    if cost.seconds is None or cost.disk_bytes is None:
        return f"{cost.seconds_per_frame:.2f} s a frame; the clip does not say how long it is"
    by = {None: " by one worker alone", 1: ""}.get(cost.workers, f" by {cost.workers} workers")
    text = f"about {span(cost.seconds)}{by} and {size_text(cost.disk_bytes)} of disk"
    if cost.disk_bytes > cost.free_bytes:
        text += f" (only {size_text(cost.free_bytes)} are free)"
    smaller = cost_of_smaller(plan, cost)
    if smaller is not None and cost.seconds > SUGGEST_FROM_SECONDS:
        max_size, seconds = smaller
        text += f"; --max-size {max_size} would take about {span(seconds)}"
    return text


def cost_of_smaller(plan: Plan, cost: Estimate) -> tuple[int, float] | None:
    """The next usual `--max-size` below the plan's, and the seconds it would take."""
    max_size = next((size for size in SMALLER_SIZES if size < 0.8 * max(plan.size)), None)
    if max_size is None or cost.seconds is None:
        return None
    rows, columns = working_size(plan.size, max_size)
    return max_size, cost.seconds * rows * columns / (plan.size[0] * plan.size[1])


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


def result_line(result: Result) -> str:
    """The one line at the end: frames, seconds, speed, size, where."""
    speed = result.frames_rendered / result.seconds if result.seconds else 0.0
    sameness = "the same bytes each time"
    if result.steps:
        sameness = "within one level of a run with enough memory"
    return (
        f"{result.frames} frames in {span(result.seconds)} ({speed:.1f} frames/s),"
        f" {size_text(result.bytes)}, {sameness}: {result.output}"
    )


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most `width`, broken between words, what follows a label under itself.

    Words that are longer stay whole: they may be paths.
    """
    return textwrap.fill(
        text,
        max(width, NARROWEST),
        subsequent_indent=LABEL_WIDTH * " " if LABELLED.match(text) else "",
        break_long_words=False,
        break_on_hyphens=False,
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
