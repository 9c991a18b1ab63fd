"""Picture files by formula, with profiles of wide gamut."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SRGB_TRC = (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))  # ICC.1 table 68, type 3
# Columns of XYZ of D50, as the published profiles have them.
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def matrix_profile(columns: Any, gamma: float | None = None) -> bytes:
    """An RGB profile by a matrix and three equal curves: a gamma, or that of sRGB."""
    if gamma is None:
        kind, numbers = SRGB_TRC
        curve = b"para" + bytes(4) + struct.pack(">HH", kind, 0)
        curve += struct.pack(f">{len(numbers)}i", *(round(n * 65536) for n in numbers))
    else:
        curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags[name + b"XYZ"] = (
            b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in column))
        )
    tags[b"wtpt"] = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    body, index, offset = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        index += name + struct.pack(">2I", offset + len(body), len(data))
        body += data
    head = struct.pack(">I4s", offset + len(body), b"lcms") + bytes([2, 0x40, 0, 0]) + b"mntr"
    head += b"RGB XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + index + body


def gradient(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Colours that no turning or mirroring leaves as they are."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.dstack(
        [rows * 255 // height, columns * 255 // width, (rows + 2 * columns) % 256]
    ).astype(np.uint8)


def deep_gradient(height: int = 24, width: int = 32) -> NDArray[np.uint16]:
    """The same in 16 bits, with low bytes of its own."""
    return gradient(height, width).astype(np.uint16) * 257 ^ np.uint16(0x35)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write pixels by Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def animation(path: Path, times: list[int], **options: Any) -> Path:
    """An animation of frames that differ, by Pillow, with so many milliseconds each."""
    frames = [Image.fromarray(np.roll(gradient(), 3 * n, axis=1)) for n in range(len(times))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, **options)
    return path
