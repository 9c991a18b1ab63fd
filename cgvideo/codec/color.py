"""YUV to RGB and back, without drift.

swscale's defaults are off by more than a level on the way 4:2:0 -> RGB -> 4:2:0, all of it bias.
The four flags below bring that under a twentieth of a level, and make it the same on every machine.
"""

import re
from fractions import Fraction

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
        convert = self._from_rgb if _is_rgb(frame.format) else self._from_yuv
        return np.asarray(convert(frame).to_ndarray(), dtype=np.uint8)


class FromRgb:
    """RGB `uint8 [H, W, 3]`, as coded, becomes pictures in an encoder's pixel format."""

    def __init__(self, color: ColorTags, size: tuple[int, int], pixel_format: str) -> None:
        height, _ = size
        full = color.full_range is True
        rgb = _is_rgb(av.VideoFormat(pixel_format, 1, 1))
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
        # An untagged clip stays untagged: players take it as they took the source.
        tagged = FULL_RANGE if full or rgb else LIMITED_RANGE
        self.color_range = 0 if color.full_range is None and not rgb else tagged

    def __call__(self, pixels: Pixels) -> av.VideoFrame:
        frame = self._convert(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
        frame.color_range = self.color_range
        frame.colorspace = self._color.matrix
        frame.color_primaries = self._color.primaries
        frame.color_trc = self._color.transfer
        return frame


def _is_rgb(pixel_format: av.VideoFormat) -> bool:
    return bool(pixel_format.is_rgb) or pixel_format.name in ("pal8",)
