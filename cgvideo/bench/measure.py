"""Rounds in which everything has its turn."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cgvideo import demo
from cgvideo.bench.contenders import Contender, Field, make_ready
from cgvideo.bench.report import Report, Row, describe_machine
from cgvideo.bench.trials import (
    Trial,
    alone,
    conversion,
    crossing,
    decoding,
    encoding,
    plain_way,
    smoothing,
)
from cgvideo.codec.decode import VideoSource
from cgvideo.codec.probe import probe
from cgvideo.codec.render import write_clip
from cgvideo.plan import make_plan
from cgvideo.settings import Settings
from cgvideo.sizes import engine_size
from engines.model_file import Model
from engines.survey.machine import busy_seconds, processor
from engines.survey.runtimes import Survey, survey
from engines.yardsticks import GEMM, numpy_product, torch_product

SECONDS = 40.0
"""About how long the rounds take. Making ready comes on top: it is a minute in all."""

ROUNDS = 3  # for which the clip's length is chosen; there may come to be fewer or more
CONVERT_SHARE, PLAIN_SHARE, ALONE_SHARE = 0.5, 0.2, 0.2  # of the time
STAGES = ("decode", "to device", "engine", "back", "smooth", "encode")
FEWEST_FRAMES, MOST_FRAMES = 8, 96
ENCODED_FRAMES = 12
IDENTICAL = 99.0  # dB, in place of infinity
SAMPLE_RATE = 48_000
SLACK = 1.15  # how much longer it may take for the sake of one more round
BUSY = 0.1  # of the processor, taken by others

Frames = NDArray[Any]
Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Course:
    """All trials of a round."""

    frames: int
    ways: list[Trial]
    engines: list[Trial]
    stages: Mapping[str, Trial]
    """but for "engine", which is the first of `engines`"""
    products: Sequence[Callable[[], object]]


def bench(
    model: Model,
    size: tuple[int, int] = demo.SIZE,
    backend: str = "all",
    seconds: float = SECONDS,
    say: Say = lambda text: None,
) -> Report:
    """Measure `model` on a clip of `size` (width, height), both even, that is drawn for it.

    `backend` is one of `engines.engine.BACKENDS` or "all". `say` is told what is going on.

    Raises:
        UserError: not even the engine that `convert` would use can run here.
    """
    say("asking the runtimes what works here")
    found = survey()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cgvideo-bench-")))
        frame = padded(next(pictures(size, 1)), model)
        field = make_ready(model, frame, backend, found, opened, say)
        course = lay_out(field, model, size, seconds, folder, found, say)
        (rounds, product), others = others_share(lambda: run_rounds(course, seconds, say))
    notes = list(field.notes)
    if others > BUSY:
        notes.append(
            f"Others took {others:.0%} of the processor meanwhile: these figures are worth little,"
            " and those of PyTorch least."
        )
    stages = {name: trial.row for name, trial in course.stages.items()}
    stages["engine"] = replace(course.engines[0].row, name="engine")
    chosen = field.running[0].engine
    height, width = engine_size(size[::-1], model)
    return Report(
        model=model.name,
        architecture=model.spec.name,
        size=size,
        frames=course.frames,
        rounds=rounds,
        gmac=model.spec.macs(height, width) / 1e9,
        product=product,
        engine="" if chosen is None else f"{chosen.description}: {chosen.why}",
        ways=tuple(trial.row for trial in course.ways),
        engines=(
            *(trial.row for trial in course.engines),
            *(Row(name, problem=problem) for name, problem in field.failed.items()),
        ),
        stages=tuple(stages.get(name, Row(name)) for name in STAGES),
        notes=tuple(notes),
        machine=describe_machine(found),
    )


def lay_out(
    field: Field,
    model: Model,
    size: tuple[int, int],
    seconds: float,
    folder: Path,
    found: Survey,
    say: Say,
) -> Course:
    """Draw a clip as long as the time allows, and prepare what will be measured on it."""
    chosen = field.running[0]
    eager = [each for each in field.running if each.eager]
    converting = [(each, each.engine) for each in field.running if each.engine is not None][:2]
    count = fitting(
        CONVERT_SHARE * seconds, [each for each, _ in converting], FEWEST_FRAMES, MOST_FRAMES
    )
    plain_count = fitting(PLAIN_SHARE * seconds, eager, 2, count)
    say(f"drawing a clip of {count} frames")
    clip = folder / "valley.mp4"
    sound = demo.sound(count / demo.FRAME_RATE, SAMPLE_RATE)
    write_clip(clip, pictures(size, count), demo.FRAME_RATE, sound, SAMPLE_RATE)
    source = VideoSource(probe(clip), size[::-1])
    # As many as a stage or a batch takes: all of a long, large clip would fill the memory.
    needed = max(ENCODED_FRAMES, *(each.batch for each in field.running))
    some = islice(source.frames(), needed)
    frames = np.concatenate([padded(each.pixels, model) for each in some])

    ways = [
        Trial(
            f"OpenCV, {each.name}",
            plain_way(clip, each, plain_count, lambda picture: padded(picture, model)),
            True,
        )
        for each in eager
    ]
    plans = []
    for number, (each, engine) in enumerate(converting):
        output = folder / f"converted{number}.mp4"
        plans.append(make_plan(source.clip, model, engine, Settings(smooth="off"), output))
        ways.append(Trial(f"convert, {each.name}", conversion(plans[-1], engine)))
    parities = compare(field, frames[-1:])
    each_alone = ALONE_SHARE * seconds / ROUNDS / len(field.running)
    engines = [
        Trial(each.name, alone(each, frames, each_alone), each.eager, parity)
        for each, parity in zip(field.running, parities, strict=True)
    ]
    encoded = frames[:ENCODED_FRAMES]
    translated = np.concatenate(
        [chosen.network(encoded[index : index + 1]) for index in range(len(encoded))]
    )
    translated = translated[:, : size[1], : size[0]]
    stages = {
        "decode": Trial("decode", decoding(source, count)),
        "smooth": Trial("smooth", smoothing(encoded[:, : size[1], : size[0]], translated)),
        "encode": Trial("encode", encoding(translated, plans[0], folder / "encoded.nut")),
    }
    if chosen.engine is not None:
        for way in chosen.engine.crossings:
            stages[way] = Trial(way, crossing(way, chosen))
    products = [numpy_product()]
    if found.runtimes["torch"].works:
        products.append(torch_product())
    return Course(count, ways, engines, stages, products)


def run_rounds(course: Course, seconds: float, say: Say) -> tuple[int, float]:
    """Measure everything in turn until the time is up; at least once.

    Gives the number of rounds, and GMAC/s of the fastest matrix product.
    """
    rounds, product, began = 0, 0.0, time.perf_counter()
    while not rounds or (time.perf_counter() - began) * (rounds + 1) / rounds < seconds * SLACK:
        rounds += 1
        say(f"round {rounds}: from file to file")
        for trial in course.ways:
            trial.take()
        say(f"round {rounds}: every engine and stage alone")
        first, *others = course.engines
        # What crossings took is that of the last call, so they come right after their engine.
        for trial in (first, *course.stages.values(), *others):
            trial.take()
        for multiply in course.products:
            product = max(product, GEMM**3 / 1e9 / _quickest(multiply))
    return rounds, product


def fitting(seconds: float, contenders: Sequence[Contender], least: int, most: int) -> int:
    """How many frames all `contenders` can run through in each of the rounds."""
    per_frame = sum(each.seconds for each in contenders)
    return min(max(int(seconds / ROUNDS / per_frame), least), most) if per_frame else most


def pictures(size: tuple[int, int], count: int) -> Iterator[NDArray[np.uint8]]:
    """The demonstration's frames at `size` (width, height); more than its own is mirrored.

    So there is as much detail in a pixel, and no minute is spent on drawing it.
    """
    width, height = size
    drawn = (min(width, demo.SIZE[0]), min(height, demo.SIZE[1]))
    more = ((0, height - drawn[1]), (0, width - drawn[0]), (0, 0))
    for picture in demo.frames(drawn, count):
        yield np.pad(picture, more, mode="symmetric")


def padded(picture: NDArray[Any], model: Model) -> Frames:
    """A frame `[1, H, W, 3]` of a size that the generator takes."""
    height, width = engine_size((picture.shape[0], picture.shape[1]), model)
    more = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, more, mode="symmetric")[None]


def compare(field: Field, frame: Frames) -> list[float | None]:
    """PSNR of every contender in dB, to OpenVINO in fp32; None where that does not run."""
    reference = next((each for each in field.running if each.name == "openvino fp32"), None)
    if reference is None:
        return [None] * len(field.running)
    expected = reference.network(frame).astype(np.float64)
    return [_psnr(each.network(frame), expected) for each in field.running]


def _psnr(picture: Frames, expected: Frames) -> float:
    error = float(np.mean((picture - expected) ** 2))
    return IDENTICAL if error == 0 else min(IDENTICAL, float(10 * np.log10(255**2 / error)))


def others_share(run: Callable[[], Result]) -> tuple[Result, float]:
    """Do `run`; what part of the processor's time others took meanwhile, 0 where nobody knows."""
    began, own, busy = time.perf_counter(), time.process_time(), busy_seconds()
    result = run()
    elapsed, own = time.perf_counter() - began, time.process_time() - own
    after = busy_seconds()
    if busy is None or after is None:
        return result, 0.0
    return result, max(0.0, (after - busy - own) / (elapsed * processor().cores))


def _quickest(once: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        once()
        best = min(best, time.perf_counter() - began)
    return best
