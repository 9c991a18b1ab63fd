"""The inputs of `cgvideo convert`: checked as a whole, then converted one after another."""

from collections import defaultdict
from pathlib import Path

import typer

from cgvideo.cli.display import Display
from cgvideo.cli.files import convert_one
from cgvideo.cli.folder import convert_folder, folder_output
from cgvideo.cli.interrupt import Interruption
from cgvideo.cli.reports import CUT_SHORT, INTERRUPTED
from cgvideo.codec.hardware import hardware_of
from cgvideo.codec.images import is_picture
from cgvideo.codec.probe import probe
from cgvideo.places import usual_suffix
from cgvideo.settings import Settings
from engines.errors import UserError
from engines.model_file import Model


def convert_all(
    inputs: list[Path],
    model: Model,
    settings: Settings,
    display: Display,
    interruption: Interruption,
    dry_run: bool = False,
    debug: bool = False,
) -> None:
    """Convert one file after another; one that cannot be converted does not stop the rest.

    Raises:
        UserError: something the user can mend.
        typer.Exit: the user stopped it.
    """
    check_inputs(inputs, model.name, settings)
    failed = 0
    cut_short = False
    for number, source in enumerate(inputs):
        interruption.left = len(inputs) - number
        if interruption.stop.wanted:
            display.left(interruption.left, len(inputs))
            raise typer.Exit(INTERRUPTED)
        try:
            if source.is_dir():
                output = folder_output(source, model, settings) if len(inputs) > 1 else None
                cut_short |= convert_folder(
                    source, model, settings, display, interruption, output, dry_run, debug
                )
            else:
                cut_short |= convert_one(source, model, settings, display, interruption, dry_run)
        except UserError as error:
            if len(inputs) == 1 or debug:
                raise
            display.failed(source, error)
            failed += 1
    if failed:
        raise UserError(f"{failed} of {len(inputs)} inputs could not be converted", "See above")
    if cut_short:
        raise typer.Exit(CUT_SHORT)


def check_inputs(inputs: list[Path], model: str, settings: Settings) -> None:
    """Refuse a list whose results would not each have a place of their own, or no encoder.

    Raises:
        UserError: two inputs would become the same file, or several one; the encoder does not work.
    """
    if not all(is_picture(source) for source in inputs if not source.is_dir()):
        hardware_of(settings.codec)  # refuses before anything takes long
    asked = settings.output
    if len(inputs) > 1 and asked is not None and not asked.is_dir():
        raise UserError(
            f"{asked} is not a folder, and there are {len(inputs)} inputs",
            "Give -o an existing folder",
        )
    alike = defaultdict(list)
    folders = [source.resolve() for source in inputs if source.is_dir()]
    for source in folders:
        alone = folders.count(source) == 1
        if not alone or (asked is not None and [s.name for s in folders].count(source.name) > 1):
            raise UserError(
                f"{source} and another input would go into one folder",
                "Convert them by separate commands, each with an -o of its own",
            )
    for source in inputs:
        if source.is_dir():
            continue
        folder = source.parent if asked is None else asked
        alike[folder.resolve(), source.stem, is_picture(source)].append(source)
    for (folder, stem, _), sources in alike.items():
        if len(sources) == 1:
            continue
        taken: dict[str, Path] = {}
        for source in sources:
            try:
                suffix = _suffix(source, settings)
            except UserError:
                continue  # it will be said when its turn comes
            if suffix in taken:
                raise UserError(
                    f"{taken[suffix]} and {source} would both become"
                    f" {folder / f'{stem}.{model}{suffix}'}",
                    "Convert them by separate commands, each with an -o of its own",
                )
            taken[suffix] = source


def _suffix(source: Path, settings: Settings) -> str:
    if is_picture(source):
        return source.suffix.lower()
    return usual_suffix(probe(source), settings)
