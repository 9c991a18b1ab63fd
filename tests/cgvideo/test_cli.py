"""The command line as a user types it: every command in a process of its own."""

import inspect
import json
import re
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from clips import read_numbers
from commandline import SMALL, Cli, assert_one_line
from PIL import Image

import cgvideo
from cgvideo.cli.bench import bench
from cgvideo.cli.convert import convert
from engines.engine import BACKENDS
from engines.library import find_model


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cgvideo", "--help"], check=True, capture_output=True)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < 0.3


def test_it_says_its_version(cli: Cli) -> None:
    result = cli("--version")
    assert (result.returncode, result.stdout.strip()) == (0, f"cgvideo {cgvideo.__version__}")


def test_every_option_has_help_and_a_default(cli: Cli) -> None:
    text = cli("convert", "--help").stdout
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert {"--start", "--duration", "--max-size", "--strength", "--codec", "--crf"} <= {*options}
    blocks = re.split(r"^  (?=(?:-\w, )?--)", text.split("Options:")[1], flags=re.MULTILINE)[1:]
    for block in blocks:
        if re.match(r"--(dry-run|json|debug)|-h", block):  # switches that are off
            continue
        assert "efault:" in block, block
        if "--output" in block:
            assert "else .mkv" in " ".join(block.split())


@pytest.mark.parametrize("command", [bench, convert])
def test_help_names_every_backend(command: Callable[..., None]) -> None:
    option = inspect.signature(command).parameters["backend"].default
    for backend in BACKENDS[1:]:
        assert backend in option.help


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
    events = [event for event in events if event["event"] != "notice"]  # of an engine built now
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["preparing", "plan"]
    assert kinds[-1] == "done"
    assert events[1]["decisions"]["strength"] == 1.0
    assert events[-1]["frames"] == 10


def test_errors_are_json_too(cli: Cli, clip: Path) -> None:
    alone = cli("convert", "missing.mp4", "--json", *SMALL)
    events = [json.loads(line) for line in alone.stdout.splitlines()]
    assert alone.returncode == 1
    assert events[-1]["event"] == "error"
    assert "missing.mp4" in events[-1]["problem"]
    assert events[-1]["mend"] == "Check the name"
    assert not alone.stderr
    several = cli("convert", "missing.mp4", clip, "--json", *SMALL)
    events = [json.loads(line) for line in several.stdout.splitlines()]
    errors = [event for event in events if event["event"] == "error"]
    assert several.returncode == 1
    assert errors[0]["input"] == "missing.mp4"
    assert errors[-1] is events[-1]
    assert "1 of 2" in errors[-1]["problem"]
    assert not several.stderr
    assert json.loads(cli("convert", clip, "--strength", "9", "--json").stdout)["event"] == "error"


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
        ([".", "--include", "*.gif"], ["no picture and no video"]),
        ([".", "-o", "."], ["among the inputs"]),
        (["in.mp4", "--format", "pcx"], ["pcx", "Choose from png"]),
        (["in.mp4", "--quality", "101"], ["--quality 101"]),
        (["sound.wav"], ["no video"]),
        (["in.mp4", "in.mp4", "-o", "one.mp4"], ["not a folder"]),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line_with_its_mend(
    here: Cli, clip: Path, arguments: list[str], words: list[str]
) -> None:
    with wave.open(str(clip.with_name("sound.wav")), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))
    before = {path.name for path in clip.parent.iterdir()}
    assert_one_line(here("convert", *arguments), *words)
    assert {path.name for path in clip.parent.iterdir()} == before


def test_an_existing_output_is_replaced_only_when_asked(cli: Cli, clip: Path) -> None:
    output = clip.with_name("in.summer2winter.mp4")
    output.write_text("precious")
    assert_one_line(cli("convert", clip, *SMALL), "exists already", "--overwrite")
    assert output.read_text() == "precious"
    assert cli("convert", clip, "--overwrite", *SMALL).returncode == 0
    assert len(read_numbers(output)) == 10


def test_usage_errors_exit_with_2(here: Cli) -> None:
    assert here("convert").returncode == 2
    assert here("convert", "--nonsense").returncode == 2
    assert here("fly").returncode == 2


def test_a_bug_shows_its_traceback_only_with_debug(cli: Cli, clip: Path) -> None:
    plain = cli("convert", "missing.mp4")
    assert "Traceback" not in plain.stderr
    debugged = cli("convert", "missing.mp4", "--debug")
    assert "Traceback" in debugged.stderr
    assert debugged.returncode == 1


@pytest.mark.parametrize("command", [("models", "info", "nobody"), ("convert", "nothing.mp4")])
def test_debug_shows_the_traceback_of_any_command(cli: Cli, command: tuple[str, ...]) -> None:
    result = cli(*command, "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_models_are_listed_described_added_and_removed(here: Cli, tmp_path: Path) -> None:
    listed = here("models").stdout
    for word in ("summer2winter", "winter2summer", "Yosemite", "terms"):
        assert word in listed
    described = here("models", "info", "summer2winter").stdout
    for word in ("24x6", "sha256", "GMAC", "Yosemite", "terms"):
        assert word in described
    path = re.search(r"file: (.*)", described)
    assert path is not None
    assert here("models", "add", path[1], "--name", "mine").returncode == 0
    assert "mine (yours)" in here("models").stdout
    assert here("models", "remove", "mine").returncode == 0
    assert "mine" not in here("models").stdout
    assert_one_line(here("models", "remove", "summer2winter"), "summer2winter")


def test_a_damaged_model_is_listed_as_such_beside_the_others(here: Cli, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.safetensors").write_text("no model")
    (tmp_path / "models" / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    result = here("models")
    assert result.returncode == 0, result.stderr
    assert re.search(r"broken \(yours\) +damaged", result.stdout)
    assert re.search(r"gone \(yours\) +damaged", result.stdout)
    assert "summer2winter" in result.stdout
    assert here("models", "remove", "broken").returncode == 0


@pytest.mark.slow
def test_an_output_carries_the_name_that_the_model_was_given(cli: Cli, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "green").save(tmp_path / "in.png")
    built_in = find_model("summer2winter").path
    assert built_in is not None
    assert cli("models", "add", built_in, "--name", "mywinter").returncode == 0
    assert cli("convert", "in.png", "--model", "mywinter").returncode == 0
    assert (tmp_path / "in.mywinter.png").exists()


SHORT_DEMO = """
import functools
from cgvideo import demo
demo.SECONDS = 0.25
demo.frames = functools.partial(demo.frames, demo.SIZE, round(demo.SECONDS * demo.FRAME_RATE))
"""


@pytest.mark.slow
def test_the_demo_writes_its_clip_the_result_both_and_a_picture(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    program = f"{SHORT_DEMO}\nfrom cgvideo.cli import main\nmain()"
    result = subprocess.run(
        [sys.executable, "-c", program, "demo", "-o", tmp_path],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
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
