"""Steadiness: each frame becomes the mean of what its neighbours say about it, brought along the motion.

The window is finite and two-sided, and every frame in it is warped once: no blur piles up and no ghost
trails, as they do in a recursion; and a frame depends on the few frames around it alone.

    mean(X) = sum of w[i] warp(X[i]) / sum of w[i]         i in the window around the frame t, w[t] = 1
    steady  = mean(result) + RESTORED d (source[t] - mean(source))     in luma, from the same warps
    smooth  = steady + KEPT lowpass(result[t] - steady)

The first line averages the generator's dots and noise away, and with them a little of what is really
there: warps blur, and motion is never found exactly. What they did to the source is known, so the second
line puts that back, as much of it as the translated frame has of the source's detail (d). The third gives
the frame its own broad light and colour again, to a share.

A weight falls off with how far the *source*, brought the same way, is from what the frame shows, and with
how far the result is once its grain is blurred away; it is 0 where the way there and back disagree.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise, repeat
from typing import Any, ParamSpec, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.frame import Pixels, TranslatedFrame
from cgvideo.stages.flow import (
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

MOST_THREADS = 8  # each holds some pictures in float32
REACH = 3
"""How many translated frames before and after its own a smoothed frame is made of."""

Working = Callable[[int], AbstractContextManager[None]]
P = ParamSpec("P")
T = TypeVar("T")

SOURCE_TOLERANCE = 14.0  # levels of 255 at which a weight has fallen to 1/e
RESULT_TOLERANCE = 10.0
SOURCE_DOUBT = np.array([[1, 1, 1, 0]]) / (3 * SOURCE_TOLERANCE**2)
SHARP = 1  # frame away, up to which warps are cubic; linear ones blur more, in a third of the time
RESTORED = 0.85  # of what averaging took from the detail that the translation has of the source's
MOST_DETAIL = 2.0  # times the source's
KEPT = 0.3
FULL = 255  # weight
BROAD = 3.0  # pixels: sigma of the blur that leaves light and colour


def smoothed(
    frames: Iterator[TranslatedFrame],
    strength: float = 1.0,
    threads: int | None = None,
    working: Working = lambda threads: nullcontext(),
) -> Iterator[TranslatedFrame]:
    """Smooth translated frames, blending from frame by frame (`strength` 0) to all that can be had (1).

    A frame's bytes depend on it and on the `REACH` frames before and after it, up to where a scene begins
    (`Frame.begins_scene`), and not on `threads` (None: one a core, at most 8). Reads `REACH` + `threads`
    frames ahead. `working` surrounds all work, and is told how many threads share it.
    """
    threads = threads or min(os.cpu_count() or 1, MOST_THREADS)
    window: deque[_Moment | None] = deque([None] * 2 * REACH, 2 * REACH + 1)
    pending: deque[Future[TranslatedFrame]] = deque()
    with _Pool(threads, working) as pool:
        for newest in chain(_moments(frames, pool), repeat(None, REACH)):
            window.append(newest)
            if window[REACH] is not None:
                pending.append(pool.submit(_smooth, tuple(window), strength))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Pool(ThreadPoolExecutor):
    """Threads that take their work in order, and count its time."""

    def __init__(self, threads: int, working: Working) -> None:
        super().__init__(threads, "smoothing")
        self._working = partial(working, threads)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it in a thread."""

        def work() -> T:
            with self._working():
                return function(*args, **kwargs)

        return super().submit(work)


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """What its neighbours ask of a frame."""

    layers: Pixels
    """`[H, W, 4]` in levels of 255, uint8 (of deep pixels float32): the result's RGB, the source's luma"""
    gray: Gray
    """`[h, w]`: the source's luma, reduced"""
    hints: NDArray[np.float32]
    """`[h, w, 4]` in levels: the source's RGB and the result's luma, reduced"""
    detail: float
    """the regression coefficient of the result's Laplacian of luma on the source's"""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """The way from a frame to its neighbour, at the reduced size."""

    flow: Flow
    shown: NDArray[np.uint8]
    """`[h, w]`: 1 where the neighbour shows what is there: the way there and back ends where it began"""


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """A frame in the window; what is computed for it is asked for when it is needed.

    The pool takes its work in order, and nothing in it waits for work that was handed in later.
    """

    frame: TranslatedFrame
    picture: Future[_Picture]
    steps: Future[tuple[_Step, _Step]] | None
    """to the frame before, and from it to this one; None where a scene begins"""


def _moments(frames: Iterator[TranslatedFrame], pool: "_Pool") -> Iterator[_Moment]:
    before: Future[_Picture] | None = None
    for frame in frames:
        picture = pool.submit(_picture, frame)
        steps = None
        if before is not None and not frame.source.begins_scene:
            steps = pool.submit(_steps, picture, before)
        yield _Moment(frame, picture, steps)
        before = picture


def _steps(here: Future[_Picture], there: Future[_Picture]) -> tuple[_Step, _Step]:
    """The ways there and back."""
    own, other = here.result().gray, there.result().gray
    way, home = gray_flow(own, other, "brisk"), gray_flow(other, own, "brisk")
    return (
        _Step(way, (~disagreeing(way, home)).astype(np.uint8)),
        _Step(home, (~disagreeing(home, way)).astype(np.uint8)),
    )


