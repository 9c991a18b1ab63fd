"""A run's folder: begun, found again, and never two processes in it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from engines.atomic import replacing
from engines.errors import UserError
from engines.library import SUFFIX, check_name, list_models, models_folder
from trainer.checkpoint import Checkpoints
from trainer.config import TrainConfig, config_from, differences, read_settings, resolved, to_toml
from trainer.publish import name_back

SETTINGS = "config.toml"


@contextmanager
def opened_run(config: TrainConfig, folder: Path) -> Iterator[int]:
    """Hold the folder of a run, new or not; gives the pictures seen so far.

    Raises UserError where another run is in it, another process trains it, its names are taken by
    other models, or it cannot be written.
    """
    config = resolved(config)
    if not (folder / SETTINGS).is_file():
        _check_names(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        with lock:
            _settle(config, folder)
            found = Checkpoints(folder / "checkpoints").found()
            yield int(found[-1].stem) if found else 0
    except Timeout as error:
        raise UserError(f"Another process trains in {folder}", "Wait for it, or stop it") from error
    except PermissionError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror})", "Choose another with --output"
        ) from error


def run_config(folder: Path) -> TrainConfig:
    """The settings of a run. Raises UserError for a folder that is none."""
    require_run(folder)
    return config_from(read_settings(folder / SETTINGS))


def require_run(folder: Path) -> None:
    """Raise UserError for a folder that is no run."""
    if not (folder / SETTINGS).is_file():
        raise UserError(f"{folder} is no run", "A run has a config.toml: see cgvideo train")


def layout(data: Path, paired: bool) -> Mapping[str, Any]:
    """Where the pictures are in a folder as the reference projects have it.

    trainA, trainB, testA, testB; paired: train and test, side by side. Raises UserError for another.
    """
    if not data.is_dir():
        raise UserError(f"There is no folder {data}", "Check the path")
    names = ("train", "train", "test", "test") if paired else ("trainA", "trainB", "testA", "testB")
    folders = [data / name for name in names]
    for folder in folders[:2]:
        if not folder.is_dir():
            what = "train (pictures side by side)" if paired else "trainA and trainB"
            raise UserError(
                f"{data} has no folder {folder.name}",
                f"It must hold {what}, or give --source and --target",
            )
    found = dict(zip(("source", "target", "test_source", "test_target"), folders, strict=True))
    return {name: str(folder) for name, folder in found.items() if folder.is_dir()}


def install(config: TrainConfig, folder: Path) -> list[str]:
    """Put the run's models among the user's, in place of those of this run that are there; their names."""
    names = []
    for name in _names(config):
        made = folder / "models" / f"{name}.safetensors"
        if made.is_file():
            target = _place(name)
            with replacing(target) as scratch:
                scratch.write_bytes(made.read_bytes())
            names.append(name)
    return names


def _names(config: TrainConfig) -> tuple[str, ...]:
    return (config.name,) if config.one_way else (config.name, name_back(config.name))


def _place(name: str) -> Path:
    path = models_folder() / f"{name}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _settle(config: TrainConfig, folder: Path) -> None:
    """Write the settings of a new run, or see that those of an old one are kept."""
    settings = folder / SETTINGS
    if settings.is_file():
        changed = differences(run_config(folder), config)
        if changed:
            raise UserError(
                f"{folder} holds a run with other settings: {', '.join(changed)}",
                "Give the same, or another --name",
            )
    with replacing(settings) as scratch:
        scratch.write_text(to_toml(config), encoding="utf-8")


def _check_names(config: TrainConfig) -> None:
    """Raise UserError unless the models' names are free."""
    taken = {entry.name.casefold() for entry in list_models()}
    for name in _names(config):
        check_name(name)
        if name.casefold() in taken:
            raise UserError(
                f"There is a model named {name} already", "Give another name with --name"
            )
