"""TIFF files of RGB pages of 8 or 16 bits, page by page, in deflate.

Pillow writes no 16-bit colour, and OpenCV none of what a file says about its pictures. TIFF 6.0
(Adobe, 1992), sections 2, 8, 14 and 18; deflate is Adobe's supplement 2.
"""

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from PIL.TiffTags import BYTE, LONG, SHORT, UNDEFINED

from cgvideo.codec.images.metadata import ABOUT, parse_exif
from cgvideo.codec.images.picture import Picture, to_sixteen_bits
from engines.errors import UserError

STRIP_BYTES = 1 << 18
LEVEL = 6
RGB, DEFLATE, DIFFERENCES, UNASSOCIATED_ALPHA, INCH = 2, 8, 2, 2, 2
MOST_BYTES = (1 << 32) - (1 << 20)  # offsets have 32 bits


class TiffWriter:
    """Pages, one after the other, into an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.write(b"II" + struct.pack("<HI", 42, 0))
        self._link = 4  # where the next page's place is to be written

    def write(self, picture: Picture) -> None:
        """Append a page.

        Raises:
            UserError: the file would be larger than a TIFF can be.
        """
        pixels = _samples(picture)
        height, width, channels = pixels.shape
        rows = max(1, STRIP_BYTES // (width * channels * pixels.itemsize))
        strips = [_packed(pixels[top : top + rows]) for top in range(0, height, rows)]
        offsets = np.cumsum([0, *map(len, strips)])
        begin = self._file.seek(0, 2)
        begin += self._file.write(bytes(begin % 2))
        if begin + int(offsets[-1]) > MOST_BYTES:
            raise UserError("The pages do not fit into one TIFF, which ends at 4 GB", "Split it")
        directory = ImageFileDirectory_v2(b"II" + struct.pack("<HI", 42, 0))

        def put(tag: int, kind: int, value: Any) -> None:
            directory.tagtype[tag] = kind
            directory[tag] = value

        put(256, LONG, width)
        put(257, LONG, height)
        put(258, SHORT, (8 * pixels.itemsize,) * channels)
        put(259, SHORT, DEFLATE)
        put(262, SHORT, RGB)
        put(273, LONG, tuple(int(offset) for offset in offsets[:-1]))
        put(277, SHORT, channels)
        put(278, LONG, rows)
        put(279, LONG, tuple(map(len, strips)))
        put(284, SHORT, 1)
        put(317, SHORT, DIFFERENCES)
        if picture.alpha is not None:
            put(338, SHORT, UNASSOCIATED_ALPHA)
        if picture.dpi:
            directory[282], directory[283] = (IFDRational(value) for value in picture.dpi)
            put(296, SHORT, INCH)
        if picture.xmp:
            put(700, BYTE, picture.xmp)
        if picture.icc_profile:
            put(34675, UNDEFINED, picture.icc_profile)
        for tag, value in _about(picture.exif).items():
            directory[tag] = value
        body = bytearray(
            directory.tobytes(begin)
        )  # strips follow it: their offsets count from there
        self._file.write(body)
        for strip in strips:
            self._file.write(strip)
        self._file.seek(self._link)
        self._file.write(struct.pack("<I", begin))
        self._link = begin + 2 + 12 * len(directory)


def _samples(picture: Picture) -> NDArray[Any]:
    samples = picture.pixels
    if picture.alpha is not None:
        samples = np.dstack([samples, picture.alpha])
    return to_sixteen_bits(samples) if picture.deep else samples


def _packed(rows: NDArray[Any]) -> bytes:
    """A strip: each sample less the one to its left, deflated."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    little = differences.astype(differences.dtype.newbyteorder("<"), copy=False)
    return zlib.compress(little.tobytes(), LEVEL)


def _about(exif: bytes) -> dict[int, Any]:
    """EXIF's tags that a TIFF's own directory takes."""
    if not exif:
        return {}
    parsed, _ = parse_exif(exif)
    about = {tag: value for tag, value in parsed.items() if tag in ABOUT}
    for place in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        inner = dict(parsed.get_ifd(place))
        about.pop(place, None)
        if ExifTags.IFD.Interop in inner:
            inner[ExifTags.IFD.Interop] = dict(parsed.get_ifd(ExifTags.IFD.Interop))
        if inner:
            about[place] = inner
    return about
