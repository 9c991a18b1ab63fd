"""A folder's conversion that is stopped or killed goes on to the very files of one that was not."""

import random
import signal
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from commandline import running
from PIL import Image

OPTIONS = ("--preset", "ultrafast", "--precision", "fp32")


@pytest.mark.slow
def test_a_folder_that_is_killed_again_and_again_ends_in_the_same_bytes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    source = tmp_path / "in"
    (source / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(60):
        size = [(48, 64), (64, 48), (40, 40)][number % 3]
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(source / ("more" if number % 2 else ".") / f"{number}.jpg")
    make_clip(source / "clip.mp4", frames=250, size=(96, 64))

    def finish(folder: Path) -> dict[str, bytes]:
        options = (*OPTIONS, "-o", str(folder), "--skip-existing")  # the last may just have ended
        with running(source, environment, *options) as (process, wait_for):
            while "manifest" not in wait_for("done"):  # of the folder, not of its clip
                pass
            assert process.wait(60) == 0
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    undisturbed = finish(tmp_path / "one")
    assert len(undisturbed) == 62
    chance = random.Random(1)
    output = tmp_path / "two"
    kills = 0
    for _ in range(12):
        with running(source, environment, *OPTIONS, "-o", str(output)) as (process, wait_for):
            try:
                for _ in range(chance.randint(1, 6)):
                    if wait_for("file")["done"] == wait_for("file")["of"]:
                        break
            except StopIteration:
                break  # it was finished
            process.kill()
            process.wait()
            kills += 1
    assert kills >= 4
    again = finish(output)
    names = {name for name in undisturbed if name != "manifest.jsonl"}
    assert {name for name in again if name != "manifest.jsonl"} == names
    assert [name for name in sorted(names) if again[name] != undisturbed[name]] == []


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8)
    for number in range(80):
        Image.fromarray(pixels).save(source / f"{number}.jpg")
    with running(source, environment, *OPTIONS) as (process, wait_for):
        wait_for("file")
        process.send_signal(signal.SIGINT)
        stopped = wait_for("done")
        assert process.wait(60) == 130
    assert 0 < stopped["converted"] < 80
    assert stopped["left"] == 80 - stopped["converted"]
    with running(source, environment, *OPTIONS) as (process, wait_for):
        done = wait_for("done")
        assert process.wait(60) == 0
    assert (done["skipped"], done["left"]) == (stopped["converted"], 0)
