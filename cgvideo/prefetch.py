"""Work ahead in threads that cannot outlive their block."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
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


@contextmanager
def in_parallel(
    work: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    cost: Callable[[T], float],
    budget: float,
) -> Iterator[Iterator[R]]:
    """Do `work` on `items` in threads, and give the results in the order of the items.

    Items are taken in the block's own thread, as long as what is in hand costs no more than
    `budget` together; one is always taken. However the block ends, no work goes on after it.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="parallel")

    def results() -> Iterator[R]:
        in_hand: deque[tuple[Future[R], float]] = deque()
        spent = 0.0
        for item in items:
            price = cost(item)
            while in_hand and spent + price > budget:
                oldest, paid = in_hand.popleft()
                spent -= paid
                yield oldest.result()
            in_hand.append((pool.submit(work, item), price))
            spent += price
        while in_hand:
            yield in_hand.popleft()[0].result()

    try:
        yield results()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
