"""`cgvideo report`: a run as one page."""

from pathlib import Path

import typer


def report(
    run: Path = typer.Argument(
        ..., metavar="RUN", help="Folder of a run, running or not: runs/NAME."
    ),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Write RUN/report.html: how a training went, in pictures, curves and words.

    One file without anything from elsewhere, to look at in a browser or to pass on.
    """
    from cgvideo.cli.train import needs_torch

    with needs_torch():
        from trainer.report import write_report
        from trainer.run import require_run

    require_run(run)
    typer.echo(write_report(run))
