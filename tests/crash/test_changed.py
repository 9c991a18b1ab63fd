"""Unfinished work of another plan: a new run starts afresh, says so, and leaves it to `cgvideo clean`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import converting
import pytest
from clips import make_clip
from converting import CrashingEngine, IdentityEngine, convert, plan_for
from typer.testing import CliRunner

from cgvideo.cli import app
from cgvideo.plan import SEGMENT_FRAMES
from cgvideo.progress import Silent
from engines.errors import UserError

FRAMES = SEGMENT_FRAMES + 14


class Listening(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


class FailingIdentity(CrashingEngine):
    """Fails in the second segment, and makes the plan of the one that does not."""

    @property
    def identity(self) -> Mapping[str, str]:
        return IdentityEngine().identity


Change = Callable[[Path, pytest.MonkeyPatch], dict[str, object]]
"""Changes what a clip is converted from or with; gives what to convert with."""


def change_input(source: Path, patch: pytest.MonkeyPatch) -> dict[str, object]:
    make_clip(source, FRAMES, size=(32, 32), options={"crf": "40"})
    return {}


def change_model(source: Path, patch: pytest.MonkeyPatch) -> dict[str, object]:
    patch.setattr(converting, "MODEL", replace(converting.MODEL, sha256="2" * 64))
    return {}


CHANGES: dict[str, Change] = {
    "input": change_input,
    "model": change_model,
    "setting": lambda source, patch: {"strength": 0.5},
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_changed_starts_afresh_and_the_old_work_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    source = make_clip(tmp_path / "in.mkv", FRAMES, size=(32, 32))
    output = tmp_path / "out.mkv"
    with pytest.raises(UserError):
        convert(source, output, FailingIdentity(good_calls=25))
    old = plan_for(source, output).work_folder
    kept = {path.name: path.read_bytes() for path in old.iterdir()}
    assert {"journal.jsonl", "000000.nut"} <= set(kept)

    said = Listening()
    result = convert(source, output, progress=said, **CHANGES[what](source, monkeypatch))
    assert result.frames_rendered == FRAMES
    (notice,) = said.notices
    assert "this one starts afresh" in notice
    assert str(old.parent) in notice
    assert {path.name: path.read_bytes() for path in old.iterdir()} == kept
    assert [folder for folder in old.parent.iterdir() if folder.is_dir()] == [old]

    shown = CliRunner().invoke(app, ["clean", str(tmp_path)])
    assert f"out.mkv: {SEGMENT_FRAMES} frames done" in shown.output
    assert old.exists()
    CliRunner().invoke(app, ["clean", str(tmp_path), "--yes"])
    assert not old.parent.exists()
    assert output.exists()
