"""Where the time goes: each stage's own work, not that of the stages inside it."""

import threading
import time
from collections.abc import Iterator

import pytest

from cgvideo.prefetch import prefetching
from cgvideo.progress import StageTimes


class Clock:
    """Moves only when told to; one for all threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def items(
        self, count: int, seconds: float, inner: Iterator[int] | None = None
    ) -> Iterator[int]:
        """A stage that takes so many seconds an item, on top of what it pulls."""
        for number in range(count):
            if inner is not None:
                next(inner)
            self.now += seconds
            yield number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_stage_counts_its_own_time_only(clock: Clock) -> None:
    stages = StageTimes()
    decoded = stages.timed("decode", clock.items(4, 1))
    translated = stages.timed("translate", clock.items(4, 10, decoded))
    with stages.working("encode"):
        for _ in translated:
            clock.now += 100
    assert dict(stages.seconds) == {"decode": 4, "translate": 40, "encode": 400}
    assert stages.slowest == "encode"


def test_waiting_is_never_the_slowest_stage(clock: Clock) -> None:
    stages = StageTimes()
    assert stages.slowest is None
    with stages.working(stages.WAITING):
        clock.now += 9
    assert stages.slowest is None
    with stages.working("decode"):
        clock.now += 1
    assert stages.slowest == "decode"


def test_work_in_another_thread_is_not_taken_off(clock: Clock) -> None:
    stages = StageTimes()
    with stages.working("encode"):
        other = threading.Thread(target=lambda: list(stages.timed("decode", clock.items(3, 1))))
        other.start()
        other.join()
        clock.now += 2
    assert dict(stages.seconds) == {"decode": 3, "encode": 5}


def test_an_error_passes_and_closes_the_stage_below(clock: Clock) -> None:
    closed = []

    def failing() -> Iterator[int]:
        try:
            yield 1
            raise OSError("broken")
        finally:
            closed.append(True)

    stages = StageTimes()
    with prefetching(stages.timed("decode", failing()), 2) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="broken"):
            next(items)
    assert closed == [True]
