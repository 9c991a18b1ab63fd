"""The record of a folder's conversion: what became of each file, for programs and for going on.

`manifest.jsonl` in the output folder: a line of JSON for what was asked, one for each file, and one
at the end. While a run goes on it is appended to, and a file's line is on the disk before the file
gets its name; at the end it is sorted. No path that stands in it is ever opened.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock, Timeout

from cgvideo.codec.errors import writing
from cgvideo.journal import file_sha256
from engines.atomic import make_folder, replacing, sync
from engines.errors import UserError

FORMAT = 1
NAME = "manifest.jsonl"
LOCK_NAME = ".cgvideo.lock"

Status = Literal["done", "failed", "begun"]
"""`begun` is a video in the making: if its output is there, it was finished and not recorded"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a file. Paths are relative to the two folders, with forward slashes."""

    input: str
    output: str | None
    status: Status
    reason: str = ""
    """why it failed, in one line"""
    notices: tuple[str, ...] = ()
    """what could not be kept"""
    input_sha256: str = ""
    output_sha256: str = ""
    fingerprint: str = ""
    """tells the model and the settings from any that would give another picture or video"""
    seconds: float = 0.0


class Manifest:
    """The manifest of an output folder, locked while it is open.

    Raises:
        UserError: another run works on the folder, or it cannot be written.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.entries: dict[str, Entry] = {}
        self.unfinished = False
        """whether the last run came to no good end: interrupted, or with files that failed"""
        self._description = dict(description)
        self._lock = FileLock(folder / LOCK_NAME, timeout=0)
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        with writing(self.path):
            make_folder(self.path.parent)
            try:
                self._lock.acquire()
            except Timeout as error:
                raise UserError(
                    f"Another run is converting into {self.path.parent}",
                    "Wait for it, or choose another folder with -o",
                ) from error
        self.sweep()
        self._read()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what was left half made: by a run that was killed, by workers that were ended."""
        for torn in self.folder.rglob(".????????.partial*"):
            torn.unlink(missing_ok=True)

    def begin(self) -> None:
        """A run begins: from now on it counts as unfinished."""
        with writing(self.path):
            written = self.path.read_bytes() if self.path.exists() else b""
            if written and not written.endswith(b"\n"):  # torn, of a run that was killed
                self._append_bytes(b"\n")
        self._append({"cgvideo": FORMAT, "run": self._description})
        with writing(self.path):
            sync(self.folder)  # where the file is new

    def add(self, entry: Entry) -> Entry:
        """Record what became of a file and give the record; from any thread.

        Of a file that has failed, what an earlier run made stays on record.
        """
        before = self.entries.get(entry.input)
        if entry.status == "failed" and before is not None:
            entry = replace(entry, output=before.output, output_sha256=before.output_sha256)
        self._append(asdict(entry))
        self.entries[entry.input] = entry
        return entry

    @contextmanager
    def committing(self, path: Path) -> Iterator[tuple[Path, list[Entry]]]:
        """Give a place for an output file, and a list for its entry: then it gets its name."""
        with writing(path):
            make_folder(path.parent)
            with replacing(path) as scratch:
                entries: list[Entry] = []
                yield scratch, entries
                for entry in entries:
                    self.add(entry)

    def take_in(self, made: Sequence[tuple[Entry, Path]]) -> None:
        """Record files that lie finished and synced under other names, and give them their own."""
        with writing(self.path):
            self._append(*(asdict(entry) for entry, _ in made))
            folders = set()
            for entry, scratch in made:
                assert entry.output is not None
                path = self.folder / entry.output
                scratch.replace(path)
                folders.add(path.parent)
                self.entries[entry.input] = entry
            for folder in folders:
                sync(folder)

    def check_output(self, name: str, output: Path, overwrite: bool) -> None:
        """Refuse to replace what no run of ours has written, or what was changed since.

        Raises:
            UserError: `output`, of the input `name`, is there and not ours.
        """
        if overwrite or not output.exists():
            return
        entry = self.entries.get(name)
        ours = entry is not None and entry.output == output.relative_to(self.folder).as_posix()
        if ours and entry is not None and entry.output_sha256:
            ours = file_sha256(output) == entry.output_sha256
        if not ours:
            raise UserError(f"{output} exists already", "Give --overwrite, or another folder")

    def finish(self, counts: Mapping[str, int]) -> None:
        """A run has ended: keep one line a file, in the order of their names."""
        lines = [{"cgvideo": FORMAT, "run": self._description}]
        lines += [asdict(self.entries[name]) for name in sorted(self.entries)]
        lines.append({"end": dict(counts)})
        with writing(self.path), replacing(self.path) as scratch:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            scratch.write_text(text, encoding="utf-8")

    def _append(self, *lines: Mapping[str, Any]) -> None:
        with writing(self.path):
            self._append_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def _append_bytes(self, line: bytes) -> None:
        with self._writing, self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> None:
        lines = self.path.read_bytes().split(b"\n") if self.path.is_file() else []
        for line in lines:
            try:
                fields = json.loads(line)
                if "end" in fields:
                    self.unfinished = bool(fields["end"].get("failed"))
                elif "run" in fields:
                    self.unfinished = True
                else:
                    fields["notices"] = tuple(fields["notices"])
                    self.entries[str(fields["input"])] = Entry(**fields)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # torn, or not ours


def is_done(entry: Entry, source: Path, output: Path, fingerprint: str) -> bool:
    """Whether a record says that `output` is what becomes of `source`, and both are as they were."""
    return (
        entry.status == "done"
        and entry.fingerprint == fingerprint
        and output.is_file()
        and file_sha256(output) == entry.output_sha256
        and file_sha256(source) == entry.input_sha256
    )
