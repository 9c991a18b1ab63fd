"""A video or a picture as an input of `cgvideo convert`, with everything said to the user."""

from contextlib import ExitStack
from pathlib import Path

import typer

from cgvideo.cli.display import Display
from cgvideo.cli.interrupt import Interruption
from cgvideo.cli.reports import INTERRUPTED
from cgvideo.cli.wording import building_line, waiting_line
from cgvideo.estimate import estimate
from cgvideo.folders.pictures import prepared_picture, run_picture
from cgvideo.interface import as_picture
from cgvideo.pipeline import Result, run
from cgvideo.prepare import prepared, remember_choices
from cgvideo.progress import Stopped
from cgvideo.settings import Settings
from cgvideo.workers.crew import Crew
from cgvideo.workers.hire import hired_for_clip
from cgvideo.workers.worker import Errand, Rendered
from engines.engine import Engine
from engines.model_file import Model
from engines.store import EngineStore


def convert_one(
    source: Path,
    model: Model,
    settings: Settings,
    display: Display,
    interruption: Interruption,
    dry_run: bool = False,
) -> bool:
    """Convert one file with everything said to the user; give whether it was cut short.

    Raises:
        UserError: something the user can mend.
        typer.Exit: the user stopped it.
    """
    interruption.rendering = False
    store = open_store(display, model)
    if as_picture(source, settings):
        with prepared_picture(source, model, settings, store) as (picture_plan, engine):
            if dry_run:
                display.explain_picture(picture_plan, engine, model)
                return False
            interruption.rendering = True
            display.picture_done(source, run_picture(picture_plan, engine))
        return False
    try:
        result = convert_video(source, model, settings, display, interruption, store, dry_run)
    except Stopped:
        display.left(interruption.left, interruption.total)
        raise typer.Exit(INTERRUPTED) from None
    return result is not None and result.damage.cut_short


def convert_video(
    source: Path,
    model: Model,
    settings: Settings,
    display: Display,
    interruption: Interruption,
    store: EngineStore,
    dry_run: bool = False,
) -> Result | None:
    """Convert one video with everything said to the user; None for a dry run.

    Raises:
        UserError: something the user can mend.
        Stopped: the user wanted to stop.
    """
    display.preparing(source)
    with ExitStack() as opened:
        plan, engine = opened.enter_context(prepared(source, model, settings, store))
        display.explain(plan, engine, model, estimate(plan, engine, settings))
        if dry_run:
            return None
        interruption.rendering = True
        remember_choices(plan)
        by: Engine | Crew[Errand, Rendered] = engine
        if settings.by_several:
            opened.close()  # each worker has an engine of its own
            by = opened.enter_context(hired_for_clip(plan, model, settings))
        try:
            with display:
                result = run(plan, by, display, interruption.stop)
        except Stopped as stopped:
            display.stopped(plan, stopped)
            raise
    display.finished(result)
    return result


def open_store(display: Display, model: Model) -> EngineStore:
    """The store of engines, which tells the display what takes long."""

    return EngineStore(
        on_build=lambda key: display.note(building_line(key, model)),
        on_wait=lambda key: display.note(waiting_line(model)),
    )
