"""Reading ahead: the same items, the same errors, and never a thread after the block."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip
from converting import IdentityEngine, plan_for
from numpy.typing import NDArray

from cgvideo.codec import decode
from cgvideo.pipeline import run
from cgvideo.prefetch import in_parallel, prefetching
from cgvideo.progress import Silent, StageTimes

PATIENCE = 5.0


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


class Counting:
    """Counts to `end`, says how far it came and whether it was closed; fails at `fails_at`."""

    def __init__(self, end: int, fails_at: int | None = None) -> None:
        self.given = 0
        self.closed = False
        self._end = end
        self._fails_at = fails_at

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.given == self._fails_at:
            raise OSError("the source broke")
        if self.given == self._end:
            raise StopIteration
        self.given += 1
        return self.given - 1

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("count", [0, 1, 3, 100])
@pytest.mark.parametrize("depth", [1, 8])
def test_all_items_come_in_order(count: int, depth: int) -> None:
    source = Counting(count)
    with prefetching(source, depth) as items:
        assert list(items) == list(range(count))
    assert source.closed


def test_it_reads_ahead_by_the_depth_and_no_further() -> None:
    source = Counting(100)
    with prefetching(source, 4) as items:
        assert next(items) == 0
        deadline = time.monotonic() + PATIENCE
        while source.given < 6 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.1)
        assert source.given == 6  # one taken, four waiting, one in hand


def test_an_error_of_the_source_comes_after_the_items_before_it() -> None:
    with prefetching(Counting(9, fails_at=3), 8) as items:
        assert [next(items), next(items), next(items)] == [0, 1, 2]
        with pytest.raises(OSError, match="the source broke"):
            next(items)


@pytest.mark.parametrize("taken", [0, 1, 20])
@pytest.mark.parametrize("depth", [1, 8])
def test_leaving_early_ends_the_thread_and_closes_the_source(taken: int, depth: int) -> None:
    source = Counting(10**9)
    with prefetching(source, depth) as items:
        assert list(itertools.islice(items, taken)) == list(range(taken))
    assert source.closed
    assert prefetch_threads() == []


def test_an_error_of_the_block_is_the_one_that_is_raised() -> None:
    source = Counting(10**9, fails_at=5)

    def fail() -> None:
        with prefetching(source, 2) as items:
            next(items)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert source.closed
    assert prefetch_threads() == []


def test_a_source_that_is_slow_is_waited_for_when_the_block_ends() -> None:
    """Whatever it reads from may be closed on the next line."""
    busy = threading.Event()
    left = []

    def slow() -> Iterator[int]:
        yield 0
        busy.set()
        time.sleep(0.3)
        left.append("done")
        yield 1

    with prefetching(slow(), 1) as items:
        next(items)
        busy.wait(PATIENCE)
    assert left == ["done"]


# Failures injected into real conversions


class Broken(Exception):
    """Nothing else raises it."""


class BreakingEngine(IdentityEngine):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        if self.calls > self.at:
            raise Broken
        return frames.copy()


class BreakingProgress(Silent):
    """Fails while a frame is given to the encoder."""

    def __init__(self, at: int) -> None:
        self.at = at

    def frame_done(self, number: int, stages: StageTimes) -> None:
        if number >= self.at:
            raise Broken


def broken_after(at: int, real: Callable[..., Any]) -> Callable[..., Any]:
    calls = itertools.count()

    def maybe(*args: Any, **kwargs: Any) -> Any:
        if next(calls) >= at:
            raise Broken
        return real(*args, **kwargs)

    return maybe


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", 130)


@pytest.mark.parametrize("at", range(0, 130, 9))
@pytest.mark.parametrize("where", ["source", "engine", "encoder"])
def test_a_failure_anywhere_is_raised_and_leaves_no_thread(
    clip: Path, tmp_path: Path, where: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, progress = IdentityEngine(), Silent()
    plan = plan_for(clip, tmp_path / "out.mp4")
    if where == "source":
        to_rgb = decode.ToRgb
        monkeypatch.setattr(to_rgb, "__call__", broken_after(at, to_rgb.__call__))
    elif where == "engine":
        engine = BreakingEngine(at // 4)
    else:
        progress = BreakingProgress(at)
    with pytest.raises(Broken):
        run(plan, engine, progress)
    assert prefetch_threads() == []
    assert not plan.output.exists()
    assert [path.name for path in tmp_path.rglob("*partial*")] == []


def test_work_in_parallel_comes_out_in_order_and_within_the_budget() -> None:
    in_hand, most, lock = 0, 0, threading.Lock()

    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item

    def taken() -> Iterator[int]:
        nonlocal in_hand, most
        for item in range(40):
            with lock:
                in_hand += 1
                most = max(most, in_hand)
            yield item

    with in_parallel(work, taken(), 4, lambda item: 1, 6) as results:
        for number, result in enumerate(results):
            assert result == number
            with lock:
                in_hand -= 1
    assert 4 <= most <= 7


def test_what_costs_more_than_the_budget_is_done_alone() -> None:
    running, together, lock = 0, 0, threading.Lock()

    def work(item: int) -> None:
        nonlocal running, together
        with lock:
            running += 1
            together = max(together, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    with in_parallel(work, range(8), 4, lambda item: 10, 6) as results:
        assert len(list(results)) == 8
    assert together == 1


def test_an_error_in_parallel_work_is_raised_in_its_place_and_nothing_goes_on() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise ValueError("of the third")
        return item

    def consume() -> None:
        with in_parallel(work, range(1000), 2, lambda item: 1, 4) as results:
            assert [next(results), next(results)] == [0, 1]
            next(results)

    with pytest.raises(ValueError, match="of the third"):
        consume()
    assert len(begun) < 20
    assert not [thread for thread in threading.enumerate() if "parallel" in thread.name]
