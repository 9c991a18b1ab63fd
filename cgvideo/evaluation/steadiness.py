"""Steadiness: whether what is seen stays the same while it moves."""

from dataclasses import dataclass

import numpy as np

from cgvideo.frame import Pixels
from cgvideo.stages.flow import (
    Flow,
    Kernel,
    Mask,
    at_size,
    disagreeing,
    gray_flow,
    occluded,
    reduced,
    warped,
)

MEASURED_SIDE = 960
"""Pixels of the longer side at which motion is measured at most: a measure may take its time."""
LEAST_SEEN = 0.3
"""Share of the picture that must be seen in the frame before, or nothing was followed: a cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How a source frame follows from the one before it. All `[H, W]` or `[H, W, 2]`."""

    back: Flow
    """from this frame to the one before"""
    seen: Mask
    """pixels of this frame that the one before shows as well: what E_warp is taken over"""
    uncovered: Mask
    """pixels of this frame that the one before does not show"""
    about_to_be_covered: Mask
    """pixels of the frame before that this one does not show"""

    @property
    def is_cut(self) -> bool:
        return bool(self.seen.mean() < LEAST_SEEN)


def motion_between(before: Pixels, now: Pixels, reduction: float | None = None) -> Motion:
    """The motion of two source frames in a row, RGB uint8 `[H, W, 3]`, measured at `1/reduction` of the size.

    None: at full size up to 960 pixels, so that it does not share the mistakes of what it judges.
    """
    if reduction is None:
        reduction = max(1.0, max(now.shape) / MEASURED_SIDE)
    small_before, small_now = reduced(before, reduction), reduced(now, reduction)
    size = (now.shape[0], now.shape[1])
    back = at_size(gray_flow(small_now, small_before), size)
    ahead = at_size(gray_flow(small_before, small_now), size)
    return Motion(back, ~occluded(back, ahead), disagreeing(back, ahead), disagreeing(ahead, back))


def warp_error(
    before: Pixels, now: Pixels, motion: Motion, kernel: Kernel = "cubic"
) -> float | None:
    """E_warp of two frames in a row (Lai et al. 2018, arXiv 1808.00449, eq. 5), in units of full scale squared.

    The mean over the pixels that are seen in both, and over the channels, of the squared difference
    between a frame and the one before brought to it along the *source's* motion. Pictures are RGB
    uint8 `[H, W, 3]`. None where no pixel is seen in both. (With the sum over the channels in place
    of the mean, as some publish it, it is three times as large.)
    """
    count = int(np.count_nonzero(motion.seen))
    if not count:
        return None
    brought = warped(before.astype(np.float32), motion.back, kernel)
    difference = (now.astype(np.float32) - brought)[motion.seen] / 255
    return float(np.square(difference, dtype=np.float64).mean())
