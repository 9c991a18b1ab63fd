"""`cgvideo train` and `cgvideo report`, as a user types them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli, assert_one_line
from PIL import Image

pytest.importorskip("torch")

from tiny_run import BLUE, ORANGE, make_domain, make_domains, texture

SMALL = (
    "--preset", "fast", "--crop", "32", "--load-size", "36", "--base-channels", "4", "--blocks", "1",
    "--discriminator-channels", "4", "--discriminator-layers", "2", "--average", "4", "--device", "cpu",
    "--precision", "fp32",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_domains(tmp_path / "blue2orange")
    return tmp_path / "blue2orange"


@pytest.mark.slow
def test_two_folders_become_models_that_convert(cli: Cli, data: Path, tmp_path: Path) -> None:
    trained = cli("train", data, *SMALL, "--images", "8", "--save-every", "4")
    assert trained.returncode == 0, trained.stderr
    for word in (
        "6 and 5 pictures",
        "generator resnet, 4 channels",
        "model blue2orange",
        "orange2blue",
    ):
        assert word in trained.stdout
    run = tmp_path / "runs" / "blue2orange"
    assert (run / "report.html").stat().st_size > 10_000
    assert sorted(path.stem for path in (run / "checkpoints").glob("0*.pt")) == [
        "000000004",
        "000000008",
    ]
    assert "blue2orange" in cli("models").stdout

    Image.fromarray(texture(1, size=(48, 64))).save(tmp_path / "blue.png")
    converted = cli("convert", "blue.png", "--model", "orange2blue", "--precision", "fp32")
    assert converted.returncode == 0, converted.stderr
    with Image.open(tmp_path / "blue.orange2blue.png") as picture:
        assert picture.size == (64, 48)

    other = cli("train", data, *SMALL, "--images", "8", "--save-every", "4", "--cycle", "5")
    assert_one_line(other, "other settings", "--cycle 10.0 → 5.0")
    longer = cli("train", data, *SMALL, "--images", "12", "--save-every", "4")
    assert longer.returncode == 0, longer.stderr
    assert "going on after 8 of 12" in longer.stderr
    assert cli("report", run).stdout.strip() == str(run / "report.html")


@pytest.mark.slow
def test_a_stopped_run_goes_on(
    data: Path, tmp_path: Path, environment: dict[str, str], cli: Cli
) -> None:
    command = [
        sys.executable,
        "-m",
        "cgvideo",
        "train",
        str(data),
        *SMALL,
        "--images",
        "100000",
        "--json",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "progress":
                process.send_signal(signal.SIGINT)
                break
        events = [json.loads(line) for line in process.stdout]
    assert process.returncode == 130
    assert events[-1]["event"] == "done"
    assert events[-1]["stopped"]
    seen = events[-1]["images_seen"]
    again = cli("train", data, *SMALL, "--images", "100000", "--minutes", "0.001")
    assert_one_line(again, "other settings")  # by time is another run than by pictures
    again = cli("train", data, *SMALL, "--images", "100000", "--dry-run")
    assert again.returncode == 0
    (newest,) = (tmp_path / "runs" / "blue2orange" / "checkpoints").glob("0*.pt")
    assert int(newest.stem) == seen


def test_a_dry_run_writes_nothing(cli: Cli, data: Path, tmp_path: Path) -> None:
    planned = cli("train", data, *SMALL, "--epochs", "3", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "18 pictures" in planned.stdout  # 3 times the larger domain
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_pairs_side_by_side(cli: Cli, tmp_path: Path) -> None:
    for part, count in (("train", 4), ("test", 2)):
        folder = tmp_path / "pairs" / part
        folder.mkdir(parents=True)
        for number in range(count):
            both = np.concatenate([texture(number, BLUE), texture(number, ORANGE)], axis=1)
            Image.fromarray(both).save(folder / f"{number}.png")
    small = [word for word in SMALL if word not in ("--preset", "fast", "--blocks", "1")]
    trained = cli("train", tmp_path / "pairs", "--preset", "pix2pix", *small, "--blocks", "3",
                  "--images", "4", "--direction", "BtoA", "--name", "orange2blue")  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "model orange2blue" in trained.stdout
    assert "blue2orange" not in trained.stdout
    log = (tmp_path / "runs" / "orange2blue" / "log.jsonl").read_text()
    assert "l1" in log
    assert "psnr_to_truth" in log


def test_settings_of_a_file_give_way_to_options(cli: Cli, data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("images = 6\ncrop = 24\nname = 'mine'\n")
    planned = cli("train", data, *SMALL, "--config", "mine.toml", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.startswith("mine:")
    assert "6 pictures, batch" in planned.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), ("no folder nowhere",)),
        (("{data}", "--preset", "best"), ("'best'", "cyclegan")),
        (("{data}", "--direction", "up"), ("up", "AtoB")),
        (("{data}", "--adversarial", "none"), ("none", "lsgan")),
        (("{data}", "--crop", "30"), ("multiple of 4",)),
        (("{data}", "--config", "no.toml"), ("no.toml",)),
        (("{data}", "--name", "a/b"), ("a/b",)),
        (("{data}", "--name", "summer2winter"), ("already", "--name")),
        (("{data}/trainA",), ("trainA and trainB",)),
        (("{data}", "--device", "cuda:7"), ("cuda:7",)),
        ((), ("--name is missing",)),
    ],
)
def test_what_is_wrong_is_one_line(
    here: Cli, data: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    given = [word.format(data=data) for word in arguments]
    assert_one_line(here("train", *given), *words)
    assert not (tmp_path / "runs" / "summer2winter").exists()


def test_no_run_no_report(cli: Cli, tmp_path: Path) -> None:
    assert_one_line(cli("report", tmp_path), "is no run")


def test_two_processes_do_not_train_one_run(cli: Cli, data: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    make_domain(tmp_path / "more")
    run = tmp_path / "runs" / "blue2orange"
    run.mkdir(parents=True)
    with FileLock(run / ".lock"):
        assert_one_line(cli("train", data, *SMALL, "--images", "4"), "Another process")
