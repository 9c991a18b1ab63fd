"""Generators with random weights, small enough to run in no time."""

import numpy as np

from engines.model_file import Model
from engines.spec import GeneratorSpec

SMALL = GeneratorSpec(base_channels=8, blocks=2, upsampling="transpose4")


def random_model(spec: GeneratorSpec, seed: int = 0, typical: bool = True) -> Model:
    """A model of `spec` whose activations stay of the order of 1."""
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in spec.layers:
        fan = layer.inputs * layer.kernel**2 / (4 if layer.transposed else 1)
        weight = rng.normal(0, fan**-0.5, layer.weight_shape)
        weights[f"{layer.key}.weight"] = weight
        if layer.bias:
            weights[f"{layer.key}.bias"] = rng.normal(0, 0.3, layer.outputs * layer.phases)
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
