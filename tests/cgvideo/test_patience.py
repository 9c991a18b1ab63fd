"""Calls on a thread of their own."""

import threading
import time

import pytest

from cgvideo import patience
from cgvideo.patience import patiently


def test_calls_come_back_with_results_and_errors() -> None:
    with patiently(divmod) as call:
        assert call(7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            call(1, 0)
        assert call(9, 4) == (2, 1)


def test_all_calls_run_on_one_thread_that_ends() -> None:
    with patiently(threading.current_thread) as call:
        thread = call()
        assert thread is call()
        assert thread is not threading.current_thread()
    thread.join(5)
    assert not thread.is_alive()


def test_a_call_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_CALL_SECONDS", 0.2)
    released = threading.Event()
    began = time.monotonic()
    with patiently(released.wait) as call, pytest.raises(TimeoutError, match="no answer"):
        call()
    assert time.monotonic() - began < 2
    released.set()


def test_patience_grows_with_the_longest_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LATER_CALLS_SECONDS", 0.01)
    with patiently(time.sleep) as call:
        call(0.2)
        call(0.5)  # 20 times 0.2 are allowed
        monkeypatch.setattr(patience, "TIMES_THE_LONGEST", 0.1)
        with pytest.raises(TimeoutError):
            call(0.5)
