"""Training: report, keep, stop, work."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, assert_never

import torch
from torch import Tensor

from engines.errors import UserError
from trainer.average import Average
from trainer.card import card
from trainer.checkpoint import Checkpoints, Trained, TrainState
from trainer.config import TrainConfig
from trainer.cyclegan import CycleGan
from trainer.data import Batches, Data, as_tensor, middle
from trainer.distill import Distillation, kept_teacher
from trainer.hardware import Hardware
from trainer.log import Log
from trainer.metrics import Evaluator, Likeness
from trainer.pictures import PictureSet, spread
from trainer.pix2pix import Pix2Pix
from trainer.publish import TYPICAL_PICTURES, name_back, publish
from trainer.ranks import Ranks
from trainer.samples import sample_sheet
from trainer.schedule import factor
from trainer.start import read_start

Pictures = Generator[tuple[Tensor, Tensor], None, None]
STATUS_SECONDS = 2.0
SAMPLES = 6
TOO_MUCH = 1e6
"""A loss above this is no loss any more."""


class Progress(Protocol):
    """Told how a run goes, every other second."""

    def __call__(
        self, state: TrainState, share: float, losses: Mapping[str, float], pairs_a_second: float
    ) -> None: ...


class Method(Trained, Protocol):
    """What one step of a method does; see `trainer.cyclegan`, `pix2pix` and `distill`."""

    def step(self, source: Tensor, target: Tensor, images_seen: int) -> dict[str, Tensor]: ...


class Evaluate(Protocol):
    """Measures averaged generators; see `trainer.metrics`."""

    def __call__(self, averages: Mapping[str, Average]) -> dict[str, float]: ...


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches a run: told how it goes, and of what is written; asked whether to stop."""

    step: Callable[[str], None] = lambda step: None
    """told of what takes long before the first picture"""
    progress: Progress = lambda state, share, losses, pairs_a_second: None
    measured: Callable[[int, Mapping[str, float]], None] = lambda images_seen, values: None
    written: Callable[[Path], None] = lambda path: None
    stop: Callable[[], bool] = lambda: False


def train(
    config: TrainConfig, data: Data, hardware: Hardware, folder: Path, watch: Watch
) -> TrainState:
    """Train until the run is over or `watch.stop` says so; goes on from what is in `folder`.

    Of several processes the first alone reports, keeps and decides when to stop.

    Raises:
        UserError: the losses are lost (the last good checkpoint stays), or the disk is full.
    """
    ranks = hardware.ranks
    if ranks.rank == 0:
        for torn in folder.rglob(".*.partial*"):  # of a run that was killed
            torn.unlink(missing_ok=True)
    with _writing(folder):
        trained = _method(config, hardware, folder)
    checkpoints = Checkpoints(folder / "checkpoints", config.keep, trained)
    state = checkpoints.load_latest(
        lambda path: watch.step(f"{path.name} is damaged: going on from an older checkpoint")
    )
    if state is None:
        state = TrainState()
        if config.start_from is not None:
            read_start(config).give(trained)
    batches = Batches(config, data, hardware.device, ranks).since(state.images_seen)
    if ranks.rank > 0:
        return _follow(config, trained, batches, state, ranks)
    evaluator: Evaluate
    if isinstance(trained, Distillation):
        evaluator = Likeness(config, data, hardware, trained.teacher)
    else:
        watch.step("teaching a small classifier what both domains look like")
        evaluator = Evaluator(config, data, hardware, folder)
    since, told_at, told_images = state.images_seen, time.monotonic(), state.images_seen
    losses: dict[str, Tensor] = {}
    with _writing(folder), closing(Log(folder, state.images_seen)) as log, closing(batches):
        log.describe(state.images_seen, {"hardware": str(hardware)})
        while True:
            share = share_done(config, state)
            over = share >= 1
            done = over or watch.stop()
            now = time.monotonic()
            if losses and (done or now - told_at > STATUS_SECONDS):
                values = finite(losses, state, checkpoints)
                pairs_a_second = (state.images_seen - told_images) / max(now - told_at, 1e-9)
                watch.progress(state, share, values, pairs_a_second)
                log.write(state.images_seen, {**values, "pairs_a_second": pairs_a_second})
                told_at, told_images = now, state.images_seen
            samples = due(config.sample_every, since, state, over)
            evaluates = due(config.evaluate_every, since, state, over)
            saves = due(config.save_every, since, state, done)
            if samples or evaluates or saves:
                finite(losses, state, checkpoints)
                sound(trained, state, checkpoints)
            if samples:
                watch.written(_sample(config, data, trained, hardware, folder, state))
            measures = _evaluate(evaluator, trained, state, log, watch) if evaluates else {}
            if over and not measures:
                measures = log.measured(state.images_seen)
            better = evaluates and _is_best(measures, state)
            if better or saves:
                watch.written(checkpoints.save(state, better))
            # Once more when a run that is over is asked for: it may have ended before this.
            if better or saves or over:
                _publish(config, data, trained, hardware, folder, state, evaluator, measures)
            ranks.agreed([done, state.seconds, state.drops])
            if done:
                return state
            since = state.images_seen
            losses = _work(config, trained, batches, state, ranks)


