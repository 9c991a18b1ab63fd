"""Reading pictures: stills, pages and frames, upright, with what their files say."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cgvideo.codec.images import deep
from cgvideo.codec.images.formats import FORMATS as KNOWN
from cgvideo.codec.images.formats import HEIF_MEND, READ_AS, Format, load_heif
from cgvideo.codec.images.metadata import HDR, coded_colours, exif_of
from cgvideo.codec.images.picture import Picture
from cgvideo.codec.images.profiles import (
    by_tables,
    gamma_to_srgb,
    gray_to_srgb,
    is_matrix,
    space_by_code,
)
from engines.errors import UserError, first_line

MOST_PIXELS = 200_000_000
"""What a picture may have, if the user does not say otherwise: more than any camera makes."""
ANIMATION_FACTOR = 4  # so many times as many all frames of an animation may have together
GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
THUMBNAIL, MASK = 1, 4  # bits of TIFF's NewSubfileType: pages that are no pages
SUBFILE_TYPE = 254

Kind = Literal["still", "frames", "pages"]

# What is worth saying of a file is said here, in a line that names it.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_picture(path: Path, most_pixels: int = MOST_PIXELS) -> Picture:
    """Read a file's first picture and turn it upright.

    Raises:
        UserError: it is missing, damaged, or has more than `most_pixels`.
    """
    with opened(path, most_pixels) as file:
        return next(file.pictures())


@contextmanager
def opened(path: Path, most_pixels: int = MOST_PIXELS) -> Iterator["PictureFile"]:
    """Open a picture file and look at its head; what follows is read as it is asked for.

    Raises:
        UserError: it is missing, no picture, HDR, or has more than `most_pixels`.
    """
    with reading(path):
        stream = path.open("rb")
    with stream:
        with reading(path):
            file = PictureFile(path, _image(stream, path, most_pixels), most_pixels)
        yield file  # out of `reading`: errors of the block are no errors of the file


def _image(stream: Any, path: Path, most_pixels: int) -> Image.Image:
    # Pillow's own limit is for the whole process, so it is only ever raised.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, most_pixels)
    head = stream.read(12)
    stream.seek(0)
    formats = [name for name in READ_AS if name != "HEIF"]
    if head[4:8] == b"ftyp" and head[8:] not in (b"avif", b"avis"):
        if not load_heif():
            raise UserError(f"{path} is HEIC, and what reads it is not installed", HEIF_MEND)
        formats = ["HEIF"]
    return Image.open(stream, formats=formats)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one line why a picture cannot be read.

    Raises:
        UserError: for whatever Pillow or the system refuse about this file.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist", "Check the name") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read", "Check its permissions") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, first_line(error).partition(" exceeds")[0]) from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path} cannot be read as a picture (it is none of {', '.join(KNOWN)})",
            "See whether a viewer opens it",
        ) from error
    except Exception as error:  # a damaged file raises anything in Pillow
        raise UserError(
            f"{path} cannot be read as a picture ({first_line(error).replace(str(path), 'it')})",
            "See whether a viewer opens it",
        ) from error


def _too_large(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is too large a picture ({why})", "Raise --max-pixels if it is an honest one"
    )


class PictureFile:
    """An open picture file. What it says of itself costs no decoding."""

    def __init__(self, path: Path, image: Image.Image, most_pixels: int) -> None:
        self.path = path
        self._image = image
        self._most = most_pixels
        self._check(image.size)
        _, transfer = coded_colours(path, image)
        if transfer in HDR:
            raise UserError(
                f"{path} is HDR ({HDR[transfer]}), which models do not know",
                "Convert it to a picture of standard range first",
            )
        name = "JPEG" if image.format == "MPO" else image.format
        self.format: Format = next(known for known in KNOWN.values() if known.pillow == name)
        """what its bytes are in, whatever its name says"""
        self.kind: Kind = _kind(image, self.format)
        self.size = _upright_size(image, self.format)
        """(height, width) of the first picture, upright, as far as its head says it"""
        self.deep = self.kind != "frames" and deep.bits_of(path, image) > 8
        """whether its first picture has more than 8 bits that are kept"""

    @property
    def loop(self) -> int | None:
        """How often an animation runs, 0 for ever; None where the file does not say."""
        loop = self._image.info.get("loop")
        return None if loop is None else int(loop)

    @property
    def poster(self) -> bool:
        """Whether the first frame of an APNG is for programs that show no animations."""
        return bool(self._image.info.get("default_image"))

    @property
    def lossless(self) -> bool:
        """Whether it is a WebP that lost nothing."""
        if self.format.name != "webp":
            return False
        with self.path.open("rb") as file:
            head = file.read(4096)
        return b"VP8L" in head and b"VP8 " not in head

    def pictures(self) -> Iterator[Picture]:
        """Its pictures from the first on, decoded as they are asked for.

        Raises:
            UserError: one is damaged, or has too many pixels.
        """
        total = 0
        for number in itertools.count() if self.kind != "still" else range(1):
            with reading(self.path):
                if not self._seek(number):
                    return
                if self._is_no_page():
                    continue
                width, height = self._image.size
                total += width * height
                if self.kind == "frames" and total > ANIMATION_FACTOR * self._most:
                    raise _too_large(self.path, f"its frames have over {total - 1} pixels together")
                picture = _read(self.path, self._image, number, self.kind)
            yield picture

    def _seek(self, number: int) -> bool:
        if self.kind != "still":
            try:
                self._image.seek(number)
            except EOFError:
                return False
        self._check(self._image.size)
        return True

    def _is_no_page(self) -> bool:
        """Whether a page of a TIFF is the thumbnail or the mask of another."""
        tags: Any = getattr(self._image, "tag_v2", {})
        return self.kind == "pages" and bool(tags.get(SUBFILE_TYPE, 0) & (THUMBNAIL | MASK))

    def _check(self, size: tuple[int, int]) -> None:
        width, height = size
        if width * height > self._most:
            raise _too_large(
                self.path, f"{width}x{height} are {width * height} pixels, {self._most} are allowed"
            )


def _kind(image: Image.Image, known: Format) -> Kind:
    """One picture, an animation, or a file of pages."""
    if known.frames and getattr(image, "is_animated", False):
        return "frames"
    if known.pages and getattr(image, "n_frames", 1) > 1:
        return "pages"
    return "still"


def _upright_size(image: Image.Image, known: Format) -> tuple[int, int]:
    width, height = image.size
    # Pillow turns TIFFs itself, and would decode a PNG to see what stands behind its pixels.
    turned = known.name != "tiff" and (known.name != "png" or "exif" in image.info)
    if turned and _orientation(image) >= 5:
        return width, height
    return height, width


def _read(path: Path, image: Image.Image, number: int, kind: Kind) -> Picture:
    """The picture that `image` stands at."""
    bits = 8 if kind == "frames" else deep.bits_of(path, image)
    profile = image.info.get("icc_profile")
    in_front = image.format != "PNG"  # a PNG may say behind its pixels how it is turned
    orientation = _orientation(image) if in_front else 1
    dpi, gamma = image.info.get("dpi"), image.info.get("gamma")
    notices: list[str] = []
    image.load()
    orientation = orientation if in_front else _orientation(image)
    upright = _transposed(image)
    exif, notice = exif_of(image)
    notices += notice
    if image.format == "MPO":
        notices.append("it holds more than one picture (a gain map, say); the first is kept")
    alpha: NDArray[Any] | None = None
    if upright.mode in ALPHA_MODES or "transparency" in upright.info:
        alpha = _alpha(upright)
    if upright.mode == "F":
        raise UserError(f"{path} has pixels of floating point", "Save it with 16 bits a colour")
    pixels: NDArray[Any] | None = None
    if bits > 8 and upright.mode in GRAY_MODES:
        pixels = deep.gray(upright, bits)
    elif bits > 8:
        found = deep.colours(path, number, upright, orientation)
        if found is None:
            notices.append(f"its {bits} bits a colour cannot be read; 8 are kept")
        else:
            pixels, deep_alpha = found
            alpha = deep_alpha if deep_alpha is not None else alpha
    pixels, profile = _in_rgb(upright, pixels, profile)
    primaries, _ = coded_colours(path, image)
    if not image.info.get("icc_profile") and (space := space_by_code(primaries)) is not None:
        pixels = space.to_srgb(pixels)
    if gamma and not image.info.keys() & {"srgb", "icc_profile"} and 0.1 < gamma < 10:
        pixels = gamma_to_srgb(pixels, gamma)
    if alpha is not None and alpha.dtype != pixels.dtype:
        alpha = alpha.astype(np.float32) / 255
    return Picture(
        pixels,
        alpha,
        exif,
        profile,
        None if dpi is None else (float(dpi[0]), float(dpi[1])),
        upright.info.get("xmp") or b"",
        float(image.info.get("duration") or 0),
        tuple(notices),
    )


def _in_rgb(
    image: Image.Image, pixels: NDArray[Any] | None, profile: bytes | None
) -> tuple[NDArray[Any], bytes | None]:
    """Pixels in RGB, and the profile where that says their space by curves and a matrix.

    `pixels` are deep ones of the same picture, gray or RGB. Gray, CMYK and Lab go to sRGB, and so
    does RGB whose profile is made of tables. A profile that is damaged, or of another space than
    the picture, says nothing.
    """
    if image.mode in GRAY_MODES:
        gray = np.asarray(image.convert("L")) if pixels is None else pixels
        light = gray_to_srgb(gray, profile) if profile else None
        if light is None and profile and pixels is None:
            shown = by_tables(image.convert("L"), profile)
            if shown is not None:
                return np.asarray(shown), None
        light = gray if light is None else light
        return np.repeat(light[..., None], 3, axis=-1), None
    if image.mode in ("CMYK", "LAB"):
        shown = by_tables(image, profile)
        return np.asarray(image.convert("RGB") if shown is None else shown), None
    plain = (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
    if profile and is_matrix(profile):
        return (np.asarray(plain) if pixels is None else pixels), profile
    if pixels is not None:
        return pixels, None
    shown = by_tables(plain, profile) if profile else None
    return np.asarray(plain if shown is None else shown), None


def _alpha(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16-bit gray with a transparent value
        key = image.info["transparency"]
        return np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
    return np.asarray(image.convert("RGBA"))[..., 3]


def _orientation(image: Image.Image) -> int:
    """How EXIF says that it is turned, 1 to 8."""
    try:
        turned = int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF says nothing
        return 1
    return turned if 1 <= turned <= 8 else 1


def _transposed(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing
        return image


@dataclass(frozen=True, slots=True)
class Head:
    """What `look` finds: enough to sort pictures by, without decoding."""

    size: tuple[int, int]
    deep: bool
    kind: Kind


def look(path: Path, most_pixels: int = MOST_PIXELS) -> Head:
    """Read a file's head.

    Raises:
        UserError: as `opened`.
    """
    with opened(path, most_pixels) as file, reading(path):
        return Head(file.size, file.deep, file.kind)
