"""`cgvideo eval`: how steady, sharp and faithful a translated video is."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cgvideo.evaluation.figures import Evaluation


def evaluate(
    source: Path = typer.Argument(
        ..., metavar="SOURCE", help="The video (or picture) that was translated."
    ),
    result: Path = typer.Argument(
        ..., metavar="RESULT", help="What became of it, made by any program."
    ),
    reference: Path | None = typer.Option(
        None, help="The same without smoothing: then what smoothing gained and lost is told."
    ),
    start: float = typer.Option(0.0, help="Seconds after the beginning to measure from."),
    frames: int | None = typer.Option(None, help="Frames to measure at most. [default: all]"),
    tile: int | None = typer.Option(
        None, help="Look for seams at every so many pixels. [default: search for the grid]"
    ),
    plot: Path | None = typer.Option(None, help="Write the curves over time as PNG."),
    html: Path | None = typer.Option(
        None, help="Write a page: before and after under a slider, figures and curves."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="Report as one JSON object: figures, curves, times and sound."
    ),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Measure a translated video against its source.

    Steadiness along the source's motion, detail kept, ghosts, seams, drifting and pumping colours, and
    whether frames, times and sound agree. docs/evaluation.md says what each figure means.
    """
    from cgvideo.cli.reports import emit
    from cgvideo.cli.steps import steps
    from cgvideo.codec.errors import writing
    from cgvideo.evaluation.evaluate import evaluate as measure
    from cgvideo.evaluation.page import Stills, charts, write_evaluation
    from cgvideo.evaluation.plot import write_plot
    from cgvideo.evaluation.wording import title_of

    check(start, frames, tile, plot, html)
    stills = Stills()
    with steps(f"evaluating {result.name}", as_json) as report:
        found = measure(
            source, result, reference, start=start, frames=frames, tile=tile, report=report,
            look=(lambda moment, measured: None) if html is None else stills.look,
        )  # fmt: skip
    if plot is not None:
        with writing(plot):
            write_plot(plot, title_of(found), charts(found))
    if html is not None:
        with writing(html):
            write_evaluation(html, found, stills)
    if as_json:
        emit("evaluation", **found.describe())
    else:
        show(found)
        for path in (plot, html):
            if path is not None:
                typer.echo(path)


def check(
    start: float, frames: int | None, tile: int | None, plot: Path | None, html: Path | None
) -> None:
    """Refuse what cannot be meant, before anything takes long.

    Raises:
        UserError: a number is out of its range, or a name does not say what it holds.
    """
    from engines.errors import UserError

    if not 0 <= start < float("inf"):
        raise UserError(f"--start {start:g} is no time in a clip", "Give 0 or more seconds")
    if frames is not None and frames < 1:
        raise UserError(f"--frames {frames} leaves nothing to measure", "Give 1 or more")
    if tile is not None and tile < 8:
        raise UserError(f"--tile {tile} is too small for a tile", "Give 8 or more pixels")
    for option, path, suffixes in (
        ("--plot", plot, (".png",)),
        ("--html", html, (".html", ".htm")),
    ):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise UserError(f"{option} {path} does not end in {suffixes[0]}", "Name it so")
        if not path.absolute().parent.is_dir():
            raise UserError(f"{path.parent} is not a folder", "Make it first")


def show(found: "Evaluation") -> None:
    """Print the table, and what agrees."""
    from rich.console import Console
    from rich.table import Table

    from cgvideo.cli.reports import plain
    from cgvideo.evaluation.wording import agreement_lines, extent_of, number, title_of

    console = Console(highlight=False, markup=False)
    about = f"{title_of(found)}, {extent_of(found)}"
    console.print(plain(about), "", sep="\n", soft_wrap=True)
    films = ("source", "result", "reference")[: len(found.paths)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measure", no_wrap=True)
    for film in films:
        table.add_column(film, justify="right", no_wrap=True)
    table.add_column("good is")
    for figure in found.figures:
        name = f"{figure.name} ({figure.unit})" if figure.unit else figure.name
        good = f"{figure.good}; {figure.note}" if figure.note else figure.good
        table.add_row(name, *(number(getattr(figure, film)) for film in films), good)
    console.print(table, "", sep="\n")
    lines = [] if found.agreement is None else agreement_lines(found.agreement)
    for line in (*lines, *found.notices):
        console.print(plain(line), soft_wrap=True)
    sys.stdout.flush()
