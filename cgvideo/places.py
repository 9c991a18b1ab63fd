"""Where results go, and where their unfinished work lives."""

import os
from pathlib import Path

from cgvideo.clip import Clip
from cgvideo.codec.encode import CODECS
from cgvideo.codec.join import ASPECT, FORMATS, SUFFIXES
from cgvideo.settings import Settings
from engines.errors import UserError

_WORK_SUFFIX = ".cgvideo"


def choose_output(
    source: Path,
    model: str,
    settings: Settings,
    suffix: str,
    kinds: tuple[str, ...] = tuple(FORMATS),
) -> Path:
    """Where the result goes: beside the source under the model's name, or as `-o` says.

    `suffix` is the usual one for this source, `kinds` are those that may be asked for.

    Raises:
        UserError: the place is the source itself, is taken, or may not be written.
    """
    asked = settings.output
    if asked is None or asked.is_dir():
        folder = source.parent if asked is None else asked
        output = folder / f"{source.stem}.{model}{suffix}"
    else:
        output = asked
    if output.suffix.lower() not in kinds:
        raise UserError(
            f"{output} does not say a format that this can write", f"End it in {', '.join(kinds)}"
        )
    if not output.parent.is_dir():
        raise UserError(f"The folder {output.parent} does not exist", "Make it first")
    if output.exists() and output.samefile(source):
        raise UserError("The output would replace the input", "Choose another name with -o")
    refuse_existing(output, settings.overwrite)
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"{output.parent} may not be written", "Choose another place with -o")
    return output


def refuse_existing(output: Path, overwrite: bool) -> None:
    """Raise UserError where a file would be replaced that may not be."""
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already", "Give --overwrite, or another name with -o")


def work_folder_of(output: Path) -> Path:
    """The hidden folder beside an output that holds all its unfinished work."""
    return output.parent / f".{output.name}{_WORK_SUFFIX}"


def output_of_work(folder: Path) -> Path | None:
    """The output that a work folder belongs to, by its name; None for another folder's name."""
    name = folder.name
    if not (name.startswith(".") and name.endswith(_WORK_SUFFIX)):
        return None
    return folder.parent / name[1 : -len(_WORK_SUFFIX)]


def usual_suffix(clip: Clip, settings: Settings) -> str:
    """The input's own container where it can hold the codec and every frame's time, else another."""
    suffix = clip.path.suffix.lower()
    codec = CODECS[settings.codec]
    muxers = codec.muxers
    if clip.sample_aspect_ratio != 1 and not codec.says_aspect:
        muxers = tuple(muxer for muxer in muxers if muxer in ASPECT) or muxers
    return suffix if FORMATS.get(suffix) in muxers else SUFFIXES[muxers[0]]
