"""The pictures of a domain: found, read once, kept as bytes."""

import hashlib
import math
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from engines.errors import UserError
from trainer.config import Preprocess

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MOST_UNREADABLE = 0.05
MEMORY_BYTES = 2 << 30
"""What the pictures of one domain may take; larger sets are read again each time."""

Pixels = NDArray[np.uint8]
"""RGB `[H, W, 3]`"""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a picture is brought to the size that crops are cut from."""

    preprocess: Preprocess
    load_size: int
    crop: int
    multiple_of: int = 4
    least: int = 1
    """height and width below which a picture is of no use; scaled by "none" alone it can be less"""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) of a picture of that size, once scaled; at least a crop."""
        match self.preprocess:
            case "resize_and_crop":
                return self.load_size, self.load_size
            case "scale_width_and_crop":
                return max(round(height * self.load_size / width), self.crop), self.load_size
            case "crop" | "zoom":
                scale = max(1.0, self.crop / min(height, width))
                return round(height * scale), round(width * scale)
            case _:  # none: as it is, down to what the generator takes
                multiple = self.multiple_of
                return (
                    max(height // multiple, 1) * multiple,
                    max(width // multiple, 1) * multiple,
                )


class PictureSet:
    """The pictures of one domain, in the order of their names.

    Kept in memory as they are scaled, where that is at most MEMORY_BYTES. What cannot be read is named
    in `unreadable` and left out. `sizes` are (height, width), scaled.

    Raises UserError for a folder that is not there or holds no pictures, for more than one in
    twenty that cannot be read, and for one that is too small.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        where: str,
        scaling: Scaling,
        gray: bool = False,
        part: tuple[float, float] = (0.0, 1.0),
        report: Callable[[str], None] = lambda step: None,
    ) -> None:
        """`part` is the share of each picture's width that belongs to this domain."""
        self._scaling, self._gray, self._part = scaling, gray, part
        self.paths: list[Path] = []
        self.sizes: list[tuple[int, int]] = []
        self.unreadable: list[Path] = []
        self._kept: list[Pixels] | None = []
        if not paths:
            raise UserError(f"{where} holds no pictures", f"Known: {' '.join(SUFFIXES)}")
        taken = 0
        with ThreadPoolExecutor() as pool:
            for number, (path, pixels) in enumerate(
                zip(paths, pool.map(self._try, paths), strict=True)
            ):
                if number % 100 == 0:
                    report(f"reading {where}: {number} of {len(paths)} pictures")
                if pixels is None:
                    self.unreadable.append(path)
                    continue
                if min(pixels.shape[:2]) < scaling.least:
                    raise UserError(
                        f"{path} is too small: {pixels.shape[1]}x{pixels.shape[0]} of at least"
                        f" {scaling.least}x{scaling.least} pixels",
                        "Remove it, or give another --preprocess",
                    )
                self.paths.append(path)
                self.sizes.append((pixels.shape[0], pixels.shape[1]))
                taken += pixels.nbytes
                if self._kept is not None:
                    self._kept.append(pixels)
                    if taken > MEMORY_BYTES:
                        self._kept = None
        if len(self.unreadable) > MOST_UNREADABLE * len(paths):
            raise UserError(
                f"{len(self.unreadable)} of {len(paths)} pictures in {where} cannot be read, first"
                f" {self.unreadable[0].name}",
                "Mend or remove them",
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        """A picture, scaled; raises UserError for one that can be read no more."""
        if self._kept is not None:
            return self._kept[index]
        pixels = self._try(self.paths[index])
        if pixels is None or pixels.shape[:2] != self.sizes[index]:
            raise UserError(
                f"{self.paths[index]} has changed since the run began", "Put it back, then go on"
            )
        return pixels

    @property
    def in_memory(self) -> bool:
        """Whether all of them are kept."""
        return self._kept is not None

    def leave_out(self, paths: Set[Path]) -> None:
        """Go on without these."""
        places = [number for number, path in enumerate(self.paths) if path not in paths]
        self.paths = [self.paths[place] for place in places]
        self.sizes = [self.sizes[place] for place in places]
        if self._kept is not None:
            self._kept = [self._kept[place] for place in places]

    def named(self, listed: Path) -> list[int]:
        """The indices of the pictures whose names stand in a file, a line each.

        Raises UserError when the file cannot be read, or names none of them.
        """
        try:
            names = set(listed.read_text(encoding="utf-8").split("\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{listed} cannot be read ({error})", "Give a text file, a name a line"
            ) from error
        names = {Path(name.strip()).name for name in names if name.strip()}
        found = [number for number, path in enumerate(self.paths) if path.name in names]
        if not found:
            raise UserError(f"{listed} names no picture that is there", "Names stand a line each")
        return found

    def _try(self, path: Path) -> Pixels | None:
        try:
            return self._read(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None  # Pillow raises any of them for a damaged file

    def _read(self, path: Path) -> Pixels:
        with Image.open(path) as opened:
            picture = _eight_bits(ImageOps.exif_transpose(opened)).convert("RGB")
        if self._part != (0.0, 1.0):
            # Halves of an odd width are equal, without the column in the middle.
            left = math.ceil(self._part[0] * picture.width)
            right = math.floor(self._part[1] * picture.width)
            picture = picture.crop((left, 0, right, picture.height))
        if self._gray:
            picture = picture.convert("L").convert("RGB")
        height, width = self._scaling.size(picture.height, picture.width)
        if (height, width) != (picture.height, picture.width):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(picture)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of 16 bits as one of 8; Pillow would make white of all but the darkest."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    deep = np.asarray(picture, np.float32)
    return Image.fromarray((deep / 257).clip(0, 255).round().astype(np.uint8))


def spread(length: int, most: int) -> list[int]:
    """At most so many places of `length`, evenly apart: neighbours in a folder are often one scene."""
    count = min(most, length)
    return [number * length // count for number in range(count)]


def find_pictures(folder: Path) -> list[Path]:
    """All pictures of a folder, in depth, by name; raises UserError where there is no folder."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}", "Check the path")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def without_copies(paths: Sequence[Path], of: Sequence[Path]) -> list[Path]:
    """Those whose bytes are not the bytes of another: test pictures that are not trained on."""
    known = {_digest(path) for path in of}
    return [path for path in paths if _digest(path) not in known]


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
