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
app.command("convert")(convert.convert)
app.command("demo")(demo.demo)
app.command("export")(export.export)
app.command("train")(train.train)
app.command("report")(report.report)
app.command("distill")(distill.distill)
app.command("eval")(eval.evaluate)
app.command("bench")(bench.bench)
app.command("clean")(clean.clean)
app.command("doctor")(doctor.doctor)
app.add_typer(models.app, name="models")
app.add_typer(engines.app, name="engines")


@app.callback()
def version(
    show: bool = typer.Option(
        False, "--version", help="Print the version and stop.", is_eager=True
    ),
) -> None:
    if show:
        from cgvideo import __version__

        typer.echo(f"cgvideo {__version__}")
        raise typer.Exit


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
