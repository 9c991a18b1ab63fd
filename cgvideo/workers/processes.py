"""Workers that are processes of this machine."""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from cgvideo.codec.decode import Seam
from cgvideo.workers.crew import Crew, Rendered
from cgvideo.workers.worker import Post, Worker
from engines.errors import UserError

_CONTEXT = multiprocessing.get_context("spawn")  # nothing of a runtime's threads is inherited
ENDING_SECONDS = 5.0


@dataclass(slots=True)
class _Hand:
    process: Any
    connection: Connection
    device: str
    segment: int | None = None


class Processes(Crew):
    """A crew of one process a device. In place of one that dies there is a new one at once."""

    def __init__(self, post: Post, devices: Sequence[str]) -> None:
        self._post = post
        self._hands = [self._begun(device) for device in devices]

    @property
    def idle(self) -> int:
        return sum(hand.segment is None for hand in self._hands)

    def give(self, segment: int, seam: Seam | None) -> None:
        hand = next(hand for hand in self._hands if hand.segment is None)
        hand.segment = segment
        with suppress(BrokenPipeError, ConnectionResetError):  # it is dead, as `take` will find
            hand.connection.send((segment, seam))

    def take(self) -> tuple[int, Rendered | None]:
        busy = [hand for hand in self._hands if hand.segment is not None]
        ready = wait([hand.connection for hand in busy])
        hand = next(hand for hand in busy if hand.connection in ready)
        segment, hand.segment = hand.segment, None
        assert segment is not None
        try:
            answer = hand.connection.recv()
        except (EOFError, ConnectionResetError):
            hand.connection.close()
            hand.process.join()
            self._hands[self._hands.index(hand)] = self._begun(hand.device)
            return segment, None
        if isinstance(answer, BaseException):
            raise answer
        return segment, answer

    def close(self) -> None:
        for hand in self._hands:
            if hand.segment is not None:
                hand.process.terminate()
            hand.connection.close()  # an idle worker ends when nobody is there to ask it
        for hand in self._hands:
            hand.process.join(ENDING_SECONDS)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()

    def _begun(self, device: str) -> _Hand:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(self._post, device, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Hand(process, ours, device)


def _work(post: Post, device: str, connection: Connection) -> None:
    """Render what is asked for until nobody asks any more."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to answer
    threading.Thread(target=_end_with_the_coordinator, daemon=True).start()
    worker: Worker | None = None
    try:
        while True:
            segment, seam = connection.recv()
            worker = worker or Worker(post, device)
            connection.send(worker.render(segment, seam))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except UserError as error:
        connection.send(error)
    except BaseException as error:  # of a kind, maybe, that does not travel
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
    finally:
        if worker is not None:
            worker.close()


def _end_with_the_coordinator() -> None:
    """Let no worker go on writing beside the next run when the coordinator was killed."""
    coordinator = multiprocessing.parent_process()
    assert coordinator is not None
    coordinator.join()
    os._exit(1)
