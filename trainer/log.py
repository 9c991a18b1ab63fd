"""What a run has measured, for people and programs."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from engines.atomic import replacing


class Log:
    """Losses and measures, a line of JSON each, and for TensorBoard where that is installed."""

    def __init__(self, folder: Path, images_seen: int) -> None:
        """Lines of pictures that are going to be seen again are dropped.

        A run that has nothing to add leaves no new file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "log.jsonl"
        lines = [line for line in read_log(self._path) if line["images_seen"] <= images_seen]
        with replacing(self._path) as scratch:
            scratch.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._open_board = None
        else:
            self._open_board = partial(
                SummaryWriter, str(folder / "tensorboard"), purge_step=images_seen + 1
            )

    def write(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Add a line."""
        line = {"images_seen": images_seen, **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._open_board is not None:
            self._board = self._board or self._open_board()
            for name, value in values.items():
                self._board.add_scalar(name, value, images_seen)

    def describe(self, images_seen: int, facts: Mapping[str, str]) -> None:
        """Add a line of words, unless the last ones of these names were the same."""
        said: dict[str, Any] = {}
        for line in read_log(self._path):
            said |= line
        if any(said.get(name) != text for name, text in facts.items()):
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"images_seen": images_seen, **facts}) + "\n")

    def measured(self, images_seen: int) -> dict[str, float]:
        """What an evaluation after so many pictures has said, if there was one."""
        lines = read_log(self._path)
        found = [line for line in lines if line["images_seen"] == images_seen and "score" in line]
        return found[-1] if found else {}

    def close(self) -> None:
        """Write what TensorBoard still has in hand."""
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log that are whole; none for a file that is not there."""
    lines = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and "images_seen" in values:
            lines.append(values)
    return lines
