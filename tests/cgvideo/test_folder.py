"""Folders: what is converted, what is left alone, and what the manifest says of it."""

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip, read_numbers
from converting import MODEL, IdentityEngine, plan_for
from numpy.typing import NDArray
from picturefiles import animation, deep_gradient, gradient, save
from PIL import Image

from cgvideo.codec.images import opened, read_picture
from cgvideo.codec.images import writing as room
from cgvideo.folders import batches
from cgvideo.folders.folder import plan_folder
from cgvideo.folders.folder_run import FolderResult, run_folder
from cgvideo.folders.manifest import Entry, Manifest
from cgvideo.pipeline import run
from cgvideo.progress import Stopped, StopRequest
from cgvideo.settings import Settings
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.model_file import Model
from engines.store import EngineStore

DECOMPOSED = "Zu\u0308rich"  # as macOS writes names


class Negative(IdentityEngine):
    """Gives the negative of either depth, and remembers the sizes of its calls."""

    calls_of: list[tuple[int, ...]]

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        self.calls_of.append(frames.shape)
        return 255 - frames if frames.dtype == np.uint8 else 1 - frames


class Engines:
    """Stands in for `open_engine`: all that was asked for, and all calls."""

    def __init__(self) -> None:
        self.requests: list[EngineRequest] = []
        self.calls: list[tuple[int, ...]] = []
        self.kind: type[IdentityEngine] = Negative
        self.batch = 4

    def __call__(self, model: Model, request: EngineRequest, store: EngineStore) -> IdentityEngine:
        self.requests.append(request)
        engine = self.kind(batch=self.batch)
        engine.calls_of = self.calls  # type: ignore[attr-defined]
        return engine


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    stand_in = Engines()
    monkeypatch.setattr("cgvideo.stages.tiled_engine.open_engine", stand_in)
    return stand_in


Convert = Callable[..., FolderResult]


@pytest.fixture
def convert(tmp_path: Path, engines: Engines) -> Convert:
    """Convert tmp_path/in; videos with the identity."""

    def call(
        stop: StopRequest | None = None, progress: Any = None, **settings: Any
    ) -> FolderResult:
        chosen = Settings(preset="ultrafast", **settings)
        plan = plan_folder(tmp_path / "in", MODEL, chosen)

        def video(path: Path, own: Settings) -> list[str]:
            engine = IdentityEngine()
            run(plan_for(path, own.output, engine, overwrite=True), engine, stop=stop)
            return ["a word about it"]

        return run_folder(plan, MODEL, EngineStore(), video, progress, stop)

    return call


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["input"]: entry for entry in map(json.loads, lines) if "input" in entry}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_mixed_folder_keeps_its_structure_and_says_what_became_of_all(
    tmp_path: Path, convert: Convert
) -> None:
    source = tmp_path / "in"
    inside = ["a.png", "Two Words/b é.jpg", f"Two Words/{DECOMPOSED}/日本.webp", "x/deep.tif"]
    for name in inside[:3]:
        save(source / name, gradient())
    (source / "x").mkdir()
    Image.fromarray(deep_gradient()[..., 0]).save(source / "x/deep.tif")
    animation(source / "x/moves.gif", [50, 70])
    make_clip(source / "x/clip.mp4", frames=7, size=(64, 48))
    (source / "bad.png").write_text("no picture")
    (source / "notes.txt").write_text("leave me")
    (source / "cover.psd").write_text("leave me")
    save(source / ".hidden.png", gradient())
    save(source / ".thumbs/x.png", gradient())
    result = convert()
    assert result.output == tmp_path / "in.identity"
    assert (result.done, result.failed, result.skipped, result.left) == (6, 1, 0, 0)
    assert sum(result.left_alone.values()) == 4
    assert result.left_alone["of another format (.psd)"] == 1
    made = {*inside, "x/moves.gif", "x/clip.mp4"}
    assert names(result.output) == made | {"manifest.jsonl"}
    told = manifest(result.output)
    assert {name for name in told if told[name]["status"] == "done"} == made
    assert "bad.png cannot be read" in told["bad.png"]["reason"]
    assert len(told["a.png"]["output_sha256"]) == len(told["x/clip.mp4"]["input_sha256"]) == 64
    assert told["x/clip.mp4"]["notices"] == ["a word about it"]
    np.testing.assert_array_equal(read_picture(result.output / "a.png").pixels, 255 - gradient())
    deep = np.asarray(Image.open(result.output / "x/deep.tif").convert("RGB"))
    assert deep.shape == (24, 32, 3)
    assert read_picture(result.output / "x/deep.tif").deep
    assert len(read_numbers(result.output / "x/clip.mp4")) == 7


