"""Ctrl-C: what is in hand comes to a good end, unless that would keep anyone waiting."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from cgvideo.cli.display import Display
from cgvideo.cli.reports import INTERRUPTED
from cgvideo.progress import StopRequest

WAIT_SECONDS = 0.1
ENDING_SECONDS = 2.0  # a cluster that does not answer keeps nobody waiting longer


class Interruption:
    """What Ctrl-C finds when it comes, and what it leaves."""

    def __init__(self, inputs: int) -> None:
        self.stop = StopRequest()
        self.rendering = False
        """there is something in hand that can come to a good end"""
        self.total = inputs
        self.left = inputs
        """inputs that are not converted yet"""


def interruptibly(
    work: Callable[[Interruption], object], display: Display, inputs: int = 1
) -> None:
    """Do `work`, and raise what it raises.

    Ctrl-C once asks a rendering to stop at a good moment; before one begins, or twice, it ends the
    program. That is safe at any moment: what is committed is on the disk, and what is not has no
    name that anyone looks for.

    Python handles signals in the main thread, between two of its steps. So the work has a thread of
    its own: a long call of an engine would keep Ctrl-C waiting.
    """
    interruption = Interruption(inputs)
    raised: list[BaseException] = []

    def interrupt(number: int, frame: Any) -> None:
        if interruption.stop.wanted:
            display.leave()
            end_others()
            os._exit(INTERRUPTED)
        interruption.stop.wanted = True
        if interruption.rendering:
            display.stopping()
        else:
            display.note("Stopped before the conversion began.")
            display.left(interruption.left, interruption.total)
            os._exit(INTERRUPTED)

    def end_others() -> None:
        ending = threading.Thread(target=interruption.stop.end_others, daemon=True)
        ending.start()
        ending.join(ENDING_SECONDS)

    def body() -> None:
        try:
            work(interruption)
        except BaseException as error:
            raised.append(error)

    before = {sign: signal.signal(sign, interrupt) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        worker = threading.Thread(target=body, name="conversion", daemon=True)
        worker.start()
        while worker.is_alive():
            worker.join(WAIT_SECONDS)
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    if raised:
        raise raised[0]
