"""A file is wholly there or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, scratch_folder: Path | None = None) -> Iterator[Path]:
    """Give a temporary name beside `path`; when the block ends well, that file becomes `path`.

    `scratch_folder`, on the same file system, takes the temporary file instead.

    The temporary name keeps the suffix of `path`, since writers of media and models go by it. The
    file is synced before the rename and the folder after it, so that a power cut leaves the old
    file or the new one. When the block raises, the temporary file is removed and `path` untouched.
    """
    with waiting(path, scratch_folder) as temporary:
        yield temporary
    try:
        temporary.replace(path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def waiting(path: Path, scratch_folder: Path | None = None) -> Iterator[Path]:
    """The first half of `replacing`: when the block ends well, the temporary file is left, synced."""
    folder = scratch_folder or path.parent
    temporary = folder / f".{secrets.token_hex(4)}.partial{path.suffix}"
    try:
        yield temporary
        sync(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there; no power cut takes them away.

    Raises:
        OSError: as `Path.mkdir` does.
    """
    if not path.is_dir():
        if not path.parent.exists():
            make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Ask the system to put a file's (or folder's entries') bytes on the disk before going on."""
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