def test_pictures_of_one_size_share_full_calls_and_one_engine(
    tmp_path: Path, convert: Convert, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgvideo.folders.batches.FIXED_FROM", 9 * 24 * 32)
    for number in range(9):
        save(tmp_path / f"in/wide {number}.png", gradient())
        if number < 3:
            save(tmp_path / f"in/tall {number}.png", gradient(32, 24))
    convert()
    sizes = [request.size for request in engines.requests]
    assert sorted(sizes, key=str) == [(24, 32), None]
    assert engines.calls.count((4, 24, 32, 3)) == 3
    assert engines.calls.count((3, 32, 24, 3)) == 1


def test_deep_pictures_ask_for_float32_in_full_precision(
    tmp_path: Path, convert: Convert, engines: Engines
) -> None:
    save(tmp_path / "in/a.png", gradient())
    Image.fromarray(deep_gradient()[..., 0]).save(tmp_path / "in/b.png")
    convert()
    asked = {(request.pixels, request.precision) for request in engines.requests}
    assert asked == {("uint8", "auto"), ("float32", "fp32")}
    written = read_picture(tmp_path / "in.identity/b.png").pixels[..., 0] * 65535
    np.testing.assert_array_equal(written.round(), 65535 - deep_gradient()[..., 0].astype(int))


def test_links_that_lead_out_are_not_followed(tmp_path: Path, convert: Convert) -> None:
    save(tmp_path / "secret/private.png", gradient())
    save(tmp_path / "in/a.png", gradient())
    (tmp_path / "in/out.png").symlink_to(tmp_path / "secret/private.png")
    (tmp_path / "in/folder").symlink_to(tmp_path / "secret")
    (tmp_path / "in/loop.png").symlink_to(tmp_path / "in/loop.png")
    (tmp_path / "in/same.png").symlink_to(tmp_path / "in/a.png")
    (tmp_path / "in/upwards").symlink_to(tmp_path / "in")
    result = convert()
    assert names(result.output) == {"a.png", "same.png", "manifest.jsonl"}
    assert result.left_alone == {"links out of the folder": 2, "links to folders": 2}


def test_paths_in_a_manifest_lead_nowhere(tmp_path: Path, convert: Convert) -> None:
    save(tmp_path / "in/a.png", gradient())
    victim = save(tmp_path / "victim.png", gradient())
    output = tmp_path / "in.identity"
    output.mkdir()
    evil = Entry("a.png", "../victim.png", "done", output_sha256="0" * 64, fingerprint="x")
    with Manifest(output, {}) as record:
        record.begin()
        record.add(evil)
        record.add(Entry("../victim.png", "/etc/passwd", "begun"))
    before = victim.read_bytes()
    assert convert().done == 1
    assert victim.read_bytes() == before
    assert names(output) == {"a.png", "manifest.jsonl"}


def test_include_and_exclude_choose_by_name_path_and_folder(
    tmp_path: Path, convert: Convert
) -> None:
    for name in ("a.JPG", "b.png", "raw/c.jpg", "raw/deep/d.jpg", "keep/e.jpg"):
        save(tmp_path / "in" / name, gradient(), format="JPEG")
    result = convert(include=("*.jpg",), exclude=("raw",))
    assert names(result.output) == {"a.JPG", "keep/e.jpg", "manifest.jsonl"}
    assert result.left_alone["not asked for (--include, --exclude)"] == 3


def test_a_format_for_all_keeps_apart_what_would_share_a_name(
    tmp_path: Path, convert: Convert
) -> None:
    for name in ("a.png", "a.bmp", "b.png", "c.jpeg"):
        save(tmp_path / "in" / name, gradient())
    result = convert(format="jpeg", quality=50)
    assert names(result.output) == {
        "a.png.jpg", "a.bmp.jpg", "b.jpg", "c.jpeg", "manifest.jsonl",
    }  # fmt: skip


def test_two_that_would_become_one_file_are_told(tmp_path: Path, convert: Convert) -> None:
    for name in ("a.png", "a.bmp", "a.png.jpg", "b.JPG", "B.jpg"):
        save(tmp_path / "in" / name, gradient(), format="PNG")
    result = convert(format="jpeg")
    assert (result.done, result.failed) == (3, 2)
    reasons = [entry["reason"] for entry in manifest(result.output).values() if entry["reason"]]
    assert all("would both become" in reason for reason in reasons)


def test_a_finished_folder_is_refused_and_skipping_goes_by_content(
    tmp_path: Path, convert: Convert, engines: Engines
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name, gradient())
    output = convert().output
    with pytest.raises(UserError, match="finished conversion") as refused:
        convert()
    assert "--skip-existing" in refused.value.mend
    save(tmp_path / "in/b.png", gradient()[::-1])  # changed
    save(tmp_path / "in/d.png", gradient())  # new
    (output / "c.png").unlink()  # lost
    result = convert(skip_existing=True)
    assert (result.done, result.skipped) == (3, 1)
    np.testing.assert_array_equal(read_picture(output / "b.png").pixels, 255 - gradient()[::-1])
    (output / "a.png").write_bytes(b"touched by the user")
    spared = convert(skip_existing=True)
    assert (spared.done, spared.failed, spared.skipped) == (0, 1, 3)
    assert (output / "a.png").read_bytes() == b"touched by the user"
    assert "exists already" in manifest(output)["a.png"]["reason"]
    assert convert(overwrite=True).done == 4
    assert convert(skip_existing=True, crf=30, tonemap="sdr").done == 0  # of videos alone
    again = convert(skip_existing=True, strength=0.5)  # other settings, other pictures
    assert again.done == 4


def test_what_was_there_before_is_not_replaced(tmp_path: Path, convert: Convert) -> None:
    save(tmp_path / "in/a.png", gradient())
    theirs = save(tmp_path / "in.identity/a.png", gradient()[::-1])
    before = theirs.read_bytes()
    assert convert().failed == 1
    assert theirs.read_bytes() == before


class StopAfter:
    """Asks to stop when so many files are done."""

    def __init__(self, stop: StopRequest, files: int) -> None:
        self.stop = stop
        self.files = files

    def folder_planned(self, *_: Any) -> None: ...

    def file_done(self, entry: Entry, done: int, todo: int) -> None:
        self.stop.wanted = self.stop.wanted or done >= self.files


def test_an_interrupted_folder_goes_on(
    tmp_path: Path, convert: Convert, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgvideo.folders.batches.READ_AHEAD", 2)
    monkeypatch.setattr("cgvideo.folders.batches.WRITE_BEHIND", 1)
    for number in range(20):
        save(tmp_path / f"in/{number:02}.png", gradient())
    make_clip(tmp_path / "in/v.mp4", frames=3, size=(64, 48))
    stop = StopRequest()
    stopped = convert(stop=stop, progress=StopAfter(stop, 3))
    assert 3 <= stopped.done < 20
    assert stopped.left == 21 - stopped.done
    left_behind = [name for name in names(stopped.output) if "partial" in name]
    assert left_behind == []
    result = convert()
    assert result.skipped == stopped.done
    assert result.done == 21 - stopped.done
    assert len(manifest(result.output)) == 21


def test_a_video_that_is_stopped_ends_the_run_and_its_journal_goes_on(
    tmp_path: Path, engines: Engines
) -> None:
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in/a.mp4", frames=3, size=(64, 48))
    make_clip(tmp_path / "in/b.mp4", frames=3, size=(64, 48))
    plan = plan_folder(tmp_path / "in", MODEL, Settings())

    def video(path: Path, own: Settings) -> list[str]:
        raise Stopped(0, 0)

    result = run_folder(plan, MODEL, EngineStore(), video)
    assert (result.done, result.left) == (0, 2)


def test_a_video_that_was_finished_but_not_recorded_is_not_done_again(
    tmp_path: Path, convert: Convert
) -> None:
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in/a.mp4", frames=3, size=(64, 48))
    output = convert().output
    path = output / "manifest.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    entry = json.loads(lines[1]) | {
        "status": "begun", "output_sha256": "", "seconds": 0.0, "notices": [],
    }  # fmt: skip
    path.write_text(f"{lines[0]}\n{json.dumps(entry)}\n", encoding="utf-8")
    made = (output / "a.mp4").stat().st_mtime_ns
    assert convert().done == 1
    assert (output / "a.mp4").stat().st_mtime_ns == made
    assert manifest(output)["a.mp4"]["status"] == "done"


def test_a_torn_line_of_a_manifest_is_passed_over(tmp_path: Path, convert: Convert) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, gradient())
    output = convert().output
    path = output / "manifest.jsonl"
    kept = path.read_text(encoding="utf-8").splitlines()[:2]
    path.write_text("\n".join([*kept, '{"input": "b.p']), encoding="utf-8")
    (output / ".0123abcd.partial.png").write_bytes(b"of a run that was killed")
    (output / "b.png").unlink()
    result = convert()
    assert (result.done, result.skipped) == (1, 1)
    assert names(output) == {"a.png", "b.png", "manifest.jsonl"}


