"""Steadiness: each frame becomes the mean of what its neighbours say about it, brought along the motion.

The window is finite and two-sided, and every frame in it is warped once: no blur piles up and no ghost
trails, as they do in a recursion; and a frame depends on the few frames around it alone.

    mean(X) = sum of w[i] warp(X[i]) / sum of w[i]         i in the window around the frame t, w[t] = 1
    steady  = mean(result) + RESTORED (source[t] - mean(source))       in luma, from the same warps
    smooth  = steady + KEPT lowpass(result[t] - steady)

The first line averages the generator's dots and noise away, and with them a little of what is really
there: warps blur, and motion is never found exactly. What they did to the source is known, so the second
line puts that back. The third gives the frame its own broad light and colour again, to a share.

A weight falls off with how far the *source*, brought the same way, is from what the frame shows, and with
how far the result is once its grain is blurred away; it is 0 where the way there and back disagree.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.flow import (
    Flow,
    Gray,
    at_size,
    composed,
    disagreeing,
    gray_flow,
    inside,
    reduced,
    warped,
)
from cgvideo.frame import Pixels, TranslatedFrame

MOST_THREADS = 8  # each holds some pictures in float32
REACH = 3
"""How many translated frames before and after its own a smoothed frame is made of."""

SOURCE_TOLERANCE = 14.0  # levels of 255 at which a weight has fallen to 1/e
RESULT_TOLERANCE = 10.0
SOURCE_DOUBT = np.array([[1, 1, 1, 0]]) / (3 * SOURCE_TOLERANCE**2)
RESTORED = 0.3  # of the detail that averaging took from the source; generators keep 0.15 to 0.65
KEPT = 0.3
BROAD = 3.0  # pixels: sigma of the blur that leaves light and colour


def smoothed(
    frames: Iterator[TranslatedFrame], strength: float = 1.0, threads: int | None = None
) -> Iterator[TranslatedFrame]:
    """Smooth translated frames, blending from frame by frame (`strength` 0) to all that can be had (1).

    A frame's bytes depend on it and on the `REACH` frames before and after it, up to where a scene begins
    (`Frame.begins_scene`), and not on `threads` (None: one a core, at most 8). Reads `REACH` + `threads`
    frames ahead.
    """
    threads = threads or min(os.cpu_count() or 1, MOST_THREADS)
    window: deque[_Moment | None] = deque([None] * 2 * REACH, 2 * REACH + 1)
    pending: deque[Future[TranslatedFrame]] = deque()
    with ThreadPoolExecutor(threads, "smoothing") as pool:
        for newest in chain(_moments(frames, pool), repeat(None, REACH)):
            window.append(newest)
            if window[REACH] is not None:
                pending.append(pool.submit(_smooth, tuple(window), strength))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """What its neighbours ask of a frame."""

    layers: NDArray[np.float32]
    """`[H, W, 4]` in levels of 255: the result's RGB and the source's luma"""
    gray: Gray
    """`[h, w]`: the source's luma, reduced"""
    hints: NDArray[np.float32]
    """`[h, w, 4]` in levels: the source's RGB and the result's luma, reduced"""


@dataclass(frozen=True, slots=True, eq=False)
class _Link:
    """The motion between a frame and the one before it."""

    back: Future[Flow]
    ahead: Future[Flow]


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """A frame in the window; what is computed for it is asked for when it is needed.

    The pool takes its work in order, and nothing in it waits for work that was handed in later.
    """

    frame: TranslatedFrame
    picture: Future[_Picture]
    link: _Link | None
    """None where a scene begins"""


def _moments(frames: Iterator[TranslatedFrame], pool: ThreadPoolExecutor) -> Iterator[_Moment]:
    before: Future[_Picture] | None = None
    for frame in frames:
        picture = pool.submit(_picture, frame)
        link = None
        if before is not None and not frame.source.begins_scene:
            back = pool.submit(_motion, picture, before)
            link = _Link(back, pool.submit(_motion, before, picture))
        yield _Moment(frame, picture, link)
        before = picture


def _motion(here: Future[_Picture], there: Future[_Picture]) -> Flow:
    return gray_flow(here.result().gray, there.result().gray)


def _picture(frame: TranslatedFrame) -> _Picture:
    source, result = _levels(frame.source.pixels), _levels(frame.pixels)
    luma = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
    layers = cv2.merge([*cv2.split(result), luma])
    gray = reduced(source.astype(np.uint8))
    size = (gray.shape[1], gray.shape[0])
    seen = cv2.merge([*cv2.split(source), cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)])
    hints = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    return _Picture(np.asarray(layers, np.float32), gray, np.asarray(hints, np.float32))


