"""Pictures: files with one frame, and all that the file says about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from cgvideo.codec.errors import writing
from cgvideo.frame import Pixels
from engines.atomic import replacing
from engines.errors import UserError

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, upright, `uint8 [H, W, 3]` RGB; `alpha` `uint8 [H, W]` where the file has it."""

    pixels: Pixels
    alpha: NDArray[np.uint8] | None = None
    exif: bytes = b""
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None


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
            icc_profile = image.info.get("icc_profile")
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
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    if upright.mode in ("I", "I;16", "I;16B", "F"):  # 16-bit gray: Pillow would clip, not scale
        deep = np.asarray(upright, dtype=np.float32)
        upright = Image.fromarray(np.clip(deep / 257, 0, 255).round().astype(np.uint8))
    alpha = np.asarray(upright.convert("RGBA"))[..., 3] if has_alpha else None
    pixels = np.asarray(upright.convert("RGB"))
    return Picture(pixels, alpha, exif.tobytes() if len(exif) else b"", icc_profile, dpi)


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
    extras = {"exif": picture.exif, "icc_profile": picture.icc_profile, "dpi": picture.dpi}
    options: dict[str, Any] = {name: value for name, value in extras.items() if value}
    if kind == "JPEG":
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    with writing(path), replacing(path) as scratch:
        image.save(scratch, format=kind, **options)
