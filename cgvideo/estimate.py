"""What a plan will cost, before it is begun."""

import shutil
import time
from dataclasses import dataclass

import numpy as np

from cgvideo.codec.encode import CODECS
from cgvideo.plan import Plan
from cgvideo.translate import padded_size
from engines.engine import Engine


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a plan will cost: seconds of work, bytes on the disk while it runs, and bytes free."""

    seconds_per_frame: float
    seconds: float | None
    disk_bytes: int | None
    free_bytes: int


OVERHEAD = 1.08  # decoding and encoding beside the engine


def estimate(plan: Plan, engine: Engine) -> Estimate:
    """Time one batch of the engine, and reckon."""
    height, width = padded_size(plan.size, engine.spec.multiple_of, engine.spec.minimum_size)
    gray = np.full((plan.batch, height, width, 3), 127, np.uint8)
    gray[:, ::2] = 90
    if plan.fidelity.pixels == "float32":
        gray = np.divide(gray, 255, dtype=np.float32)
    took = 0.0
    for _ in range(2):  # the first call may still be setting things up
        began = time.perf_counter()
        engine(gray)
        took = time.perf_counter() - began
        if took > 2:
            break
    per_frame = took / plan.batch * OVERHEAD
    frames = plan.expected_frames
    rows, columns = plan.encoding.size
    bits = CODECS[plan.encoding.codec].bits_per_pixel * rows * columns
    return Estimate(
        per_frame,
        None if frames is None else frames * per_frame,
        None if frames is None else round(frames * bits / 8 * 2),  # the parts, and the joined file
        shutil.disk_usage(plan.output.parent).free,
    )
