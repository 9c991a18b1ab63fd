"""Real pictures, made by many cameras and programs, as one folder by one command.

They lie beside the repository, in ../shared/clips; without them these tests are skipped.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commandline import Cli

from cgvideo.codec.images import opened, read_picture
from cgvideo.codec.images.formats import load_heif
from engines.errors import UserError

PICTURES = Path(__file__).parents[3] / "shared" / "clips" / "images"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PICTURES.is_dir(), reason=f"there are no real pictures at {PICTURES}"),
]

DAMAGED = {
    "pillow/apng/chunk_no_fdat.png", "pillow/apng/sequence_gap.png", "pillow/broken.png",
    "pillow/broken_data_stream.png", "pillow/crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif",
    "pillow/oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif", "pillow/png_decompression_dos.png",
    "pillow/truncated_image.png", "pillow/truncated_jpeg.jpg", "pillow/ultrahdr.jpg",
    "pillow/zero_width.gif", "pillow_heif/heif_corrupted/corrupted.heic",
    "pillow_heif/heif_corrupted/empty.heic",
    "pillow/hopper_webp.tif",  # whole, in a compression that Pillow's wheel lacks
    "pillow_heif/heif_special/L_8__128(64)x128(64).heif",
    "pillow_heif/heif_special/L_8__29x100(100x29).heif",
}  # fmt: skip
BOMBS = {
    "pillow/bmp/b/reallybig.bmp", "pillow/decompression_bomb.gif",
    "pillow/decompression_bomb_extents.gif",
}  # fmt: skip
HDR = {
    "libavif/colors_hdr_p3.avif", "libavif/colors_wcg_hdr_rec2020.avif",
    "libavif/seine_hdr_gainmap_small_srgb.avif",
}  # fmt: skip


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The folder that the pictures become at most 96 pixels large and by strength 0, and its manifest."""
    from cgvideo.interface import convert_folder
    from cgvideo.settings import Settings
    from engines.library import find_model

    output = tmp_path_factory.mktemp("pictures") / "out"
    settings = Settings(output=output, max_size=96, strength=0)
    convert_folder(PICTURES, find_model("summer2winter"), settings)
    lines = (output / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return output, {line["input"]: line for line in map(json.loads, lines) if "input" in line}


def test_all_convert_but_what_is_damaged_a_bomb_or_hdr(
    converted: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    _, entries = converted
    failed = {name for name, entry in entries.items() if entry["status"] == "failed"}
    heic = {name for name in entries if name.endswith((".heic", ".heif"))}
    without = set() if load_heif() else heic
    assert failed - without == (DAMAGED | BOMBS | HDR) - without
    for name in BOMBS:
        assert "too large" in entries[name]["reason"]
    for name in HDR:
        assert "HDR" in entries[name]["reason"]
    for name in without - DAMAGED:
        assert "pip install 'cgvideo[heic]'" in entries[name]["reason"]
    assert not [entry["reason"] for entry in entries.values() if "bug" in entry["reason"]]


def test_each_looks_as_its_source(converted: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    output, entries = converted
    for name, entry in entries.items():
        if entry["status"] == "failed":
            continue
        with opened(PICTURES / name) as before, opened(output / entry["output"]) as after:
            assert after.kind == before.kind or after.kind == "still", name
            source, result = next(before.pictures()), next(after.pictures())
        clear = source.alpha is not None and source.alpha.min() < source.alpha.max()
        assert not clear or result.alpha is not None or name.endswith("bmp"), name
        assert source.icc_profile == result.icc_profile, name
        small = cv2.resize(source.pixels, result.size[::-1], interpolation=cv2.INTER_AREA)
        off = np.abs(np.float32(small) - result.pixels)
        if source.alpha is not None:  # what nobody sees may be any colour
            seen = cv2.resize(source.alpha, result.size[::-1], interpolation=cv2.INTER_AREA)
            off = off[seen == seen.max()]
        assert off.mean() < (0.01 if source.deep else 8), name


def test_the_eight_orientations_are_one_picture(
    converted: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    output, _ = converted
    pictures = [read_picture(output / f"Landscape_{turn}.jpg").pixels for turn in range(1, 9)]
    for picture in pictures[1:]:  # which differ in the digit that stands in them
        assert picture.shape == pictures[0].shape
        assert np.abs(picture.astype(int) - pictures[0]).mean() < 6


def test_the_command_says_what_it_left_alone(cli: Cli) -> None:
    told = cli("convert", PICTURES, "-o", "out", "--dry-run")
    assert told.returncode == 0
    for suffix in (".ico", ".jp2", ".mpo", ".pbm", ".pgm", ".tga"):
        assert suffix in told.stderr


def test_the_limit_on_pixels_can_be_raised_for_an_honest_picture() -> None:
    source = PICTURES / "pillow/old-style-jpeg-compression.tif"
    with pytest.raises(UserError, match="--max-pixels"):
        read_picture(source, most_pixels=1_000_000)
    assert read_picture(source, most_pixels=4_000_000).size == (870, 4160)
