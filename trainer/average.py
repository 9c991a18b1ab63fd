"""The generator that is kept: an average over the weights of late steps."""

import copy

import torch

from engines.network import Generator

RAMP = 0.05
"""At the start the half-life is at most this share of the pictures seen (Karras et al. 2018)."""


class Average:
    """An exponential moving average of a network's weights, by a half-life in pictures.

    Running statistics of batch norms are taken as they are. A half-life of 0 follows the network.
    """

    def __init__(self, network: Generator, half_life: int) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._half_life = half_life

    @torch.no_grad()
    def update(self, network: Generator, images_seen: int, batch: int) -> None:
        """Move towards `network` by as much as `batch` pictures are worth."""
        half_life = min(float(self._half_life), RAMP * images_seen)
        weight = 1 - 0.5 ** (batch / half_life) if half_life > 0 else 1.0
        ours: list[torch.Tensor] = list(self.network.parameters())
        theirs: list[torch.Tensor] = list(network.parameters())
        torch._foreach_lerp_(ours, theirs, weight)
        for own, other in zip(self.network.buffers(), network.buffers(), strict=True):
            own.copy_(other)
