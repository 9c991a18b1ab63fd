"""pix2pix (Isola et al. 2017, arXiv 1611.07004): a generator that is shown what it should make."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from engines.network import Generator
from trainer.average import Average
from trainer.config import TrainConfig
from trainer.cyclegan import STEP, adam, judge, learn, sum_of
from trainer.data import random_at
from trainer.hardware import Hardware
from trainer.losses import distance, for_discriminator, for_generator, gradient_penalty
from trainer.networks import begin, judge_input
from trainer.pool import Pool


class Pix2Pix:
    """G: source to target, and a discriminator that sees the source beside what it judges."""

    def __init__(self, config: TrainConfig, hardware: Hardware) -> None:
        self._config, self._hardware = config, hardware
        random = torch.Generator().manual_seed(config.seed)
        self.to_target, self.judge = Generator(config.spec), judge(config, inputs=6)
        for network in self.networks.values():
            begin(network, config.initialisation, config.gain, random)
            hardware.place(network)
            network.train()
        self.to_target.dropout = 0.5 if config.dropout else 0.0
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
        """Learn from pairs `[N, 3, H, W]` in [-1, 1]; gives the losses, on the device.

        As the reference project, the discriminator first, then the generator against it.
        """
        config, ranks = self._config, self._hardware.ranks
        batch = len(source) * ranks.count
        random = random_at(config.seed, STEP, images_seen)
        if config.dropout:
            torch.manual_seed(int(random.integers(1 << 62)) + ranks.rank)
        with self._hardware.computing():
            fake = self.to_target(source)
        shares = torch.from_numpy(random.random((batch, 1, 1, 1), "float32"))
        share = ranks.part(shares).to(source.device)
        verdict = self._discriminator_losses(source, target, fake.detach(), share)
        learn(self.optimisers["discriminators"], sum_of(verdict), ranks)
        self.judge.requires_grad_(False)
        with self._hardware.computing():
            of_fake = self.judge(judge_input(source, fake))
        losses = {
            "adversarial_target": for_generator(config.adversarial, of_fake),
            "l1": config.l1 * distance(fake, target),
        }
        learn(self.optimisers["generators"], sum_of(losses), ranks)
        self.judge.requires_grad_(True)
        self.averages["to_target"].update(self.to_target, images_seen, batch)
        return {name: loss.detach() for name, loss in (losses | verdict).items()}

    def _discriminator_losses(
        self, source: Tensor, target: Tensor, fake: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        kind = self._config.adversarial
        real, fake = judge_input(source, target), judge_input(source, fake.to(source.dtype))
        with self._hardware.computing():
            of_real, of_fake = self.judge(real), self.judge(fake)
        losses = {"discriminator_target": for_discriminator(kind, of_real, of_fake)}
        if kind == "wgangp":
            losses["penalty_target"] = gradient_penalty(self.judge, real, fake, share)
        return losses
