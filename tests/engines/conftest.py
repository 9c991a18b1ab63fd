"""Small generators with random weights, and the check pictures of the built-in models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from generators import SMALL, random_model

from engines.model_file import Model

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    return random_model


@pytest.fixture(scope="session")
def small_model() -> Model:
    return random_model(SMALL)


@pytest.fixture(scope="session")
def check_picture() -> np.ndarray:
    """An ordinary landscape, uint8 [64, 96, 3]."""
    return np.load(DATA / "check_input.npy")


@pytest.fixture(scope="session")
def check_results() -> dict[str, np.ndarray]:
    """What PyTorch in fp32 made of `check_picture`, by model."""
    names = ("summer2winter", "winter2summer")
    return {name: np.load(DATA / f"check_{name}.npy") for name in names}


@pytest.fixture(scope="session")
def assert_close() -> Callable[..., None]:
    def check(actual: np.ndarray, expected: np.ndarray, levels: float, psnr: float) -> None:
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        most = 255 if actual.dtype == np.uint8 else 1
        apart = (actual.astype(np.float64) - expected) * 255 / most
        assert np.abs(apart).max() <= levels
        assert 10 * np.log10(255**2 / max(np.mean(apart**2), 1e-9)) > psnr

    return check
