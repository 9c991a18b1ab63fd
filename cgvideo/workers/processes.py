"""Workers that are processes of this machine."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from cgvideo.workers.crew import A, Crew, E, Hand, Post
from engines.errors import UserError

_CONTEXT = multiprocessing.get_context("spawn")  # nothing of a runtime's threads is inherited
ENDING_SECONDS = 5.0


@dataclass(slots=True)
class _Hired(Generic[E]):
    process: Any
    connection: Connection
    device: str
    errand: E | None = None


class Processes(Crew[E, A]):
    """A crew of one process a device. In place of one that dies there is a new one at once."""

    def __init__(self, post: Post[E, A], devices: Sequence[str]) -> None:
        self._post = post
        self._hired: list[_Hired[E]] = [self._begun(device) for device in devices]

    @property
    def idle(self) -> int:
        return sum(hired.errand is None for hired in self._hired)

    def give(self, errand: E) -> None:
        hired = next(hired for hired in self._hired if hired.errand is None)
        hired.errand = errand
        with suppress(BrokenPipeError, ConnectionResetError):  # it is dead, as `take` will find
            hired.connection.send(errand)

    def take(self, seconds: float) -> tuple[E, A | None] | None:
        busy = [hired for hired in self._hired if hired.errand is not None]
        ready = wait([hired.connection for hired in busy], seconds)
        if not ready:
            return None
        hired = next(hired for hired in busy if hired.connection in ready)
        errand, hired.errand = hired.errand, None
        assert errand is not None
        try:
            answer = hired.connection.recv()
        except (EOFError, ConnectionResetError):
            hired.connection.close()
            hired.process.join()
            self._hired[self._hired.index(hired)] = self._begun(hired.device)
            return errand, None
        if isinstance(answer, BaseException):
            raise answer
        return errand, answer

    def end(self) -> None:
        for hired in list(self._hired):
            hired.process.kill()

    def close(self) -> None:
        for hired in self._hired:
            if hired.errand is not None:
                hired.process.terminate()
            hired.connection.close()  # an idle worker ends when nobody is there to ask it
        for hired in self._hired:
            hired.process.join(ENDING_SECONDS)
            if hired.process.is_alive():
                hired.process.kill()
                hired.process.join()

    def _begun(self, device: str) -> _Hired[E]:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(self._post, device, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Hired(process, ours, device)


def _work(post: Post[E, A], device: str, connection: Connection) -> None:
    """Do what is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to answer
    threading.Thread(target=_outlive_nobody, name="watch", daemon=True).start()
    hand: Hand[E, A] | None = None
    try:
        while True:
            errand = connection.recv()
            hand = hand or post.hand(device)
            connection.send(hand.do(errand))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except UserError as error:
        connection.send(error)
    except BaseException as error:  # of a kind, maybe, that does not travel
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
    finally:
        if hand is not None:
            hand.close()


def _outlive_nobody() -> None:
    """End this process with the one that began it, however that ends: none writes on afterwards."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
