"""Whether a file goes on to where its own header says that it ends."""

from pathlib import Path
from typing import Any

EBML, SEGMENT = 0x1A45DFA3, 0x18538067  # Matroska's first two elements (RFC 9559)
INDEXED = ("mov", "mp4")  # an index of every packet stands in the header


def is_cut_short(path: Path, container: Any, stream: Any) -> bool:
    """Whether the file at `path` ends before what it promises.

    MP4 and MOV list all packets with their places, Matroska says its length. Of other containers it is
    not known (MPEG-TS has neither); there a torn last packet tells.
    """
    if not path.is_file():
        return False
    size = path.stat().st_size
    names = container.format.name.split(",")
    if "matroska" in names:
        return (_matroska_end(path) or 0) > size
    if any(name in names for name in INDEXED):
        return any(entry.pos + entry.size > size for entry in stream.index_entries)
    return False


def _matroska_end(path: Path) -> int | None:
    """Where a Matroska file ends by its header; None where that says nothing (a live recording)."""
    with path.open("rb") as file:
        head = file.read(4096)
    place = 0
    for wanted in (EBML, SEGMENT):
        if int.from_bytes(head[place : place + 4], "big") != wanted:
            return None
        place += 4
        first = head[place] if place < len(head) else 0
        length = 9 - first.bit_length()
        if length > 8:
            return None
        value = int.from_bytes(head[place : place + length], "big")
        value &= (1 << (7 * length)) - 1
        place += length
        unknown = value == (1 << (7 * length)) - 1
        if wanted == SEGMENT:
            return None if unknown else place + value
        place += value
    return None
