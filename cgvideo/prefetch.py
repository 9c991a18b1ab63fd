"""Read ahead in a thread that cannot outlive its block."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.05  # how long a full queue can delay the end of the block


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


@contextmanager
def prefetching(items: Iterator[T], depth: int) -> Iterator[Iterator[T]]:
    """Iterate over `items` in a thread, up to `depth` items ahead of the block.

    An error of `items` is raised again where the block asks for the next item. However the block
    ends, the thread has ended and `items` is closed before the next line runs: what `items` reads
    from may be closed then (a decoder closed under a live thread crashes the interpreter).
    """
    queue: Queue[T | _End] = Queue(maxsize=depth)
    leaving = threading.Event()

    def put(item: T | _End) -> None:
        while not leaving.is_set():
            try:
                queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
            return

    def read() -> None:
        end = _End()
        try:
            for item in items:
                put(item)
                if leaving.is_set():
                    break
        except BaseException as error:
            end = _End(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
            put(end)

    def fetched() -> Iterator[T]:
        while True:
            item = queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    thread = threading.Thread(target=read, name="prefetch", daemon=True)
    thread.start()
    try:
        yield fetched()
    finally:
        leaving.set()
        while thread.is_alive():
            try:
                queue.get_nowait()
            except Empty:
                thread.join(POLL_SECONDS)
