"""How many pairs a second a run makes here, beside the recipe as it is usually written."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.config import TrainConfig
from trainer.cyclegan import CycleGan
from trainer.hardware import Hardware

WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One way to train. `parts` are seconds a step by what they are spent on."""

    name: str
    pairs_a_second: float


def benchmark(
    config: TrainConfig, hardware: Hardware, seconds: float, report: Callable[[str], None]
) -> list[Row]:
    """Time our step and the plain one, in turn, on noise of the run's crop.

    The plain one is the same arithmetic by PyTorch's defaults: eager, fp32, contiguous, each picture
    for itself, no fused optimiser.
    """
    plain = Hardware(hardware.device, bf16=False, channels_last=False, compiled=False)
    ways = {
        f"ours, batch {config.batch}": (config, hardware),
        "plain recipe, batch 1": (replace(config, batch=1, precision="fp32"), plain),
    }
    if config.batch == 1:
        ways["ours, batch 4"] = (replace(config, batch=4), hardware)
    steps = {}
    for name, (chosen, where) in ways.items():
        report(f"making ready: {name}")
        gan = CycleGan(chosen, where)
        gan.together = name != "plain recipe, batch 1"
        source, target = _noise(chosen, where), _noise(chosen, where)
        steps[name] = (lambda gan=gan, s=source, t=target: gan.step(s, t, 0), chosen.batch)
        for _ in range(WARM_UP):
            steps[name][0]()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    began = time.monotonic()
    while time.monotonic() - began < seconds or min(map(len, taken.values())) < 2:
        for name, (step, batch) in steps.items():
            started = time.perf_counter()
            step()
            if hardware.device.type == "cuda":
                torch.cuda.synchronize(hardware.device)
            taken[name].append((time.perf_counter() - started) / batch)
    return [Row(name, 1 / statistics.median(each)) for name, each in taken.items()]


def _noise(config: TrainConfig, hardware: Hardware) -> Tensor:
    random = torch.Generator().manual_seed(0)
    shape = (config.batch, 3, config.crop, config.crop)
    return (torch.rand(shape, generator=random) * 2 - 1).to(hardware.device)
