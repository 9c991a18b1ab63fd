"""A look at everything that matters to a conversion."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cgvideo.codec.encode import CODECS, SOFTWARE
from cgvideo.codec.hardware import DECODERS, ENCODERS, Trial, has_codec, try_decoder, try_encoder
from engines.errors import UserError
from engines.library import list_models, models_folder
from engines.store import cache_folder
from engines.survey.machine import Memory, Processor, memory, processor
from engines.survey.probing import PATIENCE_SECONDS, Answer, ask
from engines.survey.runtimes import PROBES, Survey, survey

COMPILING_SECONDS = 300.0
"""Patience with a GPU: PyTorch compiles the network the first time, TensorRT builds it."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the user's. Bytes."""

    path: Path
    writable: bool
    size: int
    free: int


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was seen."""

    processor: Processor
    memory: Memory
    survey: Survey
    speed: Answer
    """the engine that `convert` chooses by itself, run on 640x360; see `engines.survey.probes.speed`"""
    encoding: Trial
    """the usual codec, in software"""
    hardware: Mapping[str, Trial]
    """encoders and decoders in hardware; empty where there is no driver to try them with"""
    encoders: tuple[str, ...]
    """formats that this FFmpeg encodes in software"""
    models: int
    """the user's own"""
    models_folder: Folder
    cache: Folder
    scratch: Folder
    """for temporary files"""
    video: str = SOFTWARE


def examine() -> Examination:
    """Look at everything; what could crash or hang is asked in children. Takes a few seconds.

    Raises:
        UserError: there is no folder for temporary files, which all the rest needs.
    """
    try:
        scratch = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UserError(
            "There is no folder that temporary files can be written to",
            "Make room, or set TMPDIR to a folder of yours",
        ) from error
    with ThreadPoolExecutor() as pool:
        encoding = pool.submit(try_encoder, "h264")
        found = survey()
        tried = encoding.result()
        hardware = {}
        if found.nvidia.installed and not found.nvidia.problem:
            asked = {
                name: pool.submit(try_encoder, name) for name in CODECS if CODECS[name].stand_in
            }
            asked |= {name: pool.submit(try_decoder, name) for name in DECODERS}
            hardware = {name: trial.result() for name, trial in asked.items()}
    device = "cpu" if found.nvidia.problem else "auto"  # which would wait for the driver again
    patience = COMPILING_SECONDS if found.on_gpu else PATIENCE_SECONDS
    return Examination(
        processor(),
        memory(),
        found,
        ask(PROBES, "speed", device, seconds=patience),  # by itself, since it is timed
        tried,
        hardware,
        tuple(name for name, encoder in ENCODERS.items() if has_codec(encoder, "w")),
        sum(not entry.built_in for entry in list_models()),
        look_at(models_folder()),
        look_at(cache_folder()),
        look_at(scratch),
    )


def look_at(folder: Path) -> Folder:
    """Whether a folder can be written (or be made), what is in it, and how much room there is."""
    # What is in a folder that may not be looked into is as good as not there.
    there = next(p for p in (folder, *folder.absolute().parents) if os.access(p, os.F_OK))
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    size = 0
    if folder == there and folder.is_dir() and folder != Path(tempfile.gettempdir()):
        for path in folder.rglob("*"):
            try:
                size += path.lstat().st_size if path.is_file() else 0
            except OSError:
                continue
    return Folder(folder, writable, size, shutil.disk_usage(there).free)