def _levels(pixels: Pixels) -> NDArray[np.float32]:
    """Pixels as float32, 0..255."""
    levels = pixels.astype(np.float32)
    return levels if pixels.dtype == np.uint8 else levels * 255


def _smooth(window: Sequence[_Moment | None], strength: float) -> TranslatedFrame:
    """The smoothed frame in the middle of a window."""
    middle = window[REACH]
    assert middle is not None
    layers = middle.picture.result().layers
    total, weights = layers.copy(), np.ones(layers.shape[:2], np.float32)
    for weight, brought in _witnesses(window):
        cv2.accumulateProduct(brought, _four(weight), total)
        weights += weight
    mean = cv2.divide(total, _four(weights))
    taken = cv2.subtract(layers, mean)  # by averaging: of the result's colours, and of the source
    restored = _four(RESTORED * cv2.extractChannel(taken, 3))
    missing = cv2.subtract(taken, restored)
    change = cv2.subtract(_low(missing), missing)  # of the frame as it was
    smooth = cv2.scaleAdd(change, strength, layers)
    return TranslatedFrame(middle.frame.source, _pixels(smooth, middle.frame.pixels.dtype))


def _four(layer: NDArray[np.float32]) -> NDArray[np.float32]:
    """One layer `[H, W]` as four: arithmetic on whole arrays is much faster than on parts of them."""
    return np.asarray(cv2.merge([layer] * 4), np.float32)


def _low(picture: NDArray[Any]) -> NDArray[np.float32]:
    """The share of light and colour, without detail, that a frame keeps as it was, `[H, W, 4]`."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
    small = KEPT * cv2.GaussianBlur(small, (0, 0), BROAD / 4)
    return np.asarray(
        cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def _pixels(layers: NDArray[Any], dtype: np.dtype[Any]) -> Pixels:
    """The colours of `[H, W, 4]` in levels as pixels of a kind."""
    levels = cv2.cvtColor(layers, cv2.COLOR_RGBA2RGB)
    if dtype == np.uint8:
        _, positive = cv2.threshold(levels, 0, 0, cv2.THRESH_TOZERO)
        return np.asarray(cv2.convertScaleAbs(positive), np.uint8)  # rounds, and cuts off at 255
    return np.asarray(np.clip(levels / 255, 0, 1), dtype)


def _witnesses(
    window: Sequence[_Moment | None],
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """What each other frame of the scene says about the middle one: (weight `[H, W]`, layers brought)."""
    for side in (window[REACH:], window[REACH::-1]):
        for here, there, way, home in _ways(side):
            size = (there.layers.shape[0], there.layers.shape[1])
            weight = _confidence(here.hints, there.hints, way, home)
            yield (
                np.asarray(cv2.resize(weight, size[::-1]), np.float32),
                warped(there.layers, at_size(way, size), "cubic"),
            )


def _ways(side: Sequence[_Moment | None]) -> Iterator[tuple[_Picture, _Picture, Flow, Flow]]:
    """From the first frame of `side` to each other one of its scene: (here, there, flow, flow back)."""
    way: Flow | None = None
    home: Flow | None = None
    for near, far in pairwise(side):
        if near is None or far is None:
            return
        forwards = far.frame.source.number > near.frame.source.number
        link = far.link if forwards else near.link
        if link is None:
            return
        back, ahead = link.back.result(), link.ahead.result()
        step, step_home = (ahead, back) if forwards else (back, ahead)
        way = step if way is None else composed(way, step)
        home = step_home if home is None else composed(step_home, home)
        assert side[0] is not None
        yield side[0].picture.result(), far.picture.result(), way, home


def _confidence(
    here: NDArray[np.float32], there: NDArray[np.float32], way: Flow, home: Flow
) -> NDArray[np.float32]:
    """How far the picture `there` can be trusted to show what is `here`, `[h, w]`, 0..1."""
    apart = warped(there, way, "linear") - here
    squared = cv2.transform(cv2.multiply(apart, apart), SOURCE_DOUBT)
    result = cv2.blur(cv2.extractChannel(apart, 3), (5, 5)) / RESULT_TOLERANCE
    weight = np.exp(-(cv2.blur(squared, (3, 3)) + result * result))
    weight[disagreeing(way, home) | ~inside(way)] = 0
    return np.asarray(weight, np.float32)
