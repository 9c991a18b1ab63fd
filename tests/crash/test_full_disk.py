"""A disk that fills up: one line, nothing lost, and the same command goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import make_clip, read_numbers
from converting import IdentityEngine, convert

from cgvideo.plan import SEGMENT_FRAMES
from engines.errors import UserError


class SmallDisk:
    """A folder that holds only so much."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kilobytes: int) -> None:
        self._mount("-o", f"remount,size={kilobytes}k")

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a disk of its own to fill up")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_join_loses_no_segment(
    tmp_path: Path, small_disk: SmallDisk
) -> None:
    source = make_clip(tmp_path / "in.mp4", 2 * SEGMENT_FRAMES)
    whole = convert(source, tmp_path / "whole.mp4", crf=1).output
    small_disk.resize(whole.stat().st_size * 3 // 2 >> 10)
    output = small_disk.folder / "out.mp4"
    with pytest.raises(UserError, match=r"disk is full, .*out\.mp4"):
        convert(source, output, crf=1)
    assert not output.exists()
    small_disk.resize(100_000)
    assert convert(source, output, crf=1).frames_rendered == 0
    assert output.read_bytes() == whole.read_bytes()
    assert [path.name for path in small_disk.folder.iterdir()] == ["out.mp4"]


def test_a_disk_that_fills_up_loses_no_segment(tmp_path: Path, small_disk: SmallDisk) -> None:
    frames = 3 * SEGMENT_FRAMES
    source = make_clip(tmp_path / "in.mp4", frames)
    whole = convert(source, tmp_path / "whole.mp4", crf=1).output
    output = small_disk.folder / "out.mp4"
    with pytest.raises(UserError, match="disk is full"):
        convert(source, output, crf=1)
    assert not output.exists()
    small_disk.resize(100_000)
    resumed = convert(source, output, engine=IdentityEngine(), crf=1)
    assert 0 < resumed.frames_rendered < frames
    assert [number for number, _ in read_numbers(output)] == list(range(frames))
    assert output.read_bytes() == whole.read_bytes()
    assert [path.name for path in small_disk.folder.iterdir()] == ["out.mp4"]
