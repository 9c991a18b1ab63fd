"""Pictures of all kinds are read as they look; those that cannot be are named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import make_domain, texture

from engines.errors import UserError
from trainer.pictures import PictureSet, Scaling, find_pictures, without_copies

AS_IS = Scaling("none", 1, 1, 1)


def read(path: Path, scaling: Scaling = AS_IS, **options: object) -> np.ndarray:
    return PictureSet([path], "here", scaling, **options)[0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_files_that_lose_nothing_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(texture(1)).save(tmp_path / f"1.{suffix}", lossless=True)
    assert np.array_equal(read(tmp_path / f"1.{suffix}"), texture(1))


def test_grey_palette_and_transparent_pictures_are_read_as_they_look(tmp_path: Path) -> None:
    picture = Image.fromarray(texture(1))
    for mode in ("L", "P", "RGBA", "LA", "1", "CMYK", "YCbCr"):
        suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
        path = tmp_path / f"{mode}.{suffix}"
        converted = picture.convert(mode)
        converted.save(path)
        pixels = read(path)
        assert pixels.shape == (40, 40, 3)
        assert np.abs(pixels.astype(int) - np.asarray(converted.convert("RGB"))).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    levels = np.linspace(0, 65535, 1600).astype(np.uint16).reshape(40, 40)
    Image.fromarray(levels).save(tmp_path / f"deep.{suffix}")
    pixels = read(tmp_path / f"deep.{suffix}")
    assert np.abs(pixels[..., 0] - levels / 257).max() <= 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = texture(1, size=(24, 40))
    Image.fromarray(pixels).save(tmp_path / "1.png", exif=exif)
    turned = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1],
        5: pixels.transpose(1, 0, 2), 6: np.rot90(pixels, -1), 7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels),
    }  # fmt: skip
    assert np.array_equal(read(tmp_path / "1.png"), turned[orientation])


def test_gray_has_one_brightness(tmp_path: Path) -> None:
    path = make_domain(tmp_path, 1) / "000.png"
    pixels = read(path, gray=True)
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    with Image.open(path) as picture:
        assert np.array_equal(pixels[..., 0], np.asarray(picture.convert("L")))


@pytest.mark.parametrize(
    ("preprocess", "size", "scaled"),
    [
        ("resize_and_crop", (50, 90), (36, 36)),
        ("scale_width_and_crop", (100, 50), (72, 36)),
        ("scale_width_and_crop", (10, 50), (32, 36)),  # no less than a crop
        ("crop", (50, 90), (50, 90)),
        ("crop", (16, 20), (32, 40)),
        ("none", (50, 90), (48, 88)),
        ("none", (3, 90), (4, 88)),
    ],
)
def test_each_way_to_scale(preprocess: str, size: tuple, scaled: tuple, tmp_path: Path) -> None:
    scaling = Scaling(preprocess, 36, 32, 4)
    assert scaling.size(*size) == scaled
    path = make_domain(tmp_path, 1, size=size) / "000.png"
    assert read(path, scaling).shape[:2] == scaled


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (255, 257), (7, 5000)])
@pytest.mark.parametrize("preprocess", ["resize_and_crop", "scale_width_and_crop", "crop"])
def test_a_crop_fits_into_every_picture(preprocess: str, size: tuple[int, int]) -> None:
    assert min(Scaling(preprocess, 286, 256).size(*size)) >= 256


def test_one_in_twenty_may_be_damaged(tmp_path: Path) -> None:
    folder = make_domain(tmp_path, 20)
    (folder / "007.png").write_bytes((folder / "007.png").read_bytes()[:60])
    pictures = PictureSet(find_pictures(folder), "here", AS_IS)
    assert len(pictures) == 19
    assert [path.name for path in pictures.unreadable] == ["007.png"]
    (folder / "008.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"2 of 20 pictures in here cannot be read, first 007\.png"):
        PictureSet(find_pictures(folder), "here", AS_IS)


def test_folders_that_are_missing_or_empty_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        find_pictures(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("")
    assert find_pictures(tmp_path) == []
    with pytest.raises(UserError, match="here holds no pictures"):
        PictureSet([], "here", AS_IS)


def test_folders_are_searched_in_depth_and_by_name(tmp_path: Path) -> None:
    make_domain(tmp_path / "b" / "c", 1)
    make_domain(tmp_path / "a", 1, first=9)
    (tmp_path / "a" / "SHOUT.JPG").write_bytes(b"")
    (tmp_path / "a" / "._009.png").write_bytes(b"")
    (tmp_path / "a" / "folder.png").mkdir()
    names = [str(path.relative_to(tmp_path)) for path in find_pictures(tmp_path)]
    assert names == ["a/009.png", "a/SHOUT.JPG", "b/c/000.png"]


def test_copies_are_told_by_their_bytes(tmp_path: Path) -> None:
    one, other = make_domain(tmp_path / "a", 3), make_domain(tmp_path / "b", 3, first=2)
    (other / "renamed.png").write_bytes((one / "000.png").read_bytes())
    fresh = without_copies(find_pictures(other), find_pictures(one))
    assert [path.name for path in fresh] == ["003.png", "004.png"]
