"""Domains of a few pictures by formula, and training runs over them that take a second or two."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from trainer.config import TrainConfig, config_from
from trainer.data import read_data
from trainer.hardware import Hardware
from trainer.loop import Method, Watch, train

BLUE, ORANGE = (0.2, 0.5, 1.0), (1.0, 0.55, 0.15)
CPU = Hardware(torch.device("cpu"), bf16=False, channels_last=False, compiled=False)


def texture(
    number: int, colour: tuple[float, float, float] = BLUE, size: tuple[int, int] = (40, 40)
) -> np.ndarray:
    """Waves in one colour, uint8 [H, W, 3], another picture for each number."""
    y, x = np.mgrid[: size[0], : size[1]] / 20
    waves = np.sin((1 + number % 3) * x + number) + np.sin((1 + number % 5) * y - 2 * number)
    return ((0.55 + 0.2 * waves)[..., None].clip(0, 1) * colour * 255).astype(np.uint8)


def make_domain(
    folder: Path,
    count: int = 6,
    colour: tuple[float, float, float] = BLUE,
    size: tuple[int, int] = (40, 40),
    first: int = 0,
) -> Path:
    """A folder of pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.fromarray(texture(number, colour, size)).save(folder / f"{number:03}.png")
    return folder


def make_domains(folder: Path) -> dict[str, str]:
    """Both domains with test pictures, as settings."""
    return {
        "source": str(make_domain(folder / "trainA", 6)),
        "target": str(make_domain(folder / "trainB", 5, ORANGE)),
        "test_source": str(make_domain(folder / "testA", 2, first=20)),
        "test_target": str(make_domain(folder / "testB", 2, ORANGE, first=20)),
    }


TINY: dict[str, Any] = {
    "name": "blue2orange", "load_size": 36, "crop": 32, "base_channels": 4, "blocks": 2,
    "upsampling": "transpose4", "discriminator_channels": 4, "discriminator_layers": 2,
    "pool": 3, "images": 12, "average": 4, "sample_every": 100, "evaluate_every": 100,
    "save_every": 4, "precision": "fp32", "device": "cpu",
}  # fmt: skip


def tiny(domains: dict[str, str], **changes: Any) -> TrainConfig:
    """A run of twelve steps."""
    return config_from(TINY, domains, changes)


def run(
    config: TrainConfig,
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    written: Callable[[Path], None] = lambda path: None,
    hardware: Hardware = CPU,
) -> None:
    """Train, or go on."""
    train(config, read_data(config), hardware, folder, Watch(stop=stop, written=written))


def stops_after(steps: int) -> Callable[[], bool]:
    """Asked before every step, it says stop after so many."""
    asked = iter(range(steps + 1))
    return lambda: next(asked) == steps


def pictures(seed: int = 0, count: int = 1, side: int = 32) -> torch.Tensor:
    """Smooth random pictures `[N, 3, side, side]` in [-1, 1]."""
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 6, 6, generator=random) * 2 - 1
    return torch.nn.functional.interpolate(small, (side, side), mode="bilinear")


def gradients(method: Method) -> dict[str, torch.Tensor]:
    """Every gradient by the name of its weight; 0 for none."""
    return {
        f"{name}.{key}": torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for name, network in method.networks.items()
        for key, value in network.named_parameters()
    }
