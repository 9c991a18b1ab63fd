"""One line that tells what a long command is doing: replaced in place on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cgvideo.cli.reports import emit, say


@contextmanager
def steps(what: str, as_json: bool = False) -> Iterator[Callable[..., None]]:
    """Give a function that takes the step in hand, and how much of it is done where that is known.

    On a terminal what is said ends with the block; elsewhere each step is a line, said once.
    """
    last = ""

    def once(step: str, done: float | None = None) -> None:
        nonlocal last
        if step != last:
            last = step
            if as_json:
                emit("step", what=what, step=step)
            else:
                say(f"{what}: {step} …", sys.stderr)

    if as_json or not sys.stderr.isatty():
        yield once
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True, highlight=False)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{what} …", total=None)

        def show(step: str, done: float | None = None) -> None:
            total = None if done is None else 1.0
            progress.update(task, description=f"{what}: {step} …", total=total, completed=done or 0)

        yield show
