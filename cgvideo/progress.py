"""What a run tells while it works, where its time goes, and how it is told to stop."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from cgvideo.plan import Plan

T = TypeVar("T")


class Progress(Protocol):
    """Who wants to know how a run goes on. Called from the main thread only."""

    def planned(self, plan: "Plan") -> None:
        """Every decision is made; work begins."""

    def notice(self, text: str) -> None:
        """Something the user should know, one line."""

    def resumed(self, frame: int) -> None:
        """Frames before this number were finished by an earlier run."""

    def frame_done(self, number: int, stages: "StageTimes") -> None:
        """Frame `number` has been given to the encoder."""

    def finishing(self) -> None:
        """All frames are rendered; the file is being put together."""


class Silent:
    """Tells nobody."""

    def planned(self, plan: "Plan") -> None: ...

    def notice(self, text: str) -> None: ...

    def resumed(self, frame: int) -> None: ...

    def frame_done(self, number: int, stages: "StageTimes") -> None: ...

    def finishing(self) -> None: ...


class Stopped(Exception):  # noqa: N818  (no error: the user asked for it)
    """The user asked to stop; what is committed stays, and the same command goes on from there."""

    def __init__(self, frames_done: int, frames_dropped: int) -> None:
        super().__init__(f"stopped after {frames_done} frames")
        self.frames_done = frames_done
        self.frames_dropped = frames_dropped


class StopRequest:
    """Set (from a signal handler, say) to end a run at the next good moment."""

    def __init__(self) -> None:
        self.wanted = False
        self._ends: list[Callable[[], None]] = []

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `end` ends what works for it elsewhere, for who will not wait."""
        self._ends.append(end)
        try:
            yield
        finally:
            self._ends.remove(end)

    def end_others(self) -> None:
        """End at once what works elsewhere, as this process is about to end."""
        for end in list(self._ends):
            end()


class StageTimes:
    """How many seconds each stage has worked, not counting what it waited for.

    Stages are generators that pull from one another, some across threads. Each counts the time
    inside its own `next`, less what stages inside it (in the same thread) have counted.
    """

    WAITING = "waiting"

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner = threading.local()
        self._adding = threading.Lock()

    @contextmanager
    def working(self, stage: str, threads: int = 1) -> Iterator[None]:
        """Count the time of the block as work of `stage`, which so many `threads` share."""
        outer = getattr(self._inner, "seconds", 0.0)
        self._inner.seconds = 0.0
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._adding:
                self.seconds[stage] += (took - self._inner.seconds) / threads
            self._inner.seconds = outer + took

    def timed(self, stage: str, items: Iterator[T]) -> Iterator[T]:
        """Count the time that `items` takes as work of `stage`."""
        end = object()
        try:
            while True:
                with self.working(stage):
                    item = next(items, end)
                if item is end:
                    return
                yield cast(T, item)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    @property
    def slowest(self) -> str | None:
        """The stage that has worked the longest: the one that everything waits for."""
        working = {k: v for k, v in self.seconds.items() if k != self.WAITING}
        return max(working, key=working.__getitem__) if working else None
