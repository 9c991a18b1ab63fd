"""A folder as an input of `cgvideo convert`."""

from pathlib import Path

import typer

from cgvideo.cli.display import Display
from cgvideo.cli.files import convert_video, open_store
from cgvideo.cli.interrupt import Interruption
from cgvideo.cli.reports import INTERRUPTED
from cgvideo.folders.folder import plan_folder
from cgvideo.folders.folder_run import run_folder
from cgvideo.interface import refuse_failures
from cgvideo.settings import Settings
from engines.model_file import Model


def folder_output(source: Path, model: Model, settings: Settings) -> Path | None:
    """Where a folder that is one of several inputs goes: into the folder asked for, if there is."""
    if settings.output is None:
        return None
    return settings.output / f"{source.resolve().name}.{model.name}"


def convert_folder(
    source: Path,
    model: Model,
    settings: Settings,
    display: Display,
    interruption: Interruption,
    output: Path | None = None,
    dry_run: bool = False,
    debug: bool = False,
) -> bool:
    """Convert a folder with everything said to the user; give whether a video was cut short.

    `output` stands in place of the settings'.

    Raises:
        UserError: something the user can mend; that some files failed, too.
        typer.Exit: the user stopped it.
    """
    interruption.rendering = False
    store = open_store(display, model)
    plan = plan_folder(source, model, settings, output)
    display.explain_folder(plan, model)
    if dry_run:
        return False
    interruption.rendering = True
    cut_short = False

    def video(path: Path, own: Settings) -> list[str]:
        nonlocal cut_short
        result = convert_video(path, model, own, display, interruption, store)
        cut_short |= result is not None and result.damage.cut_short
        return [] if result is None else list(result.notices)

    result = run_folder(plan, model, store, video, display, interruption.stop, debug)
    display.folder_finished(plan, result)
    if result.left:
        display.left(interruption.left, interruption.total)
        raise typer.Exit(INTERRUPTED)
    refuse_failures(source, result)
    return cut_short
