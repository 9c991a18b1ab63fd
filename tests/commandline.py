"""The command line as a user types it: every command in a process of its own."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Cli = Callable[..., subprocess.CompletedProcess[str]]
SMALL = (
    "--max-size", "64", "--preset", "ultrafast", "--precision", "fp32", "--norm", "frame",
    "--smooth", "off",
)  # fmt: skip
LONGEST = 120  # seconds that a process may take


def assert_one_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """An error is one line on standard error that starts with the program's name."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("cgvideo: ")
    for word in words:
        assert word in last


@contextmanager
def running(
    source: Path, environment: dict[str, str], *options: str, changes: str = ""
) -> Iterator[tuple[subprocess.Popen[str], Callable[[str], dict[str, Any]]]]:
    """A conversion in a process, and what waits for its next event of a kind.

    `changes` is code that changes the program before it runs.
    """
    code = f"{changes}\nfrom cgvideo.cli import main\nmain()"
    command = [sys.executable, "-c", code, "convert", str(source), "--json", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=source.parent
    ) as process:
        assert process.stdout is not None
        events = map(json.loads, process.stdout)
        watchdog = threading.Timer(LONGEST, process.kill)  # ends the events, and so the waiting
        watchdog.start()
        try:
            yield process, lambda kind: next(event for event in events if event["event"] == kind)
        finally:
            watchdog.cancel()
            process.kill()
