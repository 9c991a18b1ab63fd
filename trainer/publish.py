"""A generator that was trained becomes a model file that `convert` and `export` take."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.errors import UserError
from engines.model_file import Model, write_model
from engines.network import Generator
from engines.spec import EPSILON

TYPICAL_PICTURES = 64
"""So many pictures tell what a channel typically is in front of its norm."""


def name_back(name: str) -> str:
    """The name of the other direction: a2b is b2a, anything else gets "-back"."""
    first, two, second = name.partition("2")
    return f"{second}2{first}" if two and first and second and first != second else f"{name}-back"


def publish(
    path: Path,
    name: str,
    network: Generator,
    pictures: Iterable[Tensor],
    card: Mapping[str, str],
) -> Model:
    """Write the model file of a generator, in half precision, with its typical statistics.

    `pictures` `[1, 3, H, W]` in [-1, 1] are of the domain that it translates. Raises UserError for
    weights that are not finite, or that half precision does not hold.
    """
    weights = {}
    for key, values in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        with np.errstate(over="ignore"):  # told below
            array = values.detach().float().cpu().numpy().astype(np.float16)
        if not np.isfinite(array).all():
            raise UserError(
                f"{name} cannot be kept: its weights are not finite in half precision",
                "Go on from an earlier checkpoint, with a smaller --learning-rate",
            )
        weights[key] = array
    mean, std = typical_statistics(network, pictures)
    model = Model(name, network.spec, weights, mean, std, dict(card))
    write_model(path, model)
    return model


@torch.no_grad()
def typical_statistics(
    network: Generator, pictures: Iterable[Tensor]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Mean and standard deviation of each channel in front of its norm, over pictures.

    None for a network without norms that go by the picture.
    """
    if not network.spec.statistics_channels or network.spec.norm != "instance":
        return None, None
    means, variances = [], []
    for picture in pictures:
        scale, shift = network.measure(picture).float().unbind(1)
        means.append((-shift / scale)[0])
        variances.append((scale.reciprocal().square() - EPSILON).clamp(min=0)[0])
    if not means:
        return None, None
    mean, variance = torch.stack(means).mean(0), torch.stack(variances).mean(0)
    return mean.cpu().numpy(), (variance + EPSILON).sqrt().cpu().numpy()
