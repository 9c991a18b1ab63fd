"""Feed damaged files to a victim: `python -m fuzz.campaign 2000`, from the folder `tests`.

Every file must be converted or refused in one line: no traceback, no hang, no crash of the
interpreter, no memory over the limit.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.recipe import KINDS

SECONDS = 60
"""A file that takes longer hangs; they take a tenth of a second."""
MEGABYTES = 1500
"""The most memory of a victim, PyTorch and all; the files are some kilobytes."""
HERE = Path(__file__).parents[1]


@dataclass
class Campaign:
    """What came of all files so far."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """how many, by kind and outcome"""
    opened: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        return self.outcomes.total()

    def table(self) -> str:
        """A line for each kind."""
        lines = []
        for kind in dict.fromkeys(kind for kind, _ in self.outcomes):
            counts = {what: n for (of, what), n in self.outcomes.items() if of == kind}
            told = ", ".join(f"{what} {n}" for what, n in sorted(counts.items()))
            lines.append(f"{kind:14}{told}")
        return "\n".join([*lines, f"{self.files} files, {self.opened} got past opening"])


class Victim:
    """The process that reads them; a new one when it is gone."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(HERE.parent), str(HERE)])
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "fuzz.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, kind: str, number: int) -> dict[str, Any]:
        """What it answers, or what became of it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{kind} {number}\n")
            self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=SECONDS)
        except queue.Empty:
            self.end()
            return {"outcome": "hang"}
        if not line:
            return {"outcome": "crash", "text": f"exit status {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


def run(files: Iterable[tuple[str, int]]) -> Iterator[Campaign]:
    """Feed files, by kind and number; gives the tally after each."""
    campaign, victim = Campaign(), Victim()
    try:
        for kind, number in files:
            answer = victim.ask(kind, number)
            outcome = answer["outcome"]
            large = answer.get("megabytes", 0) > MEGABYTES
            if outcome in ("done", "refused") and large:
                outcome = "memory"
            campaign.outcomes[kind, outcome] += 1
            campaign.opened += bool(answer.get("opened"))
            if outcome not in ("done", "refused"):
                campaign.failures.append(f"{kind} {number}: {outcome}\n{answer.get('text', '')}")
            if outcome in ("hang", "crash", "memory"):
                victim.end()
                victim = Victim()
            yield campaign
    finally:
        victim.end()


def each_kind(count: int, begin: int = 0) -> list[tuple[str, int]]:
    """So many files, of all kinds in turn."""
    return [(KINDS[n % len(KINDS)], begin + n // len(KINDS)) for n in range(count)]


def main() -> None:
    count, begin = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    said = 0
    for campaign in run(each_kind(count, begin)):
        for failure in campaign.failures[said:]:
            sys.stdout.write(failure + "\n")
        said = len(campaign.failures)
    sys.stdout.write(campaign.table() + "\n")
    sys.exit(bool(campaign.failures))


if __name__ == "__main__":
    main()
