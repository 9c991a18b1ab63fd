"""Writing pictures: in a format, with what their files said about them, whole or not at all."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from cgvideo.codec.errors import writing
from cgvideo.codec.images.animation import for_gif, save_animation
from cgvideo.codec.images.formats import Format, check_writable, format_of
from cgvideo.codec.images.metadata import JPEG_SEGMENT, resized_exif
from cgvideo.codec.images.picture import Picture, to_eight_bits
from cgvideo.codec.images.png import XMP_KEY, deep_png
from cgvideo.codec.images.reading import Kind, PictureFile
from cgvideo.codec.images.tiff import TiffWriter
from engines.atomic import replacing
from engines.errors import UserError, first_line

HEIC_EFFORT = {"preset": "ultrafast"}  # a third of the time, a fifth larger, no worse
LONGEST_SIDE = {"JPEG": 65_535, "WEBP": 16_383, "GIF": 65_535, "AVIF": 65_536}


@dataclass(frozen=True, slots=True)
class Making:
    """How a picture file is made, as far as its pictures do not say it."""

    format: Format
    kind: Kind = "still"
    quality: int | None = None
    """of 100; None where nothing is lost"""
    loop: int | None = None
    poster: bool = False

    @classmethod
    def like(cls, source: PictureFile, output: Path, quality: int | None = None) -> "Making":
        """As the source is made, in the format that `output` says.

        Raises:
            UserError: the format cannot hold an animation, or pages, or is not installed.
        """
        known = format_of(output)
        if source.kind == "frames" and not known.frames:
            raise UserError(
                f"{source.path} is an animation, and {known.name} holds none",
                "Give --format webp, png, gif or avif",
            )
        if source.kind == "pages" and not known.pages:
            raise UserError(
                f"{source.path} has several pages, and {known.name} holds one",
                "Give --format tiff",
            )
        check_writable(known)
        kept = source.lossless and known.name == "webp" and quality is None
        asked = None if kept or known.quality is None else quality or known.quality
        return cls(known, source.kind, asked, source.loop, source.poster)


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture in the format that the name says, in its usual quality.

    Raises:
        UserError: the name says no format that this writes, or it cannot be written.
    """
    known = format_of(path)
    check_writable(known)
    write_pictures(path, [picture], Making(known, quality=known.quality))


def write_pictures(
    path: Path, pictures: Iterable[Picture], making: Making, scratch: Path | None = None
) -> list[str]:
    """Write a picture, pages or frames, and give what could not be kept, a line each.

    Into `scratch`, where given: whoever gives it puts it in place.

    Raises:
        UserError: the format cannot hold them, or they cannot be written.
    """
    notices: dict[str, None] = {}
    fitting = _fitting(path, pictures, making, notices)
    with writing(path):
        if scratch is not None:
            _write(scratch, fitting, making)
        else:
            with replacing(path) as place:
                _write(place, fitting, making)
    return list(notices)


def _fitting(
    path: Path, pictures: Iterable[Picture], making: Making, notices: dict[str, None]
) -> Iterator[Picture]:
    """Pictures as the format can hold them; `notices` says what is lost."""
    known = making.format
    for picture in pictures:
        notices.update(dict.fromkeys(picture.notices))
        longest = LONGEST_SIDE.get(known.pillow)
        if longest and max(picture.size) > longest:
            raise UserError(
                f"{path} would be larger than {known.name} can be, {longest} pixels a side",
                "Give another --format or a --max-size",
            )
        if picture.deep and not (known.deep and making.kind != "frames"):
            notices[f"{known.name} has 8 bits a colour; the 16 of the source are rounded"] = None
            picture = replace(picture, pixels=to_eight_bits(picture.pixels))
            if picture.alpha is not None:
                picture = replace(picture, alpha=to_eight_bits(picture.alpha))
        if picture.alpha is not None and not known.alpha:
            if np.any(picture.alpha < (1.0 if picture.deep else 255)):
                notices[f"{known.name} holds no transparency; it was left out"] = None
            picture = replace(picture, alpha=None)
        picture = replace(picture, exif=resized_exif(picture.exif, picture.size))
        if known.name == "jpeg":
            for name in ("exif", "xmp"):
                if len(getattr(picture, name)) >= JPEG_SEGMENT:
                    notices[f"its {name.upper()} is too long for a JPEG and was left out"] = None
        yield picture


def _write(path: Path, pictures: Iterator[Picture], making: Making) -> None:
    kind = making.format.pillow
    if kind == "TIFF":
        with path.open("w+b") as file:
            tiff = TiffWriter(file)
            for page in pictures:
                tiff.write(page)
        return
    first = next(pictures)
    if first.deep:
        path.write_bytes(deep_png(first))
        return
    options = _options(first, making)

    def frames() -> Iterator[tuple[Image.Image, float]]:
        yield _image(first), first.milliseconds
        for picture in pictures:
            yield _image(picture), picture.milliseconds

    try:
        if making.kind == "frames":
            save_animation(path, kind, frames(), making.loop, making.poster, options)
        else:
            image = _image(first)
            (for_gif(image) if kind == "GIF" else image).save(path, format=kind, **options)
    except (ValueError, RuntimeError, SystemError) as error:  # an encoder's
        raise UserError(
            f"A picture of {first.size[1]}x{first.size[0]} cannot be written as"
            f" {making.format.name} ({first_line(error)})",
            "Give another --format",
        ) from error


def _image(picture: Picture) -> Image.Image:
    image = Image.fromarray(picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def _options(picture: Picture, making: Making) -> dict[str, Any]:
    """What Pillow is told for a format: the quality, and what the source's file said."""
    kind, options = making.format.pillow, dict[str, Any]()
    about = {"exif": picture.exif, "xmp": picture.xmp, "icc_profile": picture.icc_profile}
    match kind:
        case "PNG":
            options["pnginfo"] = _text_chunks(about.pop("xmp") or b"")
        case "JPEG":
            options |= {"quality": making.quality, "subsampling": 0}
            about = {
                name: block
                for name, block in about.items()
                if name == "icc_profile" or len(block or b"") < JPEG_SEGMENT
            }
        case "WEBP":
            lossless = making.quality is None
            options |= {"lossless": lossless, "quality": making.quality or 80, "exact": lossless}
        case "AVIF":
            options |= {"quality": making.quality, "subsampling": "4:4:4"}
        case "HEIF":
            options |= {"quality": making.quality, "chroma": 444}
            options["enc_params"] = HEIC_EFFORT
        case _:
            about = {}
    if picture.dpi and kind in ("PNG", "JPEG", "BMP"):
        options["dpi"] = picture.dpi
    return options | {name: block for name, block in about.items() if block}


def _text_chunks(xmp: bytes) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    if xmp:
        chunks.add_itxt(XMP_KEY.decode(), xmp.decode(errors="replace"))
    return chunks
