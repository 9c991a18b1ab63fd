"""One step of pix2pix is what its paper says."""

import pytest
import torch
from tiny_run import CPU, gradients, pictures, tiny

from trainer.losses import for_discriminator, for_generator
from trainer.pix2pix import Pix2Pix

SOURCE, TARGET = pictures(1, 2), pictures(2, 2)


def made(domains: dict, **changes) -> Pix2Pix:
    unet = {"family": "unet", "blocks": 4, "norm": "batch", "method": "pix2pix", "pool": 0}
    settings = {**unet, "adversarial": "vanilla", "initialisation": "kaiming", **changes}
    return Pix2Pix(tiny(domains, **settings), CPU)


@pytest.mark.parametrize("adversarial", ["vanilla", "lsgan", "hinge", "wgangp"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_losses_are_those_of_the_paper(domains: dict, adversarial: str, norm: str) -> None:
    method = made(domains, adversarial=adversarial, norm=norm)
    with torch.no_grad():
        fake = method.to_target(SOURCE)
        of_real = method.judge(torch.cat([SOURCE, TARGET], 1))
        of_fake = method.judge(torch.cat([SOURCE, fake], 1))
    losses = method.step(SOURCE, TARGET, 0)
    expected = for_discriminator(adversarial, of_real, of_fake).item()
    assert losses["discriminator_target"].item() == pytest.approx(expected, rel=1e-4)
    assert losses["l1"].item() == pytest.approx(100 * (fake - TARGET).abs().mean().item(), rel=1e-4)
    assert ("penalty_target" in losses) == (adversarial == "wgangp")


def test_the_generator_meets_a_judge_that_has_just_learnt(domains: dict) -> None:
    method = made(domains, norm="instance")
    with torch.no_grad():
        fake = method.to_target(SOURCE)
    losses = method.step(SOURCE, TARGET, 0)
    with torch.no_grad():
        verdict = for_generator("vanilla", method.judge(torch.cat([SOURCE, fake], 1)))
    assert losses["adversarial_target"].item() == pytest.approx(verdict.item(), rel=1e-4)


def test_the_judge_learns_from_its_own_loss_alone(domains: dict) -> None:
    method = made(domains)
    seen = {}
    for name, optimiser in method.optimisers.items():
        step = optimiser.step
        optimiser.step = lambda name=name, step=step: (
            seen.update({name: gradients(method)}),
            step(),
        )
    method.step(SOURCE, TARGET, 0)
    of_judge, of_generator = seen["discriminators"], seen["generators"]
    assert not any(g.any() for name, g in of_judge.items() if name.startswith("to_target"))
    for name, gradient in of_judge.items():
        if name.startswith("judge"):
            assert torch.equal(gradient, of_generator[name])
    assert all(each.requires_grad for each in method.judge.parameters())


def test_steps_are_reproducible_with_dropout(domains: dict) -> None:
    methods = [made(domains, dropout=True) for _ in range(2)]
    for step in range(4):
        told = []
        for method in methods:
            torch.rand(3)
            told.append({n: v.item() for n, v in method.step(SOURCE, TARGET, step * 2).items()})
        assert told[0] == told[1]


def test_it_learns_what_it_is_shown(domains: dict) -> None:
    method = made(domains, learning_rate=2e-3, norm="instance")
    first = method.step(SOURCE, -SOURCE, 0)["l1"].item()
    for step in range(1, 60):
        last = method.step(SOURCE, -SOURCE, step)["l1"].item()
    assert last < 0.5 * first