def _work(
    config: TrainConfig, trained: Method, batches: Pictures, state: TrainState, ranks: Ranks
) -> dict[str, Tensor]:
    """One step; its losses."""
    began = time.monotonic()
    rate = factor(config.policy, share_done(config, state), config.decay_from, state.drops)
    for optimiser in trained.optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * rate
    source, target = next(batches)
    losses = ranks.mean(trained.step(source, target, state.images_seen))
    state.images_seen += config.batch
    state.seconds += time.monotonic() - began
    return losses


def _follow(
    config: TrainConfig, trained: Method, batches: Pictures, state: TrainState, ranks: Ranks
) -> TrainState:
    """What a process beside the first does: the same steps, and nothing else."""
    with closing(batches):
        while True:
            done, state.seconds, drops = ranks.agreed([0, 0, 0])
            state.drops = int(drops)
            if done:
                return state
            _work(config, trained, batches, state, ranks)


def _method(config: TrainConfig, hardware: Hardware, folder: Path) -> Method:
    match config.method:
        case "cyclegan":
            return CycleGan(config, hardware)
        case "pix2pix":
            return Pix2Pix(config, hardware)
        case "distill":
            return Distillation(config, hardware, kept_teacher(config, folder))
        case _:
            assert_never(config.method)


def share_done(config: TrainConfig, state: TrainState) -> float:
    """How much of the run is over, 0 to 1."""
    if config.minutes is not None:
        return min(1.0, state.seconds / (60 * config.minutes))
    return min(1.0, state.images_seen / config.images)


def due(every: int, since: int, state: TrainState, done: bool) -> bool:
    """Whether the last step passed a multiple of `every`, or was the last of all."""
    passed = state.images_seen // every > since // every
    return passed or (done and state.images_seen > since)


def finite(
    losses: Mapping[str, Tensor], state: TrainState, checkpoints: Checkpoints
) -> dict[str, float]:
    """The losses as numbers; raises UserError when they are none any more."""
    if not losses:
        return {}
    numbers = torch.stack([loss.float() for loss in losses.values()]).tolist()
    values = dict(zip(losses, numbers, strict=True))
    lost = [name for name, value in values.items() if not abs(value) < TOO_MUCH]
    if lost:
        what = "not a number" if math.isnan(values[lost[0]]) else f"{values[lost[0]]:.3g}"
        raise _diverged(f"{lost[0]} is {what}", state, checkpoints)
    return values


