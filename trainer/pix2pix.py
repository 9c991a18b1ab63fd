"""pix2pix (Isola et al. 2017, arXiv 1611.07004): a generator that is shown what it should make."""

from collections.abc import Mapping

from torch import Tensor, nn

from engines.network import Generator
from trainer.average import Average
from trainer.config import TrainConfig
from trainer.cyclegan import (
    adam,
    judge,
    learn,
    make_ready,
    random_of_step,
    shares_between,
    sum_of,
)
from trainer.hardware import Hardware
from trainer.losses import distance, for_discriminator, for_generator, gradient_penalty
from trainer.networks import judge_input
from trainer.pool import Pool


class Pix2Pix:
    """G: source to target, and a discriminator that sees the source beside what it judges."""

    def __init__(self, config: TrainConfig, hardware: Hardware) -> None:
        self._config, self._hardware = config, hardware
        self.to_target, self.judge = Generator(config.spec), judge(config, inputs=6)
        make_ready(self.networks.values(), config, hardware)
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
        random = random_of_step(config, ranks, images_seen)
        with self._hardware.computing():
            fake = self.to_target(source)
        share = shares_between(source, random, ranks)
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
        self.averages["to_target"].update(self.to_target, images_seen, len(source) * ranks.count)
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
