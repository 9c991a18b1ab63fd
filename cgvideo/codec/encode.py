"""Encoders, their settings, and the part file that a segment becomes."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from cgvideo.clip import ColorTags, Orientation
from cgvideo.codec.color import FromRgb, is_rgb, tag
from cgvideo.codec.errors import local_name, writing
from cgvideo.frame import Pixels
from engines.errors import UserError


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec that can be asked for, and its encoder's usual settings."""

    encoder: str
    crf: int | None
    """constant rate factor: lower is better and larger; None for lossless codecs"""
    preset: str | None


SOFTWARE = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
"""Whose encoders and scaler these are: other versions give other bytes."""

CODECS = {
    # On a CPU the encoder takes its time from the engine; veryfast at 16 looks as medium at 17 does.
    "h264": Codec("libx264", 16, "veryfast"),
    "hevc": Codec("libx265", 20, "fast"),
    "ffv1": Codec("ffv1", None, None),
}
PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
CHROMA_SUBSAMPLED = ("420", "422", "411", "410", "440", "nv12", "nv21", "p010")


@dataclass(frozen=True, slots=True)
class Encoding:
    """All that decides an encoder's bytes. `size` is coded (height, width)."""

    codec: str
    encoder: str
    pixel_format: str
    options: tuple[tuple[str, str], ...]
    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    sample_aspect_ratio: Fraction
    color: ColorTags
    orientation: Orientation
    """how the coded pictures are to be turned to stand upright"""


def encoder_options(
    codec: str, crf: float | None, preset: str | None, threads: int
) -> tuple[tuple[str, str], ...]:
    """The options of an encoder, so fixed that its bytes depend on nothing else.

    x264 and x265 give other bytes with other thread counts, and x264 with other CPUs unless told.

    Raises:
        UserError: the codec is unknown, or has no such knob.
    """
    if codec not in CODECS:
        raise UserError(f"There is no codec {codec!r} here", f"Choose from {', '.join(CODECS)}")
    known = CODECS[codec]
    if known.crf is None:
        if crf is not None or preset is not None:
            raise UserError(f"{codec} is lossless and takes no --crf and no --preset", "")
        return (("level", "3"), ("slicecrc", "1"), ("threads", str(threads)))
    chosen = known.crf if crf is None else crf
    if not 0 <= chosen <= 51:
        raise UserError(f"--crf {chosen:g} is out of range", "It goes from 0 (best) to 51")
    if preset is not None and preset not in PRESETS:
        raise UserError(f"There is no preset {preset!r}", f"Choose from {', '.join(PRESETS)}")
    options = {"crf": f"{chosen:g}", "preset": preset or known.preset or "medium"}
    if known.encoder == "libx264":
        options |= {"threads": str(threads), "x264-params": "cpu-independent=1"}
    else:
        # x265 on threads of its own now and then waits for ever, or refuses to open, on small
        # pictures (seen with FFmpeg 8.1's build); on one thread it was never seen to.
        options["x265-params"] = "log-level=none:frame-threads=1:pools=none"
    return tuple(sorted(options.items()))


def choose_pixel_format(codec: str, size: tuple[int, int], source_format: str) -> str:
    """8-bit 4:2:0 unless a side is odd (4:2:0 has half as many samples) or nothing may be lost."""
    odd = size[0] % 2 or size[1] % 2
    if codec == "ffv1":
        for name in ("444", "422"):
            if name in source_format:
                return f"yuv{name}p"
        # FFV1 rounds odd sides of 4:2:0 up, and is the one codec that may keep them so.
        return "bgr0" if is_rgb(source_format) else "yuv420p"
    return "yuv444p" if odd else "yuv420p"


def check_pixel_format(encoder: str, pixel_format: str, size: tuple[int, int]) -> None:
    """Refuse a `--pix-fmt` that the encoder or the size does not admit.

    Raises:
        UserError: naming the formats that the encoder takes.
    """
    formats = [known.name for known in av.Codec(encoder, "w").video_formats or []]
    if pixel_format not in formats:
        raise UserError(
            f"{encoder} does not encode {pixel_format!r}", f"It takes {', '.join(formats)}"
        )
    odd = size[0] % 2 or size[1] % 2
    if odd and encoder != "ffv1" and any(name in pixel_format for name in CHROMA_SUBSAMPLED):
        raise UserError(
            f"A picture of {size[1]}x{size[0]} has an odd side, which {pixel_format} cannot hold",
            "Choose yuv444p, or leave --pix-fmt out",
        )


def write_part(frames: Iterable[tuple[int, Pixels]], path: Path, encoding: Encoding) -> int:
    """Encode (pts, coded RGB picture) pairs into a NUT file and give their number.

    The part starts at 0 in the clip's own time base; NUT keeps every tick (Matroska rounds to
    a millisecond, MP4 shifts starts by up to 0.4 ms).

    Raises:
        UserError: the disk is full or the encoder fails.
    """
    height, width = encoding.size
    convert = FromRgb(encoding.color, encoding.size, encoding.pixel_format)
    count = 0
    first_pts: int | None = None
    with (
        writing(path),
        av.open(
            local_name(path), "w", format="nut", container_options={"fflags": "+bitexact"}
        ) as container,
    ):
        # The name is not one of a known few to the type checker, so neither is the stream.
        stream: Any = container.add_stream(
            encoding.encoder, rate=encoding.rate, options=dict(encoding.options)
        )
        context = stream.codec_context
        context.width, context.height = width, height
        context.pix_fmt = encoding.pixel_format
        context.time_base = encoding.time_base
        context.sample_aspect_ratio = encoding.sample_aspect_ratio
        tag(context, encoding.color)
        context.flags |= av.codec.context.Flags.bitexact
        for pts, pixels in frames:
            first_pts = pts if first_pts is None else first_pts
            picture = convert(pixels)
            picture.pts = pts - first_pts
            picture.time_base = encoding.time_base
            container.mux(stream.encode(picture))
            count += 1
        if count:
            container.mux(stream.encode(None))
    return count
