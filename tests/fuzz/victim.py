"""A process that reads damaged files, one after the other, and says what came of each.

Started by `fuzz.campaign`. A line comes in, `KIND NUMBER`, and a line of JSON goes out.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clips import make_clip
from converting import CrashingEngine, convert, plan_for
from fuzz.recipe import MEDIA, MODELS, PICTURES, SETTINGS, damaged, mutant

from cgvideo.codec.images import read_picture, write_picture
from cgvideo.codec.probe import probe
from cgvideo.prepare import remember_choices
from engines.checkpoint import import_checkpoint
from engines.errors import UserError
from engines.graph import build_graph
from engines.model_file import read_model
from engines.store import Built, EngineStore
from trainer.config import config_from, read_settings

ADDRESS_SPACE = 8 << 30
"""Bytes; no more is to be had, so that a bomb does not take the machine with it."""


class WrongError(Exception):
    """Finished, with something else than what there would be without the damage."""


@dataclass
class Answer:
    """What came of a file: "done", "refused", "wrong" or "bug"; whether it got past opening."""

    outcome: str = "done"
    opened: bool = False
    text: str = ""
    seconds: float = 0.0
    megabytes: int = 0
    """the most that this process has had in memory so far"""


class Victim:
    """What is done with a file of each kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._work: Path | None = None

    def __call__(self, kind: str, number: int) -> Answer:
        answer, began = Answer(), time.monotonic()
        try:
            if kind in (*MEDIA, *PICTURES, *MODELS, *SETTINGS):
                path = self.folder / f"mutant{kind}"
                path.write_bytes(mutant(kind, number))
                self._read(kind, path, answer)
            elif kind == "manifest":
                self._manifest(number, answer)
            else:
                self._resume(kind, number, answer)
        except UserError as refused:
            answer.outcome, answer.text = "refused", str(refused)
        except WrongError as wrong:
            answer.outcome, answer.text = "wrong", str(wrong)
        except BaseException:
            answer.outcome, answer.text = "bug", traceback.format_exc()
        if "\n" in answer.text and answer.outcome == "refused":
            answer.outcome = "wrong"
        answer.seconds = time.monotonic() - began
        answer.megabytes = _most_megabytes()
        return answer

    def _read(self, kind: str, path: Path, answer: Answer) -> None:
        if kind in MEDIA:
            probe(path)
            answer.opened = True
            output = self.folder / "out.mkv"
            convert(path, output, overwrite=True, max_size=64)
            if not output.stat().st_size:
                raise WrongError("an empty file")
        elif kind in PICTURES:
            picture = read_picture(path)
            answer.opened = True
            write_picture(self.folder / "out.png", picture)
        elif kind == ".safetensors":
            model = read_model(path)
            answer.opened = True
            build_graph(model)
        elif kind == ".pth":
            import_checkpoint(path, "mutant")
            answer.opened = True
        else:
            settings = read_settings(path)
            answer.opened = True
            config_from(settings)

    def _manifest(self, number: int, answer: Answer) -> None:
        store, key = EngineStore(self.folder / "store"), {"engine": "x"}
        store.put(key, Built(b"content" * 100, {"a": "b"}))
        answer.opened = True
        path = next((self.folder / "store").rglob("*.json"))
        path.write_bytes(damaged(path.read_bytes(), f"manifest {number}"))
        kept = store.find(key)
        store.entries()
        if kept is not None and kept.content != b"content" * 100:
            raise WrongError("the store gave what it was not given")

    def _resume(self, kind: str, number: int, answer: Answer) -> None:
        """Damage one file of an interrupted conversion, and go on."""
        sound = self._interrupted()
        place = self.folder / "resumed"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(sound, place)
        pattern = {"journal": "journal.jsonl", "part": "*.nut", "choices": "choices.json"}[kind]
        path = next(place.rglob(pattern))
        path.write_bytes(damaged(path.read_bytes(), f"{kind} {number}"))
        answer.opened = True
        output = place / "out.mkv"
        remember_choices(plan_for(self.folder / "clip.mkv", output))
        convert(self.folder / "clip.mkv", output)
        if output.read_bytes() != (self.folder / "whole.mkv").read_bytes():
            raise WrongError("other bytes than without an interruption")

    def _interrupted(self) -> Path:
        if self._work is None:
            clip = make_clip(self.folder / "clip.mkv", 200, size=(32, 32))
            convert(clip, self.folder / "whole.mkv")
            self._work = self.folder / "interrupted"
            self._work.mkdir()
            output = self._work / "out.mkv"
            plan = plan_for(clip, output)
            remember_choices(plan)
            engine = CrashingEngine(good_calls=40)
            engine.__class__.__name__ = "IdentityEngine"  # of the same identity
            with suppress(UserError):
                convert(clip, output, engine)
            assert list(plan.work_folder.glob("*.nut"))
        return self._work


def _most_megabytes() -> int:
    """The most of memory so far. What `getrusage` says of a child begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with tempfile.TemporaryDirectory() as folder:
        victim = Victim(Path(folder))
        for line in sys.stdin:
            kind, number = line.split()
            answer = victim(kind, int(number))
            sys.stdout.write(json.dumps(vars(answer)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
