"""The command line as a user types it: every command in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip, read_numbers
from PIL import Image

from engines.library import find_model

Cli = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--max-size", "64", "--preset", "ultrafast", "--precision", "fp32")


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
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=10, size=(96, 64))


def assert_one_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """An error is one line on standard error that starts with the program's name."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("cgvideo: ")
    for word in words:
        assert word in last


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cgvideo", "--help"], check=True, capture_output=True)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < 0.3


def test_every_option_has_help_and_a_default(cli: Cli) -> None:
    text = cli("convert", "--help").stdout
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert {"--start", "--duration", "--max-size", "--strength", "--codec", "--crf"} <= {*options}
    blocks = re.split(r"^  (?=(?:-\w, )?--)", text.split("Options:")[1], flags=re.MULTILINE)[1:]
    for block in blocks:
        if re.match(r"--(dry-run|json|debug)|-h", block):  # switches that are off
            continue
        assert "efault:" in block, block


def test_a_clip_is_written_beside_its_source_under_the_models_name(cli: Cli, clip: Path) -> None:
    result = cli("convert", clip, "--model", "summer2winter", *SMALL)
    assert result.returncode == 0, result.stderr
    written = clip.with_name("in.summer2winter.mp4")
    assert len(read_numbers(written)) == 10
    assert "OpenVINO" in result.stderr  # what was chosen
    assert "fastest backend" in result.stderr  # and why
    assert str(written) in result.stderr.splitlines()[-1]
    assert sorted(path.name for path in clip.parent.iterdir()) == ["in.mp4", written.name]


def test_several_inputs_go_into_a_folder_and_a_bad_one_does_not_stop_the_rest(
    cli: Cli, clip: Path, tmp_path: Path
) -> None:
    bad, folder = tmp_path / "bad.mp4", tmp_path / "out"
    bad.write_text("no video")
    folder.mkdir()
    result = cli("convert", bad, clip, "-o", folder, *SMALL)
    assert_one_line(result, "1 of 2")
    assert "bad.mp4 cannot be read" in result.stderr
    assert [path.name for path in folder.iterdir()] == ["in.summer2winter.mp4"]


def test_a_dry_run_says_everything_and_writes_nothing(cli: Cli, clip: Path) -> None:
    result = cli("convert", clip, "--dry-run")
    assert result.returncode == 0
    for word in ("input", "model", "engine", "output", "cost", "of disk"):
        assert word in result.stderr
    assert [path.name for path in clip.parent.iterdir()] == ["in.mp4"]


def test_json_is_one_object_a_line(cli: Cli, clip: Path) -> None:
    result = cli("convert", clip, "--json", *SMALL)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["preparing", "plan"]
    assert kinds[-1] == "done"
    assert events[1]["decisions"]["strength"] == 1.0
    assert events[-1]["frames"] == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.mp4"], ["does not exist"]),
        (["in.mp4", "--model", "sumer2winter"], ["no model", "summer2winter"]),
        (["in.mp4", "--model", "nothing.safetensors"], ["nothing.safetensors"]),
        (["in.mp4", "-o", "in.mp4"], ["would replace the input"]),
        (["in.mp4", "-o", "nowhere/out.mp4"], ["does not exist", "Make it"]),
        (["in.mp4", "-o", "out.docx"], [".docx", ".mp4"]),
        (["in.mp4", "--codec", "mpeg7"], ["mpeg7", "h264"]),
        (["in.mp4", "--pix-fmt", "yuv999"], ["yuv999", "yuv420p"]),
        (["in.mp4", "--crf", "99"], ["99", "51"]),
        (["in.mp4", "--preset", "warp"], ["warp"]),
        (["in.mp4", "--strength", "2"], ["0 to 1"]),
        (["in.mp4", "--start", "99"], ["99"]),
        (["in.mp4", "--max-size", "1"], ["16"]),
        (["in.mp4", "--threads", "0"], ["1 or more"]),
        (["in.mp4", "--backend", "abacus"], ["abacus", "openvino"]),
        (["in.mp4", "--precision", "fp3"], ["fp3"]),
        (["."], ["folder"]),
        (["sound.wav"], ["no video"]),
        (["in.mp4", "in.mp4", "-o", "one.mp4"], ["not a folder"]),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line_with_its_mend(
    cli: Cli, clip: Path, arguments: list[str], words: list[str]
) -> None:
    with wave.open(str(clip.with_name("sound.wav")), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))
    before = {path.name for path in clip.parent.iterdir()}
    assert_one_line(cli("convert", *arguments), *words)
    assert {path.name for path in clip.parent.iterdir()} == before


