"""`-` as input or output: standard input is kept in a file first, standard output comes at the end.

Nothing can be sought in a pipe, and a conversion reads its source three times: to look at it, to
translate it, and to take over its sound. So it is not live, and the disk must have room for it.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from cgvideo.cli.reports import CUT_SHORT, INTERRUPTED
from engines.errors import UserError

if TYPE_CHECKING:
    from cgvideo.cli.interrupt import Interruption
    from cgvideo.settings import Settings

PIPE = Path("-")
FORMATS = ("nut", "y4m")
BLOCK = 1 << 20


def is_piped(inputs: list[Path], settings: "Settings") -> bool:
    return PIPE in inputs or settings.output == PIPE


def through_pipes(
    inputs: list[Path],
    settings: "Settings",
    form: str,
    interruption: "Interruption",
    work: Callable[[list[Path], "Settings"], None],
    note: Callable[[str], None],
    incoming: BinaryIO | None = None,
    outgoing: BinaryIO | None = None,
) -> None:
    """Do `work` on files that stand in for the pipes, then write what came of it.

    `form` is what standard output speaks, `note` is told what that cannot say. The pipes are the process's own, if no others are given.

    Raises:
        UserError: a pipe beside other inputs or without a name for the result; a reader that left.
        typer.Exit: the user stopped it; or the source was cut short.
    """
    to_pipe = settings.output == PIPE
    if len(inputs) > 1:
        raise UserError("A pipe goes with one input", "Convert the others by commands of their own")
    if PIPE in inputs and settings.output is None:
        raise UserError("Standard input has no name for the result", "Give -o FILE, or -o -")
    if to_pipe and outgoing is None and sys.stdout.isatty():
        raise UserError(
            "Standard output is a terminal, which shows no video", "Pipe it, or give -o FILE"
        )
    with tempfile.TemporaryDirectory(prefix="cgvideo-") as folder:
        if PIPE in inputs:
            inputs = [Path(folder) / "standard-input"]
            _keep(incoming or sys.stdin.buffer, inputs[0], interruption)
        finished = Path(folder) / "result.nut"
        if to_pipe:
            settings = replace(settings, output=finished)
        ending: typer.Exit | None = None
        try:
            work(inputs, settings)
        except typer.Exit as left:
            if left.exit_code != CUT_SHORT:
                raise
            ending = left
        if to_pipe and finished.exists():
            for lost in _pour(finished, outgoing or sys.stdout.buffer, form):
                note(lost)
        if ending is not None:
            raise ending


def _keep(incoming: BinaryIO, path: Path, interruption: "Interruption") -> None:
    """Copy standard input into a file, to its end."""
    interruption.rendering = True  # so that Ctrl-C leaves no file behind
    with path.open("wb") as file:
        while block := incoming.read(BLOCK):
            if interruption.stop.wanted:
                raise typer.Exit(INTERRUPTED)
            file.write(block)
    interruption.rendering = False


def _pour(path: Path, outgoing: BinaryIO, form: str) -> list[str]:
    from cgvideo.codec.y4m import write_y4m

    lost: list[str] = []
    try:
        if form == "y4m":
            lost = write_y4m(path, outgoing)
        else:
            with path.open("rb") as file:
                shutil.copyfileobj(file, outgoing, BLOCK)
        outgoing.flush()
    except BrokenPipeError as error:
        raise UserError("The reader of standard output has gone", "See what it says") from error
    return lost
