"""YUV to RGB and back, without drift.

swscale's defaults are off by more than a level on the way 4:2:0 -> RGB -> 4:2:0, all of it bias.
The four flags below bring that under a twentieth of a level, and make it the same on every machine.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np

from cgvideo.clip import ColorTags
from cgvideo.codec.tonemap import ToneMap
from cgvideo.frame import Pixels

EXACT = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
FULL_RANGE, LIMITED_RANGE = 2, 1  # AVColorRange


class _Converter:
    """A chain of `scale` filters, built for the first frame and again when the input changes.

    `steps` are pairs: what to tell the filter, and the pixel format it shall give.
    """

    def __init__(self, *steps: tuple[str, str]) -> None:
        self._steps = steps
        self._graph: av.filter.Graph | None = None
        self._input: tuple[int, int, str] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph is None or shape != self._input:
            self._graph, self._input = self._build(frame), shape
        frame.pts = None
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _build(self, frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1  # read-ahead threads already run the stages side by side
        source = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=Fraction(1, 1000),
        )
        filters = [source]
        for scale, pixel_format in self._steps:
            filters.append(graph.add("scale", f"{scale}:flags={EXACT}"))
            filters.append(graph.add("format", pixel_format))
        graph.link_nodes(*filters, graph.add("buffersink")).configure()
        return graph


@dataclass(frozen=True, slots=True)
class Development:
    """What decoded pictures become besides upright RGB."""

    deep: bool = False
    """float32 in 0 to 1 with every bit of the source, rather than uint8"""
    peak: float | None = None
    """HDR is mapped to SDR: the luminance, in cd/m2, of the brightest that the source holds"""
    alpha: bool = False
    """a fourth channel: the source's transparency (deep only)"""


class ToRgb:
    """Decoded pictures become RGB `[H, W, 3]` of `size` (height, width), still as coded.

    uint8, or as `wanted` says float32 in 0 to 1, with transparency as a fourth channel.
    """

    def __init__(
        self,
        color: ColorTags,
        coded_height: int,
        size: tuple[int, int],
        wanted: Development = Development(),
    ) -> None:
        height, width = size
        matrix = color.matrix_name(coded_height)
        in_range = "pc" if color.full_range else "tv"
        scale = f"{width}:{height}:in_color_matrix={matrix}:in_range={in_range}:out_range=pc"
        self._whole = wanted.deep or wanted.peak is not None
        rgb = ("rgba64le" if wanted.alpha else "rgb48le") if self._whole else "rgb24"
        self._from_yuv = _Converter((scale, rgb))
        self._from_rgb = _Converter((f"{width}:{height}", rgb))
        self._tone = ToneMap(color.transfer, wanted.peak) if wanted.peak is not None else None
        self._full_range = color.full_range is True
        self._deep = wanted.deep

    def __call__(self, frame: av.VideoFrame) -> Pixels:
        known = is_rgb(frame.format.name)
        converted: Any = (self._from_rgb if known else self._from_yuv)(frame).to_ndarray()
        if not self._whole:
            return np.asarray(converted, dtype=np.uint8)
        if self._tone is not None:
            pixels = self._tone(converted)
        else:
            pixels = converted.astype(np.float32) * np.float32(1 / 65535)
            if self._full_range and not known:
                # swscale shifts full-range numbers up to 16 bits: n ones become n ones and zeros.
                bits = depth_of(frame.format.name)
                most = ((1 << bits) - 1) << (16 - bits)
                np.minimum(pixels * np.float32(65535 / most), 1, out=pixels)
        return pixels if self._deep else np.rint(pixels * 255).astype(np.uint8)


class FromRgb:
    """RGB `[H, W, 3]`, as coded, becomes pictures in an encoder's pixel format.

    uint8, or float32 in 0 to 1; of the latter a fourth channel is transparency.
    """

    def __init__(self, color: ColorTags, size: tuple[int, int], pixel_format: str) -> None:
        height, _ = size
        full = color.full_range is True
        deep = depth_of(pixel_format) > 8
        to_yuv = f"out_color_matrix={color.matrix_name(height)}:in_range=pc:out_range="
        planar = re.match(r"yuva?4\d\dp", pixel_format)
        self._most = 65535.0
        if is_rgb(pixel_format):
            self._convert = _Converter(("in_range=pc:out_range=pc", pixel_format))
        elif full and planar:
            # swscale truncates chroma on the way to full range (half a level of bias): over more
            # bits 0.03 of a level is left. Of over 8 bits it makes 256/255 of what it should.
            over = f"{planar[0]}{'16le' if deep else '12le'}"
            self._most = 65535 * 255 / 256 if deep else 65535
            self._convert = _Converter(
                (to_yuv + "pc", over), ("in_range=pc:out_range=pc", pixel_format)
            )
        else:
            self._convert = _Converter((to_yuv + ("pc" if full else "tv"), pixel_format))
        self._color = color

    def __call__(self, pixels: Pixels) -> av.VideoFrame:
        if pixels.dtype == np.uint8:
            rgb = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        else:
            numbers = np.rint(np.clip(pixels, 0, 1) * np.float32(self._most)).astype(np.uint16)
            rgb = av.VideoFrame.from_ndarray(
                numbers, format="rgba64le" if pixels.shape[2] == 4 else "rgb48le"
            )
        frame = self._convert(rgb)
        tag(frame, self._color)
        return frame


def tag(target: Any, color: ColorTags) -> None:
    """Write colour tags on a frame or codec context; what is untagged stays so."""
    target.color_range = {None: 0, True: FULL_RANGE, False: LIMITED_RANGE}[color.full_range]
    target.colorspace = color.matrix
    target.color_primaries = color.primaries
    target.color_trc = color.transfer


def is_rgb(pixel_format: str) -> bool:
    """Whether a pixel format (FFmpeg's name) holds RGB rather than YUV or gray."""
    return bool(av.VideoFormat(pixel_format, 16, 16).is_rgb) or pixel_format == "pal8"


def depth_of(pixel_format: str) -> int:
    """Bits of a colour in a pixel format (FFmpeg's name)."""
    return max(part.bits for part in av.VideoFormat(pixel_format, 16, 16).components)


def holds_alpha(pixel_format: str) -> bool:
    """Whether a pixel format (FFmpeg's name) has transparency."""
    return any(part.is_alpha for part in av.VideoFormat(pixel_format, 16, 16).components)
