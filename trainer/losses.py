"""The losses of CycleGAN and pix2pix, on float32 whatever the networks compute in."""

from collections.abc import Callable
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from trainer.config import Adversarial

PENALTY = 10.0
"""Weight of the gradient penalty, lambda of Gulrajani et al. 2017 (arXiv 1704.00028), equation 3."""


def for_generator(kind: Adversarial, of_fake: Tensor) -> Tensor:
    """What the generator pays for not being taken for real; `of_fake` are the discriminator's logits.

    lsgan: Mao et al. 2017 (arXiv 1611.04076), equation 9 with b = c = 1, without its half, as in
    Zhu et al. 2017; vanilla: cross entropy, non-saturating; hinge and wgangp: the mean.
    """
    of_fake = of_fake.float()
    match kind:
        case "lsgan":
            return functional.mse_loss(of_fake, torch.ones_like(of_fake))
        case "vanilla":
            return functional.binary_cross_entropy_with_logits(of_fake, torch.ones_like(of_fake))
        case "hinge" | "wgangp":
            return -of_fake.mean()
        case _:
            assert_never(kind)


def for_discriminator(kind: Adversarial, of_real: Tensor, of_fake: Tensor) -> Tensor:
    """What the discriminator pays for its verdicts; halved for lsgan and vanilla, as both papers do."""
    of_real, of_fake = of_real.float(), of_fake.float()
    match kind:
        case "lsgan":
            return 0.5 * ((of_real - 1).square().mean() + of_fake.square().mean())
        case "vanilla":
            real = functional.binary_cross_entropy_with_logits(of_real, torch.ones_like(of_real))
            fake = functional.binary_cross_entropy_with_logits(of_fake, torch.zeros_like(of_fake))
            return 0.5 * (real + fake)
        case "hinge":
            return functional.relu(1 - of_real).mean() + functional.relu(1 + of_fake).mean()
        case "wgangp":
            return of_fake.mean() - of_real.mean()
        case _:
            assert_never(kind)


def gradient_penalty(
    judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor
) -> Tensor:
    """PENALTY times the squared distance of the gradient's norm from 1, between real and fake.

    `share` `[N, 1, 1, 1]` in 0 to 1 says where between (Gulrajani et al. 2017, algorithm 1).
    """
    between = torch.lerp(fake.detach().float(), real.float(), share).requires_grad_(True)
    (slope,) = torch.autograd.grad(judge(between).float().sum(), between, create_graph=True)
    lengths = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    penalty: Tensor = PENALTY * (lengths - 1).square().mean()
    return penalty


def distance(translated: Tensor, wanted: Tensor) -> Tensor:
    """The mean absolute difference: cycle, identity (Zhu et al. 2017, equations 2 and 4), and L1."""
    return functional.l1_loss(translated.float(), wanted.float())
