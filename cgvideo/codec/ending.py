"""Whether a file goes on to where its own header says that it ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

TS_PACKET, TS_SYNC = 188, 0x47  # bytes, and the first of each (ISO/IEC 13818-1)
EBML, SEGMENT = 0x1A45DFA3, 0x18538067  # Matroska's first two elements (RFC 9559)
MOST_BOXES = 100_000
GIF_TRAILER = b";"
INDEXED = ("mov", "mp4")  # an index of every packet stands in the header


def is_cut_short(path: Path, container: Any, stream: Any) -> bool:
    """Whether the file at `path` ends before what it promises.

    MP4 and MOV list all packets with their places, Matroska says its length, MPEG-TS has packets of
    one length. Of other containers it is not known; there a torn last picture tells.
    """
    if not path.is_file():
        return False
    size = path.stat().st_size
    names = container.format.name.split(",")
    if "matroska" in names:
        return (_matroska_end(path) or 0) > size
    if "mpegts" in names:
        return _ends_within_a_packet(path, size)
    if any(name in names for name in INDEXED):
        beyond = any(entry.pos + entry.size > size for entry in stream.index_entries)
        return beyond or _ends_within_a_fragment(path, size)
    if "gif" in names:
        with path.open("rb") as file:
            file.seek(max(0, size - 16))
            return not file.read().rstrip(b"\0").endswith(GIF_TRAILER)
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


def _ends_within_a_packet(path: Path, size: int) -> bool:
    """Whether an MPEG-TS of plain packets ends with a part of one."""
    begun = size % TS_PACKET
    with path.open("rb") as file:
        first = file.read(1)
        file.seek(size - begun)
        return begun > 0 and first[0] == TS_SYNC == file.read(1)[0]


def lacks_index(path: Path) -> bool:
    """Whether it is an MP4 or MOV without the index (moov) that makes it one.

    Programs that write it at the end leave such a file when they are interrupted.
    """
    kinds = [kind for kind, _ in _boxes(path)]
    return kinds[:1] == [b"ftyp"] and b"mdat" in kinds and b"moov" not in kinds


def _ends_within_a_fragment(path: Path, size: int) -> bool:
    """Whether an MP4 in fragments ends before its last one does."""
    boxes = list(_boxes(path))
    return any(kind == b"moof" for kind, _ in boxes) and boxes[-1][1] != size


def _boxes(path: Path) -> Iterator[tuple[bytes, int]]:
    """(kind, end) of the outermost boxes of an MP4 or MOV (ISO/IEC 14496-12), or of whatever it is."""
    place, size = 0, path.stat().st_size
    with path.open("rb") as file:
        for _ in range(MOST_BOXES):
            file.seek(place)
            head = file.read(16)
            if len(head) < 8:
                return
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            place = place + length if length else size  # 0: to the end of the file
            yield head[4:8], place
            if 0 < length < 8 or place >= size:
                return
