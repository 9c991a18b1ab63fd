"""A power cut at any moment: what has its name is whole, and what was committed is not rendered again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from clips import make_clip, picture
from converting import MODEL, IdentityEngine, plan_for
from crash.power_cut import Disk, State, write_state
from generators import SMALL, random_model
from PIL import Image

from cgvideo.codec.probe import probe
from cgvideo.folders.folder import plan_folder
from cgvideo.folders.folder_run import FolderResult, run_folder
from cgvideo.folders.manifest import Entry, Manifest
from cgvideo.journal import Journal, PartRecord
from cgvideo.pipeline import Result, run
from cgvideo.plan import make_plan
from cgvideo.prepare import prepared
from cgvideo.settings import Settings
from engines.store import EngineStore

SEGMENT = 8  # frames, so that trying every cut takes no time

Conversion = Callable[[Path, bool], Result]
"""Converts into an output, over what is there or not."""


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("plan", "rendering", "pipeline"):
        monkeypatch.setattr(f"cgvideo.{module}.SEGMENT_FRAMES", SEGMENT)


def watched(convert: Conversion, folder: Path) -> Disk:
    """A disk that has seen a whole conversion, with the number of committed segments as its promise."""
    folder.mkdir()
    disk = Disk(folder)
    commit = Journal.commit

    def committing(journal: Journal, record: PartRecord) -> None:
        commit(journal, record)
        disk.promised += 1

    with pytest.MonkeyPatch.context() as patch, disk.watched():
        patch.setattr(Journal, "commit", committing)
        convert(folder / "out.mp4", False)
    return disk


def assert_it_goes_on_from_every_cut(convert: Conversion, frames: int, folder: Path) -> None:
    whole = convert(folder / "whole.mp4", False).output.read_bytes()
    cuts = watched(convert, folder / "watched").states
    assert len(cuts) > frames // SEGMENT * 6
    for number, (state, promised) in enumerate(cuts.items()):
        result = gone_on(convert, state, whole, folder / f"cut {number}")
        if result is not None:
            assert result.frames_rendered <= max(0, frames - promised * SEGMENT)


def gone_on(convert: Conversion, state: State, whole: bytes, folder: Path) -> Result | None:
    """The same command after a cut: to the same bytes. None where the file had its name already."""
    folder.mkdir()
    write_state(state, folder)
    output = folder / "out.mp4"
    finished = output.exists()
    if finished:
        assert output.read_bytes() == whole
    result = convert(output, finished)
    assert output.read_bytes() == whole
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]
    return None if finished else result


def with_the_identity(source: Path) -> Conversion:
    def convert(output: Path, overwrite: bool) -> Result:
        engine = IdentityEngine()
        return run(plan_for(source, output, engine, overwrite=overwrite), engine)

    return convert


def test_a_power_cut_at_any_moment_loses_no_committed_segment(tmp_path: Path) -> None:
    frames = SEGMENT + 3
    source = make_clip(tmp_path / "in.mp4", frames, size=(32, 32), audio="aac")
    assert_it_goes_on_from_every_cut(with_the_identity(source), frames, tmp_path)


@pytest.mark.slow
def test_nor_with_a_real_engine_and_smoothing_and_anchors(tmp_path: Path) -> None:
    frames = 5 * SEGMENT + 3
    source = make_clip(tmp_path / "in.mp4", frames, size=(32, 32), audio="aac")
    model = random_model(SMALL)
    settings = Settings(preset="ultrafast", anchor_interval=0.2)
    with prepared(source, model, settings) as (plan, engine):
        assert plan.smooth
        assert plan.anchor_interval

        def convert(output: Path, overwrite: bool) -> Result:
            chosen = replace(settings, output=output, overwrite=overwrite)
            return run(make_plan(probe(source), model, engine, chosen), engine)

        assert_it_goes_on_from_every_cut(convert, frames, tmp_path)


def test_what_is_relied_on_is_synced_before(tmp_path: Path) -> None:
    """The part, its name, then its line; the finished file, its name, and only then the work goes."""
    source = make_clip(tmp_path / "in.mp4", 2 * SEGMENT, size=(32, 32))
    disk = watched(with_the_identity(source), tmp_path / "watched")
    folders = {disk.root: "home", disk.root / ".out.mp4.cgvideo": "work"}

    def role(path: Path) -> str:
        if path in folders:
            return folders[path]
        if path.name.startswith("."):
            return f"scratch{path.suffix}"
        return path.name if path.suffix else "plan"

    def is_ours(path: Path) -> bool:
        return path == disk.root or disk.root in path.parents or not path.is_absolute()

    calls = [f"{name} {role(path)}" for name, path in disk.calls if is_ours(path)]
    calls = calls[calls.index("mkdir work") :]
    end = calls.index("fsync home", calls.index("replace out.mp4"))
    assert calls[: end + 1] == [
        "mkdir work", "fsync home", "mkdir plan", "fsync work",
        "fsync scratch.jsonl", "replace journal.jsonl", "fsync plan",
        *["fsync scratch.nut", "replace 000000.nut", "fsync plan", "fsync journal.jsonl"],
        *["fsync scratch.nut", "replace 000001.nut", "fsync plan", "fsync journal.jsonl"],
        "fsync journal.jsonl",  # how many frames there are in all
        "fsync scratch.mp4", "replace out.mp4", "fsync home",
    ]  # fmt: skip
    assert {call.split()[0] for call in calls[end + 1 :]} == {"unlink", "rmdir"}


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "b.png"),
        pytest.param(("below/a.png", "below/b.png", "c.png"), marks=pytest.mark.slow),
    ],
    ids=["flat", "deep"],
)
def test_in_a_folder_it_loses_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr("cgvideo.stages.tiled_engine.open_engine", lambda *_: IdentityEngine())
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    for number, name in enumerate(names):
        Image.fromarray(picture(number, (32, 32))).save(source / name)

    def convert(output: Path) -> FolderResult:
        plan = plan_folder(source, MODEL, Settings(output=output, skip_existing=True))
        return run_folder(plan, MODEL, EngineStore(), lambda path, settings: [])

    committing = Manifest.committing

    @contextmanager
    def counted(manifest: Manifest, path: Path) -> Iterator[tuple[Path, list[Entry]]]:
        with committing(manifest, path) as place:
            yield place
        disk.promised += 1

    (tmp_path / "watched").mkdir()
    disk = Disk(tmp_path / "watched")
    with monkeypatch.context() as patch, disk.watched():
        patch.setattr(Manifest, "committing", counted)
        convert(tmp_path / "watched" / "out")
    assert disk.promised == len(names)
    whole = {name: (tmp_path / "watched" / "out" / name).read_bytes() for name in names}
    for number, (state, promised) in enumerate(disk.states.items()):
        folder = tmp_path / f"cut {number}"
        folder.mkdir()
        write_state(state, folder)
        output = folder / "out"
        named = [name for name in names if (output / name).exists()]
        assert [name for name in named if (output / name).read_bytes() != whole[name]] == []
        result = convert(output)
        assert (result.failed, result.left) == (0, 0)
        assert result.skipped >= promised
        assert {name: (output / name).read_bytes() for name in names} == whole
        left = {path.relative_to(output).as_posix() for path in output.rglob("*")}
        assert left - {"below"} == {*names, "manifest.jsonl"}
