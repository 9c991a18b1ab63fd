"""What a plan will cost, before it is begun."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cgvideo.codec.encode import CODECS
from cgvideo.frame import Frame, TranslatedFrame
from cgvideo.plan import Plan
from cgvideo.stages.smoothing import REACH, smoothed
from cgvideo.stages.tiled_engine import TiledEngine
from cgvideo.stages.translate import padded_size
from engines.engine import Engine


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a plan will cost: seconds of work, bytes on the disk while it runs, and bytes free."""

    seconds_per_frame: float
    seconds: float | None
    disk_bytes: int | None
    free_bytes: int


T = TypeVar("T")
SMALL = (270, 480)
OVERHEAD = 1.08  # decoding and encoding beside the engine


def estimate(plan: Plan, engine: Engine) -> Estimate:
    """Time one batch of the engine, and reckon."""
    height, width = padded_size(
        plan.work_size or plan.size, engine.spec.multiple_of, engine.spec.minimum_size
    )
    gray = np.full((plan.batch, height, width, 3), 127, np.uint8)
    gray[:, ::2] = 90
    if plan.fidelity.pixels == "float32":
        gray = np.divide(gray, 255, dtype=np.float32)
    measured, given = 0.0, []
    if plan.anchor_interval is not None and isinstance(engine, TiledEngine):
        statistics, measured = _timed(lambda: engine.measure(gray[:1]))
        given = [statistics]
    _, took = _timed(lambda: engine(gray, *given))
    per_frame = took / plan.batch * OVERHEAD + measured / (plan.anchor_interval or 1)
    if plan.smooth:
        per_frame += _smoothing_seconds(plan.size)
    frames = plan.expected_frames
    rows, columns = plan.encoding.size
    bits = CODECS[plan.encoding.codec].bits_per_pixel * rows * columns
    return Estimate(
        per_frame,
        None if frames is None else frames * per_frame,
        None if frames is None else round(frames * bits / 8 * 2),  # the parts, and the joined file
        shutil.disk_usage(plan.output.parent).free,
    )


def _smoothing_seconds(size: tuple[int, int]) -> float:
    """What smoothing a frame of `size` takes, reckoned from a small window of small ones."""
    height, width = SMALL
    grain = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    count = 2 * REACH + 1
    frames = [TranslatedFrame(Frame(n, n, 1, np.roll(grain, n, 1)), grain) for n in range(count)]
    _, took = _timed(lambda: list(smoothed(iter(frames))))
    # Of so few frames, those at the ends have half a window.
    return took / (count - REACH / 2) * size[0] * size[1] / (height * width)


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and its seconds; of two calls, since the first may set things up."""
    for _ in range(2):
        began = time.perf_counter()
        result = call()
        took = time.perf_counter() - began
        if took > 2:
            break
    return result, took
