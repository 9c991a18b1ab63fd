"""Nothing is sent to anyone, and nothing is left in the home folder."""

import os
import subprocess
import sys
from pathlib import Path

from clips import make_clip

# Runs the command line with every door to the network bolted; opening one ends the process.
BOLTED = """
import os, sys
def watch(event, arguments):
    if event.startswith("socket."):
        sys.stderr.write(f"OPENED {event} {arguments}\\n")
        sys.stderr.flush()
        os._exit(99)
sys.addaudithook(watch)
sys.argv = ["cgvideo", *sys.argv[1:]]
from cgvideo.cli import main
main()
"""


def test_a_conversion_opens_no_socket_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """The engine store is in the home folder unless CGVIDEO_CACHE says another; here it does."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    clip = make_clip(work / "in.mp4", frames=5)
    environment = {name: value for name, value in os.environ.items() if "XDG" not in name}
    result = subprocess.run(
        [sys.executable, "-c", BOLTED, "convert", str(clip)],
        env={**environment, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (work / "in.summer2winter.mp4").exists()
    assert list(home.rglob("*")) == []


def test_the_bolt_holds() -> None:
    """The test above would see a socket."""
    code = BOLTED.split("sys.argv =")[0] + "import socket; socket.socket()"
    opened = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert opened.returncode == 99
    assert "OPENED socket" in opened.stderr
