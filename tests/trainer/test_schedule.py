"""Learning rates against their formulas."""

import math

import pytest

from trainer.schedule import factor


def test_linear_is_that_of_the_paper_at_the_borders_of_epochs() -> None:
    """100 epochs and 100: theirs changes once an epoch, ours with every picture."""
    for epoch in range(201):
        theirs = 1 - max(0, epoch + 1 - 100) / 101
        assert factor("linear", epoch / 200, 0.5) == pytest.approx(theirs, abs=1 / 100)
    assert [factor("linear", at, 0.5) for at in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]


@pytest.mark.parametrize(
    ("policy", "progress", "expected"),
    [
        ("cosine", 0.4, 1.0), ("cosine", 0.7, 0.5 * (1 + math.cos(math.pi / 2))),
        ("cosine", 0.55, 0.5 * (1 + math.cos(math.pi / 4))), ("cosine", 1.0, 0.0),
        ("step", 0.0, 1.0), ("step", 0.249, 1.0), ("step", 0.25, 0.1), ("step", 0.5, 0.01),
        ("step", 0.75, 1e-3), ("step", 1.0, 1e-3), ("constant", 0.9, 1.0), ("plateau", 0.9, 1.0),
    ],
)  # fmt: skip
def test_each_policy_by_its_formula(policy: str, progress: float, expected: float) -> None:
    assert factor(policy, progress, 0.4) == pytest.approx(expected, abs=1e-12)


def test_a_plateau_takes_a_fifth_for_each_drop() -> None:
    assert [factor("plateau", 0.5, 0.5, drops) for drops in range(3)] == pytest.approx(
        [1, 0.2, 0.04]
    )


@pytest.mark.parametrize("decay_from", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("policy", ["linear", "cosine"])
def test_what_falls_never_rises_nor_leaves_its_bounds(policy: str, decay_from: float) -> None:
    rates = [factor(policy, step / 1000, decay_from) for step in range(1001)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1
    assert rates[-1] == pytest.approx(1 if decay_from == 1 else 0, abs=1e-12)
