"""docs/my-own-look.md: its commands do what it says, one after the other."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli

pytest.importorskip("torch")

import torch
from tiny_run import BLUE, ORANGE, make_domain, texture

from cgvideo.codec.render import write_clip

PAGE = Path(__file__).parents[2] / "docs" / "my-own-look.md"
NETWORK = ("--base-channels", "4", "--blocks", "1")
LESS = {  # the later options win: the same run, on crops of 32 pixels and for an instant
    "train": (
        "--crop", "32", "--load-size", "36", *NETWORK, "--discriminator-channels", "4",
        "--discriminator-layers", "2", "--minutes", "0.01", "--device", "cpu", "--precision", "fp32",
    ),
    "distill": ("--crop", "32", *NETWORK, "--minutes", "0.01"),
    "convert": ("--precision", "fp32", "--smooth", "off"),
}  # fmt: skip


def commands() -> list[list[str]]:
    """The lines of the page that call cgvideo, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [line[1:] for line in lines if line[0] == "cgvideo"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks so small lose more by sharing their work than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_its_commands_lead_from_two_folders_to_a_clip(here: Cli, tmp_path: Path) -> None:
    make_domain(tmp_path / "summer", 4)
    make_domain(tmp_path / "winter", 4, ORANGE)
    clips = {"summer": (BLUE, 4), "winter": (ORANGE, 4), "holiday": (BLUE, 60)}
    for name, (colour, count) in clips.items():
        frames = [texture(number // 8, colour) for number in range(count)]
        silence = np.zeros((2, count * 48_000 // 25), np.int16)
        write_clip(tmp_path / f"{name}.mp4", frames, 25, silence, 48_000)
    written = commands()
    assert {line[0] for line in written} == {
        "train", "report", "convert", "eval", "distill", "models",
    }  # fmt: skip
    for line in written:
        done = here(*line, *LESS.get(line[0], ()))
        assert done.returncode == 0, (line, done.stderr)
    for name in ("trial.mp4", "holiday.winter.mp4", "holiday.fast.mp4", "look.html"):
        assert (tmp_path / name).stat().st_size > 0
    assert (tmp_path / "runs" / "my-winter" / "report.html").is_file()
    assert "my-winter-fast" in here("models").stdout