def test_an_engine_that_fails_costs_its_batch_and_not_the_rest(
    tmp_path: Path, convert: Convert, engines: Engines
) -> None:
    class FailsOnce(Negative):
        def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
            if self.calls == 2:
                raise RuntimeError("device lost")
            return super().translated(frames)

    engines.kind = FailsOnce
    for number in range(12):
        save(tmp_path / f"in/{number:02}.png", gradient())
    result = convert()
    assert (result.done, result.failed) == (8, 4)
    assert "device lost" in manifest(result.output)["05.png"]["reason"]


def test_an_engine_that_always_fails_ends_the_run(
    tmp_path: Path, convert: Convert, engines: Engines
) -> None:
    class Fails(Negative):
        def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
            raise RuntimeError("device lost")

    engines.kind = Fails
    for number in range(40):
        save(tmp_path / f"in/{number:02}.png", gradient())
    with pytest.raises(UserError, match="device lost"):
        convert()


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        save(tmp_path / f"in/{number}.png", gradient())
    written: Iterator[int] = iter(range(100))
    write = room._write

    def full(*arguments: Any) -> None:
        if next(written) >= 3:
            raise OSError(errno.ENOSPC, "no space")
        write(*arguments)

    monkeypatch.setattr(room, "_write", full)
    with pytest.raises(UserError, match="disk is full"):
        convert()
    monkeypatch.setattr(room, "_write", write)
    result = convert()
    assert result.done + result.skipped == 6
    assert result.skipped == 3
    assert len(names(result.output)) == 7


