"""16-bit colour as PNG: OpenCV writes the pixels, and what the file says of them is put in front."""

import struct
import zlib

import cv2
import numpy as np

from cgvideo.codec.images.metadata import EXIF_HEAD
from cgvideo.codec.images.picture import Picture, to_sixteen_bits

HEAD_BYTES = 8 + 25  # the signature and IHDR
COMPRESSION = 6
INCH = 0.0254  # metres
XMP_KEY = b"XML:com.adobe.xmp"


def deep_png(picture: Picture) -> bytes:
    """A PNG of deep pixels (PNG, third edition, W3C 2025: chunks iCCP, pHYs, iTXt and eXIf)."""
    samples = picture.pixels[..., ::-1]
    if picture.alpha is not None:
        samples = np.dstack([samples, picture.alpha])
    written, data = cv2.imencode(
        ".png", to_sixteen_bits(samples), [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION]
    )
    if not written:
        raise RuntimeError("OpenCV did not encode a 16-bit PNG")
    plain = data.tobytes()
    chunks = b""
    if picture.icc_profile:
        chunks += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc_profile))
    if picture.dpi:
        across, down = (round(value / INCH) for value in picture.dpi)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if picture.xmp:
        chunks += _chunk(b"iTXt", XMP_KEY + bytes(5) + picture.xmp)
    if picture.exif:
        chunks += _chunk(b"eXIf", picture.exif.removeprefix(EXIF_HEAD))
    return plain[:HEAD_BYTES] + chunks + plain[HEAD_BYTES:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
