"""Pictures: what their files say about colour, and what else is kept."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from cgvideo.codec.images import Picture, read_picture, write_picture

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>a place by the lake, \xc3\xa4</x:xmpmeta>"


def profile(space: bytes, gamma: float | None = None, cmyk: bool = False) -> bytes:
    """A small ICC profile: gray with a gamma, or CMYK by a table of its 16 corners."""
    if cmyk:
        corners = []
        for number in range(16):
            c, m, y, k = (number >> bit & 1 for bit in (3, 2, 1, 0))
            light = 0.1 if k else 1.0 - 0.2 * (c + m + y)  # far from the naive formula
            corners += [round(light * 255), 128, 128]
        identity = bytes(range(256))
        table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
        table += struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
        table += identity * 4 + bytes(corners) + identity * 3
        tags, pcs = {b"A2B0": table}, b"Lab "
    else:
        curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round((gamma or 1) * 256)) + bytes(2)
        tags, pcs = {b"kTRC": curve}, b"XYZ "
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags |= {b"wtpt": white, b"desc": text}
    body, index, offset = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        index += name + struct.pack(">2I", offset + len(body), len(data))
        body += data
    kind = b"prtr" if cmyk else b"mntr"
    head = struct.pack(">I4s", offset + len(body), b"lcms") + bytes([2, 0x40, 0, 0]) + kind + space
    head += pcs + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + index + body


GRAY = profile(b"GRAY", gamma=1.0)
CMYK = profile(b"CMYK", cmyk=True)
RGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def there_and_back(path: Path, source: Path) -> Image.Image:
    write_picture(path, read_picture(source))
    with Image.open(path) as written:
        written.load()
        return written


def test_gray_goes_to_srgb_by_its_profile(tmp_path: Path) -> None:
    source = tmp_path / "gray.png"
    Image.new("L", (8, 8), 55).save(source, icc_profile=GRAY)  # linear light
    written = there_and_back(tmp_path / "out.png", source)
    assert "icc_profile" not in written.info
    red, green, blue = written.getpixel((4, 4))
    assert abs(red - 128) < 4  # 55/255 of the light is about 128 in sRGB
    assert max(red, green, blue) - min(red, green, blue) < 3


def test_gray_with_transparency_keeps_it(tmp_path: Path) -> None:
    source = tmp_path / "gray.png"
    Image.new("LA", (8, 8), (55, 77)).save(source, icc_profile=GRAY)
    written = there_and_back(tmp_path / "out.png", source)
    assert abs(written.getpixel((4, 4))[0] - 128) < 4
    assert written.getpixel((4, 4))[3] == 77


def test_cmyk_goes_to_srgb_by_its_profile(tmp_path: Path) -> None:
    source = tmp_path / "ink.jpg"
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(source, icc_profile=CMYK, quality=95)
    written = there_and_back(tmp_path / "out.jpg", source)
    assert written.mode == "RGB"
    assert "icc_profile" not in written.info
    red, green, blue = written.getpixel((8, 8))
    assert abs(red - 198) < 8  # L* 80 is 198; without the profile red would be 0
    assert max(red, green, blue) - min(red, green, blue) < 6


def test_an_rgb_profile_is_kept_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    Image.new("RGB", (8, 8), (10, 200, 30)).save(source, icc_profile=RGB)
    for name in ("out.png", "out.jpg"):
        written = there_and_back(tmp_path / name, source)
        assert written.info["icc_profile"] == RGB
    assert read_picture(source).pixels[0, 0].tolist() == [10, 200, 30]


@pytest.mark.parametrize("stored", [b"damaged" * 40, GRAY, CMYK, RGB[:200]])
def test_a_profile_that_says_nothing_of_the_picture_is_ignored(
    tmp_path: Path, stored: bytes
) -> None:
    source = tmp_path / "in.jpg"
    Image.new("RGB", (16, 16), (120, 120, 120)).save(source, icc_profile=stored)
    written = there_and_back(tmp_path / "out.jpg", source)
    assert "icc_profile" not in written.info
    assert abs(written.getpixel((8, 8))[0] - 120) < 3


def test_a_cmyk_picture_never_keeps_an_rgb_profile(tmp_path: Path) -> None:
    source = tmp_path / "ink.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 0, 0)).save(source, icc_profile=RGB)
    assert read_picture(source).icc_profile is None


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_xmp_is_kept(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"in.{suffix}"
    write_picture(source, Picture(np.zeros((8, 8, 3), np.uint8), xmp=XMP))
    for name in ("out.png", "out.jpg"):
        assert there_and_back(tmp_path / name, source).info["xmp"] == XMP


def test_metadata_too_long_for_a_jpeg_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    picture = Picture(np.zeros((8, 8, 3), np.uint8), exif=exif.tobytes(), xmp=b"x" * 70_000)
    write_picture(tmp_path / "out.jpg", picture)
    write_picture(tmp_path / "out.png", picture)
    assert read_picture(tmp_path / "out.png").xmp == picture.xmp
