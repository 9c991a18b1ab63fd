"""What the shell offers when Tab is pressed, by the protocols of bash, zsh and fish."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys; sys.argv[0] = 'cgvideo'; from cgvideo.cli import main; main()"
HEAVY = ("numpy", "av", "cv2", "openvino", "torch", "rich")


def offered(words: str, shell: str, models: Path, program: str = PROGRAM) -> str:
    """What is printed for a line of which `words` are typed, the last one not finished."""
    line = words.split(" ")
    typed = {"COMP_WORDS": words, "COMP_CWORD": str(len(line) - 1)}
    if shell != "bash":
        typed = {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    asked = {**typed, "_CGVIDEO_COMPLETE": f"complete_{shell}", "CGVIDEO_MODELS": str(models)}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env={**os.environ, **asked}, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_models_are_completed_ones_own_too(shell: str, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").touch()
    told = offered("cgvideo convert in.mp4 --model ", shell, tmp_path)
    assert {"mine", "summer2winter"} <= {*told.replace('"', " ").split()}


def test_only_what_begins_as_typed(tmp_path: Path) -> None:
    assert offered("cgvideo convert --codec pro", "bash", tmp_path).split() == ["prores"]


def test_nothing_heavy_is_loaded_for_it(tmp_path: Path) -> None:
    spy = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded', *[n for n in {HEAVY} if n in sys.modules]))\n"
    )
    told = offered("cgvideo demo --model s", "bash", tmp_path, spy + PROGRAM)
    assert told.split() == ["summer2winter", "loaded"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_lines_of_the_manual_work_in_bash(tmp_path: Path) -> None:
    program = tmp_path / "cgvideo"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}\n")
    program.chmod(0o755)
    lines = (
        'eval "$(_CGVIDEO_COMPLETE=source_bash cgvideo)"\n'
        "COMP_WORDS=(cgvideo convert --tonemap s) COMP_CWORD=3\n"
        "_cgvideo_completion cgvideo\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "--norc", "-c", lines]
    told = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["sdr"], told.stderr
