"""What every command agrees on: exit codes, and the form of an event for programs."""

import json
import sys
from typing import Any, TextIO

FAILED = 1
CUT_SHORT = 3
INTERRUPTED = 130  # as shells count an interrupt


def plain(text: str) -> str:
    """Text of others' files, such as a model's card: a space for each letter that steers a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def emit(event: str, **fields: Any) -> None:
    """Print one JSON object on standard output."""
    say(json.dumps({"event": event, **fields}), sys.stdout)


def say(line: str, where: TextIO) -> None:
    """Print one line in one piece: two threads may speak at once."""
    where.write(f"{line}\n")
    where.flush()
