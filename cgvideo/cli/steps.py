"""One line that tells what a long command is doing: replaced in place on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cgvideo.cli.reports import emit, say


@contextmanager
def steps(what: str, as_json: bool = False) -> Iterator[Callable[[str], None]]:
    """Give a function that takes the step in hand; what is said ends with the block."""
    if as_json:
        yield lambda step: emit("step", what=what, step=step)
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True, highlight=False).status(f"{what} …") as status:
            yield lambda step: status.update(f"{what}: {step} …")
    else:
        yield lambda step: say(f"{what}: {step} …", sys.stderr)
