"""Two domains that are known by formula: waves, blue in the one and orange in the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainer.config import TrainConfig, config_from

BLUE, ORANGE = (0.2, 0.5, 1.0), (1.0, 0.55, 0.15)


def waves(
    random: np.random.Generator, colour: Sequence[float], size: tuple[int, int]
) -> np.ndarray:
    """A picture of bytes `[H, W, 3]`."""
    y, x = (np.mgrid[: size[0], : size[1]] / max(size)) * 2 * np.pi
    heights = sum(
        np.sin(random.integers(1, 5) * x + random.integers(1, 5) * y + random.uniform(0, 6))
        for _ in range(3)
    )
    heights = (heights - heights.min()) / (heights.max() - heights.min())
    return ((0.2 + 0.7 * heights[..., None]) * np.array(colour) * 255).astype(np.uint8)


def write_waves(
    folder: Path,
    colour: Sequence[float],
    count: int,
    seed: int = 0,
    sizes: Sequence[tuple[int, int]] = ((32, 32),),
) -> Path:
    """A folder of so many pictures, their sizes in turn."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        picture = waves(random, colour, sizes[number % len(sizes)])
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    return folder


def write_domains(folder: Path, sizes: Sequence[tuple[int, int]] = ((32, 32),)) -> None:
    """trainA and testA are blue, trainB and testB orange; all pictures are different."""
    for seed, (name, colour, count) in enumerate(
        (("trainA", BLUE, 24), ("trainB", ORANGE, 20), ("testA", BLUE, 9), ("testB", ORANGE, 7))
    ):
        write_waves(folder / name, colour, count, seed, sizes)


def tiny(folder: Path, tested: bool = True, **settings: Any) -> TrainConfig:
    """A run on those that takes seconds."""
    tests = {"test_source": folder / "testA", "test_target": folder / "testB"} if tested else {}
    return config_from({
        "name": "blue2orange", "source": folder / "trainA", "target": folder / "trainB",
        "crop": 32, "load_size": 36, "base_channels": 4, "blocks": 1, "discriminator_channels": 4,
        "discriminator_layers": 1, "images": 12, "average": 10, "precision": "fp32",
        "device": "cpu", **tests, **settings,
    })  # fmt: skip
