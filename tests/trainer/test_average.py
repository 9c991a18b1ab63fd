"""The averaged generator."""

import pytest
import torch

from engines.network import Generator
from engines.spec import GeneratorSpec
from trainer.average import RAMP, Average


def constant(value: float, norm: str = "instance") -> Generator:
    network = Generator(GeneratorSpec(base_channels=1, blocks=2, norm=norm))
    with torch.no_grad():
        for values in network.parameters():
            values.fill_(value)
    return network


def value(average: Average) -> float:
    return float(next(average.network.parameters()).flatten()[0])


@pytest.mark.parametrize("batch", [1, 4])
def test_after_its_half_life_it_is_halfway(batch: int) -> None:
    average = Average(constant(0), half_life=100)
    for step in range(100 // batch):
        average.update(constant(1), 1_000_000 + step * batch, batch)
    assert value(average) == pytest.approx(0.5, abs=1e-4)


def test_at_the_start_it_follows_sooner() -> None:
    average = Average(constant(0), half_life=10_000)
    average.update(constant(1), 0, 1)
    assert value(average) == 1
    average.update(constant(0), 400, 1)
    assert value(average) == pytest.approx(0.5 ** (1 / (RAMP * 400)))


def test_without_a_half_life_it_is_the_network() -> None:
    average = Average(constant(0), half_life=0)
    average.update(constant(3), 1000, 1)
    assert value(average) == 3


def test_running_statistics_are_taken_as_they_are() -> None:
    network = constant(0, "batch")
    average = Average(network, half_life=1000)
    network.get_submodule("model.2").running_mean.fill_(5)
    average.update(network, 100_000, 1)
    assert float(average.network.get_submodule("model.2").running_mean[0]) == 5


def test_it_learns_nothing_and_does_not_drop() -> None:
    network = constant(0.1)
    network.dropout = 0.5
    average = Average(network.train(), half_life=10)
    assert not average.network.training
    assert not any(values.requires_grad for values in average.network.parameters())
