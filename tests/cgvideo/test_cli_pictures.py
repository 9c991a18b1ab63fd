"""Pictures on the command line."""

import json
from pathlib import Path

import pytest
from clips import make_clip
from commandline import Cli, assert_one_line
from PIL import Image

from cgvideo.interface import convert
from engines.errors import UserError


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


def test_a_dry_run_of_a_picture_says_everything_and_writes_nothing(
    cli: Cli, tmp_path: Path
) -> None:
    Image.new("RGB", (80, 60), "green").save(tmp_path / "in.png")
    result = cli("convert", "in.png", "--dry-run", "--max-size", "40")
    assert result.returncode == 0, result.stderr
    for word in ("80x60", "summer2winter", "OpenVINO", "in.summer2winter.png: 40x30"):
        assert word in result.stderr
    told = cli("convert", "in.png", "--dry-run", "--json")
    plan = json.loads(told.stdout)
    assert (plan["event"], plan["output"]) == ("plan", "in.summer2winter.png")
    assert plan["size"] == [60, 80]
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope.png"], ["nope.png does not exist"]),
        (["broken.png"], ["broken.png cannot be read"]),
        (["in.png", "-o", "taken.png"], ["taken.png exists already"]),
        (["in.png", "-o", "out.mp4"], ["out.mp4", ".png"]),
        (["in.png", "-o", "nowhere/out.png"], ["nowhere does not exist"]),
        (["in.png", "--backend", "abacus"], ["abacus"]),
    ],
)
def test_a_dry_run_of_a_picture_finds_what_a_run_would(
    here: Cli, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    for name in ("in.png", "taken.png"):
        Image.new("RGB", (80, 60), "green").save(tmp_path / name)
    (tmp_path / "broken.png").write_text("no picture")
    assert_one_line(here("convert", *arguments, "--dry-run"), *words)


def test_two_inputs_that_would_become_one_file_are_refused_before_anything_is_done(
    here: Cli, tmp_path: Path
) -> None:
    for folder in ("p", "q", "res"):
        (tmp_path / folder).mkdir()
    for folder in ("p", "q"):
        Image.new("RGB", (32, 32), "green").save(tmp_path / folder / "x.jpg")
        make_clip(tmp_path / folder / "v.mp4", frames=2)
    Image.new("RGB", (32, 32), "green").save(tmp_path / "first.png")
    refused = here("convert", "first.png", "p/x.jpg", "q/x.jpg", "-o", "res", "--overwrite")
    assert_one_line(refused, "p/x.jpg", "q/x.jpg", "x.summer2winter.jpg")
    assert_one_line(here("convert", "p/v.mp4", "q/v.mp4", "-o", "res"), "p/v.mp4", "q/v.mp4")
    assert_one_line(here("convert", "p/v.mp4", "p/v.mp4"), "would both become")
    assert not [*(tmp_path / "res").iterdir()]
    make_clip(tmp_path / "p" / "v.mkv", frames=2)  # these have places of their own
    assert here("convert", "p/v.mp4", "p/v.mkv", "p/x.jpg", "q/x.jpg", "--dry-run").returncode == 0
    lossless = here("convert", "p/v.mp4", "p/v.mkv", "--codec", "ffv1", "--dry-run")
    assert_one_line(lossless, "v.summer2winter.mkv")


@pytest.mark.parametrize("videos", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_folder_converts_by_one_command(here: Cli, tmp_path: Path, videos: int) -> None:
    pictures = ["a b.jpg", "x/ü.png", "x/v.webp"]
    for name in pictures:
        (tmp_path / "in/x").mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((40, 32)).convert("RGB").save(tmp_path / "in" / name)
    if videos:
        make_clip(tmp_path / "in/x/clip.mp4", frames=3, size=(96, 64))
    (tmp_path / "in/bad.png").write_text("no picture")
    (tmp_path / "in/notes.txt").write_text("left alone")
    planned = here("convert", "in", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert f"4 pictures, {videos} videos" in planned.stderr
    assert not (tmp_path / "in.summer2winter").exists()
    result = here("convert", "in", "--json", "--preset", "ultrafast")
    assert result.returncode == 1
    events = [json.loads(line) for line in result.stdout.splitlines()]
    files = [event for event in events if event["event"] == "file"]
    told = {file["input"]: file["status"] for file in files}
    done = dict.fromkeys([*pictures, *["x/clip.mp4"] * videos], "done")
    assert told == done | {"bad.png": "failed"}
    assert [file["done"] for file in files] == [*range(1, len(files) + 1)]
    end = next(event for event in events if event["event"] == "done" and "manifest" in event)
    assert (end["converted"], end["failed"]) == (3 + videos, 1)
    assert end["left_alone"] == {"of another format (.txt)": 1}
    assert f"1 of {4 + videos} files in in could not be converted" in events[-1]["problem"]
    (tmp_path / "in/bad.png").unlink()
    again = here("convert", "in", "--preset", "ultrafast")
    assert again.returncode == 0, again.stderr
    assert f"{3 + videos} done before" in again.stderr


def test_folders_among_other_inputs_go_into_the_folder_asked_for(here: Cli, tmp_path: Path) -> None:
    for name in ("p/in/a.png", "q/in/a.png", "one.png", "res/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), "green").save(tmp_path / name, format="PNG")
    assert_one_line(here("convert", "p/in", "q/in", "-o", "res"), "one folder")
    assert here("convert", "p/in", "one.png", "-o", "res").returncode == 0
    assert (tmp_path / "res/in.summer2winter/a.png").is_file()
    assert (tmp_path / "res/one.summer2winter.png").is_file()


def test_python_converts_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (32, 32), "green").save(tmp_path / "in/a.png")
    output = convert(tmp_path / "in", include=["*.png"])
    assert output == tmp_path / "in.summer2winter"
    assert (output / "a.png").is_file()
    (tmp_path / "in/b.png").write_text("no picture")
    with pytest.raises(UserError, match="1 of 2 files"):
        convert(tmp_path / "in", skip_existing=True)
