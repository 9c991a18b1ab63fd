"""Pictures: files with one frame, and all that the file says about it."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from cgvideo.codec.errors import writing
from cgvideo.frame import Pixels
from engines.atomic import replacing
from engines.errors import UserError

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
JPEG_QUALITY = 95
JPEG_SEGMENT = 65_000  # bytes: about what one block of metadata can hold in a JPEG
XMP_KEY = "XML:com.adobe.xmp"  # of the text chunk that holds it in a PNG
# of the profile that fits a picture's mode
COLOR_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, upright, `uint8 [H, W, 3]` RGB; `alpha` `uint8 [H, W]` where the file has it."""

    pixels: Pixels
    alpha: NDArray[np.uint8] | None = None
    exif: bytes = b""
    icc_profile: bytes | None = None
    """of an RGB space; None is sRGB"""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture that this reads."""
    return path.suffix.lower() in SUFFIXES


def read_picture(path: Path) -> Picture:
    """Read a PNG or JPEG and turn it upright.

    Raises:
        UserError: it is missing, damaged, or larger than any honest picture.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            dpi = image.info.get("dpi")
            profile = image.info.get("icc_profile")
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist", "Check the name") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large a picture ({error})", "Make it smaller") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error})", "") from error
    exif = upright.getexif()
    exif.pop(ExifTags.Base.Orientation, None)
    xmp = upright.info.get("xmp") or b""
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    if upright.mode in ("I", "I;16", "I;16B", "F"):  # 16-bit gray: Pillow would clip, not scale
        deep = np.asarray(upright, dtype=np.float32)
        upright = Image.fromarray(np.clip(deep / 257, 0, 255).round().astype(np.uint8))
    alpha = np.asarray(upright.convert("RGBA"))[..., 3] if has_alpha else None
    plain, profile = _as_rgb(upright, profile)
    return Picture(
        np.asarray(plain),
        alpha,
        exif.tobytes() if len(exif) else b"",
        profile,
        dpi,
        xmp,
    )


def _as_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """The picture in RGB, and its profile where that is of an RGB space.

    Gray and CMYK go to sRGB by their profile. A profile that is damaged, or of another space than
    the picture, says nothing.
    """
    if not profile:
        return image.convert("RGB"), None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space == "RGB" and image.mode != "CMYK":
            return image.convert("RGB"), profile
        bare = image if image.mode in COLOR_SPACES else image.convert("L")
        if image.mode in (*COLOR_SPACES, "LA", "1") and space == COLOR_SPACES[bare.mode]:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(bare, opened, srgb, outputMode="RGB")
            if converted is not None:
                return converted, None
    except (OSError, ImageCms.PyCMSError):
        pass
    return image.convert("RGB"), None


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture in the format that the name says, whole or not at all.

    Raises:
        UserError: the name says no format that this writes.
    """
    if not is_picture(path):
        raise UserError(f"{path} does not say a picture format", "End it in .png, .jpg or .jpeg")
    kind = SUFFIXES[path.suffix.lower()]
    image = Image.fromarray(picture.pixels)
    if picture.alpha is not None and kind == "PNG":
        image.putalpha(Image.fromarray(picture.alpha))
    options: dict[str, Any] = {"icc_profile": picture.icc_profile}
    if picture.dpi:
        options["dpi"] = picture.dpi
    if kind == "JPEG":
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
        blocks = {"exif": picture.exif, "xmp": picture.xmp}
        options |= {name: block for name, block in blocks.items() if len(block) < JPEG_SEGMENT}
    else:
        options |= {"exif": picture.exif, "pnginfo": _text_chunks(picture.xmp)}
    with writing(path), replacing(path) as scratch:
        image.save(scratch, format=kind, **options)


def _text_chunks(xmp: bytes) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    if xmp:
        chunks.add_itxt(XMP_KEY, xmp.decode(errors="replace"))
    return chunks
