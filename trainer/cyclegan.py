"""CycleGAN (Zhu et al. 2017, arXiv 1703.10593): four networks and what one step does to them."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from engines.network import Generator
from trainer.average import Average
from trainer.config import TrainConfig
from trainer.data import random_at
from trainer.hardware import Hardware
from trainer.losses import distance, for_discriminator, for_generator, gradient_penalty
from trainer.networks import Discriminator, begin
from trainer.pool import Pool
from trainer.ranks import ALONE, Ranks

_STEP = 3  # stream of random numbers


class CycleGan:
    """G: source to target and F: back, each with the discriminator that judges what it makes.

    Both generators run twice a step on two pictures at once where the norm allows it: what batch norm
    makes of a picture depends on the others.
    """

    def __init__(self, config: TrainConfig, hardware: Hardware) -> None:
        self._config, self._hardware = config, hardware
        self.together = config.norm != "batch"
        self.to_target, self.to_source = Generator(config.spec), Generator(config.spec)
        self.judge_target, self.judge_source = judge(config), judge(config)
        make_ready(self.networks.values(), config, hardware)
        for generator in (self.to_target, self.to_source):
            generator.dropout = 0.5 if config.dropout else 0.0
        self.averages = {
            "to_target": Average(self.to_target, config.average),
            "to_source": Average(self.to_source, config.average),
        }
        self.pools = {"target": Pool(config.pool), "source": Pool(config.pool)}
        generators = [*self.to_target.parameters(), *self.to_source.parameters()]
        judges = [*self.judge_target.parameters(), *self.judge_source.parameters()]
        self._generator_losses = hardware.fast(self.generator_losses)
        self._discriminator_losses = hardware.fast(self.discriminator_losses)
        self.optimisers = {
            "generators": adam(generators, config),
            "discriminators": adam(judges, config),
        }

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """All that learns, by name."""
        return {
            "to_target": self.to_target,
            "to_source": self.to_source,
            "judge_target": self.judge_target,
            "judge_source": self.judge_source,
        }

    def step(self, source: Tensor, target: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Learn from pictures `[N, 3, H, W]` in [-1, 1]; gives the losses, on the device.

        Of several processes each has its slice of the batch; all have the same pools, of translations
        by all. First the generators, against the discriminators as they are, then the discriminators, on what
        the generators just made or made before.
        """
        ranks = self._hardware.ranks
        random = random_of_step(self._config, ranks, images_seen)
        if self._hardware.channels_last:
            source, target = (
                each.contiguous(memory_format=torch.channels_last) for each in (source, target)
            )
        judges = (self.judge_target, self.judge_source)
        for each in judges:
            each.requires_grad_(False)
        fake_target, fake_source, losses = self._generator_losses(source, target)
        learn(self.optimisers["generators"], sum_of(losses), ranks)
        for each in judges:
            each.requires_grad_(True)
        fake_target = self._exchanged("target", fake_target.detach(), random)
        fake_source = self._exchanged("source", fake_source.detach(), random)
        share = shares_between(source, random, ranks)
        verdicts = self._discriminator_losses(source, target, fake_source, fake_target, share)
        learn(self.optimisers["discriminators"], sum_of(verdicts), ranks)
        for name, average in self.averages.items():
            average.update(getattr(self, name), images_seen, len(source) * ranks.count)
        return {name: loss.detach() for name, loss in (losses | verdicts).items()}

    def generator_losses(
        self, source: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Translations both ways, and equations 1 to 3 of the paper with the identity loss (5.2)."""
        config = self._config
        weight = config.cycle * config.identity
        with self._hardware.computing():
            if weight > 0:
                fake_target, same_target = self._both(self.to_target, source, target)
                fake_source, same_source = self._both(self.to_source, target, source)
            else:
                fake_target, same_target = self.to_target(source), None
                fake_source, same_source = self.to_source(target), None
            cycled_source = self.to_source(fake_target)
            cycled_target = self.to_target(fake_source)
            on_target = self.judge_target(fake_target)
            on_source = self.judge_source(fake_source)
        losses = {
            "adversarial_target": for_generator(config.adversarial, on_target),
            "adversarial_source": for_generator(config.adversarial, on_source),
            "cycle_source": config.cycle * distance(cycled_source, source),
            "cycle_target": config.cycle * distance(cycled_target, target),
        }
        if same_target is not None and same_source is not None:
            losses["identity_target"] = weight * distance(same_target, target)
            losses["identity_source"] = weight * distance(same_source, source)
        return fake_target, fake_source, losses

    def discriminator_losses(
        self,
        source: Tensor,
        target: Tensor,
        fake_source: Tensor,
        fake_target: Tensor,
        share: Tensor,
    ) -> dict[str, Tensor]:
        """What each discriminator pays for its verdict on real pictures and on translations."""
        kind = self._config.adversarial
        losses = {}
        for name, network, real, fake in (
            ("target", self.judge_target, target, fake_target),
            ("source", self.judge_source, source, fake_source),
        ):
            with self._hardware.computing():
                of_real, of_fake = self._both(network, real, fake)
            losses[f"discriminator_{name}"] = for_discriminator(kind, of_real, of_fake)
            if kind == "wgangp":
                losses[f"penalty_{name}"] = gradient_penalty(network, real, fake, share)
        return losses

    def _exchanged(self, name: str, fakes: Tensor, random: np.random.Generator) -> Tensor:
        """What the discriminator `name` sees in place of `fakes`."""
        pool, ranks = self.pools[name], self._hardware.ranks
        if pool.size == 0:
            return fakes
        return ranks.part(pool.exchange(ranks.gathered(fakes), random))

    def _both(self, network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """A network on two batches, as one where that makes no difference but in time."""
        if not self.together or first.shape != second.shape:
            return network(first), network(second)
        one, other = network(torch.cat([first, second])).chunk(2)
        return one, other


def sum_of(losses: Mapping[str, Tensor]) -> Tensor:
    """All losses as one."""
    return torch.stack([loss.float() for loss in losses.values()]).sum()


def judge(config: TrainConfig, inputs: int = 3) -> Discriminator:
    """A new discriminator."""
    return Discriminator(
        config.discriminator,
        inputs,
        config.discriminator_channels,
        config.discriminator_layers,
        # A batch norm would tie the pictures of a batch that the penalty looks at one by one.
        "instance" if config.adversarial == "wgangp" else config.norm,
    )


def make_ready(networks: Iterable[nn.Module], config: TrainConfig, hardware: Hardware) -> None:
    """Draw the weights of networks, one after the other, and bring them to where they learn."""
    random = torch.Generator().manual_seed(config.seed)
    for network in networks:
        begin(network, config.initialisation, config.gain, random)
        hardware.place(network)
        network.train()


def random_of_step(config: TrainConfig, ranks: Ranks, images_seen: int) -> np.random.Generator:
    """Random numbers of a step, the same in all processes; dropout has its own in each."""
    random = random_at(config.seed, _STEP, images_seen)
    if config.dropout:
        torch.manual_seed(int(random.integers(1 << 62)) + ranks.rank)
    return random


def shares_between(source: Tensor, random: np.random.Generator, ranks: Ranks) -> Tensor:
    """Where between real and fake the gradient penalty looks, `[N, 1, 1, 1]` for this process."""
    shares = random.random((len(source) * ranks.count, 1, 1, 1), "float32")
    return ranks.part(torch.from_numpy(shares)).to(source.device)


def adam(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Adam:
    """Adam as both papers set it, by one kernel that reads each weight once."""
    return torch.optim.Adam(
        parameters,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        fused=True,
    )


def learn(optimiser: torch.optim.Optimizer, loss: Tensor, ranks: Ranks = ALONE) -> None:
    """One step down the gradient of `loss`, of its mean where several processes have one each."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    ranks.average([weight.grad for weight in weights if weight.grad is not None])
    optimiser.step()
