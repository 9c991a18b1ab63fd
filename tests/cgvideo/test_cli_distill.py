"""Training from videos, fine-tuning and distilling, as a user types it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import make_clip
from commandline import SMALL, Cli, assert_one_line

torch = pytest.importorskip("torch")

from generators import random_model  # noqa: E402
from tiny_run import make_domain  # noqa: E402

from engines.library import find_model  # noqa: E402
from engines.model_file import write_model  # noqa: E402
from engines.spec import GeneratorSpec  # noqa: E402
from trainer import classifier  # noqa: E402

TEACHER = GeneratorSpec(base_channels=8, blocks=2, upsampling="transpose4")
STUDENT = ("--base-channels", "4", "--blocks", "1", "--crop", "32", "--images", "8")
TINY = (
    "--crop", "32", "--load-size", "36", "--base-channels", "4", "--blocks", "1", "--images", "4",
    "--discriminator-channels", "4", "--discriminator-layers", "2", "--upsampling", "transpose4",
    "--device", "cpu",
)  # fmt: skip


@pytest.fixture(autouse=True)
def master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A teacher in the library; little networks on one thread, and a judge who learnt little."""
    monkeypatch.setattr(classifier, "ROUNDS", 1)
    monkeypatch.setattr(classifier, "ROUND", 1)
    write_model(tmp_path / "models" / "master.safetensors", random_model(TEACHER))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_a_student_converts_a_clip(here: Cli, cli: Cli, clip: Path, tmp_path: Path) -> None:
    make_domain(tmp_path / "data" / "trainA", 4)
    make_domain(tmp_path / "data" / "testA", 2, first=20)
    command = ("distill", "master", "--name", "pupil", *STUDENT, "data", "--json")
    said = here(*command)
    assert said.returncode == 0, said.stderr
    events = [json.loads(line) for line in said.stdout.splitlines()]
    measured = [event for event in events if event["event"] == "measured"]
    assert measured[-1]["on_training_pictures"] == 0
    assert events[-1]["event"] == "done"
    assert events[-1]["models"] == ["pupil"]
    model = find_model("pupil")
    assert model.spec.name == "4x1"
    assert model.card["teacher"] == "master"
    again = here(*command)
    assert json.loads(again.stdout.splitlines()[-1])["images_seen"] == 8
    converted = cli("convert", clip, "--model", "pupil", "-o", "out.mkv", *SMALL)
    assert converted.returncode == 0, converted.stderr
    assert (tmp_path / "out.mkv").is_file()


def test_a_student_learns_from_a_folder_or_a_video(here: Cli, clip: Path, tmp_path: Path) -> None:
    make_domain(tmp_path / "pictures", 3)
    said = here("distill", "master", "pictures", "--name", "one", *STUDENT)
    assert said.returncode == 0, said.stderr
    said = here("distill", "master", "--source", clip, "--name", "two", *STUDENT)
    assert said.returncode == 0, said.stderr
    assert "master and 10 pictures" in said.stdout
    assert sorted(path.name for path in (tmp_path / "runs" / "two" / "frames").iterdir()) == [
        "source"
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody", "pictures"), ("no model named 'nobody'",)),
        (("master",), ("--source",)),
        (("master", "nowhere"), ("no folder", "nowhere")),
        (("master", "pictures", "--crop", "30"), ("--crop 30",)),
    ],
)
def test_what_is_wrong_is_told_before_a_run_begins(
    here: Cli, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    make_domain(tmp_path / "pictures", 3)
    assert_one_line(here("distill", *arguments, "--name", "p"), *words)
    assert not (tmp_path / "runs").exists()


def test_videos_are_trained_from_and_their_frames_kept(
    here: Cli, clip: Path, tmp_path: Path
) -> None:
    other = make_clip(tmp_path / "other.mp4", frames=6)
    command = ("train", "--source", clip, "--target", other, "--test-source", clip, "--name", "a2b")
    dry = here(*command, *TINY, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "from 10 and 6 pictures" in dry.stdout
    assert not (tmp_path / "runs").exists()
    said = here(*command, *TINY)
    assert said.returncode == 0, said.stderr
    assert "frames of in.mp4" in said.stderr
    frames = tmp_path / "runs" / "a2b" / "frames"
    assert sorted(path.name for path in frames.iterdir()) == ["source", "target"]
    times = {path: path.stat().st_mtime_ns for path in frames.rglob("*")}
    longer = (*TINY, "--images", "6")
    said = here(*command, *longer)
    assert said.returncode == 0, said.stderr
    assert "going on after 4 of 6" in said.stderr
    assert "frames of" not in said.stderr
    assert times == {path: path.stat().st_mtime_ns for path in frames.rglob("*")}


def test_a_run_is_fine_tuned_from_another(here: Cli, tmp_path: Path) -> None:
    for name in ("trainA", "trainB"):
        make_domain(tmp_path / "data" / name, 3)
    assert_one_line(
        here("train", "data", "--name", "x2y", *TINY, "--start-from", "master"),
        "8 channels, 2 blocks", "4 channels, 1 blocks",
    )  # fmt: skip
    assert not (tmp_path / "runs").exists()
    assert here("train", "data", "--name", "a2b", *TINY).returncode == 0
    command = ("train", "data", "--name", "x2y", *TINY, "--start-from")
    said = here(*command, tmp_path / "runs" / "a2b")
    assert said.returncode == 0, said.stderr
    assert find_model("x2y").card["start_from"] == "a2b"
    assert_one_line(here(*command, "a2b"), "other settings", "--start-from")
