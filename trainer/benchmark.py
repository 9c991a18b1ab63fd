"""How many pairs a second a run makes here, beside the recipe as it is usually written."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engines.errors import UserError
from engines.layers import LEAK, Layer
from engines.spec import GeneratorSpec
from trainer.config import TrainConfig
from trainer.cyclegan import CycleGan, judge
from trainer.data import Batches, Data
from trainer.hardware import Hardware
from trainer.networks import InstanceNorm

LARGER = 4
"""The larger batch is so many times the run's."""
PLAIN = "plain recipe"
_WARM_UP = 2
_PROFILED = 3  # steps of which the parts are timed


@dataclass(frozen=True, slots=True)
class Row:
    """One way to train; `times_plain` is how many times faster it is than the plain recipe."""

    name: str
    batch: int
    pairs_a_second: float
    times_plain: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Rows, the plain recipe last; `parts` are milliseconds of a step of the first by what it does."""

    rows: list[Row]
    parts: dict[str, float]

    @property
    def slowest(self) -> str:
        """The part that takes longest."""
        return max(self.parts, key=lambda name: self.parts[name])


def benchmark(
    config: TrainConfig,
    data: Data,
    hardware: Hardware,
    seconds: float,
    report: Callable[[str], None] = lambda step: None,
) -> Benchmark:
    """Time steps of the run at its batch and at a larger one, and of the plain recipe, in turn.

    Medians; reading pictures counts. At least two steps of each, however short `seconds` is. CUDA was
    never run. Raises UserError for what the plain recipe is not: CycleGAN with ResNet generators.
    """
    if config.paired or config.family != "resnet" or config.adversarial == "wgangp":
        raise UserError(
            "The benchmark is of CycleGAN with ResNet generators", "Leave out --benchmark"
        )
    ways: dict[tuple[str, int], Callable[[], float]] = {}
    with ExitStack() as stack:
        for name, batch in (
            ("this trainer", config.batch),
            ("this trainer", LARGER * config.batch),
            (PLAIN, 1),
        ):
            report(f"making {name} ready, batch {batch}")
            chosen = replace(config, batch=batch)
            gan = PlainCycleGan(chosen, hardware) if name == PLAIN else CycleGan(chosen, hardware)
            batches = stack.enter_context(closing(Batches(chosen, data, hardware.device).since(0)))
            ways[name, batch] = partial(_timed, gan, batches, hardware)
            for _ in range(_WARM_UP):
                ways[name, batch]()
            if not isinstance(gan, PlainCycleGan) and batch == config.batch:
                parts = partial(_parts, gan, batches, hardware)
        report("measuring")
        taken: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
        began = time.monotonic()
        while time.monotonic() - began < seconds or min(map(len, taken.values())) < 2:
            # Each gets about as much time as the others.
            way = min(taken, key=lambda each: (len(taken[each]) >= 2, sum(taken[each])))
            taken[way].append(ways[way]())
        spent = parts()
    rates = {way: way[1] / statistics.median(each) for way, each in taken.items()}
    plain = rates[PLAIN, 1]
    return Benchmark([Row(*way, rate, rate / plain) for way, rate in rates.items()], spent)


def table(measured: Benchmark) -> list[str]:
    """The rows and parts as lines of text."""
    lines = [f"{'':14}{'batch':>6}{'pairs/s':>10}{'times plain':>13}"]
    lines += [
        f"{row.name:14}{row.batch:6}{row.pairs_a_second:10.2f}{row.times_plain:13.2f}"
        for row in measured.rows
    ]
    whole = sum(measured.parts.values())
    shares = ", ".join(
        f"{name} {100 * spent / whole:.0f} %" for name, spent in measured.parts.items()
    )
    return [*lines, f"a step of {whole:.0f} ms: {shares}", f"slowest: {measured.slowest}"]


def _timed(
    gan: "CycleGan | PlainCycleGan", batches: Iterator[tuple[Tensor, Tensor]], hardware: Hardware
) -> float:
    """Seconds of one step."""
    _wait(hardware)
    began = time.perf_counter()
    source, target = next(batches)
    gan.step(source, target, 0)
    _wait(hardware)
    return time.perf_counter() - began


def _wait(hardware: Hardware) -> None:
    if hardware.device.type == "cuda":
        torch.cuda.synchronize(hardware.device)


def _parts(
    gan: CycleGan, batches: Iterator[tuple[Tensor, Tensor]], hardware: Hardware
) -> dict[str, float]:
    """Milliseconds of a step by what they are spent on, from a few steps with clocks in between."""
    spent = dict.fromkeys(
        ["data", "generators forward", "discriminators forward", "backward", "optimisers",
         "pools", "average"], 0.0,
    )  # fmt: skip

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            _wait(hardware)
            began = time.perf_counter()
            result = function(*arguments, **options)
            _wait(hardware)
            spent[name] += time.perf_counter() - began
            return result

        return call

    with ExitStack() as undone:

        def clock(owner: Any, attribute: str, name: str) -> None:
            before = getattr(owner, attribute)
            setattr(owner, attribute, clocked(name, before))
            undone.callback(setattr, owner, attribute, before)

        clock(gan, "_generator_losses", "generators forward")
        clock(gan, "_discriminator_losses", "discriminators forward")
        clock(torch.Tensor, "backward", "backward")
        for optimiser in gan.optimisers.values():
            clock(optimiser, "step", "optimisers")
        for average in gan.averages.values():
            clock(average, "update", "average")
        for pool in gan.pools.values():
            clock(pool, "exchange", "pools")
        read = clocked("data", lambda: next(batches))
        for _ in range(_PROFILED):
            source, target = read()
            gan.step(source, target, 0)
    return {name: 1000 * each / _PROFILED for name, each in spent.items()}


class PlainCycleGan:
    """The same training as it is usually written in PyTorch: the yardstick.

    Eager, float32, contiguous, PyTorch's own norms and defaults of Adam, each network called for each
    picture by itself, a list as pool, no averaged weights.
    """

    def __init__(self, config: TrainConfig, hardware: Hardware) -> None:
        self._config = config
        self._random = np.random.default_rng(config.seed)
        self.to_target, self.to_source = (
            plain_generator(config.spec).to(hardware.device) for _ in range(2)
        )
        self.judge_target, self.judge_source = (
            plain_discriminator(config).to(hardware.device) for _ in range(2)
        )
        self._pools: tuple[list[Tensor], list[Tensor]] = ([], [])
        betas = (config.beta1, config.beta2)
        self._generators, self._judges = (
            torch.optim.Adam([*one.parameters(), *other.parameters()], config.learning_rate, betas)
            for one, other in (
                (self.to_target, self.to_source),
                (self.judge_target, self.judge_source),
            )
        )

    def step(self, source: Tensor, target: Tensor, images_seen: int) -> None:
        """As the paper has it; pictures `[1, 3, H, W]` in [-1, 1]."""
        config = self._config
        judges = (self.judge_target, self.judge_source)
        for network in judges:
            network.requires_grad_(False)
        fake_target, fake_source = self.to_target(source), self.to_source(target)
        loss = _lsgan(self.judge_target(fake_target), 1) + _lsgan(self.judge_source(fake_source), 1)
        cycled = nn.functional.l1_loss(self.to_source(fake_target), source)
        cycled = cycled + nn.functional.l1_loss(self.to_target(fake_source), target)
        loss = loss + config.cycle * cycled
        if config.identity:
            same = nn.functional.l1_loss(self.to_target(target), target)
            same = same + nn.functional.l1_loss(self.to_source(source), source)
            loss = loss + config.cycle * config.identity * same
        self._generators.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._generators.step()
        for network in judges:
            network.requires_grad_(True)
        self._judges.zero_grad()
        for network, real, fake, kept in (
            (self.judge_target, target, fake_target, self._pools[0]),
            (self.judge_source, source, fake_source, self._pools[1]),
        ):
            shown = self._exchange(kept, fake.detach())
            verdict = 0.5 * (_lsgan(network(real), 1) + _lsgan(network(shown), 0))
            verdict.backward()  # type: ignore[no-untyped-call]
        self._judges.step()

    def _exchange(self, kept: list[Tensor], fake: Tensor) -> Tensor:
        if len(kept) < self._config.pool:
            kept.append(fake)
        elif kept and self._random.random() < 0.5:
            place = int(self._random.integers(len(kept)))
            fake, kept[place] = kept[place], fake
        return fake


def _lsgan(verdict: Tensor, wanted: float) -> Tensor:
    return nn.functional.mse_loss(verdict, torch.full_like(verdict, wanted))


class _Residual(nn.Sequential):
    def forward(self, values: Tensor) -> Tensor:
        added: Tensor = values + super().forward(values)  # type: ignore[no-untyped-call]
        return added


def plain_generator(spec: GeneratorSpec) -> nn.Sequential:
    """A ResNet generator of PyTorch's own modules, one after the other."""
    before: list[nn.Module] = []
    modules: list[nn.Module] = []
    for layer in spec.layers:
        if layer.skip == "begins":
            before, modules = modules, []
        modules += _plain_layer(layer)
        if layer.skip == "adds":
            modules = [*before, _Residual(*modules)]
    return nn.Sequential(*modules)


