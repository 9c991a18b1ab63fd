"""Pictures on the command line."""

import json
from pathlib import Path

import pytest
from clips import make_clip
from commandline import Cli, assert_one_line
from PIL import Image


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