def test_an_existing_output_is_replaced_only_when_asked(cli: Cli, clip: Path) -> None:
    output = clip.with_name("in.summer2winter.mp4")
    output.write_text("precious")
    assert_one_line(cli("convert", clip, *SMALL), "exists already", "--overwrite")
    assert output.read_text() == "precious"
    assert cli("convert", clip, "--overwrite", *SMALL).returncode == 0
    assert len(read_numbers(output)) == 10


def test_usage_errors_exit_with_2(cli: Cli) -> None:
    assert cli("convert").returncode == 2
    assert cli("convert", "--nonsense").returncode == 2
    assert cli("fly").returncode == 2


def test_a_bug_shows_its_traceback_only_with_debug(cli: Cli, clip: Path) -> None:
    plain = cli("convert", "missing.mp4")
    assert "Traceback" not in plain.stderr
    debugged = cli("convert", "missing.mp4", "--debug")
    assert "Traceback" in debugged.stderr
    assert debugged.returncode == 1


@contextmanager
def running(
    source: Path, environment: dict[str, str], *options: str
) -> Iterator[tuple[subprocess.Popen[str], Callable[[str], dict[str, Any]]]]:
    """A conversion in a process, and what waits for its next event of a kind."""
    command = [sys.executable, "-m", "cgvideo", "convert", str(source), "--json", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=source.parent
    ) as process:
        assert process.stdout is not None
        events = map(json.loads, process.stdout)
        yield process, lambda kind: next(event for event in events if event["event"] == kind)


def test_ctrl_c_keeps_whole_segments_and_the_same_command_goes_on(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    source = make_clip(tmp_path / "long.mp4", frames=500, size=(160, 96))
    output = tmp_path / "long.summer2winter.mp4"
    options = ("--preset", "ultrafast", "--precision", "fp32")
    with running(source, environment, *options) as (process, wait_for):
        wait_for("progress")
        process.send_signal(signal.SIGINT)
        stopped = wait_for("stopped")
        assert process.wait(60) == 130
    assert stopped["frames"] % 96 == 0
    assert stopped["frames"] > 0
    assert not output.exists()
    with running(source, environment, *options) as (process, wait_for):
        assert wait_for("resumed")["frame"] == stopped["frames"]
        assert wait_for("done")["frames"] == 500
        assert process.wait(60) == 0
    assert len(read_numbers(output)) == 500
    assert not list(tmp_path.glob(".*.cgvideo"))


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, environment: dict[str, str]) -> None:
    source = make_clip(tmp_path / "long.mp4", frames=200, size=(640, 352))
    with running(source, environment) as (process, wait_for):
        wait_for("progress")
        process.send_signal(signal.SIGINT)
        wait_for("stopping")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert time.monotonic() - began < 2
    assert not (tmp_path / "long.summer2winter.mp4").exists()