def plain_discriminator(config: TrainConfig) -> nn.Sequential:
    """The run's discriminator with PyTorch's own norms."""
    return nn.Sequential(*(
        nn.InstanceNorm2d(each.num_features) if isinstance(each, InstanceNorm) else each
        for each in judge(config)
    ))  # fmt: skip


def _plain_layer(layer: Layer) -> list[nn.Module]:
    modules: list[nn.Module] = []
    if layer.enlarges:
        modules.append(nn.Upsample(scale_factor=2))
    if layer.reflects:
        modules.append(nn.ReflectionPad2d(layer.reflects))
    outputs = layer.outputs * layer.phases
    sizes = (layer.inputs, outputs, layer.kernel, layer.stride, layer.zeros)
    if layer.transposed:
        modules.append(nn.ConvTranspose2d(*sizes, layer.extra, bias=layer.bias))
    else:
        modules.append(nn.Conv2d(*sizes, bias=layer.bias))
    if layer.shuffles > 1:
        modules.append(nn.PixelShuffle(layer.shuffles))
    if layer.affine:
        modules.append(nn.BatchNorm2d(layer.outputs))
    elif layer.normalises:
        modules.append(nn.InstanceNorm2d(layer.outputs))
    match layer.activation:
        case "relu":
            modules.append(nn.ReLU(True))
        case "leaky":
            modules.append(nn.LeakyReLU(LEAK, True))
        case "tanh":
            modules.append(nn.Tanh())
        case "none":
            pass
    return modules
