"""The benchmark times this trainer beside the plain recipe."""

import pytest
import torch
from tiny_run import CPU, pictures, tiny

from engines.errors import UserError
from trainer.benchmark import LARGER, PLAIN, PlainCycleGan, benchmark, plain_generator, table
from trainer.cyclegan import CycleGan
from trainer.data import read_data


def test_rows_ratios_and_parts(domains: dict) -> None:
    config = tiny(domains)
    measured = benchmark(config, read_data(config), CPU, 0)
    ours, larger, plain = measured.rows
    assert (ours.batch, larger.batch, plain.batch, plain.name) == (1, LARGER, 1, PLAIN)
    assert plain.times_plain == 1
    for row in measured.rows:
        assert row.times_plain == pytest.approx(row.pairs_a_second / plain.pairs_a_second)
    assert measured.slowest in measured.parts
    assert measured.parts["backward"] > 0
    assert len(table(measured)) == 6


def test_the_plain_recipe_is_the_same_training(domains: dict) -> None:
    """With the same weights its first step leaves the same generator."""
    config = tiny(domains, pool=0, learning_rate=1e-3)
    ours, plain = CycleGan(config, CPU), PlainCycleGan(config, CPU)
    for name, network in ours.networks.items():
        weights = getattr(plain, name).parameters()
        with torch.no_grad():
            for own, other in zip(weights, network.parameters(), strict=True):
                own.copy_(other)
    source, target = pictures(1), pictures(2)
    ours.step(source, target, 0)
    plain.step(source, target, 0)
    with torch.no_grad():
        assert torch.allclose(ours.to_target(source), plain.to_target(source), atol=1e-3)
        assert torch.allclose(ours.judge_source(source), plain.judge_source(source), atol=1e-2)


@pytest.mark.parametrize("upsampling", ["transpose3", "transpose4", "resize", "subpixel"])
def test_the_plain_generator_has_the_run_s_weights(domains: dict, upsampling: str) -> None:
    config = tiny(domains, upsampling=upsampling)
    own = [tuple(each.shape) for each in CycleGan(config, CPU).to_target.parameters()]
    assert [tuple(each.shape) for each in plain_generator(config.spec).parameters()] == own


def test_what_the_plain_recipe_is_not_is_refused(domains: dict) -> None:
    config = tiny(domains, family="unet", blocks=4, upsampling="transpose3")
    with pytest.raises(UserError, match="ResNet"):
        benchmark(config, read_data(config), CPU, 0)