def test_a_picture_converts_and_keeps_what_its_file_says(cli: Cli, tmp_path: Path) -> None:
    picture = Image.effect_mandelbrot((90, 50), (-2, -1, 1, 1), 50).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    exif[0x010F] = "camera"
    picture.save(tmp_path / "in.jpg", exif=exif, dpi=(300, 300))
    result = cli("convert", tmp_path / "in.jpg", "--strength", "0")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "in.summer2winter.jpg") as written:
        assert written.size == (50, 90)
        assert written.getexif().get(0x0112, 1) == 1
        assert written.getexif()[0x010F] == "camera"
        assert written.info["dpi"] == (300, 300)
        turned = picture.rotate(-90, expand=True).convert("L")
        difference = [
            abs(a - b)
            for a, b in zip(
                written.convert("L").get_flattened_data(), turned.get_flattened_data(), strict=True
            )
        ]
    assert sum(difference) / len(difference) < 3


def test_a_pictures_transparency_is_kept(cli: Cli, tmp_path: Path) -> None:
    Image.linear_gradient("L").resize((64, 48)).convert("LA").save(tmp_path / "in.png")
    with Image.open(tmp_path / "in.png") as source:
        alpha = source.convert("RGBA").getchannel("A").tobytes()
    assert cli("convert", tmp_path / "in.png").returncode == 0
    with Image.open(tmp_path / "in.summer2winter.png") as written:
        assert written.mode == "RGBA"
        assert written.getchannel("A").tobytes() == alpha


def test_models_are_listed_described_added_and_removed(cli: Cli, tmp_path: Path) -> None:
    listed = cli("models").stdout
    for word in ("summer2winter", "winter2summer", "Yosemite", "terms"):
        assert word in listed
    described = cli("models", "info", "summer2winter").stdout
    for word in ("24x6", "sha256", "GMAC", "Yosemite", "terms"):
        assert word in described
    path = re.search(r"file: (.*)", described)
    assert path is not None
    assert cli("models", "add", path[1], "--name", "mine").returncode == 0
    assert "mine (yours)" in cli("models").stdout
    assert cli("models", "remove", "mine").returncode == 0
    assert "mine" not in cli("models").stdout
    assert_one_line(cli("models", "remove", "summer2winter"), "summer2winter")


def test_a_damaged_model_is_listed_as_such_beside_the_others(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.safetensors").write_text("no model")
    (tmp_path / "models" / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    result = cli("models")
    assert result.returncode == 0, result.stderr
    assert re.search(r"broken \(yours\) +damaged", result.stdout)
    assert re.search(r"gone \(yours\) +damaged", result.stdout)
    assert "summer2winter" in result.stdout
    assert cli("models", "remove", "broken").returncode == 0


def test_an_output_carries_the_name_that_the_model_was_given(cli: Cli, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "green").save(tmp_path / "in.png")
    built_in = find_model("summer2winter").path
    assert built_in is not None
    assert cli("models", "add", built_in, "--name", "mywinter").returncode == 0
    assert cli("convert", "in.png", "--model", "mywinter").returncode == 0
    assert (tmp_path / "in.mywinter.png").exists()


def test_the_demo_writes_its_clip_the_result_both_and_a_picture(
    cli: Cli, tmp_path: Path, clip: Path
) -> None:
    result = cli("demo", "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    names = {
        "cgvideo-demo.mp4",
        "cgvideo-demo.summer2winter.mp4",
        "cgvideo-demo.summer2winter.compare.mp4",
        "cgvideo-demo.summer2winter.png",
    }
    assert names <= {path.name for path in tmp_path.iterdir()}
    for name in names:
        assert name in result.stdout
    with Image.open(tmp_path / "cgvideo-demo.summer2winter.png") as picture:
        assert picture.size == (1280, 360)
        before, after = picture.crop((0, 0, 640, 360)), picture.crop((640, 0, 1280, 360))
        green = [
            sum(band_green - band_red for band_red, band_green, _ in half.get_flattened_data())
            for half in (before.crop((0, 240, 640, 360)), after.crop((0, 240, 640, 360)))
        ]
    assert green[0] > 0  # a summer meadow
    assert green[1] < green[0] / 4  # has lost its green
