"""Every picture format there and back: pixels, depth, times, and what the files say."""

import itertools
import struct
import zlib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from picturefiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    animation,
    deep_gradient,
    gradient,
    matrix_profile,
    save,
)
from PIL import Image, TiffImagePlugin, features

from cgvideo.codec.images import (
    Making,
    Picture,
    opened,
    read_picture,
    write_picture,
    write_pictures,
)
from cgvideo.codec.images import formats as formats_room
from cgvideo.codec.images.profiles import space_of
from engines.errors import UserError

AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>by the lake</x:xmpmeta>"
P3 = matrix_profile(DISPLAY_P3)


def put_chunk(png: Path, body: bytes) -> None:
    """Put a chunk, kind and content, behind a PNG's head."""
    plain = png.read_bytes()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    png.write_bytes(plain[:33] + chunk + plain[33:])


def copied(source: Path, output: Path, quality: int | None = None) -> list[str]:
    """Read and write; give what was said."""
    with opened(source) as file:
        return write_pictures(output, file.pictures(), Making.like(file, output, quality))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", pytest.param("avif", marks=AVIF)])
def test_each_orientation_comes_out_upright_and_says_so(
    tmp_path: Path, suffix: str, turn: int
) -> None:
    upright = gradient(48, 64)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    exif[0x010F] = "camera"
    options = {"quality": 95} if suffix in ("jpg", "webp", "avif") else {}
    source = save(tmp_path / f"in.{suffix}", np.ascontiguousarray(stored), exif=exif, **options)
    with opened(source) as file:
        assert file.size == (48, 64)
    output = tmp_path / f"out.{suffix}"
    assert copied(source, output) == []
    with Image.open(output) as written:
        assert written.size == (64, 48)
        assert written.getexif().get(0x0112, 1) == 1
        assert written.getexif()[0x010F] == "camera"
        difference = np.asarray(written.convert("RGB")).astype(int) - upright
    assert np.abs(difference).mean() < (0.01 if suffix in ("png", "tif") else 8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bits_stay_the_same_sixteen_bits(tmp_path: Path, suffix: str, alpha: bool) -> None:
    pixels = deep_gradient()
    if alpha:
        pixels = np.dstack([pixels, deep_gradient()[::-1, :, 0]])
    source = tmp_path / f"in.{suffix}"
    cv2.imwrite(str(source), pixels[..., [2, 1, 0, 3] if alpha else [2, 1, 0]])
    picture = read_picture(source)
    assert picture.deep
    assert picture.pixels.dtype == np.float32
    for name in ("out.png", "out.tif"):
        assert copied(source, tmp_path / name) == []
        written = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        assert written.dtype == np.uint16
        np.testing.assert_array_equal(written[..., [2, 1, 0, 3] if alpha else [2, 1, 0]], pixels)
    assert "16 of the source are rounded" in copied(source, tmp_path / "out.jpg")[0]


def test_sixteen_bit_files_say_what_their_source_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:21 12:00:00"
    plain = save(tmp_path / "plain.png", gradient(), exif=exif, dpi=(300, 300), icc_profile=P3)
    deep = tmp_path / "deep.png"
    cv2.imwrite(str(deep), deep_gradient()[..., ::-1])
    about, pixels = read_picture(plain), read_picture(deep).pixels
    picture = replace(about, pixels=pixels, xmp=XMP)
    for name in ("out.png", "out.tif"):
        write_picture(tmp_path / name, picture)
        with Image.open(tmp_path / name) as written:
            assert written.getexif()[0x010F] == "camera"
            assert written.getexif().get_ifd(0x8769)[0x9003] == "2026:11:21 12:00:00"
            assert written.info["icc_profile"] == P3
            assert written.info["xmp"] == XMP
            assert [round(float(value)) for value in written.info["dpi"]] == [300, 300]


def test_sixteen_bit_gray_is_scaled_not_clipped(tmp_path: Path) -> None:
    source = save(tmp_path / "gray.png", deep_gradient()[..., 1])
    picture = read_picture(source)
    assert picture.deep
    np.testing.assert_array_equal(picture.pixels[..., 0] * 65535, deep_gradient()[..., 1])
    assert copied(source, tmp_path / "out.tif") == []
    assert read_picture(tmp_path / "out.tif").deep


def test_a_palette_with_transparency_keeps_it(tmp_path: Path) -> None:
    image = Image.fromarray(gradient()).quantize(200)
    image.info["transparency"] = image.getpixel((5, 5))
    image.save(tmp_path / "in.png")
    clear = read_picture(tmp_path / "in.png").alpha
    assert clear is not None
    assert 0 < (clear == 0).sum() < clear.size
    for suffix in ("png", "gif", "tif", "webp"):
        copied(tmp_path / "in.png", tmp_path / f"out.{suffix}")
        alpha = read_picture(tmp_path / f"out.{suffix}").alpha
        assert alpha is not None
        np.testing.assert_array_equal(alpha < 128, clear < 128)
    for suffix in ("jpg", "bmp"):
        assert "no transparency" in copied(tmp_path / "in.png", tmp_path / f"out.{suffix}")[0]


@pytest.mark.parametrize(
    ("suffix", "loop"),
    [("gif", 0), ("gif", 5), ("png", 0), ("png", 3), ("webp", 0), ("webp", 2),
     pytest.param("avif", None, marks=AVIF)],
)  # fmt: skip
def test_an_animation_keeps_its_frames_times_and_loops(
    tmp_path: Path, suffix: str, loop: int | None
) -> None:
    times = [50, 120, 30, 40, 500]
    options = {} if loop is None else {"loop": loop}
    source = animation(tmp_path / f"in.{suffix}", times, **options)
    copied(source, tmp_path / f"out.{suffix}")
    with opened(source) as before, opened(tmp_path / f"out.{suffix}") as after:
        assert (before.kind, after.kind) == ("frames", "frames")
        assert after.loop == before.loop
        for one, other in itertools.zip_longest(before.pictures(), after.pictures()):
            assert one.milliseconds == other.milliseconds
            assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 12


def test_an_animations_times_add_up_in_a_format_that_counts_coarsely(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.webp", [33] * 12)
    copied(source, tmp_path / "out.gif")
    with opened(tmp_path / "out.gif") as after:
        times = [picture.milliseconds for picture in after.pictures()]
    assert set(times) == {30, 40}
    assert abs(sum(times) - 12 * 33) <= 5


def test_a_gif_that_plays_once_still_does(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.gif", [50, 60])
    copied(source, tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as written:
        assert "loop" not in written.info


def test_transparent_frames_do_not_show_the_ones_before(tmp_path: Path) -> None:
    frames = []
    for number in range(3):
        image = Image.fromarray(gradient()).convert("RGBA")
        image.putalpha(0)
        image.paste((255, 0, 0, 255), (8 * number, 4, 8 * number + 8, 12))
        frames.append(image)
    frames[0].save(tmp_path / "in.png", save_all=True, append_images=frames[1:])
    for suffix in ("gif", "png", "webp"):
        copied(tmp_path / "in.png", tmp_path / f"out.{suffix}")
        with opened(tmp_path / f"out.{suffix}") as file:
            shown = [picture.alpha > 128 for picture in file.pictures()]
        assert [int(there.sum()) for there in shown] == [64, 64, 64]
        assert shown[2][4, 16]
        assert not shown[2][4, 0]


def test_pages_keep_their_sizes_and_thumbnails_are_no_pages(tmp_path: Path) -> None:
    pages = [Image.fromarray(gradient(20 + 4 * n, 30)) for n in range(3)]
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[254] = 1
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "in.tif"), new=True) as file:
        for number, page in enumerate([*pages, pages[0].resize((8, 6))]):
            page.save(file, format="TIFF", tiffinfo=directory if number == 3 else {})
            file.newFrame()
    copied(tmp_path / "in.tif", tmp_path / "out.tif")
    with opened(tmp_path / "out.tif") as written:
        assert written.kind == "pages"
        sizes = [picture.size for picture in written.pictures()]
    assert sizes == [(20, 30), (24, 30), (28, 30)]
    with Image.open(tmp_path / "out.tif") as written:
        written.seek(2)
        np.testing.assert_array_equal(np.asarray(written), gradient(28, 30))


@pytest.mark.parametrize(
    ("name", "words"), [("in.gif", "is an animation"), ("in.tif", "has several pages")]
)
def test_what_a_format_cannot_hold_is_refused_with_the_mend(
    tmp_path: Path, name: str, words: str
) -> None:
    source = animation(tmp_path / name, [50, 60])
    with pytest.raises(UserError, match=words) as refused:
        copied(source, tmp_path / "out.jpg")
    assert "--format" in refused.value.mend
    assert not (tmp_path / "out.jpg").exists()


def test_a_webp_without_loss_stays_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    source = save(tmp_path / "in.webp", noise, lossless=True)
    copied(source, tmp_path / "out.webp")
    np.testing.assert_array_equal(read_picture(tmp_path / "out.webp").pixels, noise)
    copied(source, tmp_path / "small.webp", quality=20)
    assert (tmp_path / "small.webp").stat().st_size < (tmp_path / "out.webp").stat().st_size


def test_a_size_that_exif_says_is_that_of_the_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA002: 4000, 0xA003: 3000})
    source = save(tmp_path / "in.jpg", gradient(), exif=exif)
    copied(source, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as written:
        details = written.getexif().get_ifd(0x8769)
    assert (details[0xA002], details[0xA003]) == (32, 24)


def test_a_thumbnail_of_the_source_does_not_come_along(tmp_path: Path) -> None:
    small = save(tmp_path / "small.jpg", gradient(6, 8)).read_bytes()
    # Little-endian: IFD0 with Make, then IFD1 with the place and length of a JPEG.
    make = struct.pack("<HHI4s", 0x010F, 2, 4, b"cam\0")
    second = struct.pack("<HHHII", 2, 0x0201, 4, 1, 56) + struct.pack(
        "<HHII", 0x0202, 4, 1, len(small)
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + make + struct.pack("<I", 26) + second
    source = save(tmp_path / "in.jpg", gradient(), exif=exif + bytes(4) + small)
    assert source.read_bytes().count(b"\xff\xd8\xff") == 2
    copied(source, tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").read_bytes().count(b"\xff\xd8\xff") == 1
    with Image.open(tmp_path / "out.jpg") as written:
        assert written.getexif()[0x010F] == "cam"


def test_bombs_are_refused_and_the_limit_can_be_raised(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", gradient(40, 50))
    assert read_picture(source, most_pixels=2000).size == (40, 50)
    with pytest.raises(UserError, match="50x40 are 2000 pixels, 1999 are allowed") as refused:
        read_picture(source, most_pixels=1999)
    assert "--max-pixels" in refused.value.mend
    (tmp_path / "bomb.bmp").write_bytes(_bitmap_head(100_000, 100_000))
    with pytest.raises(UserError, match="too large"):
        read_picture(tmp_path / "bomb.bmp")


def test_an_animation_of_too_many_pixels_together_is_refused(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.gif", [50] * 6)
    with opened(source, most_pixels=24 * 32) as file, pytest.raises(UserError, match="together"):
        list(file.pictures())


def test_a_bomb_in_a_later_frame_is_refused_when_the_file_is_opened(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.gif", [50, 60])
    data = bytearray(source.read_bytes())
    frames = [at for at in range(len(data) - 10) if data[at] == 0x2C and data[at - 1] == 0]
    data[frames[-1] + 1 : frames[-1] + 9] = b"\xff" * 8  # place and size of the second frame
    source.write_bytes(data)
    with pytest.raises(UserError, match="too large"), opened(source) as file:
        list(file.pictures())


def test_a_truncated_picture_is_refused_in_one_line(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", gradient(200, 200))
    source.write_bytes(source.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"in.png cannot be read as a picture \(.*truncated"):
        read_picture(source)


def test_a_png_that_breaks_off_inside_its_pixels_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)
    source = save(tmp_path / "in.png", noise)
    whole = bytearray(source.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 40] = b"\xff" * 40
    source.write_bytes(whole)
    with pytest.raises(UserError, match="cannot be read"):
        read_picture(source)


def test_heic_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgvideo.codec.images.reading.load_heif", lambda: False)
    (tmp_path / "in.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(UserError, match="HEIC") as refused:
        read_picture(tmp_path / "in.heic")
    assert refused.value.mend == formats_room.HEIF_MEND


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="the extra heic is not installed")
def test_heic_is_read_and_written_with_its_extra(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    there = np.full((48, 64), 255, np.uint8)
    there[:, :20] = 0
    write_picture(
        tmp_path / "in.heic",
        Picture(gradient(48, 64), there, exif.tobytes(), icc_profile=P3, xmp=XMP),
    )
    assert copied(tmp_path / "in.heic", tmp_path / "out.heic") == []
    picture = read_picture(tmp_path / "out.heic")
    assert np.abs(picture.pixels[:, 24:].astype(int) - gradient(48, 64)[:, 24:]).mean() < 8
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha > 128, there > 128)
    assert (picture.icc_profile, picture.xmp) == (P3, XMP)
    with Image.open(tmp_path / "out.heic") as written:
        assert written.getexif()[0x010F] == "camera"


def test_hdr_pictures_are_refused_with_the_reason(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", gradient())
    put_chunk(source, b"cICP" + bytes([9, 16, 0, 1]))
    with pytest.raises(UserError, match=r"HDR \(PQ\)"):
        read_picture(source)


def test_colours_of_p3_that_are_said_by_a_number_become_srgb(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", gradient())
    put_chunk(source, b"cICP" + bytes([12, 13, 0, 1]))
    space = space_of(P3)
    assert space is not None
    picture = read_picture(source)
    assert picture.icc_profile is None
    assert np.abs(picture.pixels.astype(int) - space.to_srgb(gradient())).max() <= 1


def test_lab_and_cmyk_become_srgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "ink.tif")
    Image.new("LAB", (16, 16), (128, 128, 128)).save(tmp_path / "lab.tif")
    assert read_picture(tmp_path / "ink.tif").pixels[8, 8].tolist() == [0, 255, 255]
    picture = read_picture(tmp_path / "lab.tif")
    assert np.ptp(picture.pixels[8, 8].astype(int)) < 3  # gray
    assert abs(int(picture.pixels[8, 8, 0]) - 119) < 4  # L* 50
    assert picture.alpha is None


def test_a_pngs_gamma_is_taken_into_srgb(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", np.full((8, 8, 3), 55, np.uint8))
    put_chunk(source, b"gAMA" + struct.pack(">I", 100_000))  # linear light
    assert abs(int(read_picture(source).pixels[0, 0, 0]) - 128) < 3


@pytest.mark.parametrize(("columns", "gamma"), [(DISPLAY_P3, None), (ADOBE_RGB, 2.2)])
def test_a_wide_profile_is_kept_with_the_pixels(
    tmp_path: Path, columns: object, gamma: float | None
) -> None:
    profile = matrix_profile(columns, gamma)
    source = save(tmp_path / "in.png", gradient(), icc_profile=profile)
    picture = read_picture(source)
    assert picture.icc_profile == profile
    np.testing.assert_array_equal(picture.pixels, gradient())


def _bitmap_head(width: int, height: int) -> bytes:
    head = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
