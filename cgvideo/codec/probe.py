"""Look at a video: its container, its streams and its first frame."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from cgvideo.clip import UNSPECIFIED, Clip, ColorTags, Light, Orientation, StreamInfo
from cgvideo.codec.deinterlace import is_interlaced
from cgvideo.codec.ending import lacks_index
from cgvideo.codec.errors import local_name, reading
from engines.errors import UserError

FIRST_FRAME_PACKETS = 500  # a picture must come within so many packets of the video stream
VIEW_ID = 29  # AV_FRAME_DATA_VIEW_ID
FASTEST = 240  # frames a second; SVT-AV1 takes no more
LOOKED_AT = 5  # frames, to see whether the video is interlaced
_TURNS = {
    90: Orientation(0, -1, 1, 0),
    -90: Orientation(0, 1, -1, 0),
    180: Orientation(-1, 0, 0, -1),
    -180: Orientation(-1, 0, 0, -1),
}
"""By PyAV's degrees, which count anticlockwise."""


def probe(path: Path) -> Clip:
    """Describe the video at `path` by its headers and its first decodable frame.

    Raises:
        UserError: the file does not exist, is no video, holds no picture that decodes.
    """
    with reading(path):
        if path.is_file() and lacks_index(path):
            raise UserError(
                f"{path} lacks its index (moov): it was cut short, or is still being written",
                "Copy it again, or let a repair tool make the index",
            )
    with reading(path), av.open(local_name(path), metadata_errors="replace") as container:
        stream = _main_video(path, container)
        frame, interlaced = _first_frames(path, container, stream)
        color = _color_tags(stream, frame)
        time_base = Fraction(stream.time_base or Fraction(1, 1000))
        return Clip(
            path=path,
            container=container.format.name,
            codec=stream.codec_context.name,
            pixel_format=frame.format.name,
            bit_depth=max(part.bits for part in frame.format.components),
            stream_index=stream.index,
            size=(frame.height, frame.width),
            sample_aspect_ratio=_sample_aspect_ratio(stream),
            rate=_rate(stream),
            time_base=time_base,
            first_pts=frame.pts if frame.pts is not None else 0,
            duration_seconds=_duration(container, stream, time_base),
            frame_count_from_header=stream.frames or None,
            color=color,
            orientation=_orientation(frame),
            interlaced=interlaced,
            has_alpha=any(part.is_alpha for part in frame.format.components)
            or stream.metadata.get("alpha_mode") == "1",
            other_streams=tuple(
                _stream_info(other) for other in container.streams if other.index != stream.index
            ),
            light=_light(frame),
            several_views=_has_several_views(frame),
        )


def _main_video(path: Path, container: Any) -> Any:
    """The first video stream that is not a cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                break
            return stream
    found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise UserError(
        f"{path} holds no video that can be decoded (only {found})", "Give a video or a picture"
    )


def _first_frames(path: Path, container: Any, stream: Any) -> tuple[Any, bool]:
    """The first picture, and whether one of the first few is interlaced."""
    found: list[Any] = []
    for number, packet in enumerate(container.demux(stream)):
        try:
            found += packet.decode()
        except av.FFmpegError:
            if found:
                break
        if len(found) >= LOOKED_AT or number > FIRST_FRAME_PACKETS:
            break
    if not found:
        raise UserError(f"No picture of {path} can be decoded", "See whether a player shows it")
    return found[0], any(is_interlaced(frame) for frame in found)


def _color_tags(stream: Any, frame: Any) -> ColorTags:
    jpeg = frame.format.name.startswith("yuvj")
    known_range = {1: False, 2: True}.get(int(frame.color_range))
    return ColorTags(
        full_range=True if jpeg else known_range,
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc) or UNSPECIFIED,
    )


def _orientation(frame: Any) -> Orientation:
    """The signs of the display matrix; a turn that is not right-angled is left to the player."""
    try:
        known = list(frame.side_data)
    except ValueError:  # PyAV knows not every kind: then the turn alone, without mirroring
        return _TURNS.get(round(frame.rotation), Orientation())
    for side_data in known:
        if side_data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack("=5i", bytes(side_data)[:20])
            signs = [(x > 0) - (x < 0) for x in (a, b, c, d)]
            right_angled = sorted(map(abs, signs)) == [0, 0, 1, 1] and abs(signs[0]) == abs(
                signs[3]
            )
            if right_angled:
                return Orientation(*signs)
    return Orientation()


def _has_several_views(frame: Any) -> bool:
    """Whether it is one of the views of MV-HEVC: FFmpeg then says which, in a kind PyAV lacks."""
    try:
        list(frame.side_data)
    except ValueError as error:
        return str(error).startswith(f"{VIEW_ID} ")
    return False


def _light(frame: Any) -> Light:
    """Light levels as the first frame has them: FFmpeg puts the container's there, too."""
    try:
        known = {side_data.type.name: bytes(side_data) for side_data in frame.side_data}
    except ValueError:  # PyAV knows not every kind
        return Light()
    mastering: tuple[Fraction, ...] = ()
    packed = known.get("MASTERING_DISPLAY_METADATA")
    if packed is not None and len(packed) >= 88:  # AVMasteringDisplayMetadata
        numbers = struct.unpack("=22i", packed[:88])
        pairs = zip(numbers[0:20:2], numbers[1:20:2], strict=True)
        if numbers[20] and numbers[21] and all(numbers[1:20:2]):
            mastering = tuple(Fraction(a, b) for a, b in pairs)
    levels = known.get("CONTENT_LIGHT_LEVEL", bytes(8))
    brightest, average = struct.unpack("=2I", levels[:8])
    names = {"DOVI_METADATA": "Dolby Vision", "DYNAMIC_HDR_PLUS": "HDR10+"}
    dynamic = tuple(name for kind, name in names.items() if kind in known)
    return Light(mastering, brightest, average, dynamic)


def _sample_aspect_ratio(stream: Any) -> Fraction:
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return Fraction(ratio) if ratio else Fraction(1)


def _rate(stream: Any) -> Fraction:
    """Of what FFmpeg makes up, the first that a camera may have had: often it is the clock's."""
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    usual = [Fraction(rate) for rate in rates if rate and 0 < rate <= FASTEST]
    return usual[0] if usual else Fraction(25)


def _duration(container: Any, stream: Any, time_base: Fraction) -> float | None:
    if stream.duration:
        return float(stream.duration * time_base)
    return container.duration / av.time_base if container.duration else None


def _stream_info(stream: Any) -> StreamInfo:
    context = stream.codec_context  # None where FFmpeg has no decoder for it
    codec = context.name if context is not None else ""
    kind = "data" if stream.type == "unknown" else stream.type
    language = stream.metadata.get("language", "")
    return StreamInfo(stream.index, kind, codec or "", "" if language == "und" else language)
