"""One step of CycleGAN is what the paper says, however it is computed."""

import dataclasses

import pytest
import torch
from tiny_run import CPU, gradients, pictures, tiny

from trainer.cyclegan import CycleGan, sum_of
from trainer.losses import distance, for_discriminator, for_generator

SOURCE, TARGET = pictures(1, 2), pictures(2, 2)


def made(domains: dict, hardware=CPU, **changes) -> CycleGan:
    method = CycleGan(tiny(domains, **{"initialisation": "kaiming", **changes}), hardware)
    return method


def losses_one_by_one(method: CycleGan, cycle: float, identity: float) -> dict[str, torch.Tensor]:
    """Equations 1 to 3 of the paper with the identity loss, each network called for itself."""
    fake_target, fake_source = method.to_target(SOURCE), method.to_source(TARGET)
    return {
        "adversarial_target": for_generator("lsgan", method.judge_target(fake_target)),
        "adversarial_source": for_generator("lsgan", method.judge_source(fake_source)),
        "cycle_source": cycle * (method.to_source(fake_target) - SOURCE).abs().mean(),
        "cycle_target": cycle * (method.to_target(fake_source) - TARGET).abs().mean(),
        "identity_target": cycle * identity * (method.to_target(TARGET) - TARGET).abs().mean(),
        "identity_source": cycle * identity * (method.to_source(SOURCE) - SOURCE).abs().mean(),
    }


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize(("cycle", "identity"), [(10, 0.5), (3, 2)])
def test_losses_and_gradients_are_those_of_separate_calls(
    domains: dict, norm: str, cycle: float, identity: float
) -> None:
    method = made(domains, norm=norm, cycle=cycle, identity=identity)
    *_, losses = method.generator_losses(SOURCE, TARGET)
    sum_of(losses).backward()
    ours = gradients(method)
    for network in method.networks.values():
        network.zero_grad()
    expected = losses_one_by_one(method, cycle, identity)
    sum_of(expected).backward()
    theirs = gradients(method)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-4)
    for name in ours:
        if name.startswith("to_"):
            largest = theirs[name].abs().max()
            assert torch.allclose(ours[name], theirs[name], atol=1e-4 * float(largest) + 1e-6), name


def test_without_identity_it_is_not_computed(domains: dict) -> None:
    *_, losses = made(domains, identity=0).generator_losses(SOURCE, TARGET)
    assert set(losses) == {
        "adversarial_target", "adversarial_source", "cycle_source", "cycle_target",
    }  # fmt: skip


