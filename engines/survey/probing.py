"""Ask about a driver or a runtime in a child process: one that crashes or hangs takes only it down."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from engines.errors import UserError, first_line

PATIENCE_SECONDS = 60.0
"""Importing a runtime from a cold disk may take half of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child found out, or what is wrong: one of the two is empty."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    """in one line: it crashed, hung, failed or talked nonsense"""


def ask(module: str, *questions: str, seconds: float = PATIENCE_SECONDS) -> Answer:
    """Run `python -m module SECONDS questions…`, which is to `reply`; its answer. Raises nothing."""
    # -P: a folder that the user happens to be in must not be taken for a package.
    command = [sys.executable, "-P", "-m", module, f"{seconds:g}", *questions]
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": path},
        )
    except OSError as error:
        return Answer(problem=f"could not be asked ({error})")
    try:
        said, complaints = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return Answer(problem=f"hangs: no answer in {seconds:g} s")
    finally:
        child.kill()
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        # A child that is stuck inside a driver does not even die at once.
        with suppress(subprocess.TimeoutExpired):
            child.wait(1)
    if child.returncode < 0:
        return Answer(problem=f"crashes ({_signal_name(-child.returncode)})")
    if child.returncode > 0:
        return Answer(problem=_last_line(complaints) or f"fails (exit code {child.returncode})")
    try:
        facts = json.loads(_last_line(said))
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        return Answer(problem="answers nonsense")
    return Answer(facts)


def reply(questions: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """The child's side: call the function of the second argument with the others, print its facts.

    What goes wrong is said in the last line of standard error, with exit code 1. The first argument
    is for how many seconds anyone waits.
    """
    _leave_no_core_file()
    _end_by_itself(float(sys.argv[1]))
    try:
        facts = questions[sys.argv[2]](*sys.argv[3:])
    except Exception as error:
        kind, said = type(error).__name__, first_line(error)
        told = said if isinstance(error, UserError) or said == kind else f"{kind}: {said}"
        sys.stderr.write(f"\n{told}\n")
        sys.exit(1)
    # The last line counts: libraries may have printed before.
    sys.stdout.write(f"\n{json.dumps(facts)}\n")


def _leave_no_core_file() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _end_by_itself(seconds: float) -> None:
    """Let the system end this process: Python handles no signal while a driver hangs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C must not wait for it
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)  # whoever asked may have been killed


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
