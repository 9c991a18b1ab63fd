"""`cgvideo clean`: what was left by conversions that nobody goes on with."""

import json
import os
import time
from pathlib import Path

import pytest
from clips import make_clip
from converting import CrashingEngine, convert, plan_for
from filelock import FileLock
from typer.testing import CliRunner, Result

from cgvideo.cli import app
from cgvideo.journal import LOCK_NAME
from engines.errors import UserError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("source") / "in.mkv", 110, size=(32, 32))


@pytest.fixture
def left(source: Path, tmp_path: Path) -> Path:
    """A folder below `tmp_path` in which a conversion ended early; its work folder."""
    output = tmp_path / "deep" / "out.mkv"
    output.parent.mkdir()
    with pytest.raises(UserError):
        convert(source, output, CrashingEngine(good_calls=25))
    return plan_for(source, output, CrashingEngine()).work_folder.parent


def clean(*arguments: object, typed: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["clean", *map(str, arguments)], input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_it_is_shown_and_kept_until_it_is_told_to_remove(left: Path, tmp_path: Path) -> None:
    told = clean(tmp_path).output
    assert "out.mkv: 96 frames done" in told
    assert "--yes" in told
    assert left.is_dir()
    assert "Removed" in clean(tmp_path, "--yes").output
    assert not left.exists()
    assert clean(tmp_path).output == "Nothing to remove.\n"


def test_programs_read_it(left: Path, tmp_path: Path) -> None:
    lines = clean(tmp_path, "--json", "--yes").output.splitlines()
    first, second = map(json.loads, lines)
    assert (first["event"], first["frames"], first["in_use"]) == ("leftover", 96, False)
    assert first["output"] == str(tmp_path / "deep" / "out.mkv")
    assert second == {"event": "removed", "folder": str(left)}


def test_what_a_run_works_on_is_left(left: Path, tmp_path: Path) -> None:
    with FileLock(left / LOCK_NAME):
        told = clean(tmp_path, "--yes").output
    assert "a run is working on it" in told
    assert left.is_dir()


def test_work_that_is_young_can_be_spared(left: Path, tmp_path: Path) -> None:
    clean(tmp_path, "--yes", "--older", 1)
    assert left.is_dir()
    for path in left.rglob("*"):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    clean(tmp_path, "--yes", "--older", 1)
    assert not left.exists()


def test_nothing_else_is_ever_removed(left: Path, tmp_path: Path) -> None:
    """Neither a folder of such a name with something else in it, nor what a link leads to."""
    mine = left / "mine.txt"
    mine.write_text("precious")
    (tmp_path / ".link.cgvideo").symlink_to(tmp_path / "deep", target_is_directory=True)
    assert clean(tmp_path, "--yes").output == "Nothing to remove.\n"
    assert mine.read_text() == "precious"


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        clean(tmp_path / "missing")
