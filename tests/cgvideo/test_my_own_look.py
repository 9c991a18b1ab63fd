"""docs/my-own-look.md: its commands do what it says, one after the other."""

import re
import shlex
from pathlib import Path

import pytest
from commandline import Cli

pytest.importorskip("torch")

from clips import make_clip
from tiny_run import ORANGE, make_domain

PAGE = Path(__file__).parents[2] / "docs" / "my-own-look.md"
NETWORK = ("--base-channels", "4", "--blocks", "1")
LESS = {  # the later options win: the same run, on crops of 32 pixels and for an instant
    "train": (
        "--crop", "32", "--load-size", "36", *NETWORK, "--discriminator-channels", "4",
        "--discriminator-layers", "2", "--minutes", "0.01",
    ),
    "distill": ("--crop", "32", *NETWORK, "--minutes", "0.01"),
    "convert": ("--precision", "fp32", "--smooth", "off"),
}  # fmt: skip


def commands() -> list[list[str]]:
    """The lines of the page that call cgvideo, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [line[1:] for line in lines if line[0] == "cgvideo"]


@pytest.mark.slow
def test_its_commands_lead_from_two_folders_to_a_clip(cli: Cli, tmp_path: Path) -> None:
    make_domain(tmp_path / "summer", 4)
    make_domain(tmp_path / "winter", 4, ORANGE)
    make_clip(tmp_path / "summer.mp4", frames=4, size=(48, 40))
    make_clip(tmp_path / "winter.mp4", frames=4, size=(48, 40))
    make_clip(tmp_path / "holiday.mp4", frames=80, size=(48, 40))
    written = commands()
    assert {line[0] for line in written} == {
        "train", "report", "convert", "eval", "distill", "models",
    }  # fmt: skip
    for line in written:
        done = cli(*line, *LESS.get(line[0], ()))
        assert done.returncode == 0, (line, done.stderr)
    for name in ("holiday.my-winter.mp4", "holiday.winter.mp4", "holiday.fast.mp4", "look.html"):
        assert (tmp_path / name).stat().st_size > 0
    assert (tmp_path / "runs" / "my-winter" / "report.html").is_file()
    assert "my-winter-fast" in cli("models").stdout
