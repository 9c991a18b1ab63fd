"""What a power cut leaves of a folder in which a program works: a small model of a disk.

On this disk a file holds what it held at its last fsync, and a folder the names that it had at its last.
Of what came later anything may be there or not: each folder's names as they were, with the latest of the new
ones alone, or as they are, and the files' bytes as they were, half as they are, or as they are. The cut comes before any call that syncs,
renames, makes or removes something.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

State = frozenset[tuple[str, bytes | None]]
"""All below a folder by relative paths: files' bytes, None for a folder."""

CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir")
LOST, TORN, LATEST, KEPT = range(4)
MOST_FOLDERS = 3  # whose names are lost or kept each for itself


class Disk:
    """Watches what this process does below `root`, and knows what a cut would leave at any time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.states: dict[State, int] = {}
        """every state that a cut could leave, and the `promised` at that time"""
        self.promised = 0
        """what must not be lost from now on, as the user of this class counts it"""
        self.calls: list[tuple[str, Path]] = []
        """what was called, in order, and the path that came of it"""
        self._synced_bytes: dict[int, bytes] = {}
        self._synced_names: dict[int, dict[str, int]] = {}
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._paths: dict[int, Path] = {}
        self._seen: dict[Path, int] = {}  # in which order names came up
        self._one_by_one = threading.RLock()
        self._held: dict[int, int] = {}  # open, so that no number of an inode is given twice

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Have a cut before every call of the block, and one after the last."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._watching(name, getattr(os, name)))
            yield
        self._cut()
        for descriptor in self._held.values():
            os.close(descriptor)

    def _watching(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watching(target: Any, *arguments: Any, **named: Any) -> Any:
            with self._one_by_one:
                self._cut()
                result = call(target, *arguments, **named)
                self._look()
                if name == "fsync":
                    self._sync(os.fstat(target).st_ino)
                else:
                    moved = name in ("replace", "rename")
                    self.calls.append((name, Path(arguments[0] if moved else target)))
            return result

        return watching

    def _look(self) -> None:
        """See everything as it is now."""
        self._names, self._paths = {}, {}
        for parent, folders, files in os.walk(self.root):
            names = {name: self._hold(Path(parent, name)) for name in (*folders, *files)}
            self._names[self._hold(Path(parent))] = names
            for name in names:
                self._seen.setdefault(Path(parent, name), len(self._seen))
            self._paths |= {number: Path(parent, name) for name, number in names.items()}
            self._paths[self._hold(Path(parent))] = Path(parent)
            self._bytes |= {names[name]: Path(parent, name).read_bytes() for name in files}

    def _sync(self, number: int) -> None:
        if number in self._names:
            self._synced_names[number] = self._names[number]
        elif number in self._bytes:
            self._synced_bytes[number] = self._bytes[number]
        else:  # of another folder
            return
        self.calls.append(("fsync", self._paths[number]))

    def _hold(self, path: Path) -> int:
        number = path.stat().st_ino
        if number not in self._held:
            self._held[number] = os.open(path, os.O_RDONLY)
        return number

    def _cut(self) -> None:
        self._look()
        folders = list(self._names)[:MOST_FOLDERS]
        for rules in product((LOST, LATEST, KEPT), repeat=len(folders)):
            for data in (LOST, TORN, KEPT):
                by_folder = dict(zip(folders, rules, strict=True))
                state = frozenset(self._left(self._hold(self.root), "", by_folder, data))
                self.states[state] = max(self.promised, self.states.get(state, 0))

    def _left(
        self, folder: int, path: str, rules: dict[int, int], data: int
    ) -> Iterator[tuple[str, bytes | None]]:
        rule = rules.get(folder, LOST)
        now = self._names.get(folder, {})
        names = now if rule == KEPT else self._synced_names.get(folder, {})
        new = [name for name in now if name not in names]
        if rule == LATEST and new:
            latest = max(new, key=lambda name: self._seen[self._paths[folder] / name])
            names = {**names, latest: now[latest]}
        for name, number in names.items():
            if number in self._bytes:
                yield path + name, self._bytes_left(number, data)
            else:
                yield path + name, None
                yield from self._left(number, f"{path}{name}/", rules, data)

    def _bytes_left(self, number: int, data: int) -> bytes:
        synced, now = self._synced_bytes.get(number, b""), self._bytes[number]
        if data == TORN:
            kept = len(synced) if now.startswith(synced) else 0
            return now[: kept + (len(now) - kept) // 2]
        return now if data == KEPT else synced


def write_state(state: State, folder: Path) -> None:
    """Put into an empty folder what a cut has left."""
    for path, content in sorted(state, key=lambda entry: entry[0]):
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
