"""Unfinished work that nobody goes on with: found, and removed."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from cgvideo.journal import CHOICES_NAME, JOURNAL_NAME, LOCK_NAME, recorded
from cgvideo.places import output_of_work
from engines.errors import UserError

_PLAN = re.compile("[0-9a-f]{16}")  # the folder of one plan, by its fingerprint


@dataclass(frozen=True, slots=True)
class Leftover:
    """The work folder of an output that was not finished; `frames` and `bytes` are what it holds."""

    folder: Path
    output: Path
    frames: int
    bytes: int
    last_touched: datetime
    in_use: bool


def find_leftovers(places: Iterable[Path]) -> Iterator[Leftover]:
    """Unfinished work in folders and all below them; symbolic links are not followed."""
    for place in places:
        for parent, names, _ in os.walk(place):
            for name in sorted(names):
                leftover = _leftover(Path(parent) / name)
                if leftover is not None:
                    names.remove(name)
                    yield leftover


def remove(leftover: Leftover) -> None:
    """Remove what a run left. Raises UserError while a run works there."""
    with _held(leftover.folder) as free:
        if not free:
            raise UserError(f"A run is working on {leftover.output}", "Stop it, or wait for it")
        shutil.rmtree(leftover.folder)


def _leftover(folder: Path) -> Leftover | None:
    """What is known of a work folder; None for any other folder, whatever its name says."""
    output = output_of_work(folder)
    if output is None or folder.is_symlink():
        return None
    entries = list(folder.iterdir())
    plans = [entry for entry in entries if _PLAN.fullmatch(entry.name)]
    known = {LOCK_NAME, CHOICES_NAME}
    if any(each not in plans and each.name not in known for each in entries):
        return None
    files = [path for path in folder.rglob("*") if path.is_file()]
    times = [path.stat().st_mtime for path in files] or [folder.stat().st_mtime]
    with _held(folder) as free:
        return Leftover(
            folder,
            output,
            sum(_frames(plan / JOURNAL_NAME) for plan in plans),
            sum(path.stat().st_size for path in files),
            datetime.fromtimestamp(max(times), UTC),
            not free,
        )


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether no run works in a folder; none can begin meanwhile."""
    lock = FileLock(folder / LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):  # the second: a folder that others own
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _frames(journal: Path) -> int:
    """How many frames a journal has; none where it cannot be read."""
    try:
        return sum(len(record.pts) for record in recorded(journal))
    except OSError:
        return 0
