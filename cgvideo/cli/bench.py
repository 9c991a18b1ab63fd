"""`cgvideo bench`: how fast it is here, and which stage everything waits for."""

import sys
from typing import TYPE_CHECKING

import typer

from cgvideo.cli.completing import models, words

if TYPE_CHECKING:
    from rich.table import Table

    from cgvideo.bench import Report, Row

SMALLEST, LARGEST = 64, 8192  # pixels on a side


def bench(
    model: str = typer.Option(
        "summer2winter",
        "--model",
        "-m",
        help="A name from `cgvideo models`, or a model file.",
        autocompletion=models,
    ),
    size: str = typer.Option("640x360", help="Of the clip: WIDTHxHEIGHT, or 360p to 2160p."),
    backend: str = typer.Option(
        "all",
        help="Measure all backends, or one: openvino, torch, tensorrt. The yardsticks run either way.",
        autocompletion=words("all", "openvino", "torch", "tensorrt"),
    ),
    seconds: float = typer.Option(
        40.0, help="About how long to measure; making ready comes on top. Longer is more exact."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="Report as one JSON object: hardware, versions, every round."
    ),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Measure every engine alone, every stage of a conversion, and the whole.

    PyTorch eager fp32 and onnxruntime, where installed, run in the same rounds, so that the ratios
    hold on any machine. Nothing needs to be at hand: the clip is drawn for it.
    """
    from cgvideo.bench import bench
    from cgvideo.cli.reports import emit, say
    from engines.engine import BACKENDS
    from engines.errors import UserError
    from engines.library import find_model

    choices = ("all", *BACKENDS[1:])
    if backend not in choices:
        raise UserError(f"There is no backend {backend!r}", f"Choose from {', '.join(choices)}")
    if not 0 < seconds < float("inf"):
        raise UserError(f"--seconds {seconds:g} is no time to measure", "Give more than 0")
    report = bench(
        find_model(model), clip_size(size), backend, seconds, lambda text: say(text, sys.stderr)
    )
    if as_json:
        emit("bench", **report.describe())
    else:
        show(report)


def clip_size(text: str) -> tuple[int, int]:
    """(width, height) of a clip to draw, from `640x360` or `720p`.

    Raises:
        UserError: it is neither, or no size that a clip may have.
    """
    from engines.errors import UserError
    from engines.profile import parse_size

    height, width = parse_size(text)
    outside = min(width, height) < SMALLEST or max(width, height) > LARGEST
    if width % 2 or height % 2 or outside:
        raise UserError(
            f"--size {text} is no size of a clip", f"Give even sides from {SMALLEST} to {LARGEST}"
        )
    return width, height


def show(report: "Report") -> None:
    """Print the tables, as wide as the terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    width, height = report.size
    plural = "" if report.rounds == 1 else "s"
    console.print(
        f"{report.model} ({report.architecture}) at {width}x{height}, {report.gmac:.1f} GMAC a frame\n"
        f"{_processor(report)}\n"
        f"a clip of {report.frames} frames; medians of {report.rounds} round{plural}, all in turn\n"
    )
    eager = "x eager"
    table = _table("from file to file", "s/frame", "frames/s", "GMAC/s", eager)
    for row in report.ways:
        table.add_row(*_cells(report, row))
    console.print(table, "")
    table = _table("engine alone", "s/frame", "frames/s", "GMAC/s", eager, "PSNR dB")
    for row in report.engines:
        parity = "" if row.psnr is None else "same" if row.psnr >= 99 else f"{row.psnr:.0f}"
        table.add_row(*_cells(report, row), parity)
    table.add_row("limit: fp32 matrix product", "", "", f"{report.product:.0f}", "", "")
    console.print(table, "")
    table = _table("stage of convert, alone", "s/frame", "share")
    for stage in report.stages:
        if stage.median is None:
            table.add_row(stage.name, "same memory" if not stage.problem else "fails", "")
        else:
            table.add_row(stage.name, f"{stage.median:.4f}", f"{report.share(stage):.0%}")
    console.print(table, "")
    for row in (*report.ways, *report.engines, *report.stages):
        if row.problem:
            console.print(f"{row.name} does not run: {row.problem}")
    for note in report.notes:
        console.print(note)
    console.print(f"The slowest stage is the {report.slowest.name}. convert uses {report.engine}.")


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _cells(report: "Report", row: "Row") -> tuple[str, str, str, str, str]:
    seconds, speed, times = row.median, report.speed(row), report.times(row)
    if seconds is None or speed is None:
        return row.name, "fails", "", "", ""
    faster = "" if times is None else f"{times:.2f}"
    return row.name, f"{seconds:.4f}", f"{1 / seconds:.1f}", f"{speed:.0f}", faster


def _processor(report: "Report") -> str:
    found = report.machine["processor"]
    return f"{found['name']}, {found['cores']} cores ({' '.join(found['instructions'])})"
