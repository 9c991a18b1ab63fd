"""Encoders and decoders in hardware, tried in a child process before anything relies on them.

A driver that is broken crashes or hangs in the child. What is tried is what `convert` does: a few
frames through the encoder with its real options, and back.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from numpy.typing import NDArray

from cgvideo.clip import ColorTags, Orientation
from cgvideo.codec.encode import CODECS, Encoding, encoder_options, write_part
from cgvideo.codec.errors import local_name, reason
from engines.errors import UserError
from engines.survey.driver import nvidia
from engines.survey.probing import ask, reply

DECODERS = {"h264_cuvid": "h264", "hevc_cuvid": "hevc"}
"""NVIDIA's decoders that can be tried, and the codec that makes something for them to decode."""

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "ffv1": "ffv1",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
}
"""Encoders in software by format, whether `--codec` offers them or not."""

MISSING = "this PyAV was built without it"

SECONDS = 20.0
SIZE = 256  # rows and columns: NVENC refuses pictures that are much smaller
FRAMES = 8
FAR = 4.0  # levels of 255 that a good picture may be off, on average


@dataclass(frozen=True, slots=True)
class Trial:
    """How a codec in hardware fared: it works where there is no `problem`."""

    problem: str = ""
    hardware: str = ""
    """the device and its driver, which decide an encoder's bytes"""


@cache
def try_encoder(codec: str) -> Trial:
    """Let an encoder of CODECS encode a few frames, in a child; asked once for the process."""
    if not has_codec(CODECS[codec].encoder, "w"):
        return Trial(MISSING)
    return _tried("encode", codec)


@cache
def try_decoder(name: str) -> Trial:
    """Let one of DECODERS decode a few frames, in a child; asked once for the process."""
    if not has_codec(name, "r"):
        return Trial(MISSING)
    return _tried("decode", name)


def hardware_of(codec: str) -> str:
    """The hardware that a codec of `--codec` runs on, "" for one in software.

    Raises:
        UserError: the codec needs hardware that does not work here.
    """
    stand_in = CODECS[codec].stand_in
    if not stand_in:
        return ""
    trial = try_encoder(codec)
    if trial.problem:
        raise UserError(f"{codec} does not work here ({trial.problem})", f"Use --codec {stand_in}")
    return trial.hardware


def has_codec(name: str, mode: Any) -> bool:
    """Whether PyAV's FFmpeg has an encoder ("w") or decoder ("r") of that name."""
    try:
        av.Codec(name, mode)
    except (ValueError, av.FFmpegError):
        return False
    return True


def _tried(question: str, name: str) -> Trial:
    answer = ask("cgvideo.codec.hardware", question, name, seconds=SECONDS)
    return Trial(answer.problem, str(answer.facts.get("hardware", "")))


# What follows runs in the child.


def _encode(codec: str) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory(prefix="cgvideo-") as folder:
        path = Path(folder) / "trial.nut"
        _write(path, codec)
        _compare([picture.to_ndarray(format="rgb24") for picture in _decoded(path)])
    return {"hardware": _hardware() if CODECS[codec].stand_in else ""}


def _decode(decoder: str) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory(prefix="cgvideo-") as folder:
        path = Path(folder) / "trial.nut"
        _write(path, DECODERS[decoder])
        _compare([picture.to_ndarray(format="rgb24") for picture in _decoded(path, decoder)])
    return {"hardware": _hardware()}


def _write(path: Path, codec: str) -> None:
    encoding = Encoding(
        codec,
        CODECS[codec].encoder,
        "yuv420p",
        encoder_options(codec, None, None, threads=1),
        (SIZE, SIZE),
        Fraction(25),
        Fraction(1, 25),
        Fraction(1),
        ColorTags(full_range=False, matrix=6, primaries=6, transfer=6),
        Orientation(),
    )
    try:
        write_part(enumerate(_pictures()), path, encoding)
    except UserError as error:
        cause = error.__cause__
        raise UserError(reason(cause)) if isinstance(cause, Exception) else error from error


def _pictures() -> Iterator[NDArray[np.uint8]]:
    """Slopes of colour that move: what any codec keeps well."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for number in range(FRAMES):
        waves = [
            np.sin((rows * a + columns * b) / SIZE * np.pi + number / 4)
            for a, b in ((1, 2), (2, -1), (-2, 2))
        ]
        yield np.stack([128 + 90 * wave for wave in waves], axis=-1).astype(np.uint8)


def _decoded(path: Path, decoder: str = "") -> Iterator[av.VideoFrame]:
    with av.open(local_name(path)) as container:
        stream = container.streams.video[0]
        if not decoder:
            yield from container.decode(stream)
            return
        context: Any = av.CodecContext.create(decoder, "r")
        context.extradata = stream.codec_context.extradata
        context.width, context.height = SIZE, SIZE
        try:
            for packet in container.demux(stream):
                yield from context.decode(packet if packet.size else None)
        except av.FFmpegError as error:
            raise UserError(reason(error)) from error


def _compare(results: list[NDArray[Any]]) -> None:
    if len(results) != FRAMES:
        raise UserError(f"gives {len(results)} of {FRAMES} frames")
    pairs = zip(results, _pictures(), strict=True)
    off = max(float(np.abs(result - picture.astype(float)).mean()) for result, picture in pairs)
    if off > FAR:
        raise UserError(f"gives pictures that are {off:.0f} levels of 255 off")


def _hardware() -> str:
    found = nvidia()
    names = " + ".join(gpu["name"] for gpu in found.get("gpus", []))
    version = found.get("driver") or f"for CUDA {found.get('cuda', 'of unknown version')}"
    return f"{names}, driver {version}"


if __name__ == "__main__":
    av.logging.set_level(av.logging.ERROR)  # then errors tell what FFmpeg says of them
    reply({"encode": _encode, "decode": _decode})
