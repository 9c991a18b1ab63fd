"""Encoders, their settings, and the part file that a segment becomes."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from cgvideo.clip import ColorTags, Orientation
from cgvideo.codec.color import FromRgb, depth_of, holds_alpha, is_rgb, tag
from cgvideo.codec.errors import local_name, writing
from cgvideo.frame import Pixels
from engines.errors import UserError

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 talks on standard error but for this: errors only

SOFTWARE = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
"""Whose encoders and scaler these are: other versions give other bytes."""

X26X_PRESETS = (
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
NVENC_PRESETS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")  # fastest to best
FOR_HEVC = ("matroska", "mp4", "mov", "mpegts", "nut")


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec that can be asked for, and its encoder's usual settings."""

    encoder: str
    format: str
    """what the encoder writes, whoever made it: this is what containers and players go by"""
    options: Callable[[str, str, int], dict[str, str]]
    """the encoder's options for a CRF, a preset and a number of threads"""
    bits_per_pixel: float
    """of the result, generously: to reckon the room on the disk"""
    crf: int | None = None
    """constant rate factor: lower is better and larger; None for lossless codecs"""
    best_crf: int = 0
    preset: str = ""
    presets: tuple[str, ...] = ()
    stand_in: str = ""
    """of an encoder in hardware: the codec that does the same in software"""
    muxers: tuple[str, ...] = ("matroska", "mp4", "mov", "mpegts", "flv", "nut")
    """those that hold it and players read it from; the first where the input's own does not"""
    worst_crf: int = 51
    odd: bool = False
    """takes odd sides whatever the chroma"""
    part: str = "nut"
    """the muxer of parts"""
    rounds_times: bool = False
    """the encoder counts time in ticks of its own; it codes frames in the order in which they are shown"""
    says_aspect: bool = True
    """the shape of a pixel stands in the stream itself"""


def _x264(crf: str, preset: str, threads: int) -> dict[str, str]:
    options = {"threads": str(threads), "x264-params": "cpu-independent=1"}
    return {"crf": crf, "preset": preset, **options}


def _x265(crf: str, preset: str, threads: int) -> dict[str, str]:
    # x265 on threads of its own now and then waits for ever, or refuses to open, on small
    # pictures (seen with FFmpeg 8.1's build); on one thread it was never seen to.
    params = "log-level=none:frame-threads=1:pools=none"
    return {"crf": crf, "preset": preset, "x265-params": params}


def _ffv1(crf: str, preset: str, threads: int) -> dict[str, str]:
    return {"level": "3", "slicecrc": "1", "threads": str(threads)}


def _nvenc(crf: str, preset: str, threads: int) -> dict[str, str]:
    """Constant quality: `cq` aims at it, and without a bit rate nothing else limits it."""
    return {"rc": "vbr", "cq": crf, "b": "0", "preset": preset, "tune": "hq"}


def _svtav1(crf: str, preset: str, threads: int) -> dict[str, str]:
    # The same bytes for any number of threads; `lp` says how many.
    return {"crf": crf, "preset": preset, "svtav1-params": f"lp={threads}"}


def _vp9(crf: str, preset: str, threads: int) -> dict[str, str]:
    quality = {"crf": crf, "b": "0", "deadline": "good", "cpu-used": preset}
    return {**quality, "row-mt": "1", "threads": str(threads)}


def _prores(crf: str, preset: str, threads: int) -> dict[str, str]:
    # "auto" is HQ for 4:2:2 and 4444 for 4:4:4; without a vendor Apple's programs are wary of it.
    profile = {"proxy": "0", "lt": "1", "standard": "2", "hq": "-1"}[preset]
    return {"profile": profile, "vendor": "apl0", "threads": str(threads)}


CODECS = {
    # On a CPU the encoder takes its time from the engine; veryfast at 16 looks as medium at 17 does.
    "h264": Codec("libx264", "h264", _x264, 0.25, 16, preset="veryfast", presets=X26X_PRESETS),
    "hevc": Codec(
        "libx265", "hevc", _x265, 0.2, 20, preset="fast", presets=X26X_PRESETS, muxers=FOR_HEVC
    ),
    "av1": Codec(
        "libsvtav1",
        "av1",
        _svtav1,
        0.2,
        24,
        preset="8",
        presets=tuple(map(str, range(11))),
        muxers=("matroska", "mp4", "webm"),
        worst_crf=63,
        odd=True,
        says_aspect=False,
    ),
    "vp9": Codec(
        "libvpx-vp9",
        "vp9",
        _vp9,
        0.25,
        22,
        preset="4",
        presets=tuple(map(str, range(9))),
        muxers=("matroska", "mp4", "webm", "nut"),
        worst_crf=63,
        odd=True,
        rounds_times=True,
        says_aspect=False,
    ),
    "prores": Codec(
        "prores_ks",
        "prores",
        _prores,
        8.0,
        preset="hq",
        presets=("proxy", "lt", "standard", "hq"),
        muxers=("mov", "matroska"),
        odd=True,
        part="mov",
        says_aspect=False,
    ),
    "ffv1": Codec(
        "ffv1",
        "ffv1",
        _ffv1,
        8.0,
        muxers=("matroska", "nut"),
        odd=True,
        says_aspect=False,
    ),
    # NVENC takes a quality of 0 for "choose yourself".
    "h264_nvenc": Codec(
        "h264_nvenc", "h264", _nvenc, 0.4, 19, 1, "p4", NVENC_PRESETS, stand_in="h264"
    ),
    "hevc_nvenc": Codec(
        "hevc_nvenc", "hevc", _nvenc, 0.3, 22, 1, "p4", NVENC_PRESETS, "hevc", FOR_HEVC
    ),
}
CHROMA_SUBSAMPLED = (
    "420",
    "422",
    "411",
    "410",
    "440",
    "nv12",
    "nv16",
    "nv21",
    "p010",
    "p016",
    "p21",
)
IN_GPU_MEMORY = ("cuda",)  # formats of frames that are on a GPU already, which ours never are


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
    hardware: str = ""
    """the device and driver that encode, whose versions differ in bytes; "" for software"""

    @property
    def part_format(self) -> str:
        """The muxer of a part, which is its suffix, too."""
        return CODECS[self.codec].part


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
    chosen = known.crf if crf is None else crf
    if crf is not None:
        if known.crf is None:
            raise UserError(f"{codec} takes no --crf", "Leave it out")
        if not known.best_crf <= crf <= known.worst_crf:
            raise UserError(
                f"--crf {crf:g} is out of range",
                f"It goes from {known.best_crf} (best) to {known.worst_crf}",
            )
    if preset is not None and preset not in known.presets:
        if not known.presets:
            raise UserError(f"{codec} takes no --preset", "Leave it out")
        raise UserError(
            f"{codec} has no preset {preset!r}", f"Choose from {', '.join(known.presets)}"
        )
    quality = "" if chosen is None else f"{chosen:g}"
    return tuple(sorted(known.options(quality, preset or known.preset, threads).items()))


