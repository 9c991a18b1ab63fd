"""A small student of a trained generator: the same translation for a share of the arithmetic."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.library import find_model
from engines.network import Generator
from trainer.average import Average
from trainer.config import TrainConfig
from trainer.cyclegan import adam, judge, learn, sum_of
from trainer.hardware import Hardware
from trainer.losses import distance, for_discriminator, for_generator
from trainer.networks import begin
from trainer.pool import Pool

SLOPES = 1.0
"""Weight of the differences' L1: edges count as much as values."""

ADVERSARIAL = 0.02
"""Weight of the discriminator's verdict, which tells a student from its teacher: enough to keep
texture, not enough to invent any."""


class Distillation:
    """Trains a student on what a teacher makes of the same pictures (after Hinton et al. 2015).

    L1 between both translations and between their differences of neighbouring pixels, and a light
    LSGAN term in which the teacher's translations are the real ones. The teacher's own norms go by
    each crop, as the student's do.
    """

    def __init__(self, config: TrainConfig, hardware: Hardware, teacher: Generator) -> None:
        self._config, self._hardware = config, hardware
        random = torch.Generator().manual_seed(config.seed)
        self.teacher = teacher.eval().requires_grad_(False)
        self.teacher.mean = self.teacher.std = None
        self.to_target, self.judge = Generator(config.spec), judge(config)
        for network in (self.to_target, self.judge):
            begin(network, config.initialisation, config.gain, random)
            hardware.place(network)
            network.train()
        hardware.place(self.teacher)
        self.averages = {"to_target": Average(self.to_target, config.average)}
        self.pools: Mapping[str, Pool] = {}
        self.optimisers = {
            "generators": adam([*self.to_target.parameters()], config),
            "discriminators": adam([*self.judge.parameters()], config),
        }

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """All that learns, by name."""
        return {"to_target": self.to_target, "judge": self.judge}

    def step(self, source: Tensor, target: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Learn from pictures `[N, 3, H, W]` in [-1, 1]; `target` is not looked at."""
        batch = len(source) * self._hardware.ranks.count
        with self._hardware.computing():
            with torch.no_grad():
                wanted = self.teacher(source)
            made = self.to_target(source)
            self.judge.requires_grad_(False)
            on_made = self.judge(made)
            self.judge.requires_grad_(True)
        losses = {
            "l1": distance(made, wanted),
            "slopes": SLOPES * sum_of(dict(enumerate_slopes(made, wanted))),
            "adversarial_target": ADVERSARIAL * for_generator("lsgan", on_made),
        }
        learn(self.optimisers["generators"], sum_of(losses), self._hardware.ranks)
        with self._hardware.computing():
            of_wanted, of_made = self.judge(wanted), self.judge(made.detach())
        verdict = {"discriminator_target": for_discriminator("lsgan", of_wanted, of_made)}
        learn(self.optimisers["discriminators"], sum_of(verdict), self._hardware.ranks)
        self.averages["to_target"].update(self.to_target, images_seen, batch)
        return {name: loss.detach() for name, loss in (losses | verdict).items()}


def enumerate_slopes(made: Tensor, wanted: Tensor) -> list[tuple[str, Tensor]]:
    """L1 between the differences of neighbours, downwards and to the right."""
    return [
        (name, distance(made.float().diff(dim=axis), wanted.float().diff(dim=axis)))
        for name, axis in (("rows", 2), ("columns", 3))
    ]


def load_teacher(name_or_path: str) -> Generator:
    """The network of a model. Raises UserError where there is none of that name."""
    return Generator.of(
        find_model(str(Path(name_or_path)) if "/" in name_or_path else name_or_path)
    )
