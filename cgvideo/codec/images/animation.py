"""Animated pictures: frames with their times into GIF, APNG, WebP and AVIF."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

GIF_COLOURS = 255  # and one for what is transparent
HALF_THERE = 128
WEBP_ALPHA = 0x10
CENTISECOND = 10.0  # milliseconds: GIF counts in these


def save_animation(
    path: Path,
    kind: str,
    frames: Iterable[tuple[Image.Image, float]],
    loop: int | None,
    poster: bool,
    options: dict[str, Any],
) -> None:
    """Write frames (pictures and how many milliseconds each stays) in Pillow's format `kind`.

    All frames are held until the last has come. Times are rounded so that their sum stays.
    """
    pictures, times = [], []
    for image, milliseconds in frames:
        pictures.append(for_gif(image) if kind == "GIF" else image)
        times.append(milliseconds)
    options = {**options, "duration": rounded(times, CENTISECOND if kind == "GIF" else 1.0)}
    if loop is not None:
        options["loop"] = loop
    elif kind == "PNG":
        options["loop"] = 1
    if kind == "GIF" and any("transparency" in picture.info for picture in pictures):
        options["disposal"] = 2  # else what shows through would be the frame before
    if kind == "PNG":
        options["default_image"] = poster
        if poster:
            options["duration"] = options["duration"][1:]
    first, *others = pictures
    first.save(path, format=kind, save_all=True, append_images=others, **options)
    if kind == "WEBP" and any(picture.mode == "RGBA" for picture in pictures):
        _say_transparent(path)


def rounded(times: list[float], step: float) -> list[int]:
    """Each time in whole steps, so that no moment is off by more than half a step."""
    result, moment, told = [], 0.0, 0
    for time in times:
        moment += time
        until = round(moment / step)
        result.append(int((until - told) * step))
        told = until
    return result


def for_gif(image: Image.Image) -> Image.Image:
    """A picture in 255 colours of its own, dithered; half transparent counts as there."""
    colours = image.convert("RGB")
    palette = colours.quantize(GIF_COLOURS)
    indexed = colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if image.mode == "RGBA":
        hidden = image.getchannel("A").point(lambda value: 255 if value < HALF_THERE else 0)
        if hidden.getbbox() is not None:
            indexed.paste(GIF_COLOURS, mask=hidden)
            indexed.info["transparency"] = GIF_COLOURS
    return indexed


def _say_transparent(path: Path) -> None:
    """Set the flag of a WebP that it has alpha (RFC 9649, 2.7.1).

    libwebp forgets it where each frame is cut down to a rectangle that is opaque.
    """
    with path.open("r+b") as file:
        head = file.read(21)
        if head[12:16] == b"VP8X":
            file.seek(20)
            file.write(bytes([head[20] | WEBP_ALPHA]))
