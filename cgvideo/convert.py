"""The program from Python: a file in, a file out; or frames in, frames out."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.codec.errors import writing
from cgvideo.codec.images import SUFFIXES, Picture, is_picture, read_picture, write_picture
from cgvideo.codec.probe import probe
from cgvideo.frame import Frame, side_by_side
from cgvideo.journal import CHOICES_NAME
from cgvideo.pipeline import Result, StopRequest, run
from cgvideo.plan import (
    Plan,
    choose_output,
    engine_pixels,
    engine_size,
    make_plan,
    usual_suffix,
    work_folder_of,
    working_size,
)
from cgvideo.progress import Progress
from cgvideo.scenes import marked
from cgvideo.settings import Settings
from cgvideo.smoothing import smoothed
from cgvideo.tiled_engine import Tiling, decide_tiling, open_tiled
from cgvideo.tiling import Norm
from cgvideo.translate import translate, translate_picture
from engines.atomic import replacing
from engines.backends import open_engine
from engines.engine import Backend, Engine, EngineRequest
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model
from engines.store import EngineStore

DEFAULT_MODEL = "summer2winter"
DEFAULT_NORM: Norm = "anchors"  # of videos; docs/statistics.md has the figures
MEASURED_FROM_FRAMES = 200  # in shorter clips, measuring the best number of streams gains nothing


def convert(
    source: str | Path,
    model: str = DEFAULT_MODEL,
    output: str | Path | None = None,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    **settings: Any,
) -> Path:
    """Convert one video or picture and return the finished file.

    `model` is a name or a path to a model file; `settings` are the fields of
    `cgvideo.settings.Settings`: start, duration, max_size, strength, codec, crf … A run that was
    interrupted goes on where it stopped when it is called again with the same arguments.

    Raises:
        UserError: something the caller can mend, in one line.
    """
    chosen = Settings(output=None if output is None else Path(output), **settings)
    found = find_model(model)
    if is_picture(Path(source)):
        return convert_picture(Path(source), found, chosen).output
    return convert_video(Path(source), found, chosen, progress, stop).output


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
        return run(plan, engine, progress, stop)


@contextmanager
def prepared(
    source: Path, model: Model, settings: Settings, store: EngineStore | None = None
) -> Iterator[tuple[Plan, Engine]]:
    """Probe the clip, make the engine ready for its size, and plan.

    Nothing is written yet but what `store` keeps.
    """
    clip = probe(source)
    output = choose_output(source, model.name, settings, usual_suffix(clip, settings))
    size = working_size(clip.upright_size, settings.max_size)
    work_size = working_size(size, settings.work_size)
    request = replace(
        engine_request(settings, engine_size(work_size, model)),
        pixels=engine_pixels(clip, settings, output),
    )
    streams = _remembered_streams(output, model, request)
    frames = clip.expected_frames(settings.start, settings.duration)
    if streams is None and frames is not None and frames < MEASURED_FROM_FRAMES:
        streams = 1
    request = replace(request, streams=streams)
    with open_tiled(model, tiling_for(model, request, settings), request, store) as engine:
        yield make_plan(clip, model, engine, settings, output), engine


def engine_request(settings: Settings, size: tuple[int, int] | None) -> EngineRequest:
    """What the settings ask of an engine for frames of `size` (height, width)."""
    return EngineRequest(
        backend=cast(Any, settings.backend),
        device=settings.device,
        precision=cast(Any, settings.precision),
        threads=settings.threads,
        size=size,
    )


def tiling_for(
    model: Model,
    request: EngineRequest,
    settings: Settings,
    size: tuple[int, int] | None = None,
) -> Tiling:
    """Tiles and statistics for frames of `size`, where it is not the request's.

    Raises:
        UserError: the model cannot be tiled as is asked.
    """
    size = size or request.size
    assert size is not None
    norm = DEFAULT_NORM if settings.norm == "auto" else cast(Norm, settings.norm)
    if request.size is None and norm == "anchors":
        norm = "frame"  # a picture is its own anchor
    tile, halo = settings.tile_pixels(), settings.halo_pixels()
    return decide_tiling(model, size, request, norm, tile, halo, tiled=settings.tile != "off")


def remember_choices(plan: Plan) -> None:
    """Store what was measured, so that a resumed run does not measure (and choose) anew.

    Raises:
        UserError: the folder of the output may not be written.
    """
    folder, identity = work_folder_of(plan.output), dict(plan.engine)
    known = _stored_engines(plan.output)
    if identity in known:
        return
    with writing(folder):
        folder.mkdir(exist_ok=True)
        with replacing(folder / CHOICES_NAME) as scratch:
            scratch.write_text(json.dumps([*known, identity]), encoding="utf-8")


def _remembered_streams(output: Path, model: Model, request: EngineRequest) -> int | None:
    """The number of streams of an engine that was made for this output and answers `request`."""
    asked = {"model": model.sha256}
    if request.size is not None:
        asked["size"] = "{}x{}".format(*request.size)
    for name in ("backend", "precision", "threads"):
        wanted = getattr(request, name)
        if wanted not in ("auto", None):
            asked[name] = str(wanted)
    for identity in _stored_engines(output):
        if asked.items() <= identity.items() and identity.get("streams", "").isdigit():
            return int(identity["streams"])
    return None


def _stored_engines(output: Path) -> list[dict[str, str]]:
    try:
        stored = json.loads((work_folder_of(output) / CHOICES_NAME).read_bytes())
        return [{str(k): str(v) for k, v in identity.items()} for identity in stored]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """A conversion of a picture, decided. `size` is the (height, width) that is translated."""

    source: Path
    picture: Picture
    output: Path
    size: tuple[int, int]
    strength: float
    compare: bool
    work_size: tuple[int, int] | None = None
    """(height, width) at which it is translated, if not as it comes out"""


@dataclass(frozen=True, slots=True)
class PictureResult:
    """A finished picture. `seconds` are those of translating and writing it."""

    output: Path
    size: tuple[int, int]
    seconds: float
    engine: str


def convert_picture(source: Path, model: Model, settings: Settings) -> PictureResult:
    """Convert one PNG or JPEG; see `convert`. Metadata, profile and transparency are kept.

    Raises:
        UserError: something the caller can mend.
    """
    with prepared_picture(source, model, settings, EngineStore()) as (plan, engine):
        return run_picture(plan, engine)


@contextmanager
def prepared_picture(
    source: Path, model: Model, settings: Settings, store: EngineStore | None = None
) -> Iterator[tuple[PicturePlan, Engine]]:
    """Read a picture, decide what becomes of it, and make the engine ready: one for any size.

    Nothing is written but what `store` keeps.
    """
    picture = read_picture(source)
    output = choose_output(
        source, model.name, settings, source.suffix.lower(), kinds=tuple(SUFFIXES)
    )
    size = working_size((picture.pixels.shape[0], picture.pixels.shape[1]), settings.max_size)
    request = replace(engine_request(settings, size=None), streams=1)
    work_size = working_size(size, settings.work_size)
    tiling = tiling_for(model, request, settings, engine_size(work_size, model))
    with open_tiled(model, tiling, request, store) as engine:
        strength, compare = settings.strength, settings.compare
        asked = None if work_size == size else work_size
        yield PicturePlan(source, picture, output, size, strength, compare, asked), engine


def run_picture(plan: PicturePlan, engine: Engine) -> PictureResult:
    """Translate a picture and put the finished file in place.

    Raises:
        UserError: it cannot be written.
    """
    began = time.monotonic()
    pixels, alpha = plan.picture.pixels, plan.picture.alpha
    if plan.size != pixels.shape[:2]:
        pixels = cv2.resize(pixels, plan.size[::-1], interpolation=cv2.INTER_AREA)
        if alpha is not None:
            smaller = cv2.resize(alpha, plan.size[::-1], interpolation=cv2.INTER_AREA)
            alpha = smaller.astype(np.uint8)
    result = translate_picture(pixels, engine, plan.strength, plan.work_size)
    if plan.compare:
        result = side_by_side(pixels, result)
        alpha = None if alpha is None else np.concatenate([alpha, alpha], axis=1)
    write_picture(plan.output, replace(plan.picture, pixels=result, alpha=alpha))
    description = f"{engine.description}: {engine.why}"
    return PictureResult(plan.output, plan.size, time.monotonic() - began, description)


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
        strength=strength, smooth=smooth, backend=backend, device=device, threads=threads
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

    with open_engine(found, request, EngineStore()) as engine:
        source = marked(numbered()) if steadiness else numbered()
        results = translate(source, engine, engine.batch, strength)
        for result in smoothed(results, steadiness) if steadiness else results:
            yield result.pixels
