"""Pictures of a folder that several processes share are those that one makes."""

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip
from generators import SMALL, random_model
from picturefiles import animation, deep_gradient
from PIL import Image

from cgvideo.folders import sharing
from cgvideo.folders.batches import Task
from cgvideo.folders.folder import Item, plan_folder
from cgvideo.folders.folder_run import FolderResult
from cgvideo.folders.manifest import NAME, Entry, Manifest
from cgvideo.folders.picture_worker import Errand, Made
from cgvideo.folders.sharing import Sharing
from cgvideo.interface import convert_folder
from cgvideo.progress import StopRequest
from cgvideo.settings import Settings
from cgvideo.workers.crew import TRIES, Crew
from cgvideo.workers.processes import Processes
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model, write_model

PICTURES = 40


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def model(shared: Path) -> Model:
    path = shared / "small.safetensors"
    write_model(path, random_model(SMALL))
    return find_model(str(path))


@pytest.fixture(scope="module")
def source(shared: Path) -> Path:
    """Stills of three sizes and four formats, one deep, an animation, pages, a clip; two that fail."""
    folder = shared / "in"
    (folder / "more/deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        size = [(48, 64), (64, 48), (40, 36)][number % 3]
        suffix = [".jpg", ".png", ".webp", ".bmp"][number % 4]
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        where = folder / ["", "more", "more/deep"][number % 3]
        Image.fromarray(pixels).save(where / f"{number:02}{suffix}")
    Image.fromarray(deep_gradient()[..., 0]).save(folder / "deep.tif")
    animation(folder / "moves.gif", [50, 70, 90])
    pages = [Image.new("RGB", (32, 24 + 8 * n), (90 * n, 40, 9)) for n in range(3)]
    pages[0].save(folder / "pages.tiff", save_all=True, append_images=pages[1:])
    (folder / "bad.png").write_text("no picture")
    torn = (folder / "00.jpg").read_bytes()
    (folder / "torn.jpg").write_bytes(torn[: len(torn) // 2])
    make_clip(folder / "clip.mp4", frames=7, size=(64, 48))
    return folder


def settings(output: Path, **more: Any) -> Settings:
    usual = {"preset": "ultrafast", "threads": 1, "precision": "fp32", "smooth": "off"}
    return Settings(**{**usual, "output": output, **more})


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {n: p.read_bytes() for n, p in found.items() if p.is_file() and n != NAME}


@pytest.fixture(scope="module")
def alone(source: Path, model: Model, shared: Path) -> dict[str, bytes]:
    """What one process makes."""
    result = convert_folder(source, model, settings(shared / "alone"))
    assert (result.done, result.failed) == (PICTURES + 4, 2)
    return files(result.output)


def assert_alike(result: FolderResult, alone: dict[str, bytes]) -> None:
    made = files(result.output)
    assert made.keys() == alone.keys()
    assert [name for name in sorted(made) if made[name] != alone[name]] == []
    assert (result.done, result.failed, result.left) == (PICTURES + 4, 2, 0)


@pytest.mark.slow
def test_two_processes_make_the_bytes_of_one(
    source: Path, model: Model, alone: dict[str, bytes], tmp_path: Path
) -> None:
    chosen = settings(tmp_path / "out", workers=2)
    assert_alike(convert_folder(source, model, chosen), alone)
    again = convert_folder(source, model, replace(chosen, workers=3, skip_existing=True))
    assert (again.done, again.failed) == (0, 2)  # of another number of workers, the same pictures


@pytest.mark.slow
def test_a_picture_has_an_engine_of_its_size_by_what_the_whole_folder_holds(
    source: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers see few of a size at a time; here the choice is of each."""
    monkeypatch.setattr("cgvideo.folders.shapes.FIXED_FROM", 10 * 64 * 48)
    monkeypatch.setattr(sharing, "FIRST_PIXELS", 1)
    chosen = settings(tmp_path / "one", include=("*.jpg", "*.png"))
    one = convert_folder(source, model, chosen)
    two = convert_folder(source, model, replace(chosen, output=tmp_path / "two", workers=2))
    assert files(two.output) == files(one.output)


def killing(monkeypatch: pytest.MonkeyPatch, which: Callable[[Errand, int], bool]) -> list[Errand]:
    """Kill the worker that is given such an errand (and the number of those before); all that is given."""
    given: list[Errand] = []
    give = Processes.give

    def giving(crew: Processes[Any, Any], errand: Errand) -> None:
        give(crew, errand)
        if which(errand, len(given)):
            hired = next(hired for hired in crew._hired if hired.errand == errand)
            os.kill(hired.process.pid, signal.SIGKILL)
        given.append(errand)

    monkeypatch.setattr(Processes, "give", giving)
    return given


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_what_it_was_at_only(
    source: Path,
    model: Model,
    alone: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = killing(monkeypatch, lambda errand, before: before == 3)
    assert_alike(convert_folder(source, model, settings(tmp_path / "out", workers=2)), alone)
    assert [(task,) for task in given[3]] == [e for e in given[4:] if set(e) <= set(given[3])]


@pytest.mark.slow
def test_a_picture_that_kills_its_workers_has_failed_and_the_rest_is_done(
    source: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killing(monkeypatch, lambda errand, _: "02.webp" in {task.item.name[-7:] for task in errand})
    chosen = settings(tmp_path / "out", workers=2, include=("0*.*",))
    result = convert_folder(source, model, chosen)
    assert (result.done, result.failed) == (9, 1)
    with Manifest(result.output, {}) as manifest:
        (failed,) = (e for e in manifest.entries.values() if e.status == "failed")
    assert failed.reason.startswith(f"{TRIES} workers died of ")


@pytest.mark.slow
def test_interrupted_and_resumed_by_workers(
    source: Path, model: Model, alone: dict[str, bytes], tmp_path: Path
) -> None:
    class Stopping(StopRequest):
        """Wanted from the fortieth time on that somebody asks."""

        asked = 0

        @property
        def wanted(self) -> bool:
            self.asked += 1
            return self.asked > 40

        @wanted.setter
        def wanted(self, value: bool) -> None: ...

    chosen = settings(tmp_path / "out", workers=2)
    stopped = convert_folder(source, model, chosen, stop=Stopping())
    assert stopped.left
    result = convert_folder(source, model, chosen)
    assert result.skipped == stopped.done > 0
    assert files(result.output) == alone


# what the coordinator does, with workers that only say what they would


class Imagined(Crew[Errand, Made]):
    """One worker, whose answers are a function's."""

    def __init__(self, answer: Callable[[Errand], Made | None]) -> None:
        self.answer = answer
        self.given: list[Errand] = []
        self._in_hand: Errand | None = None

    @property
    def idle(self) -> int:
        return int(self._in_hand is None)

    def give(self, errand: Errand) -> None:
        self.given.append(errand)
        self._in_hand = errand

    def take(self, seconds: float) -> tuple[Errand, Made | None] | None:
        errand, self._in_hand = self._in_hand, None
        assert errand is not None
        return errand, self.answer(errand)

    def end(self) -> None: ...

    def close(self) -> None: ...


def made(errand: Errand, seconds: float = 1.0, **engine: str) -> Made:
    entries = tuple((Entry(task.item.name, None, "failed", "no"), None) for task in errand)
    return Made(entries, seconds, {"any": engine}, "a machine")


def tasks(count: int, shape: tuple[bool, int, int] = (False, 100, 100)) -> list[Task]:
    return [Task(Item(f"{n}.png", Path(f"{n}.png"), False), shape, True) for n in range(count)]


def share(crew: Imagined, those: Iterable[Task], tmp_path: Path, mixed: bool = False) -> list[str]:
    """Names of the files that were told of."""
    told: list[str] = []
    those = list(those)
    with Manifest(tmp_path, {}) as manifest:
        stop = StopRequest()
        whole = Sharing(
            crew, manifest, mixed, lambda entry: told.append(entry.input), lambda _: None, stop
        )
        whole.run(those, len(those))
    return told


def test_errands_take_some_seconds_and_are_small_near_the_end(tmp_path: Path) -> None:
    crew = Imagined(lambda errand: made(errand, seconds=len(errand) / 5))
    assert len(share(crew, tasks(1000), tmp_path)) == 1000
    sizes = [len(errand) for errand in crew.given]
    assert sizes[0] == sharing.FIRST_PIXELS / 1e4
    assert sizes[1] == 5 * sharing.ERRAND_SECONDS
    assert sizes[-1] == 1


def test_an_animation_is_an_errand_of_its_own(tmp_path: Path) -> None:
    those = tasks(9)
    those[4] = replace(those[4], is_still=False)
    crew = Imagined(made)
    assert len(share(crew, those, tmp_path)) == 9
    assert (those[4],) in crew.given


def test_engines_that_differ_are_refused_or_admitted(tmp_path: Path) -> None:
    def answer(errand: Errand) -> Made:
        return made(errand, threads=str(min(len(crew.given), 2)))

    crew = Imagined(answer)
    with pytest.raises(UserError, match=r"a machine makes other bytes .*threads differ"):
        share(crew, tasks(9), tmp_path)
    crew = Imagined(answer)
    assert len(share(crew, tasks(9), tmp_path, mixed=True)) == 9


def test_workers_that_die_of_everything_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="workers died one after the other"):
        share(Imagined(lambda _: None), tasks(99), tmp_path)


def test_a_picture_that_kills_is_found_among_its_neighbours(tmp_path: Path) -> None:
    crew = Imagined(
        lambda errand: None if "7.png" in {t.item.name for t in errand} else made(errand)
    )
    told = share(crew, tasks(40), tmp_path)
    assert sorted(told) == sorted(f"{n}.png" for n in range(40))
    assert sum("7.png" in {t.item.name for t in errand} for errand in crew.given) == TRIES


def test_the_number_of_workers_is_no_part_of_a_fingerprint_but_their_threads_are(
    source: Path, model: Model
) -> None:
    def fingerprints(**more: Any) -> tuple[str, str]:
        plan = plan_folder(source, model, Settings(**more))
        return plan.picture_fingerprint, plan.video_fingerprint

    assert fingerprints(threads=1, workers=2) == fingerprints(threads=1)
    assert fingerprints(threads=1, ray="auto") == fingerprints(threads=1)
    assert fingerprints(devices=("cpu", "cpu"), threads=1) == fingerprints(threads=1, device="cpu")
    assert fingerprints(workers=500) != fingerprints()
