"""The command line. Heavy imports stay inside commands, so that --help answers at once."""

import signal
import sys

import typer

from cgvideo.cli import (
    bench,
    clean,
    convert,
    demo,
    distill,
    doctor,
    engines,
    eval,
    export,
    models,
    report,
    train,
)
from cgvideo.cli.reports import FAILED, INTERRUPTED, emit, plain
from engines.errors import UserError

app = typer.Typer(
    name="cgvideo",
    help="Turn videos and pictures from one look into another with a CycleGAN.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,  # loading rich would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("convert", short_help="Convert videos, pictures and whole folders.")(convert.convert)
app.command("demo", short_help="See what it does, with nothing at hand.")(demo.demo)
app.command("export", short_help="Write a model as an engine for other programs.")(export.export)
app.command("train", short_help="Train a look of your own from two folders.")(train.train)
app.command("report", short_help="Write how a training went, as one page.")(report.report)
app.command("distill", short_help="Teach a small, fast model what a large one does.")(
    distill.distill
)
app.command("eval", short_help="Measure a result: how steady, sharp and faithful.")(eval.evaluate)
app.command("bench", short_help="Measure what is fast here, and what is slow.")(bench.bench)
app.command("clean", short_help="Remove unfinished work that nobody goes on with.")(clean.clean)
app.command("doctor", short_help="What this machine offers, and what to mend.")(doctor.doctor)
app.add_typer(models.app, name="models", short_help="List models; add, import, export or remove.")
app.add_typer(engines.app, name="engines", short_help="List or remove the engines that were kept.")


def _version(asked: bool) -> None:
    if asked:
        from cgvideo import __version__

        typer.echo(f"cgvideo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", is_eager=True, callback=_version
    ),
) -> None:
    """What comes before a command."""


def main() -> None:
    """Run a command; say what the user can mend in one line, with exit code 1.

    SIGTERM ends it as Ctrl-C does, so that what is unfinished is cleared away.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    if arguments[:1] in (["models"], ["engines"]):  # whose many commands take it all the same
        arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(arguments)
    except UserError as error:
        if debug:
            raise
        _say(error)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())  # some have many lines
        _say(UserError(f"this is a bug ({what})", "The same command with --debug shows where."))
        sys.exit(FAILED)


def _say(error: UserError) -> None:
    if "--json" in sys.argv:
        emit("error", problem=error.problem, mend=error.mend)
    else:
        typer.echo(plain(f"cgvideo: {error}"), err=True)
