"""`kill -9` at random moments of `cgvideo convert` as a user types it: a real engine, sound, smoothing, anchors.

And what comes round about: workers that lose their coordinator, two runs for one output, what is left.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clips import make_clip
from generators import SMALL, random_model

from cgvideo.journal import recorded
from cgvideo.leftovers import find_leftovers, remove
from cgvideo.places import work_folder_of
from cgvideo.plan import SEGMENT_FRAMES
from engines.model_file import write_model

FRAMES = 5 * SEGMENT_FRAMES + 20
KILLS = 20
LONGEST = 120  # seconds
ROOT = Path(__file__).parents[2]


class Command:
    """`cgvideo convert` of one clip, in a process that leads a group of its own."""

    def __init__(
        self, folder: Path, size: tuple[int, int] = (64, 48), frames: int = FRAMES
    ) -> None:
        self.folder = folder
        self.source = make_clip(folder / "in.mp4", frames, size=size, audio="aac")
        self.model = folder / "small.safetensors"
        write_model(self.model, random_model(SMALL))

    @contextmanager
    def running(self, output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "cgvideo", "convert", str(self.source), "-o", str(output)]
        usual = ["-m", str(self.model), "--preset", "ultrafast", "--threads", "1", "--json"]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with subprocess.Popen(
            [*command, *usual, *options],
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def finished(self, output: Path, *options: str) -> bytes:
        """What it makes when nobody disturbs it."""
        with self.running(output, *options) as process:
            _, said = process.communicate(timeout=LONGEST)
            assert process.returncode == 0, said
        assert list(find_leftovers([self.folder])) == []
        return output.read_bytes()

    def killed(self, output: Path, after: float, *options: str) -> bool:
        """Kill it and all that it started after so many seconds, unless it has finished."""
        with self.running(output, *options) as process:
            try:
                _, said = process.communicate(timeout=after)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return True
            assert process.returncode == 0, said
            return False


def committed(output: Path) -> set[int]:
    """Segments in the journals of an output."""
    journals = work_folder_of(output).glob("*/journal.jsonl")
    return {record.segment for journal in journals for record in recorded(journal)}


def until(process: subprocess.Popen[str], kind: str) -> None:
    """Read what a process tells until an event of a kind."""
    assert process.stdout is not None
    next(line for line in process.stdout if json.loads(line)["event"] == kind)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Processes that it has started, on Linux."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return [int(number) for task in tasks for number in (task / "children").read_text().split()]


def runs(number: int) -> bool:
    """Whether a process is there, and not only its number."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("kill"))


@pytest.fixture(scope="module")
def whole(command: Command) -> bytes:
    """What it makes undisturbed."""
    return command.finished(command.folder / "whole.mp4")


def kills_until_it_finishes(
    command: Command, whole: bytes, output: Path, moments: Iterator[float], *options: str
) -> int:
    """Kill the command after each of `moments` and give it again, to the same bytes; how many kills."""
    kills = 0
    before: set[int] = set()
    while not output.exists() and (after := next(moments, None)) is not None:
        kills += command.killed(output, after, *options)
        if not output.exists():
            assert committed(output) >= before
            before = committed(output)
    if not output.exists():
        command.finished(output, *options)
    for leftover in find_leftovers([command.folder]):  # killed after the file got its name
        remove(leftover)
    assert output.read_bytes() == whole
    return kills


@pytest.mark.slow
@pytest.mark.timeout(
    1200
)  # a minute and a half on a quiet machine; starting a process is most of it
def test_a_run_killed_at_twenty_random_moments_makes_the_same_bytes(
    command: Command, whole: bytes
) -> None:
    began = time.monotonic()
    assert command.finished(command.folder / "again.mp4") == whole
    takes = time.monotonic() - began
    chance, kills = random.Random(20), 0
    names = (command.folder / f"killed {number}.mp4" for number in itertools.count())
    while kills < KILLS:
        output = next(names)  # a new one each time: it may finish before its first kill
        moments = (chance.uniform(0, takes) for _ in range(KILLS - kills))
        kills += kills_until_it_finishes(command, whole, output, moments)


@pytest.mark.slow
def test_two_workers_killed_with_their_coordinator_make_the_bytes_of_one_process(
    command: Command, whole: bytes
) -> None:
    output = command.folder / "workers.mp4"
    for _ in range(3):
        with command.running(output, "--workers", "2") as process:
            until(process, "progress")
            os.killpg(process.pid, signal.SIGKILL)
    assert committed(output)
    assert command.finished(output, "--workers", "2") == whole


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_whose_coordinator_alone_is_killed_write_no_more(tmp_path: Path) -> None:
    """Not even the segment in hand is finished."""
    command = Command(tmp_path, size=(160, 120), frames=2 * SEGMENT_FRAMES)
    output = tmp_path / "out.mp4"
    work = work_folder_of(output)
    with command.running(output, "--workers", "2", "--smooth", "off") as process:
        while not list(work.glob("*/.*.partial.nut")):
            assert process.poll() is None
            time.sleep(0.01)
        workers = children(process)
        assert len([worker for worker in workers if runs(worker)]) >= 2
        process.kill()
        process.wait()
        while any(map(runs, workers)):
            time.sleep(0.05)
    assert list(work.glob("*/0*.nut")) == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_run_for_the_same_output_is_refused_and_does_no_harm(
    command: Command, whole: bytes, workers: str
) -> None:
    output = command.folder / f"contested {workers}.mp4"
    with command.running(output, "--workers", workers) as first:
        until(first, "progress")
        os.kill(first.pid, signal.SIGSTOP)  # else it may have finished before the second has begun
        with command.running(output) as second:
            said, _ = second.communicate(timeout=LONGEST)
        assert second.returncode == 1
        assert "Another run is converting to the same output" in said.splitlines()[-1]
        os.kill(first.pid, signal.SIGCONT)
        first.communicate(timeout=LONGEST)
        assert first.returncode == 0
    assert output.read_bytes() == whole
    assert list(find_leftovers([command.folder])) == []
