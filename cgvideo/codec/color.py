"""YUV to RGB and back, without drift.

swscale's defaults are off by more than a level on the way 4:2:0 -> RGB -> 4:2:0, all of it bias.
The four flags below bring that under a twentieth of a level, and make it the same on every machine.
"""

import re
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np

from cgvideo.clip import ColorTags
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


class ToRgb:
    """Decoded pictures become RGB `uint8 [H, W, 3]` of `size` (height, width), still as coded."""

    def __init__(self, color: ColorTags, coded_height: int, size: tuple[int, int]) -> None:
        height, width = size
        matrix = color.matrix_name(coded_height)
        in_range = "pc" if color.full_range else "tv"
        scale = f"{width}:{height}:in_color_matrix={matrix}:in_range={in_range}:out_range=pc"
        self._from_yuv = _Converter((scale, "rgb24"))
        self._from_rgb = _Converter((f"{width}:{height}", "rgb24"))

    def __call__(self, frame: av.VideoFrame) -> Pixels:
        convert = self._from_rgb if is_rgb(frame.format.name) else self._from_yuv
        return np.asarray(convert(frame).to_ndarray(), dtype=np.uint8)


class FromRgb:
    """RGB `uint8 [H, W, 3]`, as coded, becomes pictures in an encoder's pixel format."""

    def __init__(self, color: ColorTags, size: tuple[int, int], pixel_format: str) -> None:
        height, _ = size
        full = color.full_range is True
        rgb = is_rgb(pixel_format)
        to_yuv = f"out_color_matrix={color.matrix_name(height)}:in_range=pc:out_range="
        if rgb:
            self._convert = _Converter(("in_range=pc:out_range=pc", pixel_format))
        elif full and re.fullmatch(r"yuv4\d\dp", pixel_format):
            # swscale truncates 8-bit chroma on the way to full range (half a level of bias);
            # over 12 bits 0.03 of a level is left.
            over = f"{pixel_format}12le"
            self._convert = _Converter(
                (to_yuv + "pc", over), ("in_range=pc:out_range=pc", pixel_format)
            )
        else:
            self._convert = _Converter((to_yuv + ("pc" if full else "tv"), pixel_format))
        self._color = color

    def __call__(self, pixels: Pixels) -> av.VideoFrame:
        frame = self._convert(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
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
