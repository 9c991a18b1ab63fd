"""Several processes that train as one, the same steps as a single process at the same batch: how they are run."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from engines.errors import UserError
from trainer.config import TrainConfig
from trainer.data import read_data
from trainer.hardware import Hardware, of_rank
from trainer.loop import Watch, train
from trainer.ranks import Ranks

PATIENCE = timedelta(days=1)
"""How long the others wait for the first process, which alone writes and measures."""


def check(config: TrainConfig, count: int) -> None:
    """Raise UserError where a run cannot be split over so many processes."""
    if count < 1 or config.batch % count:
        raise UserError(
            f"--batch {config.batch} cannot be split over {count} devices",
            f"Give a multiple of {max(count, 1)}",
        )
    if count > 1 and config.norm == "batch":
        raise UserError(
            "A batch norm goes by the whole batch, which several devices split",
            "Give --norm instance, or --devices 1",
        )


@contextmanager
def together(
    config: TrainConfig, folder: Path, hardware: Hardware, count: int
) -> Iterator[Hardware]:
    """Start `count` - 1 more processes and train as the first of them; gives the first's hardware.

    The others ignore signals: they stop when the first one does. When one of them fails so does the
    first, by a UserError that says why.
    """
    check(config, count)
    if count == 1:
        yield hardware
        return
    first = of_rank(hardware, Ranks(0, count))
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // count))
    store = _store(0, count, True)
    others = _start(config, folder, hardware, store.port, count)
    try:
        _await(others)
        with joined(store, first.ranks):
            try:
                yield first
            except RuntimeError:  # a connection was lost, or it is our own fault
                _complain(others)
                raise
    finally:
        torch.set_num_threads(threads)
        for process, _ in others:
            process.join(10)
            process.kill()


@contextmanager
def joined(store: Any, ranks: Ranks) -> Iterator[None]:
    """Exchange with the other processes; they meet at `store`, or where torchrun says."""
    cuda = torch.cuda.is_available()
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=store,
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=PATIENCE,
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _store(port: int, count: int, first: bool) -> Any:
    """Where processes of this machine find each other; port 0 takes a free one."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore("127.0.0.1", port, count, first, wait_for_workers=False)


def by_torchrun() -> Ranks:
    """This process among those that torchrun started."""
    return Ranks(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


_Others = list[tuple[BaseProcess, Connection]]


def _start(config: TrainConfig, folder: Path, hardware: Hardware, port: int, count: int) -> _Others:
    context = get_context("spawn")
    others: _Others = []
    # Inherited: Ctrl-C is for the first process alone, also while the others are being started.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for rank in range(1, count):
            ours, theirs = context.Pipe(duplex=False)
            given = (config, folder, hardware, port, Ranks(rank, count), theirs)
            process = context.Process(target=_follow, args=given, daemon=True)
            process.start()
            theirs.close()
            others.append((process, ours))
    finally:
        signal.signal(signal.SIGINT, before)
    return others


def _follow(
    config: TrainConfig,
    folder: Path,
    hardware: Hardware,
    port: int,
    ranks: Ranks,
    told: Connection,
) -> None:
    """What one of the other processes does. It says "" when it is ready, or what went wrong."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        data = read_data(config)
        own = of_rank(hardware, ranks)
        if own.device.type == "cpu":
            torch.set_flush_denormal(True)
            torch.set_num_threads(max(1, torch.get_num_threads() // ranks.count))
        told.send(("", ""))
        with joined(_store(port, ranks.count, False), ranks):
            train(config, data, own, folder, Watch())
    except UserError as error:
        told.send((error.problem, error.mend))
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        told.send((f"process {ranks.rank} failed ({what})", ""))
    os._exit(0)  # an ordinary exit now and then ends with a complaint of PyTorch's threads


def _await(others: _Others) -> None:
    """Until all are ready; raises UserError when one of them ends before."""
    waiting = {connection: process for process, connection in others}
    while waiting:
        for ready in wait([*waiting, *(process.sentinel for process in waiting.values())]):
            if isinstance(ready, Connection):
                _read(waiting.pop(ready), ready)
            elif ended := [c for c, process in waiting.items() if process.sentinel == ready]:
                _read(waiting.pop(ended[0]), ended[0])


def _complain(others: _Others) -> None:
    """Raise UserError when one of them says what went wrong, or is gone."""
    for process, connection in others:
        process.join(1)
        if connection.poll() or not process.is_alive():
            _read(process, connection)


def _read(process: BaseProcess, connection: Connection) -> None:
    try:
        problem, mend = connection.recv()
    except EOFError:
        process.join(1)
        problem, mend = f"A training process ended ({process.exitcode})", ""
    if problem:
        raise UserError(problem, mend or "The same command goes on from the last checkpoint")
