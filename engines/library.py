"""Where models are found by name: those that come with the program, and the user's own.

Names alone are had without NumPy: the shell asks for them each time Tab is pressed.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_dir

from engines.atomic import replacing
from engines.errors import UserError

if TYPE_CHECKING:
    from engines.model_file import Model

SUFFIX = ".safetensors"
_BUILT_IN = Path(__file__).parent / "models"
# Begins with a letter or digit, so that no name is hidden, a path, or an option.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
# Windows opens devices by these names whatever their suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that can be named on the command line."""

    name: str
    path: Path
    built_in: bool


def models_folder() -> Path:
    """The folder of the user's own models: `CGVIDEO_MODELS`, else the platform's data folder."""
    chosen = os.environ.get("CGVIDEO_MODELS")
    return Path(chosen) if chosen else Path(user_data_dir("cgvideo", appauthor=False), "models")


def list_models() -> list[ModelEntry]:
    """All models by name; a user's model hides a built-in one of the same name."""
    entries = {
        path.stem: ModelEntry(path.stem, path, built_in)
        for folder, built_in in ((_BUILT_IN, True), (models_folder(), False))
        for path in folder.glob(f"*{SUFFIX}")
        if _is_sane(path.stem)
    }
    return [entries[name] for name in sorted(entries)]


def find_model(name_or_path: str) -> "Model":
    """Read the model of that name, or the model file at that path.

    What ends in .safetensors or holds a path separator is a path. The model has the name by which
    it was found (of a path, the file's stem), whatever the file calls itself. Raises UserError for
    an unknown name (with the known ones and the closest) and for a file that is no model.
    """
    from engines.model_file import CHECKPOINTS, read_model

    path = Path(name_or_path)
    is_checkpoint = path.suffix in CHECKPOINTS and path.is_file()  # reading it says what to do
    if name_or_path.endswith(SUFFIX) or path.name != name_or_path or is_checkpoint:
        with suppress(RuntimeError):  # there is nobody of that name
            path = path.expanduser()
    else:
        path = _entry(name_or_path).path
    return replace(read_model(path), name=path.stem)


def add_model(file: Path, name: str | None = None) -> ModelEntry:
    """Copy a model file into the user's models, under its own stem unless `name` is given.

    Raises UserError for a file that is no model, for a name that cannot be a file's, and for one
    that is taken.
    """
    from engines.model_file import read_model

    name = file.stem if name is None else name
    check_name(name)
    read_model(file)  # refuses what is no model
    with _new_entry(name) as entry, replacing(entry.path) as scratch:
        shutil.copyfile(file, scratch)
    return entry


def keep_model(model: "Model") -> ModelEntry:
    """Write a model among the user's models, under its name.

    Raises UserError for a name that cannot be a file's, and for one that is taken.
    """
    from engines.model_file import write_model

    check_name(model.name)
    with _new_entry(model.name) as entry:
        write_model(entry.path, model)
    return entry


def describe_model(name_or_path: str, facts: Mapping[str, str]) -> Path:
    """Put facts on the card of one of the user's models, or of a model file; an empty one goes.

    Raises UserError for a model that comes with the program, and for what may not be written.
    """
    from engines.model_file import write_model

    model = find_model(name_or_path)
    assert model.path is not None
    if any(entry.built_in and entry.path == model.path for entry in list_models()):
        raise UserError(f"{name_or_path} comes with the program and stays as it is", "Add a copy")
    card = {key: value for key, value in {**model.card, **facts}.items() if value}
    try:
        write_model(model.path, replace(model, card=card))
    except OSError as error:
        raise UserError(
            f"{model.path} cannot be written ({error.strerror or error})", "Describe a copy of it"
        ) from error
    return model.path


def check_name(name: str) -> None:
    """Raise UserError for what cannot be a model's name."""
    if not _is_sane(name):
        raise UserError(
            f"{name!r} cannot be a model's name",
            "Use letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        )


def sane_name(text: str) -> str:
    """What comes nearest to `text` of all that can be a model's name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:80]
    return name if _is_sane(name) else "imported"


@contextmanager
def _new_entry(name: str) -> Iterator[ModelEntry]:
    """Where a model of the user's goes; what the system has against it is the user's to mend."""
    if any(entry.name.casefold() == name.casefold() for entry in list_models()):
        raise UserError(f"There is a model named {name} already", "Give another name with --name")
    target = models_folder() / f"{name}{SUFFIX}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield ModelEntry(name, target, built_in=False)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written ({error.strerror or error})",
            "Choose another folder with the environment variable CGVIDEO_MODELS",
        ) from error


def remove_model(name: str) -> None:
    """Delete one of the user's models.

    Raises UserError for unknown and for built-in ones, and for what may not be removed.
    """
    entry = _entry(name)
    if entry.built_in:
        raise UserError(f"{name} comes with the program and stays", "Only models you added can go")
    try:
        entry.path.unlink()
    except OSError as error:
        raise UserError(
            f"{entry.path} cannot be removed ({error.strerror or error})", "Remove it by hand"
        ) from error


def _entry(name: str) -> ModelEntry:
    entries = {entry.name: entry for entry in list_models()}
    if name not in entries:
        close = get_close_matches(name, entries, n=1)
        guess = f"Did you mean {close[0]}? " if close else ""
        raise UserError(
            f"There is no model named {name!r}", f"{guess}Known: {', '.join(entries) or 'none'}"
        )
    return entries[name]


def _is_sane(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not _RESERVED.fullmatch(name)
