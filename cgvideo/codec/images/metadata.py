"""EXIF as it goes from file to file, and what a head says of a picture's colours."""

from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

JPEG_SEGMENT = 65_000  # bytes: about what one block of metadata can hold in a JPEG
EXIF_HEAD = b"Exif\0\0"

# Of a TIFF, where EXIF's tags stand among those of the pixels: what is about the picture.
ABOUT = frozenset(
    (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
        ExifTags.Base.Rating,
        ExifTags.Base.XPTitle,
        ExifTags.Base.XPComment,
        ExifTags.Base.XPAuthor,
        ExifTags.Base.XPKeywords,
        ExifTags.Base.XPSubject,
        int(ExifTags.IFD.Exif),
        int(ExifTags.IFD.GPSInfo),
    )
)
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
UNSAID = 2
HEAD_BYTES = 1 << 16


def exif_of(image: Image.Image) -> tuple[bytes, list[str]]:
    """EXIF without orientation, size and thumbnail, and a notice where it is too damaged to keep."""
    try:
        exif = image.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        if image.format == "TIFF" or hasattr(image, "tag_v2"):
            for tag in [tag for tag in exif if tag not in ABOUT]:
                del exif[tag]
        return (exif.tobytes() if len(exif) else b""), []
    except Exception:  # Pillow raises anything here
        return b"", ["its EXIF is damaged and was left out"]


def resized_exif(exif: bytes, size: tuple[int, int]) -> bytes:
    """EXIF that says the size of the pixels, where it says one: (height, width)."""
    if not exif:
        return exif
    parsed, details = parse_exif(exif)
    told = (ExifTags.Base.ExifImageHeight, ExifTags.Base.ExifImageWidth)
    if not any(tag in details for tag in told):
        return exif
    for tag, side in zip(told, size, strict=True):
        details[tag] = side
    return parsed.tobytes()


def parse_exif(exif: bytes) -> tuple[Image.Exif, dict[int, Any]]:
    """EXIF, and its directory of details (a part of it: what is set there is written)."""
    parsed = Image.Exif()
    parsed.load(exif)
    return parsed, parsed.get_ifd(ExifTags.IFD.Exif)


def coded_colours(path: Path, image: Image.Image) -> tuple[int, int]:
    """Primaries and transfer by the `colr` box of AVIF and HEIC or a PNG's cICP chunk (ITU-T H.273).

    2 is "not said".
    """
    if image.format not in ("AVIF", "HEIF", "PNG"):
        return UNSAID, UNSAID
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if image.format == "PNG":
        at = head.find(b"cICP")
        said = head[at + 4 : at + 6] if at >= 0 else b""
    else:
        at = head.find(b"colrnclx")
        said = head[at + 9 : at + 13 : 2] if at >= 0 else b""
    return (said[0], said[1]) if len(said) == 2 else (UNSAID, UNSAID)
