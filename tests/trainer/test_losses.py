"""Each loss against numbers computed by hand."""

import math

import pytest
import torch

from trainer.losses import PENALTY, distance, for_discriminator, for_generator, gradient_penalty

REAL = torch.tensor([[0.5, 2.0]])
FAKE = torch.tensor([[-1.0, 0.5]])


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lsgan", (4.0 + 0.25) / 2),  # (fake - 1)²
        ("vanilla", (softplus(1.0) + softplus(-0.5)) / 2),  # -log sigmoid(fake)
        ("hinge", 0.25),  # -mean
        ("wgangp", 0.25),
    ],
)
def test_what_a_generator_pays(kind: str, expected: float) -> None:
    assert for_generator(kind, FAKE).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Halved: ((real - 1)² + fake²) / 2.
        ("lsgan", ((0.25 + 1.0) / 2 + (1.0 + 0.25) / 2) / 2),
        # Halved: (-log sigmoid(real) - log(1 - sigmoid(fake))) / 2.
        ("vanilla", ((softplus(-0.5) + softplus(-2.0)) / 2 + (softplus(-1.0) + softplus(0.5)) / 2) / 2),
        ("hinge", (0.5 + 0.0) / 2 + (0.0 + 1.5) / 2),  # max(0, 1 - real) + max(0, 1 + fake)
        ("wgangp", -0.25 - 1.25),  # fake - real
    ],
)  # fmt: skip
def test_what_a_discriminator_pays(kind: str, expected: float) -> None:
    assert for_discriminator(kind, REAL, FAKE).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_the_penalty_of_a_linear_judge_is_known(slope: float) -> None:
    """Its gradient has the same length everywhere: the slope times the root of all values."""
    values = 3 * 4 * 4

    def judge(pictures: torch.Tensor) -> torch.Tensor:
        return slope * pictures.sum((1, 2, 3)) / values**0.5

    real, fake = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    penalty = gradient_penalty(judge, real, fake, torch.full((2, 1, 1, 1), 0.3))
    assert penalty.item() == pytest.approx(PENALTY * (slope - 1) ** 2, abs=1e-5)
    assert PENALTY == 10


def test_the_penalty_is_taken_between_real_and_fake() -> None:
    """A judge of half the square has a gradient as long as its picture."""
    real, fake = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 6.0)
    penalty = gradient_penalty(lambda x: x.square() / 2, real, fake, torch.full((1, 1, 1, 1), 0.25))
    assert penalty.item() == pytest.approx(10 * (0.25 * 2 + 0.75 * 6 - 1) ** 2)


def test_the_penalty_teaches_the_judge_and_not_the_generator() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    fake = torch.ones(1, 1, 1, 1, requires_grad=True)
    share = torch.full((1, 1, 1, 1), 0.5)
    gradient_penalty(lambda x: weight * x, torch.zeros(1, 1, 1, 1), fake, share).backward()
    assert weight.grad.item() == pytest.approx(10 * 2 * (3 - 1))
    assert fake.grad is None


def test_the_penalty_takes_translations_in_bf16() -> None:
    real, fake = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2, dtype=torch.bfloat16)
    penalty = gradient_penalty(lambda x: x.sum((1, 2, 3)), real, fake, torch.rand(1, 1, 1, 1))
    assert penalty.dtype == torch.float32


def test_distance_is_the_mean_of_absolute_differences() -> None:
    one = torch.tensor([1.0, -1.0, 0.5, 0.0])
    assert distance(one, torch.zeros(4)).item() == 0.625
    assert distance(one.bfloat16(), torch.zeros(4)).dtype == torch.float32
