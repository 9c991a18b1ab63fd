"""Workers wherever they are, and how errands are shared out among them.

Whatever is shared out, segments or pictures, one program gives errands and keeps the record of what
came back; a worker that dies costs the errand in its hand.
"""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, Self, TypeVar

from cgvideo.progress import StopRequest
from cgvideo.rendering import PATIENCE_SECONDS

TRIES = 3
"""How often something is given out before its workers' deaths are its own fault."""
POLL_SECONDS = 0.2  # how long it can take to see that the user wants to stop

E = TypeVar("E")
A = TypeVar("A")
E_contra = TypeVar("E_contra", contravariant=True)
A_co = TypeVar("A_co", covariant=True)


class Hand(Protocol[E_contra, A_co]):
    """Does errands, one after the other, in a process of its own."""

    def do(self, errand: E_contra) -> A_co:
        """Do one. Raises UserError for what the user can mend."""

    def close(self) -> None:
        """Let the engine go."""


class Post(Protocol[E_contra, A_co]):
    """What a worker is hired for: all that it needs to know, with absolute paths. It travels."""

    def hand(self, device: str) -> Hand[E_contra, A_co]:
        """Begin, where the worker is. Raises UserError where it cannot."""


class Crew(ABC, Generic[E, A]):
    """Workers, wherever they are. Closed by `with`."""

    @property
    @abstractmethod
    def idle(self) -> int:
        """How many have nothing to do."""

    @abstractmethod
    def give(self, errand: E) -> None:
        """Have an idle worker do an errand."""

    @abstractmethod
    def take(self, seconds: float) -> tuple[E, A | None] | None:
        """Wait for an errand that was given out: with its answer, or None if its worker died.

        None if nothing came within `seconds`, but a worker in place of a dead one, maybe. Raises
        what the worker raised.
        """

    @abstractmethod
    def end(self) -> None:
        """End all workers at once; from any thread. Then nothing but `close` may be asked."""

    @abstractmethod
    def close(self) -> None:
        """End all workers, whatever they do, and wait until they have ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def shared_out(
    crew: Crew[E, A],
    errands: Iterator[E],
    bury: Callable[[E], Iterable[E]],
    stop: StopRequest,
) -> Iterator[tuple[E, A]]:
    """Give out errands as workers are idle, and yield each with its answer.

    `bury` is told of an errand whose worker died, and gives what is to be done in its place. When
    the user wants to stop, what is in hand has `PATIENCE_SECONDS` to come to an end.

    Raises what a worker or `bury` raises.
    """
    again: deque[E] = deque()
    in_hand = 0
    patient_until: float | None = None
    with stop.ending(crew.end):
        while True:
            while crew.idle and not stop.wanted:
                errand = again.popleft() if again else next(errands, None)
                if errand is None:
                    break
                crew.give(errand)
                in_hand += 1
            if not in_hand and (stop.wanted or not again):
                return
            if stop.wanted:
                patient_until = patient_until or time.monotonic() + PATIENCE_SECONDS
                if time.monotonic() > patient_until:
                    return
            told = crew.take(POLL_SECONDS)
            if told is None:
                continue
            in_hand -= 1
            errand, answer = told
            if answer is None:
                again.extend(bury(errand))
            else:
                yield errand, answer
