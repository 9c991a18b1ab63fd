"""The program from Python: a file or a folder in, the same out; or frames in, frames out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgvideo.codec.images import is_picture
from cgvideo.codec.join import FORMATS
from cgvideo.folders.folder import plan_folder
from cgvideo.folders.folder_run import FolderResult, run_folder
from cgvideo.folders.pictures import convert_picture
from cgvideo.frame import Frame
from cgvideo.pipeline import Result, run
from cgvideo.prepare import prepared, remember_choices
from cgvideo.progress import Progress, StopRequest
from cgvideo.requests import engine_request, tiling_for
from cgvideo.settings import Settings
from cgvideo.sizes import engine_size
from cgvideo.stages.scenes import marked
from cgvideo.stages.smoothing import smoothed
from cgvideo.stages.tiled_engine import open_tiled
from cgvideo.stages.translate import translate
from cgvideo.workers.hire import hired_for_clip
from engines.engine import Backend
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model
from engines.store import EngineStore

DEFAULT_MODEL = "summer2winter"


def convert(
    source: str | Path,
    model: str = DEFAULT_MODEL,
    output: str | Path | None = None,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    **settings: Any,
) -> Path:
    """Convert one video or picture, or all in a folder, and return the finished file or folder.

    `model` is a name or a path to a model file; `settings` are the fields of
    `cgvideo.settings.Settings`: start, duration, max_size, strength, codec, crf … A run that was
    interrupted goes on where it stopped when it is called again with the same arguments.

    Raises:
        UserError: something the caller can mend, in one line; of a folder, that files have failed.
    """
    chosen = Settings(output=None if output is None else Path(output), **settings)
    found = find_model(model)
    path = Path(source)
    if path.is_dir():
        result = convert_folder(path, found, chosen, progress, stop)
        refuse_failures(path, result)
        return result.output
    if as_picture(path, chosen):
        return convert_picture(path, found, chosen).output
    return convert_video(path, found, chosen, progress, stop).output


def as_picture(source: Path, settings: Settings) -> bool:
    """Whether a file is converted as a picture: it is one, and no video is asked for of its frames."""
    asked = settings.output
    as_video = asked is not None and not asked.is_dir() and asked.suffix.lower() in FORMATS
    return is_picture(source) and not (as_video and source.suffix.lower() in (".gif", ".apng"))


def convert_folder(
    source: Path,
    model: Model,
    settings: Settings,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> FolderResult:
    """Convert all pictures and videos of a folder, and give what became of them."""
    plan = plan_folder(source, model, settings)

    def video(path: Path, own: Settings) -> tuple[str, ...]:
        return convert_video(path, model, own, progress, stop).notices

    return run_folder(plan, model, EngineStore(), video, stop=stop)


def refuse_failures(source: Path, result: FolderResult) -> None:
    """Raise UserError where files of a folder could not be converted."""
    if result.failed:
        total = result.done + result.failed + result.skipped + result.left
        raise UserError(
            f"{result.failed} of {total} files in {source} could not be converted",
            f"{result.manifest} says why",
        )


def convert_video(
    source: Path,
    model: Model,
    settings: Settings,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Result:
    """Convert one video; see `convert`."""
    with prepared(source, model, settings, EngineStore()) as (plan, engine):
        remember_choices(plan)
        if not settings.by_several:
            return run(plan, engine, progress, stop)
    with hired_for_clip(plan, model, settings) as crew:
        return run(plan, crew, progress, stop)


def translate_frames(
    frames: Iterable[NDArray[np.uint8]],
    model: str = DEFAULT_MODEL,
    *,
    strength: float = 1.0,
    smooth: str | float = "off",
    backend: Backend = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Translate RGB frames `uint8 [H, W, 3]` of one size as they come; give the same shape back.

    Reads only as far ahead as the engine's batch; with `smooth` ("auto", or a number up to 1) some twenty
    frames further, since what steadies a frame comes before and after it.

    Raises:
        UserError: an unknown model, a backend that is not there, frames of changing size.
    """
    found = find_model(model)
    incoming = iter(frames)
    first = next(incoming, None)
    if first is None:
        return
    shape = first.shape
    settings = Settings(
        strength=strength,
        smooth=smooth,
        backend=backend,
        device=device,
        threads=threads,
        norm="frame",
    )
    steadiness = settings.smoothing()
    request = engine_request(settings, engine_size((shape[0], shape[1]), found))

    def numbered() -> Iterator[Frame]:
        number = 0
        pixels: NDArray[np.uint8] | None = first
        while pixels is not None:
            if pixels.shape != shape or pixels.dtype != np.uint8:
                raise UserError(
                    f"Frame {number} is {pixels.dtype} {pixels.shape}, the first uint8 {shape}",
                    "Give frames of one size",
                )
            yield Frame(number, number, 1, pixels)
            number += 1
            pixels = next(incoming, None)

    tiling = tiling_for(found, request, settings)
    with open_tiled(found, tiling, request, EngineStore()) as engine:
        source = marked(numbered()) if steadiness else numbered()
        results = translate(source, engine, engine.batch, strength)
        for result in smoothed(results, steadiness) if steadiness else results:
            yield result.pixels
