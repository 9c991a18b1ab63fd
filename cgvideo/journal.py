"""The record of committed parts: what a crash, a power cut or a Ctrl-C cannot take away."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from cgvideo.codec.decode import Seam
from cgvideo.codec.errors import writing
from cgvideo.codec.join import Part
from cgvideo.frame import WHOLE, Damage
from engines.atomic import make_folder, replacing, sync
from engines.errors import UserError

FORMAT = 1
LOCK_NAME = "lock"
JOURNAL_NAME = "journal.jsonl"
CHOICES_NAME = "choices.json"  # what was measured once for this output, beside its plans


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One committed segment: its file as it must be, its frames' times, its last source frame."""

    segment: int
    bytes: int
    sha256: str
    pts: tuple[int, ...]
    last_duration: int
    seam_hash: str
    damage: Damage = WHOLE


class Journal:
    """Committed parts of one plan, in `folder`: an append-only file of JSON lines and the parts.

    The first line names the plan's fingerprint; each further one is a part, written after the part
    is on the disk, or a note on what happened; a last line says how many frames there are in all.
    A torn last line (a power cut) is ignored. All work for the same output is locked while the
    journal is open.

    Raises:
        UserError: another run works on the same output, or the folder cannot be written.
    """

    def __init__(
        self, folder: Path, fingerprint: str, description: dict[str, Any], suffix: str = ".nut"
    ) -> None:
        self.folder = folder
        self._suffix = suffix
        self.frames_in_all: int | None = None
        self._ending = WHOLE
        self.notes: list[str] = []
        self._fingerprint = fingerprint
        self._description = description
        self._parts: dict[int, PartRecord] = {}
        self._lock = FileLock(folder.parent / LOCK_NAME, timeout=0)
        self._path = folder / JOURNAL_NAME

    def __enter__(self) -> Self:
        with writing(self.folder.parent):
            make_folder(self.folder.parent)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise UserError(
                f"Another run is converting to the same output (its work is in {self.folder.parent})",
                "Wait for it, or choose another name with -o",
            ) from error
        try:
            with writing(self.folder):
                make_folder(self.folder)
                for torn in self.folder.glob(".*.partial*"):  # of a run that was killed
                    torn.unlink(missing_ok=True)
                self._read()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._leave()

    @property
    def abandoned(self) -> list[Path]:
        """Folders with unfinished work for the same output by other plans."""
        others = (entry for entry in self.folder.parent.iterdir() if entry != self.folder)
        return [entry for entry in others if entry.is_dir()]

    @property
    def parts(self) -> list[PartRecord]:
        """Committed parts in the order of the clip."""
        return [self._parts[segment] for segment in sorted(self._parts)]

    def __contains__(self, segment: int) -> bool:
        return segment in self._parts

    def part_path(self, segment: int) -> Path:
        return part_in(self.folder, segment, self._suffix)

    def files(self) -> list[Part]:
        """Part files in order, each with the pts of its first frame."""
        return [Part(self.part_path(record.segment), record.pts[0]) for record in self.parts]

    def seam_before(self, segment: int, frames_per_segment: int) -> Seam | None:
        """Where decoding goes on for a segment: the last source frame of the one before it."""
        if segment == 0:
            return None
        record = self._parts[segment - 1]
        return Seam(segment * frames_per_segment - 1, record.pts[-1], record.seam_hash)

    def missing_runs(self, frames_per_segment: int) -> list[range]:
        """Runs of segments to render, in order; the last is endless while the end is not known."""
        endless = 1 << 40
        count = endless
        if self.frames_in_all is not None:
            count = -(-self.frames_in_all // frames_per_segment)
        bounds = [-1, *sorted(self._parts), count]
        runs = [range(a + 1, b) for a, b in itertools.pairwise(bounds)]
        return [run for run in runs if len(run)]

    @contextmanager
    def committing(self, segment: int) -> Iterator[Path]:
        """Give the place for a part; when the block ends well the part is on the disk, whole."""
        path = self.part_path(segment)
        with writing(path), replacing(path) as scratch:
            yield scratch

    def commit(self, record: PartRecord) -> None:
        """Make a part count. Its file must be in place."""
        self._append({"part": asdict(record)})
        self._parts[record.segment] = record

    def note_end(self, frames: int, ending: Damage = WHOLE) -> None:
        """Record how many frames the clip has in all, and what went wrong after the last."""
        self.frames_in_all = frames
        self._ending = ending
        self._append({"end": frames, "ending": asdict(ending)})

    def settle_end(self, frames: int, ending: Damage, source: Path) -> None:
        """Record it, if it is not known; raise UserError where it is, and otherwise."""
        if self.frames_in_all is None:
            self.note_end(frames, ending)
        elif self.frames_in_all != frames:
            raise UserError(
                f"{source} had {self.frames_in_all} frames when the conversion began and now"
                f" {frames}",
                f"Remove {self.folder} to start afresh",
            )

    @property
    def damage(self) -> Damage:
        """Of all that is committed."""
        return sum((record.damage for record in self.parts), self._ending)

    def note(self, text: str) -> None:
        """Record what the user should know of the parts, a line."""
        self.notes.append(text)
        self._append({"note": text})

    def discard(self) -> None:
        """The output is finished: the parts are not needed any more."""
        self._parts.clear()

    def _read(self) -> None:
        entries = _entries(self._path) if self._path.exists() else []
        if not entries or entries[0].get("fingerprint") != self._fingerprint:
            self._begin()
            return
        for entry in entries[1:]:
            if isinstance(entry.get("end"), int):
                self.frames_in_all = entry["end"]
                self._ending = _damage_in(entry.get("ending"))
            if isinstance(entry.get("note"), str):
                self.notes.append(entry["note"])
            record = _record_in(entry)
            if record is not None and _is_whole(self.part_path(record.segment), record):
                self._parts[record.segment] = record

    def _begin(self) -> None:
        with replacing(self._path) as scratch:
            first = {
                "cgvideo": FORMAT,
                "fingerprint": self._fingerprint,
                "plan": self._description,
            }
            scratch.write_text(json.dumps(first) + "\n", encoding="utf-8")

    def _append(self, entry: dict[str, Any]) -> None:
        # A torn line of an earlier run must not swallow this one.
        line = json.dumps(entry).encode() + b"\n"
        with writing(self._path):
            torn = not self._path.read_bytes().endswith(b"\n")
            with self._path.open("ab") as file:
                file.write(b"\n" + line if torn else line)
            sync(self._path)

    def _leave(self) -> None:
        """Unlock; remove what no other run could go on from."""
        parent = self.folder.parent
        if not self._parts:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()
        if {entry.name for entry in parent.iterdir()} <= {CHOICES_NAME, LOCK_NAME}:
            shutil.rmtree(parent, ignore_errors=True)


def recorded(journal: Path) -> Iterator[PartRecord]:
    """The parts that a journal's file names, whatever became of them. Raises OSError."""
    for entry in _entries(journal):
        record = _record_in(entry)
        if record is not None:
            yield record


def part_in(folder: Path, segment: int, suffix: str) -> Path:
    """Where a segment's file is."""
    return folder / f"{segment:06d}{suffix}"


def describe_part(
    path: Path,
    segment: int,
    pts: tuple[int, ...],
    last_duration: int,
    seam_hash: str,
    damage: Damage = WHOLE,
) -> PartRecord:
    """The record of a finished part file."""
    return PartRecord(
        segment, path.stat().st_size, file_sha256(path), pts, last_duration, seam_hash, damage
    )


def file_sha256(path: Path) -> str:
    """The sha256 of a whole file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(path: Path, record: PartRecord) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == record.bytes
        and file_sha256(path) == record.sha256
    )


def _record_in(entry: dict[str, Any]) -> PartRecord | None:
    """The part that a line records; None for other lines, and for one that a disk has garbled."""
    try:
        fields = entry["part"]
        return PartRecord(
            int(fields["segment"]),
            int(fields["bytes"]),
            str(fields["sha256"]),
            tuple(int(pts) for pts in fields["pts"]),
            int(fields["last_duration"]),
            str(fields["seam_hash"]),
            _damage_in(fields.get("damage")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _damage_in(fields: Any) -> Damage:
    return Damage(**fields) if isinstance(fields, dict) else WHOLE


def _entries(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal that are whole; the last is torn unless it ends."""
    lines = path.read_bytes().split(b"\n")
    return [entry for entry in map(_parsed, lines[:-1]) if entry is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
