"""What a training run tells: on a terminal, in a file or as JSON."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cgvideo.cli.reports import emit, say

if TYPE_CHECKING:
    from trainer.checkpoint import TrainState
    from trainer.config import TrainConfig
    from trainer.loop import Watch


def watching(
    config: "TrainConfig", as_json: bool, stop: Callable[[], bool]
) -> tuple["Watch", Callable[[], None]]:
    """What the run tells, on a terminal, in a file or as JSON; and what ends it."""
    from trainer.loop import Watch

    if as_json:
        return _watch_json(stop), lambda: None
    if not sys.stderr.isatty():
        return _watch_lines(config, stop), lambda: None
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("{task.percentage:3.0f} %"),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
    )
    task = bar.add_task("starting", total=1.0)
    bar.start()

    def progress(
        state: "TrainState", share: float, losses: Mapping[str, float], pairs_a_second: float
    ) -> None:
        bar.update(task, completed=share, description=_line(state, losses, pairs_a_second))

    def measured(images_seen: int, values: Mapping[str, float]) -> None:
        console.print(f"after {images_seen}: {_measures(values)}")

    def step(text: str) -> None:
        bar.update(task, description=text)

    return Watch(step, progress, measured, stop=stop), bar.stop


def _watch_lines(config: "TrainConfig", stop: Callable[[], bool]) -> "Watch":
    from trainer.loop import Watch

    last = 0.0

    def progress(
        state: "TrainState", share: float, losses: Mapping[str, float], pairs_a_second: float
    ) -> None:
        nonlocal last
        if time.monotonic() - last > 30 or share >= 1:
            last = time.monotonic()
            say(f"{100 * share:.0f} %  {_line(state, losses, pairs_a_second)}", sys.stderr)

    def measured(images_seen: int, values: Mapping[str, float]) -> None:
        say(f"after {images_seen}: {_measures(values)}", sys.stderr)

    def step(text: str) -> None:
        say(f"{text} …", sys.stderr)

    return Watch(step, progress, measured, lambda path: say(f"wrote {path}", sys.stderr), stop)


def _watch_json(stop: Callable[[], bool]) -> "Watch":
    from trainer.loop import Watch

    def progress(
        state: "TrainState", share: float, losses: Mapping[str, float], pairs_a_second: float
    ) -> None:
        emit("progress", images_seen=state.images_seen, share=share, losses=dict(losses),
             pairs_a_second=pairs_a_second)  # fmt: skip

    def measured(images_seen: int, values: Mapping[str, float]) -> None:
        emit("measured", images_seen=images_seen, **values)

    return Watch(
        lambda text: emit("step", step=text),
        progress,
        measured,
        lambda path: emit("wrote", path=str(path)),
        stop,
    )


def _line(state: "TrainState", losses: Mapping[str, float], pairs_a_second: float) -> str:
    """The losses in short: what belongs together is added up."""
    short: dict[str, float] = {}
    for name, value in losses.items():
        kind = name.partition("_")[0]
        short[kind] = short.get(kind, 0.0) + value
    told = "  ".join(f"{name} {value:.2f}" for name, value in short.items())
    return f"{state.images_seen} seen  {pairs_a_second:.1f} pairs/s  {told}"


def _measures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in values.items())