def _picture(frame: TranslatedFrame) -> _Picture:
    source, result = _levels(frame.source.pixels), _levels(frame.pixels)
    luma, made = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (source, result))
    gray = reduced(source.astype(np.uint8))
    size = (gray.shape[1], gray.shape[0])
    seen = cv2.merge([*cv2.split(source), made])
    hints = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return _Picture(cv2.merge([*cv2.split(result), luma]), gray, hints, _detail(luma, made))


def _detail(source: Pixels, result: Pixels) -> float:
    """How much of a luma's detail another one has; less than 0 where dark and bright are exchanged."""
    own, made = (cv2.Laplacian(each, cv2.CV_32F).ravel() for each in (source, result))
    share = float(np.dot(made, own)) / max(float(np.dot(own, own)), 1.0)
    return min(max(share, -MOST_DETAIL), MOST_DETAIL)


def _levels(pixels: Pixels) -> Pixels:
    """Pixels in levels of 255: as they are, or deep ones as float32."""
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32) * 255


def _smooth(window: Sequence[_Moment | None], strength: float) -> TranslatedFrame:
    """The smoothed frame in the middle of a window."""
    middle = window[REACH]
    assert middle is not None
    picture = middle.picture.result()
    layers = picture.layers.astype(np.float32)
    total, weights = layers * FULL, np.full(layers.shape[:2], FULL, np.float32)
    for weight, brought in _witnesses(window):
        cv2.accumulateProduct(brought, _four(weight), total)
        cv2.accumulate(weight, weights)
    steady = cv2.divide(total, _four(weights))
    taken = cv2.subtract(cv2.extractChannel(layers, 3), cv2.extractChannel(steady, 3))
    cv2.add(steady, _four(RESTORED * picture.detail * taken), steady)
    smooth = cv2.add(steady, _kept(layers, steady), steady)
    if strength != 1:
        smooth = cv2.addWeighted(layers, 1 - strength, smooth, strength, 0)
    return TranslatedFrame(middle.frame.source, _pixels(smooth, middle.frame.pixels.dtype))


def _four(layer: NDArray[Any]) -> NDArray[Any]:
    """One layer `[H, W]` as four: arithmetic on whole arrays is much faster than on parts of them."""
    return cv2.merge([layer] * 4)


def _kept(layers: NDArray[Any], steady: NDArray[Any]) -> NDArray[np.float32]:
    """What of its own light and colour, without detail, a frame is given back, `[H, W, 4]`."""
    height, width = layers.shape[:2]
    size = (-(-width // 4), -(-height // 4))
    own, other = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (layers, steady))
    missing = KEPT * cv2.GaussianBlur(cv2.subtract(own, other), (0, 0), BROAD / 4)
    return np.asarray(cv2.resize(missing, (width, height)), np.float32)


def _pixels(layers: NDArray[Any], dtype: np.dtype[Any]) -> Pixels:
    """The colours of `[H, W, 4]` in levels as pixels of a kind."""
    if dtype == np.uint8:
        positive = cv2.threshold(layers, 0, 0, cv2.THRESH_TOZERO)[1]
        whole = cv2.convertScaleAbs(positive)  # rounds, and cuts off at 255
        return np.asarray(cv2.cvtColor(whole, cv2.COLOR_RGBA2RGB), np.uint8)
    return np.asarray(np.clip(cv2.cvtColor(layers, cv2.COLOR_RGBA2RGB) / 255, 0, 1), dtype)


def _witnesses(
    window: Sequence[_Moment | None],
) -> Iterator[tuple[NDArray[Any], Pixels]]:
    """What each other frame of the scene says about the middle one: (weight `[H, W]`, layers brought).

    Weights go from 0 to `FULL` and are of the layers' dtype: of 8 bits they take a quarter of the memory's
    time, which is most of what all this takes.
    """
    for side in (window[REACH:], window[REACH::-1]):
        for distance, (here, there, way) in enumerate(_ways(side), 1):
            size = (there.layers.shape[0], there.layers.shape[1])
            weight = FULL * _confidence(here.hints, there.hints, way)
            yield (
                cv2.resize(weight.astype(there.layers.dtype), size[::-1]),
                warped(
                    there.layers,
                    at_size(way.flow, size),
                    "cubic" if distance <= SHARP else "linear",
                ),
            )


def _ways(side: Sequence[_Moment | None]) -> Iterator[tuple[_Picture, _Picture, _Step]]:
    """From the first frame of `side` to each other one of its scene: (here, there, the way)."""
    way: _Step | None = None
    for near, far in pairwise(side):
        if near is None or far is None:
            return
        forwards = far.frame.source.number > near.frame.source.number
        steps = far.steps if forwards else near.steps
        if steps is None:
            return
        step = steps.result()[forwards]
        if way is None:
            way = step
        else:
            shown = way.shown & warped(step.shown, way.flow, "linear")
            way = _Step(composed(way.flow, step.flow), shown)
        assert side[0] is not None
        yield side[0].picture.result(), far.picture.result(), way


def _confidence(
    here: NDArray[np.float32], there: NDArray[np.float32], way: _Step
) -> NDArray[np.float32]:
    """How far the picture `there` can be trusted to show what is `here`, `[h, w]`, 0..1."""
    apart = warped(there, way.flow, "linear") - here
    squared = cv2.transform(cv2.multiply(apart, apart), SOURCE_DOUBT)
    result = cv2.blur(cv2.extractChannel(apart, 3), (5, 5)) / RESULT_TOLERANCE
    weight = np.exp(-(cv2.blur(squared, (3, 3)) + result * result))
    return np.asarray(weight * (way.shown & inside(way.flow)), np.float32)
