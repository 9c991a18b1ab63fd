"""What the settings ask of engines."""

from dataclasses import replace
from typing import Any, cast

from cgvideo.settings import Settings
from cgvideo.stages.tiled_engine import Tiling, decide_tiling
from cgvideo.stages.tiling import Norm
from engines.engine import EngineRequest
from engines.model_file import Model
from engines.survey.machine import processor

CLUSTER_CORES = 4
"""Cores of a worker in a cluster, where nothing else is said."""
DEFAULT_NORM: Norm = "anchors"  # of videos; docs/statistics.md has the figures


def engine_request(settings: Settings, size: tuple[int, int] | None) -> EngineRequest:
    """What the settings ask of an engine for frames of `size` (height, width)."""
    return EngineRequest(
        backend=cast(Any, settings.backend),
        device=settings.devices[0] if settings.devices else settings.device,
        precision=cast(Any, settings.precision),
        threads=settings.threads or _share(settings),
        size=size,
    )


def tiling_for(
    model: Model,
    request: EngineRequest,
    settings: Settings,
    size: tuple[int, int] | None = None,
    norm: Norm = DEFAULT_NORM,
) -> Tiling:
    """Tiles and statistics for frames of `size`, where it is not the request's; `norm` is for "auto".

    Raises:
        UserError: the model cannot be tiled as is asked.
    """
    size = size or request.size
    assert size is not None
    norm = norm if settings.norm == "auto" else cast(Norm, settings.norm)
    tile, halo = settings.tile_pixels(), settings.halo_pixels()
    tiled = settings.tile != "off"
    return decide_tiling(model, size, request, norm, tile, halo, tiled, settings.sharers)


def picture_request(settings: Settings, deep: bool, size: tuple[int, int] | None) -> EngineRequest:
    """What is asked of an engine for pictures: of any size, if not of `size` (height, width).

    Deep pixels are computed in fp32, if nothing else is asked for: half precision has 8 to 11 bits.
    """
    request = replace(engine_request(_alone(settings), size), streams=1)
    if not deep:
        return request
    precision = "fp32" if request.precision == "auto" else request.precision
    return replace(request, pixels="float32", precision=precision)


def picture_tiling(
    model: Model, request: EngineRequest, settings: Settings, size: tuple[int, int]
) -> Tiling:
    """Tiles and statistics for pictures of `size` (padded for the generator), each its own anchor."""
    own = _alone(settings)
    own = replace(own, norm="frame") if settings.norm == "anchors" else own
    return tiling_for(model, request, own, size, norm="frame")


def _alone(settings: Settings) -> Settings:
    """Settings for one process: pictures are not shared."""
    return replace(settings, workers=None, ray=None, devices=settings.devices[:1])


def _share(settings: Settings) -> int | None:
    """Each worker's share of the cores; None for all of them."""
    if settings.ray:
        return CLUSTER_CORES
    workers = settings.workers or len(settings.devices)
    return max(1, processor().threads // workers) if workers > 1 else None