def choose_pixel_format(codec: str, size: tuple[int, int], source_format: str) -> str:
    """What keeps of the source what players of the codec's files can show.

    H.264 and VP9 stay at 8 bits, since hardly anything plays more; HEVC and AV1 have 10 where the
    source has more than 8. 4:2:0, or 4:4:4 where a side is odd and the encoder objects. ProRes
    has 10 bits and 4:2:2, or 4:4:4 (and transparency) as the source; FFV1 what the source has.
    """
    bits = depth_of(source_format)
    rgb = is_rgb(source_format)
    if codec == "prores":
        if holds_alpha(source_format):
            return "yuva444p10le"
        return "yuv444p10le" if rgb or "444" in source_format else "yuv422p10le"
    if codec == "ffv1":
        kept = next((known for known in (8, 10, 12, 16) if bits <= known), 16)
        if rgb:
            return "bgr0" if kept == 8 else f"gbrp{kept}le"
        chroma = next((name for name in ("444", "422") if name in source_format), "420")
        return f"yuv{chroma}p" + ("" if kept == 8 else f"{kept}le")
    odd = (size[0] % 2 or size[1] % 2) and not CODECS[codec].odd
    deep = bits > 8 and codec in ("hevc", "av1")
    return ("yuv444p" if odd else "yuv420p") + ("10le" if deep else "")


def check_pixel_format(codec: str, pixel_format: str, size: tuple[int, int]) -> None:
    """Refuse a `--pix-fmt` that the encoder or the size does not admit.

    Raises:
        UserError: naming the formats that the encoder takes.
    """
    encoder = CODECS[codec].encoder
    formats = [known.name for known in av.Codec(encoder, "w").video_formats or []]
    formats = [name for name in formats if name not in IN_GPU_MEMORY]
    if pixel_format not in formats:
        raise UserError(
            f"{encoder} does not encode {pixel_format!r}", f"It takes {', '.join(formats)}"
        )
    odd = (size[0] % 2 or size[1] % 2) and not CODECS[codec].odd
    if odd and any(name in pixel_format for name in CHROMA_SUBSAMPLED):
        raise UserError(
            f"A picture of {size[1]}x{size[0]} has an odd side, which {pixel_format} cannot hold",
            "Choose yuv444p, or leave --pix-fmt out",
        )


def write_part(frames: Iterable[tuple[int, Pixels]], path: Path, encoding: Encoding) -> int:
    """Encode (pts, coded RGB picture) pairs into a file and give their number.

    The part starts at 0 in the clip's own time base; NUT keeps every tick (Matroska rounds to
    a millisecond, MP4 shifts starts by up to 0.4 ms), and so does MOV for ProRes, whose frames are
    all shown in the order in which they are coded.

    Raises:
        UserError: the disk is full or the encoder fails.
    """
    height, width = encoding.size
    convert = FromRgb(encoding.color, encoding.size, encoding.pixel_format)
    count = 0
    first_pts: int | None = None
    waiting: deque[int] = deque()
    rounds = CODECS[encoding.codec].rounds_times
    with (
        writing(path),
        av.open(
            local_name(path),
            "w",
            format=encoding.part_format,
            container_options={"fflags": "+bitexact"},
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
            waiting.append(picture.pts)
            container.mux(_in_time(stream.encode(picture), waiting, rounds))
            count += 1
        if count:
            container.mux(_in_time(stream.encode(None), waiting, rounds))
    return count


def _in_time(packets: list[Any], waiting: deque[int], rounds: bool) -> list[Any]:
    """Packets with the times of their frames, `waiting` in order, where the encoder `rounds` them."""
    if rounds:
        for packet in packets:
            packet.pts = packet.dts = waiting.popleft()
    return packets
