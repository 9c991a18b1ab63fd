"""The replay buffer does what its definition says."""

import numpy as np
import pytest
import torch

from trainer.data import random_at
from trainer.pool import Pool


def numbered(*numbers: float) -> torch.Tensor:
    """Pictures that can be told apart."""
    return torch.tensor(numbers).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def numbers(pictures: torch.Tensor) -> list[int]:
    return [int(number) for number in pictures[:, 0, 0, 0]]


def test_the_first_are_kept_and_given() -> None:
    pool, random = Pool(5), np.random.default_rng(0)
    for number in range(5):
        assert numbers(pool.exchange(numbered(number), random)) == [number]
    assert [int(each[0, 0, 0, 0]) for each in pool.kept] == [0, 1, 2, 3, 4]


def test_then_half_are_exchanged_for_any_that_is_kept() -> None:
    size, draws = 50, 10_000
    pool, random = Pool(size), np.random.default_rng(1)
    for number in range(size):
        pool.exchange(numbered(number), random)
    places, before = np.zeros(size), list(range(size))
    ages, passed = [], 0
    for number in range(size, size + draws):
        given = numbers(pool.exchange(numbered(number), random))[0]
        after = numbers(torch.cat(pool.kept))
        if given == number:
            assert after == before
            passed += 1
        else:
            place = before.index(given)
            assert after == [*before[:place], number, *before[place + 1 :]]
            places[place] += 1
            ages.append(number - given)
        before = after
    assert passed / draws == pytest.approx(0.5, abs=4 * 0.5 / draws**0.5)
    expected = (draws - passed) / size
    assert (np.abs(places - expected) < 5 * expected**0.5).all()
    # Each step a kept picture goes with a chance of 1 in 100: it stays for 100 steps on average.
    assert np.mean(ages[1000:]) == pytest.approx(100, rel=0.05)


def test_one_batch_is_as_its_pictures_one_after_the_other() -> None:
    together, alone = Pool(3), Pool(3)
    one, other = np.random.default_rng(2), np.random.default_rng(2)
    for start in range(0, 40, 4):
        batch = numbered(*range(start, start + 4))
        given = [numbers(alone.exchange(each[None], other))[0] for each in batch]
        assert numbers(together.exchange(batch, one)) == given


def test_none_are_kept_by_a_pool_of_none() -> None:
    pool = Pool(0)
    assert numbers(pool.exchange(numbered(1, 2), np.random.default_rng(0))) == [1, 2]
    assert pool.state()["kept"] == []


def test_what_is_kept_does_not_change_with_what_was_given() -> None:
    pool = Pool(2)
    picture = numbered(7).clone()
    given = pool.exchange(picture, np.random.default_rng(0))
    picture.zero_()
    given.zero_()
    assert int(pool.kept[0][0, 0, 0, 0]) == 7


def test_the_layout_in_memory_is_kept() -> None:
    pool, random = Pool(2), np.random.default_rng(0)
    layout = torch.channels_last
    for seed in range(8):
        batch = torch.rand(2, 3, 4, 4).contiguous(memory_format=layout) + seed
        assert pool.exchange(batch, random).is_contiguous(memory_format=layout)


def test_pictures_of_other_sizes_are_kept_too() -> None:
    pool = Pool(2)
    for step in range(30):
        side = 2 + step % 3
        given = pool.exchange(torch.ones(1, 3, side, 2 * side), random_at(0, 3, step))
        assert given.shape[2] * 2 == given.shape[3]


def test_it_goes_on_where_it_was() -> None:
    first = Pool(3)
    for step in range(20):
        first.exchange(numbered(step), random_at(5, 3, step))
    second = Pool(3)
    second.restore(first.state(), torch.device("cpu"))
    for step in range(20, 40):
        one, other = (p.exchange(numbered(step), random_at(5, 3, step)) for p in (first, second))
        assert torch.equal(one, other)
