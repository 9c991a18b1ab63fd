"""What tests of the command line ask for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import make_clip
from commandline import Cli

from cgvideo.cli import main


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "CGVIDEO_MODELS": str(tmp_path / "models")}


@pytest.fixture
def cli(tmp_path: Path, environment: dict[str, str]) -> Cli:
    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cgvideo", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def here(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """The same in this process, for the many that end in an error: starting one takes half a second."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["cgvideo", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess([], int(left.value.code or 0), said.out, said.err)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CGVIDEO_MODELS", environment["CGVIDEO_MODELS"])
    return call


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=10, size=(96, 64))
