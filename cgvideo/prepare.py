"""What comes before a run: the clip is probed, the engine made ready, everything decided."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cgvideo.codec.errors import writing
from cgvideo.codec.probe import probe
from cgvideo.journal import CHOICES_NAME
from cgvideo.places import choose_output, usual_suffix, work_folder_of
from cgvideo.plan import Plan, check_start, engine_pixels, make_plan
from cgvideo.requests import engine_request, tiling_for
from cgvideo.settings import Settings
from cgvideo.sizes import engine_size, working_size
from cgvideo.stages.tiled_engine import open_tiled
from engines.atomic import make_folder, replacing
from engines.engine import Engine, EngineRequest
from engines.errors import UserError
from engines.model_file import Model
from engines.store import EngineStore

MEASURED_FROM_FRAMES = 200  # in shorter clips, measuring the best number of streams gains nothing


@contextmanager
def prepared(
    source: Path, model: Model, settings: Settings, store: EngineStore | None = None
) -> Iterator[tuple[Plan, Engine]]:
    """Probe the clip, make the engine ready for its size, and plan.

    Nothing is written yet but what `store` keeps.
    """
    clip = probe(source)
    check_start(clip, settings)
    output = choose_output(source, model.name, settings, usual_suffix(clip, settings))
    size = working_size(clip.upright_size, settings.max_size)
    size = engine_size(working_size(size, settings.work_size), model)
    request = replace(engine_request(settings, size), pixels=engine_pixels(clip, settings, output))
    # Decided before the streams are known: a run that goes on must come to the same tiles.
    tiling = tiling_for(model, request, settings)
    streams = _remembered_streams(output, model, replace(request, size=tiling.grid.tile))
    frames = clip.expected_frames(settings.start, settings.duration)
    if streams is None and frames is not None and frames < MEASURED_FROM_FRAMES:
        streams = 1
    request = replace(request, streams=streams)
    try:
        opened = open_tiled(model, tiling, request, store)
    except UserError as error:
        if settings.ray is None:
            raise
        raise UserError(
            f"{error.problem}, and the plan for the cluster is made here",
            "Start this on a machine like the workers'",
        ) from error
    with opened as engine:
        yield make_plan(clip, model, engine, settings, output), engine


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
        make_folder(folder)
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
