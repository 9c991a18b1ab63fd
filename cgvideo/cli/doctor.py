"""`cgvideo doctor`: what this machine offers, what it means, and what would mend it."""

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cgvideo.doctor import Diagnosis, Examination

COLORS = {"ok": "green", "better": "yellow", "broken": "red"}
WIDEST = 110  # columns: longer lines are hard to read
INDENT = 9


def doctor(
    as_json: bool = typer.Option(
        False, "--json", help="Report as one JSON object: findings, and all that was seen."
    ),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Look at processor, memory, GPU, runtimes, codecs and folders.

    Says what each means for the speed, and the line that would mend it: "ok", "better" (it works and
    could be better), "broken". Exit code 1 if a conversion cannot run.
    """
    from cgvideo.cli.reports import FAILED, emit, say
    from engines.errors import UserError

    try:
        from cgvideo.doctor import diagnose, examine
    except ImportError as error:
        raise UserError(
            f"What a conversion is made of does not load ({error})",
            "Install cgvideo anew, into a fresh environment",
        ) from error

    say("looking around, a few seconds …", sys.stderr)
    seen = examine()
    diagnosis = diagnose(seen)
    if as_json:
        emit("doctor", **described(seen, diagnosis))
    else:
        show(diagnosis)
    if not diagnosis.able:
        raise typer.Exit(FAILED)


def described(seen: "Examination", diagnosis: "Diagnosis") -> dict[str, object]:
    """Everything, ready for JSON."""
    from dataclasses import asdict

    facts = asdict(seen)
    for name in ("models_folder", "cache", "scratch"):
        facts[name]["path"] = str(facts[name]["path"])
    return {**asdict(diagnosis), "seen": facts}


def show(diagnosis: "Diagnosis") -> None:
    """Print the findings by section, as wide as the terminal, and the summary."""
    columns = min(shutil.get_terminal_size().columns, WIDEST)
    section = ""
    for finding in diagnosis.findings:
        if finding.section != section:
            section = finding.section
            typer.secho(f"\n{section}", bold=True)
        text = f"{finding.found}; {finding.means}" if finding.means else finding.found
        mark = typer.style(f"  {finding.mark}".ljust(INDENT), fg=COLORS[finding.mark])
        typer.echo(mark + _wrapped(text, columns, " " * INDENT))
        if finding.mend:
            typer.echo(" " * INDENT + _wrapped(f"-> {finding.mend}", columns, " " * (INDENT + 3)))
    typer.echo("\n" + _wrapped(diagnosis.summary, columns, ""))


def _wrapped(text: str, columns: int, indent: str) -> str:
    """`text` on lines of `columns`, where the first begins after a mark and the rest after `indent`."""
    filled = textwrap.fill(
        text,
        columns,
        initial_indent=" " * min(len(indent), INDENT),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled[min(len(indent), INDENT) :]
