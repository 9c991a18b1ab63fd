"""What is measured: each trial knows how to take its own time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.bench.contenders import Contender
from cgvideo.bench.report import Row
from cgvideo.codec.decode import VideoSource
from cgvideo.codec.encode import write_part
from cgvideo.frame import Frame, TranslatedFrame
from cgvideo.pipeline import run
from cgvideo.plan import Plan
from cgvideo.stages.smoothing import smoothed
from engines.engine import Engine
from engines.errors import first_line

Measure = Callable[[], float]
"""Do it once and give the seconds that a frame took."""


@dataclass(slots=True)
class Trial:
    """Something to measure again and again, until it fails."""

    name: str
    measure: Measure
    eager: bool = False
    psnr: float | None = None
    seconds: list[float] = field(default_factory=list)
    problem: str = ""

    def take(self) -> None:
        """Measure once more."""
        if self.problem:
            return
        try:
            self.seconds.append(self.measure())
        except Exception as error:
            self.problem = first_line(error)
            self.seconds.clear()

    @property
    def row(self) -> Row:
        return Row(self.name, tuple(self.seconds), self.eager, self.psnr, self.problem)


def plain_way(
    clip: Path, contender: Contender, count: int, padded: Callable[[NDArray[Any]], NDArray[Any]]
) -> Measure:
    """What one would write first: read with OpenCV, translate, write with OpenCV, in turn.

    `padded` makes a picture `[H, W, 3]` a frame `[1, H, W, 3]` of a size that the network takes.
    """

    def measure() -> float:
        began = time.perf_counter()
        reader = cv2.VideoCapture(str(clip))
        rate, width, height = (
            reader.get(what)
            for what in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        code = cv2.VideoWriter.fourcc(*"mp4v")
        output = str(clip.with_suffix(".plain.mp4"))
        writer = cv2.VideoWriter(output, code, rate, (int(width), int(height)))
        if not writer.isOpened():  # it would take every picture, and write none
            raise RuntimeError("OpenCV does not write the clip")
        for _ in range(count):
            good, picture = reader.read()
            if not good:
                raise RuntimeError("OpenCV does not read the clip")
            translated = contender.network(padded(picture[..., ::-1]))[0]
            writer.write(np.ascontiguousarray(translated[: int(height), : int(width), ::-1]))
        writer.release()
        reader.release()
        return (time.perf_counter() - began) / count

    return measure


def conversion(plan: Plan, engine: Engine) -> Measure:
    """The real pipeline, from file to file; the engine is ready before it begins."""

    def measure() -> float:
        result = run(plan, engine)
        return result.seconds / result.frames

    return measure


def alone(contender: Contender, frames: NDArray[Any], seconds: float) -> Measure:
    """A network fed from memory, in its own batches, for about so many seconds."""
    calls = max(1, round(seconds / (contender.seconds * contender.batch)))
    batch = np.resize(frames, (contender.batch, *frames.shape[1:]))

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            contender.network(batch)
        return (time.perf_counter() - began) / (calls * contender.batch)

    return measure


def crossing(way: str, contender: Contender) -> Measure:
    """What the last call of an engine took for bringing frames "to device" or "back"."""

    def measure() -> float:
        assert contender.engine is not None
        return contender.engine.crossings[way] / contender.batch

    return measure


def decoding(source: VideoSource, count: int) -> Measure:
    """The clip's frames as RGB."""

    def measure() -> float:
        began = time.perf_counter()
        for _ in source.frames():
            pass
        return (time.perf_counter() - began) / count

    return measure


def smoothing(sources: NDArray[Any], translated: NDArray[Any]) -> Measure:
    """Smoothing of translated frames `[N, H, W, 3]` beside their sources."""

    def measure() -> float:
        frames = (
            TranslatedFrame(Frame(number, number, 1, source), result)
            for number, (source, result) in enumerate(zip(sources, translated, strict=True))
        )
        began = time.perf_counter()
        count = sum(1 for _ in smoothed(frames))
        return (time.perf_counter() - began) / count

    return measure


def encoding(pictures: NDArray[Any], plan: Plan, path: Path) -> Measure:
    """RGB pictures `[N, H, W, 3]` as the plan encodes them."""

    def measure() -> float:
        began = time.perf_counter()
        write_part(enumerate(pictures), path, plan.encoding)
        return (time.perf_counter() - began) / len(pictures)

    return measure