@pytest.mark.parametrize("adversarial", ["lsgan", "vanilla", "hinge", "wgangp"])
def test_discriminators_pay_for_both_domains(domains: dict, adversarial: str) -> None:
    method = made(domains, adversarial=adversarial)
    share = torch.full((2, 1, 1, 1), 0.5)
    fakes = pictures(3, 2), pictures(4, 2)
    losses = method.discriminator_losses(SOURCE, TARGET, *fakes, share)
    for name, judge, real, fake in (
        ("target", method.judge_target, TARGET, fakes[1]),
        ("source", method.judge_source, SOURCE, fakes[0]),
    ):
        expected = for_discriminator(adversarial, judge(real), judge(fake))
        assert losses[f"discriminator_{name}"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert ("penalty_target" in losses) == (adversarial == "wgangp")


def test_each_network_learns_from_its_own_losses_alone(domains: dict) -> None:
    """The generators' step leaves no gradient with the discriminators, and the other way round."""
    method = made(domains, pool=0)
    before = {name: each.detach().clone() for name, each in named(method)}
    seen = {}
    for name, optimiser in method.optimisers.items():
        step = optimiser.step
        optimiser.step = lambda name=name, step=step: (
            seen.update({name: gradients(method)}),
            step(),
        )
    method.step(SOURCE, TARGET, 0)
    of_generators = seen["generators"]
    assert not any(g.any() for name, g in of_generators.items() if name.startswith("judge"))
    assert all(each.requires_grad for _, each in named(method))
    # The discriminators' step adds nothing to what the generators had.
    of_discriminators = seen["discriminators"]
    for name, gradient in of_generators.items():
        if name.startswith("to_"):
            assert torch.equal(gradient, of_discriminators[name])
    assert any(g.any() for name, g in of_discriminators.items() if name.startswith("judge"))
    changed = {name for name, each in named(method) if not torch.equal(each, before[name])}
    assert {name.split(".")[0] for name in changed} == set(method.networks)


def test_the_discriminators_step_is_on_what_was_just_made(domains: dict) -> None:
    """As in the paper: the generators move first, the translations are from before."""
    method = made(domains, pool=0)
    with torch.no_grad():
        fake_target, fake_source = method.to_target(SOURCE), method.to_source(TARGET)
        of_target = for_discriminator(
            "lsgan", method.judge_target(TARGET), method.judge_target(fake_target)
        )
    losses = method.step(SOURCE, TARGET, 0)
    assert losses["discriminator_target"].item() == pytest.approx(of_target.item(), rel=1e-4)
    assert not torch.allclose(method.to_source(TARGET), fake_source, atol=1e-3)


def named(method: CycleGan):
    for name, network in method.networks.items():
        for key, values in network.named_parameters():
            yield f"{name}.{key}", values


@pytest.mark.parametrize(
    "changes", [{}, {"dropout": True}, {"adversarial": "wgangp"}, {"norm": "batch"}]
)
def test_steps_are_reproducible(domains: dict, changes: dict) -> None:
    first, second, other = (made(domains, seed=seed, **changes) for seed in (3, 3, 4))
    torch.manual_seed(0)
    for step in range(5):
        one = first.step(SOURCE, TARGET, step * 2)
        torch.rand(step)  # whatever else draws random numbers
        two = second.step(SOURCE, TARGET, step * 2)
        assert {n: v.item() for n, v in one.items()} == {n: v.item() for n, v in two.items()}
        other.step(SOURCE, TARGET, step * 2)
    for (name, one), (_, two), (_, three) in zip(
        named(first), named(second), named(other), strict=True
    ):
        assert torch.equal(one, two), name
        # Biases begin at 0, and what moves the last one of wgangp is the same whatever the seed.
        assert not torch.equal(one, three) or one.ndim == 1


def test_the_first_step_of_adam_is_the_learning_rate(domains: dict) -> None:
    """Its moments are corrected: each weight with a gradient moves by the rate, whatever its size."""
    method = made(domains, learning_rate=1e-3)
    before = {name: each.detach().clone() for name, each in named(method)}
    method.step(SOURCE, TARGET, 0)
    moved = torch.cat([(each - before[name]).abs().flatten() for name, each in named(method)])
    assert moved.max().item() == pytest.approx(1e-3, rel=0.01)
    assert moved.median().item() == pytest.approx(1e-3, rel=0.05)


def test_wgangp_judges_without_batch_norm(domains: dict) -> None:
    method = made(domains, adversarial="wgangp", norm="batch")
    kinds = {type(each).__name__ for each in method.judge_target.modules()}
    assert "BatchNorm2d" not in kinds


@pytest.mark.parametrize("adversarial", ["lsgan", "vanilla", "hinge", "wgangp"])
def test_bf16_gives_nearly_the_same_losses(domains: dict, adversarial: str) -> None:
    half = dataclasses.replace(CPU, bf16=True)
    whole, rounded = made(domains), made(domains, half)
    for name, network in whole.networks.items():
        assert all(each.dtype == torch.float32 for each in rounded.networks[name].parameters())
        rounded.networks[name].load_state_dict(network.state_dict())
    method = made(domains, half, adversarial=adversarial)
    exact = made(domains, adversarial=adversarial)
    one, other = exact.step(SOURCE, TARGET, 0), method.step(SOURCE, TARGET, 0)
    for name, loss in one.items():
        assert other[name].dtype == torch.float32
        assert other[name].item() == pytest.approx(loss.item(), rel=0.05, abs=0.02), name


def test_pictures_of_both_domains_may_differ_in_size(domains: dict) -> None:
    method = made(domains, pool=2)
    for step in range(4):
        losses = method.step(pictures(step, 1, 32), pictures(step, 1, 40), step)
        losses = method.step(pictures(step, 1, 48), pictures(step, 1, 32), step)
        assert all(torch.isfinite(loss) for loss in losses.values())


def test_it_learns_a_colour(domains: dict) -> None:
    """From blue to the opposite, in a few steps: the cycle alone would leave it as it is."""
    method = made(domains, cycle=1, learning_rate=2e-3)
    source, target = SOURCE * 0.3 - 0.5, SOURCE * 0.3 + 0.5
    before = distance(method.to_target(source).mean((2, 3)), target.mean((2, 3))).item()
    for step in range(60):
        method.step(source, target, step)
    after = distance(method.to_target(source).mean((2, 3)), target.mean((2, 3))).item()
    assert after < 0.5 * before
