"""FFmpeg's errors become ours here, and nowhere else."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from engines.errors import UserError

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)


def local_name(path: Path) -> str:
    """A path as FFmpeg must be given it: it takes what stands before a colon for a protocol."""
    return str(path.absolute())


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one line why a file cannot be read.

    Raises:
        UserError: for whatever FFmpeg or the system refuse about this file.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist", "Check the name") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read", "Check its permissions") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder", "Name the files in it") from error
    except (av.FFmpegError, ValueError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as a video ({reason(error)})", "See whether a player opens it"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line why a file cannot be written.

    Raises:
        UserError: for a full disk, a folder that may not be written, or an encoder that fails.
    """
    try:
        yield
    except OSError as error:  # av's errors with an errno inherit from it
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full, {path} could not be written",
                "Make room and give the same command again: it goes on where it stopped",
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"The name of {path} is too long", "Choose a shorter one") from error
        if error.errno in NOT_WRITABLE:
            raise UserError(
                f"{path.parent} may not be written", "Choose another place with -o"
            ) from error
        if not isinstance(error, av.FFmpegError):
            raise
        raise _encoder_failed(path, error) from error
    except av.FFmpegError as error:
        raise _encoder_failed(path, error) from error


def _encoder_failed(path: Path, error: av.FFmpegError) -> UserError:
    return UserError(
        f"{path} could not be written ({reason(error)})",
        "Try another --codec, --pix-fmt or output format (-o NAME.mkv)",
    )


def reason(error: Exception) -> str:
    """What FFmpeg itself says of an error: the last line of its log, where that is on."""
    log = getattr(error, "log", None)
    if log and log[2].strip():
        return str(log[2]).strip()
    return str(getattr(error, "strerror", None) or error)
