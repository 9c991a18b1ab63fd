"""Where each pixel went: dense motion between pictures, and pictures brought along it.

A flow `here -> there` is float32 `[H, W, 2]`, (x, y) in pixels: what is at `p` in the picture `here` is at
`p + flow[p]` in the picture `there`. All functions are pure and may be called from any thread.
"""

from functools import lru_cache
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels

Flow = NDArray[np.float32]
Gray = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Kernel = Literal["linear", "cubic", "lanczos"]

KERNELS: dict[Kernel, int] = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
REDUCTION = 2
LEAST_SIDE = 32  # pixels: DIS finds nothing in pictures that are much smaller
EFFORTS: dict[str, int] = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "brisk": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,  # with fewer patches and passes
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


def reduced(pixels: Pixels, reduction: float = REDUCTION) -> Gray:
    """Luma of RGB `[H, W, 3]` uint8 at `1/reduction` of its size: what motion is measured on.

    A side is never less than 32 pixels, so that tiny pictures are enlarged.
    """
    height, width = pixels.shape[:2]
    rows, columns = (max(round(side / reduction), LEAST_SIDE) for side in (height, width))
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    if (rows, columns) != (height, width):
        smaller = rows <= height and columns <= width
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        gray = cv2.resize(gray, (columns, rows), interpolation=how)
    return np.asarray(gray, np.uint8)


def gray_flow(here: Gray, there: Gray, effort: str = "medium") -> Flow:
    """The flow between two gray pictures `[h, w]` of one size, both sides at least 32, at that size.

    Dense inverse search (Kroeger et al. 2016, arXiv 1603.03590) by OpenCV; `effort` is "ultrafast",
    "fast", "brisk" (as good as medium for smoothing, in two thirds of its time) or "medium". The same bytes
    whatever the number of threads.
    """
    # An instance holds scratch memory and must not be shared between threads; a new one costs nothing.
    search = cv2.DISOpticalFlow.create(EFFORTS[effort])
    if effort == "brisk":
        search.setPatchStride(4)
        search.setVariationalRefinementIterations(3)
    return np.asarray(search.calc(here, there, np.zeros((*here.shape, 2), np.float32)), np.float32)


def at_size(flow: Flow, size: tuple[int, int]) -> Flow:
    """A flow measured on reduced pictures, for pictures of `size` (height, width)."""
    rows, columns = flow.shape[:2]
    height, width = size
    if (rows, columns) == (height, width):
        return flow
    scale = np.array([width / columns, height / rows], np.float32)
    longer = flow * (scale[0] if scale[0] == scale[1] else scale)  # one factor is much faster
    return np.asarray(
        cv2.resize(longer, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def flow_between(here: Pixels, there: Pixels, reduction: float = REDUCTION) -> Flow:
    """The flow `here -> there` of two RGB pictures `[H, W, 3]` uint8, measured on reduced ones."""
    found = gray_flow(reduced(here, reduction), reduced(there, reduction))
    return at_size(found, (here.shape[0], here.shape[1]))


def warped(there: NDArray[np.generic], flow: Flow, kernel: Kernel = "lanczos") -> Pixels:
    """The picture `there` (`[H, W]` or `[H, W, C]`, uint8 or float32) as it would be seen `here`.

    Each pixel takes what lies at `p + flow[p]`, by a kernel of 2x2, 4x4 or 8x8 taps (positions are rounded to
    1/32 of a pixel). Beyond the edges the picture is mirrored; `inside` says where that was.
    """
    brought = cv2.remap(
        np.ascontiguousarray(there),
        flow,
        cast(Any, None),
        KERNELS[kernel] | cv2.WARP_RELATIVE_MAP,
        borderMode=cv2.BORDER_REFLECT,  # the other kind never ends where a side is 1
    )
    return np.asarray(brought)


def composed(first: Flow, second: Flow) -> Flow:
    """The flow `a -> c` from `a -> b` and `b -> c`: a chain of frames is followed, then warped once."""
    return np.asarray(first + warped(second, first, "linear"), np.float32)


def inside(flow: Flow) -> Mask:
    """`[H, W]`, true where a flow points into the picture, whose pixels reach half a pixel around."""
    height, width = flow.shape[:2]
    across, down = _grid((height, width))
    x, y = across + flow[..., 0], down + flow[..., 1]
    held = (abs(x - (width - 1) / 2) <= width / 2) & (abs(y - (height - 1) / 2) <= height / 2)
    return np.asarray(held, np.bool_)


def disagreeing(flow: Flow, back: Flow) -> Mask:
    """`[H, W]`, true where the way there and back does not end where it began: seen `here` alone.

    With w = `flow` (`here -> there`) and w' = `back` (`there -> here`) at the place that w points at:
    |w + w'|^2 > 0.01 (|w|^2 + |w'|^2) + 0.5 (Sundaram et al. 2010, eq. 5; Ruder et al. 2016, arXiv
    1604.08610, eq. 4).
    """
    returned = warped(back, flow, "linear")
    return np.asarray(
        _squared(flow + returned) > 0.01 * (_squared(flow) + _squared(returned)) + 0.5, np.bool_
    )


def motion_edges(flow: Flow) -> Mask:
    """`[H, W]`, true where the motion changes abruptly: |grad u|^2 + |grad v|^2 > 0.01 |w|^2 + 0.002.

    Flow is unsafe there (Ruder et al. 2016, eq. 5).
    """
    down = np.diff(flow, axis=0, append=flow[-1:])
    across = np.diff(flow, axis=1, append=flow[:, -1:])
    return np.asarray(_squared(down) + _squared(across) > 0.01 * _squared(flow) + 0.002, np.bool_)


def occluded(flow: Flow, back: Flow) -> Mask:
    """`[H, W]`, true where `there` cannot say what `here` shows, as Lai et al. 2018 (arXiv 1808.00449) mask.

    What disagrees there and back, lies at a motion's edge, or comes from outside of the picture.
    """
    return np.asarray(disagreeing(flow, back) | motion_edges(flow) | ~inside(flow), np.bool_)


def _squared(flow: Flow) -> NDArray[np.float32]:
    return np.asarray(flow[..., 0] ** 2 + flow[..., 1] ** 2, np.float32)


@lru_cache(maxsize=8)
def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The places of all pixels: x `[1, W]` and y `[H, 1]`."""
    height, width = size
    return np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
