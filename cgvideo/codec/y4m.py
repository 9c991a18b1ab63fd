"""YUV4MPEG2, the plainest video there is: a line of header, then the planes of every frame.

Programs hand it on through pipes. It knows one constant rate and neither sound nor colour tags.
"""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from cgvideo.codec.errors import local_name, reading
from cgvideo.codec.streams import packet_time
from engines.errors import UserError

MILLISECOND = Fraction(1, 1000)
USUAL_RATES = [
    *(Fraction(rate) for rate in range(1, 121)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120)),
]
NEAR = 4e-4  # between 24 and 24000/1001 lies one in a thousand

COLOR_SPACES = {
    "yuv420p": "420mpeg2",
    "yuv422p": "422",
    "yuv444p": "444",
    "gray": "mono",
    **{
        f"yuv{chroma}p{bits}le": f"{chroma}p{bits}"
        for chroma in (420, 422, 444)
        for bits in (10, 12)
    },
}
"""What Y4M calls FFmpeg's pixel formats (as FFmpeg's own muxer does)."""


def write_y4m(source: Path, target: BinaryIO) -> list[str]:
    """Decode a finished video and write it as Y4M; give a line for each thing that is lost.

    Raises:
        UserError: Y4M has no word for its pixel format.
    """
    count = 0
    times = _times(source)
    with reading(source), av.open(local_name(source)) as container:
        stream: Any = container.streams.video[0]
        for frame in container.decode(stream):
            if count == 0:
                target.write(_header(stream, frame, _rate(times)))
            target.write(b"FRAME\n")
            for plane in frame.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                width = plane.width * (2 if frame.format.components[0].bits > 8 else 1)
                target.write(np.ascontiguousarray(rows[:, :width]).data)
            count += 1
        lost = []
        if len(container.streams) > 1:
            lost.append("Y4M holds the pictures alone: sound and all else are left out")
        steps = {later - earlier for earlier, later in itertools.pairwise(times)}
        if steps and max(steps) - min(steps) > MILLISECOND:  # as Matroska rounds
            lost.append("Y4M knows one rate: the frames' own times are lost")
    return lost


def _times(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with reading(path), av.open(local_name(path)) as container:
        packets = container.demux(container.streams.video[0])
        return sorted(packet_time(packet) or Fraction(0) for packet in packets if packet.size)


def _rate(times: list[Fraction]) -> Fraction:
    """Frames a second by the frames' own times; the usual rate next to that where one is near."""
    span = times[-1] - times[0]
    if not span:
        return Fraction(25)
    measured = (len(times) - 1) / span
    nearest = min(USUAL_RATES, key=lambda rate: abs(rate - measured))
    near = abs(nearest / measured - 1) < NEAR
    return nearest if near else measured.limit_denominator(1001)


def _header(stream: Any, frame: Any, rate: Fraction) -> bytes:
    color_space = COLOR_SPACES.get(frame.format.name.replace("yuvj", "yuv"))
    if color_space is None:
        raise UserError(
            f"Y4M has no word for {frame.format.name}",
            f"Choose a --pix-fmt from {', '.join(COLOR_SPACES)}",
        )
    aspect = stream.sample_aspect_ratio or 1
    full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    words = [
        "YUV4MPEG2",
        f"W{frame.width}",
        f"H{frame.height}",
        f"F{rate.numerator}:{rate.denominator}",
        "Ip",
        f"A{aspect.numerator}:{aspect.denominator}",
        f"C{color_space}",
        f"XCOLORRANGE={'FULL' if full else 'LIMITED'}",
    ]
    return " ".join(words).encode() + b"\n"
