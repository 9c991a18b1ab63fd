"""Small generators with random weights, and the check pictures of the built-in models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engines.model_file import Model
from engines.spec import GeneratorSpec

DATA = Path(__file__).parent / "data"


def random_model(spec: GeneratorSpec, seed: int = 0, typical: bool = True) -> Model:
    """A model of `spec` whose activations stay of the order of 1."""
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in spec.layers:
        fan = layer.inputs * layer.kernel**2 / (4 if layer.transposed else 1)
        weight = rng.normal(0, fan**-0.5, layer.weight_shape)
        weights[f"{layer.key}.weight"] = weight
        if layer.bias:
            weights[f"{layer.key}.bias"] = rng.normal(0, 0.3, layer.outputs)
        if layer.affine:
            weights[f"{layer.norm_key}.weight"] = rng.uniform(0.5, 1.5, layer.outputs)
            for name in ("bias", "running_mean"):
                weights[f"{layer.norm_key}.{name}"] = rng.normal(0, 0.3, layer.outputs)
            weights[f"{layer.norm_key}.running_var"] = rng.uniform(0.2, 1, layer.outputs)
    weights = {key: array.astype(np.float16) for key, array in weights.items()}
    mean = std = None
    if typical:
        mean = rng.normal(0, 0.3, spec.statistics_channels).astype(np.float32)
        std = rng.uniform(0.3, 1, spec.statistics_channels).astype(np.float32)
    return Model("random", spec, weights, mean, std, {"does": "nothing"}, sha256="0" * 64)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    return random_model


@pytest.fixture(scope="session")
def small_model() -> Model:
    return random_model(GeneratorSpec(base_channels=8, blocks=2, upsampling="transpose4"))


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
