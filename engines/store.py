"""Engines that were built once, kept in the user's cache folder for the next run."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_dir

from engines.atomic import replacing
from engines.errors import UserError

MOST_BYTES = 4 << 30
"""The store forgets what was not used for longest when it grows over this."""

PATIENCE_SECONDS = 1.0
"""How long to wait for another process before saying so."""

_CONTENT, _MANIFEST = "content", "manifest.json"
_OURS = re.compile("[0-9a-f]{32}")


def cache_folder() -> Path:
    """Where the program keeps what it can make again: `CGVIDEO_CACHE`, else the platform's."""
    chosen = os.environ.get("CGVIDEO_CACHE")
    return Path(chosen) if chosen else Path(user_cache_dir("cgvideo", appauthor=False))


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gives: the bytes to keep, and what people should know of them."""

    content: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store gives: bytes and facts of a build, now or earlier.

    `kept` is False where the store could not be written, so that the next run will build again.
    """

    content: bytes
    facts: Mapping[str, Any]
    built_now: bool
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the store's list; `key` is empty where the manifest cannot be read."""

    folder: Path
    key: Mapping[str, str]
    facts: Mapping[str, Any]
    bytes: int
    used: datetime


class EngineStore:
    """Built things by a key of all that decides their bytes.

    Each has a folder of its own with its content and a manifest: the key and the facts, readable,
    and a sha256 of facts and content. What does not match its manifest (damaged, cut short, copied from
    elsewhere, of another version) is never handed out, but built anew. `on_build` is called with the
    key before a build, `on_wait` after a moment of waiting for the build of another process.
    """

    def __init__(
        self,
        folder: Path | None = None,
        on_build: Callable[[Mapping[str, str]], None] = lambda key: None,
        on_wait: Callable[[Mapping[str, str]], None] = lambda key: None,
    ) -> None:
        self.folder = (folder or cache_folder()) / "engines"
        self._on_build = on_build
        self._on_wait = on_wait

    def get(self, key: Mapping[str, str], build: Callable[[], Built]) -> Kept:
        """What is stored under `key`, or what `build` gives, which is then stored.

        Processes that want the same at once build it once. A store that cannot be written is no
        reason to fail.
        """
        entry = self.folder / _digest(key)
        if found := _read(entry, key):
            return found
        with self._locked(entry, key) as writeable:
            if found := _read(entry, key):
                return found
            self._on_build(key)
            built = build()
            if writeable:
                writeable = _write(entry, key, built)
                self._forget_oldest(spare=entry)
        return Kept(built.content, built.facts, built_now=True, kept=writeable)

    def find(self, key: Mapping[str, str]) -> Kept | None:
        """What is stored under `key`, if anything."""
        return _read(self.folder / _digest(key), key)

    def put(self, key: Mapping[str, str], built: Built) -> Kept:
        """Store a build in the place of what is there."""
        entry = self.folder / _digest(key)
        with self._locked(entry, key) as writeable:
            kept = writeable and _write(entry, key, built)
        return Kept(built.content, built.facts, built_now=True, kept=kept)

    def announce(self, key: Mapping[str, str]) -> None:
        """Tell of a build that a runtime keeps by its own means."""
        self._on_build(key)

    def entries(self) -> list[Entry]:
        """All that is stored, the latest used first."""
        entries = [_entry(folder) for folder in self._folders()]
        return sorted(entries, key=lambda entry: entry.used, reverse=True)

    def clear(self) -> tuple[int, int]:
        """Remove all that is stored; how many entries went, and the bytes that were freed.

        Raises:
            UserError: something of it may not be removed; all else is.
        """
        removed = freed = 0
        failure: OSError | None = None
        for folder in self._folders():
            size = _bytes_in(folder)
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:  # another process removes it
                continue
            except OSError as error:
                failure = error
            removed += not folder.exists()
            freed += size - _bytes_in(folder)
        if failure:
            raise UserError(
                f"{failure.filename or self.folder} cannot be removed"
                f" ({failure.strerror or failure}); others removed: {removed}, {freed / 1e6:.1f} MB freed",
                "Remove it by hand, or choose another folder with CGVIDEO_CACHE",
            ) from failure
        for lock in self.folder.glob("*.lock"):
            if _OURS.fullmatch(lock.stem):
                with suppress(OSError):  # Windows keeps one that is held
                    lock.unlink()
        return removed, freed

    def _folders(self) -> list[Path]:
        """The entries: what else lies in this folder, and is not ours, stays as it is."""
        found = self.folder.glob("*")
        return [path for path in found if _OURS.fullmatch(path.name) and path.is_dir()]

    @contextmanager
    def _locked(self, entry: Path, key: Mapping[str, str]) -> Iterator[bool]:
        """Hold the lock of an entry; False where there can be none.

        The system gives it back when the process that holds it dies, so waiting comes to an end.
        """
        lock = FileLock(entry.with_suffix(".lock"))
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=PATIENCE_SECONDS)
            except Timeout:
                self._on_wait(key)
                lock.acquire()
        except (OSError, NotImplementedError):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _forget_oldest(self, spare: Path) -> None:
        entries = self.entries()
        too_much = sum(entry.bytes for entry in entries) - MOST_BYTES
        for entry in reversed(entries):
            if too_much <= 0:
                return
            if entry.folder != spare:
                shutil.rmtree(entry.folder, ignore_errors=True)
                too_much -= entry.bytes


def _digest(key: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]


def _seal(content: bytes, facts: Mapping[str, Any]) -> str:
    """The sha256 that shows a change of either."""
    described = json.dumps(dict(facts), sort_keys=True).encode()
    return hashlib.sha256(described + content).hexdigest()


def _read(folder: Path, key: Mapping[str, str]) -> Kept | None:
    """What `folder` holds, if it is whole and really what `key` says."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        if manifest["key"] != dict(key):
            return None
        content = (folder / _CONTENT).read_bytes()
        facts = dict(manifest["facts"])
        if manifest["seal"] != _seal(content, facts):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with suppress(OSError):  # a cache that others own can be read all the same
        os.utime(folder / _MANIFEST)  # used just now
    return Kept(content, facts, built_now=False)


def _write(folder: Path, key: Mapping[str, str], built: Built) -> bool:
    """Keep a build, its manifest last; whether that was possible."""
    manifest = {
        "key": dict(key),
        "seal": _seal(built.content, built.facts),
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": dict(built.facts),
    }
    try:
        # Neither its old manifest nor what a killed build left is of what comes now.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        with replacing(folder / _CONTENT) as scratch:
            scratch.write_bytes(built.content)
        with replacing(folder / _MANIFEST) as scratch:
            scratch.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    except OSError:
        return False
    return True


def _entry(folder: Path) -> Entry:
    key: Mapping[str, str] = {}
    facts: Mapping[str, Any] = {}
    used = 0.0
    try:
        used = (folder / _MANIFEST).stat().st_mtime
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        key, facts = dict(manifest["key"]), dict(manifest["facts"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return Entry(folder, key, facts, _bytes_in(folder), datetime.fromtimestamp(used, UTC))


def _bytes_in(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except OSError:
        return 0