def sound(trained: Method, state: TrainState, checkpoints: Checkpoints) -> None:
    """Raise UserError when a weight is no number any more, which the losses tell a step later."""
    for name, network in trained.networks.items():
        numbers = [values.isfinite().all() for values in network.state_dict().values()]
        if not torch.stack(numbers).all():
            raise _diverged(f"weights of {name} are not finite", state, checkpoints)


def _diverged(what: str, state: TrainState, checkpoints: Checkpoints) -> UserError:
    found = checkpoints.found()
    where = f"; the last good checkpoint is {found[-1].name}" if found else ""
    mend = f"Start {'from it' if found else 'anew'} with a smaller --learning-rate"
    return UserError(
        f"Training diverged: after {state.images_seen} pictures {what}{where}",
        mend + (" (--start-from)" if found else ""),
    )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """A full disk, or one that is taken away, is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The run cannot be written to {folder} ({error.strerror or error})",
            "Make room, then give the same command again: it goes on from the last checkpoint",
        ) from error


def _sample(
    config: TrainConfig,
    data: Data,
    trained: Method,
    hardware: Hardware,
    folder: Path,
    state: TrainState,
) -> Path:
    """A sheet of test pictures, or of training pictures where there are no others."""
    path = folder / "samples" / f"{state.images_seen:09}.png"
    sources, targets = data.test_source or data.source, data.test_target or data.target
    count = min(SAMPLES, len(sources), len(targets))
    pairs = list(
        zip(
            *(_spread_over(config, each, count, hardware) for each in (sources, targets)),
            strict=True,
        )
    )
    with hardware.computing():
        back = trained.averages.get("to_source")
        sample_sheet(
            path,
            trained.averages["to_target"].network,
            back.network if back else None,
            pairs,
            trained.teacher if isinstance(trained, Distillation) else None,
        )
    return path


def _evaluate(
    evaluator: Evaluate, trained: Method, state: TrainState, log: Log, watch: Watch
) -> dict[str, float]:
    """Measure the averaged generators."""
    values = evaluator(trained.averages)
    log.write(state.images_seen, values)
    watch.measured(state.images_seen, values)
    return values


def _is_best(measures: Mapping[str, float], state: TrainState) -> bool:
    """Whether these are better than any before, which `state` remembers."""
    score = measures.get("score")
    if score is None:
        return False
    if not score > (-math.inf if state.best is None else state.best):
        state.since_better += 1
        if state.since_better % 5 == 0:
            state.drops += 1
        return False
    state.best, state.best_at, state.since_better = score, state.images_seen, 0
    return True


def _publish(
    config: TrainConfig,
    data: Data,
    trained: Method,
    hardware: Hardware,
    folder: Path,
    state: TrainState,
    evaluator: Evaluate,
    measures: Mapping[str, float],
) -> None:
    """The averaged generators as model files in the run's folder, at any time the newest.

    `measures` are those just taken, if any: what a student's card says is not measured twice.
    """
    for direction, name, pictures in (
        ("to_target", config.name, data.source),
        ("to_source", name_back(config.name), data.target),
    ):
        if direction not in trained.averages:
            continue
        several = _spread_over(config, pictures, TYPICAL_PICTURES, hardware)
        sets = [data.source] if data.target is data.source else [data.source, data.target]
        facts = card(
            config, [len(each) for each in sets], state.images_seen, state.seconds, str(hardware),
            measures, back=direction == "to_source",
        )  # fmt: skip
        if isinstance(trained, Distillation):
            facts |= trained.card(measures or evaluator(trained.averages))
        network = trained.averages[direction].network
        publish(folder / "models" / f"{name}.safetensors", name, network, several, facts)


def _spread_over(
    config: TrainConfig, pictures: PictureSet, most: int, hardware: Hardware
) -> Iterator[Tensor]:
    """At most so many pictures of a set, `[1, 3, H, W]`, one after the other."""
    for place in spread(len(pictures), most):
        yield as_tensor(middle(config, pictures[place]), hardware.device)
