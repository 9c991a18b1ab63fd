"""Pixels of more than 8 bits a colour, which Pillow cannot read in colour.

OpenCV reads them, without alpha's and planes' finer points. So it is believed where its high bytes
are the pixels that Pillow reads.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS_PER_SAMPLE = 258  # the TIFF tag
ALIKE = 1  # level of 255


def bits_of(path: Path, image: Image.Image) -> int:
    """Bits a colour of a PNG or a page of a TIFF, by their heads; 8 of all others and below."""
    if image.format == "PNG":
        with path.open("rb") as file:
            head = file.read(26)  # IHDR is the first chunk; its depth is byte 24
        return 16 if len(head) == 26 and head[24] == 16 else 8
    tags: Any = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        bits = tags.get(BITS_PER_SAMPLE, (1,))
        most = max(bits) if isinstance(bits, tuple) else int(bits)
        return min(16, most) if most > 8 and image.mode not in ("CMYK", "LAB") else 8
    return 8


def gray(image: Image.Image, bits: int) -> NDArray[np.float32]:
    """Gray of 9 to 16 bits as float32 `[H, W]`, 0 to 1."""
    values = np.asarray(image).astype(np.float32)
    return np.asarray(np.clip(values / np.float32((1 << bits) - 1), 0, 1))


def colours(
    path: Path, page: int, eight: Image.Image, orientation: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
    """RGB `[H, W, 3]` and alpha of 16 bits, 0 to 1, upright; None where they cannot be had.

    `eight` is the same page as Pillow reads it, upright.
    """
    data = np.fromfile(path, np.uint8)
    try:
        _, pages = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED, range=(page, page + 1))
    except cv2.error:
        return None
    if not pages or pages[0].dtype != np.uint16 or pages[0].ndim != 3:
        return None
    found = _upright(pages[0], orientation)
    has_alpha = found.shape[2] == 4
    found = found[..., [2, 1, 0, 3]] if has_alpha else found[..., ::-1]
    known = np.asarray(eight.convert("RGBA" if has_alpha else "RGB"))
    if known.shape != found.shape:
        return None
    if np.abs((found >> 8).astype(np.int16) - known).max() > ALIKE:
        return None
    values = found.astype(np.float32) / np.float32(65535)
    return np.ascontiguousarray(values[..., :3]), values[..., 3] if has_alpha else None


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn as EXIF says: 2 to 4 keep the sides, 5 to 8 swap them."""
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    down, right = {
        2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1),
    }.get(orientation, (1, 1))  # fmt: skip
    return turned[::down, ::right]
