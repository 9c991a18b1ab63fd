"""`cgvideo clean`: unfinished work that nobody goes on with."""

import sys
from pathlib import Path

import typer

from cgvideo.cli.reports import emit
from engines.errors import UserError


def clean(
    places: list[Path] = typer.Argument(
        None,
        metavar="FOLDER",
        help="Folders to look through, in depth. Default: the one you are in.",
    ),
    older: float = typer.Option(0.0, "--older", help="Only work not touched for so many days."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Remove it without asking."),
    as_json: bool = typer.Option(False, "--json", help="Report as JSON, one object a line."),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Show conversions that were begun and not finished, and remove what they left.

    Nothing is removed before you say yes. The same command as before goes on with what is kept.
    """
    from datetime import UTC, datetime, timedelta

    from cgvideo.leftovers import find_leftovers, remove

    places = places or [Path()]
    for place in places:
        if not place.is_dir():
            raise UserError(f"There is no folder {place}", "Check the path")
    until = datetime.now(UTC) - timedelta(days=older)
    found = [each for each in find_leftovers(places) if each.last_touched <= until]
    for each in found:
        if as_json:
            emit("leftover", folder=str(each.folder), output=str(each.output), frames=each.frames,
                 bytes=each.bytes, last_touched=each.last_touched.isoformat(),
                 in_use=each.in_use)  # fmt: skip
            continue
        state = "a run is working on it" if each.in_use else f"{each.bytes / 1e6:.1f} MB"
        when = f"{each.last_touched.astimezone():%Y-%m-%d %H:%M}"
        typer.echo(f"{each.output}: {each.frames} frames done, last touched {when}, {state}")
    free = [each for each in found if not each.in_use]
    if not free:
        if not as_json:
            typer.echo("Nothing to remove.")
        return
    if not yes:
        if as_json or not sys.stdin.isatty():
            if not as_json:
                typer.echo("Nothing was removed: give --yes to remove it.")
            return
        if not typer.confirm(f"Remove this ({len(free)})?"):
            return
    for each in free:
        remove(each)
        if as_json:
            emit("removed", folder=str(each.folder))
    if not as_json:
        typer.echo(f"Removed {sum(each.bytes for each in free) / 1e6:.1f} MB.")
