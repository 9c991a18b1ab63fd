"""The picture formats there are, and what each can hold."""

from dataclasses import dataclass
from pathlib import Path

from PIL import features

from engines.errors import UserError


@dataclass(frozen=True, slots=True)
class Format:
    """A picture format. `pillow` is its name there; the first of `suffixes` is the usual one."""

    name: str
    pillow: str
    suffixes: tuple[str, ...]
    alpha: bool = True
    frames: bool = False
    """it can be an animation"""
    pages: bool = False
    deep: bool = False
    """it can hold 16 bits a colour"""
    quality: int | None = None
    """the usual one, of 100; None where nothing is lost"""


FORMATS = {
    known.name: known
    for known in (
        Format("png", "PNG", (".png", ".apng"), frames=True, deep=True),
        Format("jpeg", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), alpha=False, quality=95),
        Format("webp", "WEBP", (".webp",), frames=True, quality=90),
        Format("tiff", "TIFF", (".tif", ".tiff"), pages=True, deep=True),
        Format("bmp", "BMP", (".bmp",), alpha=False),
        Format("gif", "GIF", (".gif",), frames=True),
        Format("avif", "AVIF", (".avif", ".avifs"), frames=True, quality=80),
        Format("heic", "HEIF", (".heic", ".heif", ".hif"), quality=85),
    )
}
SUFFIXES = {suffix: known for known in FORMATS.values() for suffix in known.suffixes}
READ_AS = tuple(known.pillow for known in FORMATS.values())
"""What Pillow may take a file for."""

HEIF_MEND = "pip install 'cgvideo[heic]'"


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture that this reads."""
    return path.suffix.lower() in SUFFIXES


def suffix_of(name: str) -> str:
    """The suffix of what `--format NAME` asks for: a name of a format, or one of its suffixes.

    Raises:
        UserError: there is no such format.
    """
    asked = name.lower().removeprefix(".")
    if f".{asked}" in SUFFIXES and asked not in FORMATS:
        return f".{asked}"
    if asked not in FORMATS:
        raise UserError(f"There is no picture format {name!r}", f"Choose from {', '.join(FORMATS)}")
    return FORMATS[asked].suffixes[0]


def format_of(path: Path) -> Format:
    """The format that a name says.

    Raises:
        UserError: it says none that this writes.
    """
    if not is_picture(path):
        raise UserError(f"{path} does not say a picture format", f"End it in {', '.join(SUFFIXES)}")
    return SUFFIXES[path.suffix.lower()]


def check_writable(known: Format) -> None:
    """Make ready what writes a format.

    Raises:
        UserError: it is not installed.
    """
    if known.pillow == "HEIF" and not load_heif():
        raise UserError("What writes HEIC is not installed", HEIF_MEND)
    if known.pillow == "AVIF" and not features.check("avif"):
        raise UserError("This Pillow writes no AVIF", "Install Pillow's own wheel")


def load_heif() -> bool:
    """Make Pillow read and write HEIF; False where the extra is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
