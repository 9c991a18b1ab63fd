"""Calls that may never come back: a driver that hangs must not hold a night's work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from time import monotonic
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FIRST_CALL_SECONDS = 1800.0
"""How long a first call may take: compilers and drivers set things up in it."""

LATER_CALLS_SECONDS, TIMES_THE_LONGEST = 600.0, 20.0
"""How long a later call may take: so long, or so many times the longest so far."""


@contextmanager
def patiently(call: Callable[P, R]) -> Iterator[Callable[P, R]]:
    """Give a function that calls `call` on a thread of its own, always the same one.

    Raises TimeoutError where a call does not come back in time. Its thread is left behind then:
    nothing can end it but the end of the process, which does not wait for it.
    """
    tasks: SimpleQueue[Callable[[], R] | None] = SimpleQueue()
    results: SimpleQueue[tuple[R | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        while (task := tasks.get()) is not None:
            try:
                results.put((task(), None))
            except BaseException as error:
                results.put((None, error))

    longest: float | None = None

    def called(*arguments: P.args, **named: P.kwargs) -> R:
        nonlocal longest
        limit = FIRST_CALL_SECONDS
        if longest is not None:
            limit = max(LATER_CALLS_SECONDS, TIMES_THE_LONGEST * longest)
        began = monotonic()
        tasks.put(lambda: call(*arguments, **named))
        try:
            result, error = results.get(timeout=limit)
        except Empty:
            raise TimeoutError(f"no answer for {limit:.0f} s") from None
        longest = max(longest or 0.0, monotonic() - began)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    threading.Thread(target=work, name="engine", daemon=True).start()
    try:
        yield called
    finally:
        tasks.put(None)