def test_two_runs_into_one_folder_are_refused(tmp_path: Path, convert: Convert) -> None:
    save(tmp_path / "in/a.png", gradient())
    with Manifest(tmp_path / "in.identity", {}), pytest.raises(UserError, match="Another run"):
        convert()


def test_an_output_inside_the_folder_is_not_an_input(tmp_path: Path, convert: Convert) -> None:
    save(tmp_path / "in/a.png", gradient())
    convert(output=tmp_path / "in/results")
    result = convert(output=tmp_path / "in/results", skip_existing=True)
    assert (result.done, result.skipped) == (0, 1)


def test_a_defect_in_one_picture_is_told_and_does_not_stop_the_rest(
    tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = batches.ready

    def defective(picture: Any, *rest: Any) -> Any:
        if picture.size == (10, 10):
            raise KeyError("a bug")
        return ready(picture, *rest)

    monkeypatch.setattr(batches, "ready", defective)
    save(tmp_path / "in/a.png", gradient())
    save(tmp_path / "in/b.png", gradient(10, 10))
    result = convert()
    assert (result.done, result.failed) == (1, 1)
    assert "this is a bug (KeyError" in manifest(result.output)["b.png"]["reason"]


def test_an_animation_is_steadied_as_a_clip_is_unless_told_not_to(
    tmp_path: Path, convert: Convert, engines: Engines
) -> None:
    class Grainy(Negative):
        def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
            grain = np.random.default_rng(self.calls).normal(0, 12, frames.shape)
            return np.clip(frames // 2 + 60 + grain, 0, 255).astype(np.uint8)

    engines.kind = Grainy
    engines.batch = 1
    still = Image.fromarray(gradient(48, 64))
    frames = [still.copy() for _ in range(8)]
    for number, frame in enumerate(frames):
        frame.putpixel((0, 0), (number, 0, 0))  # equal frames would be stored as one
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in/a.png", save_all=True, append_images=frames[1:], duration=40)

    def grain(**settings: Any) -> float:
        output = convert(overwrite=True, **settings).output
        with opened(output / "a.png") as file:
            shown = np.stack([picture.pixels for picture in file.pictures()]).astype(int)
        assert len(shown) == 8
        return float(np.abs(np.diff(shown, axis=0)).mean())

    assert grain() < 0.7 * grain(smooth="off")


def test_a_tile_and_a_work_size_hold_for_pictures_of_a_folder(
    tmp_path: Path, convert: Convert, engines: Engines
) -> None:
    for number in range(3):
        save(tmp_path / f"in/{number}.png", gradient(48, 200))
    convert(work_size=100)
    assert {shape[1:3] for shape in engines.calls} == {(24, 100)}
    written = read_picture(tmp_path / "in.identity/1.png").pixels
    assert np.abs(written.astype(int) - (255 - gradient(48, 200))).mean() < 12
    engines.calls.clear()
    convert(overwrite=True, tile=80, halo=4)
    assert 72 in {max(shape[1:3]) for shape in engines.calls}  # and 200, where it is measured
    np.testing.assert_array_equal(
        read_picture(tmp_path / "in.identity/1.png").pixels, 255 - gradient(48, 200)
    )
