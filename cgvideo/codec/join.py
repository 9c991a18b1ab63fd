"""Parts, sound, subtitles and chapters become one file."""

import heapq
import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from cgvideo.clip import Clip
from cgvideo.codec.color import tag
from cgvideo.codec.encode import CODECS, Encoding
from cgvideo.codec.errors import local_name, reading, writing
from cgvideo.codec.streams import (
    CarriedStream,
    TimeShift,
    add_carried,
    carried_packets,
    packet_time,
)
from engines.errors import UserError

# Muxers by suffix. AVI and others cannot hold a frame's own pts, so they are not among them.
FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
    ".flv": "flv",
    ".webm": "webm",
    ".nut": "nut",
}
ASPECT = ("mp4", "mov")  # PyAV has these alone say the shape of a pixel where the stream does not
SUFFIXES = {"matroska": ".mkv", "mov": ".mov", "mp4": ".mp4"}
"""The suffix of the muxers that a codec may fall back on."""
TURNING = ("mp4", "mov", "matroska", "webm")  # these can say how a picture is to be turned
MOVABLE_START = (
    "mpegts",
    "flv",
    "nut",
)  # these shift all streams together so that no time is negative
MOST_MOVIE_TICKS = 10_000_000  # a second; durations in them still fit 32 bits for minutes, else 64
NOT_CARRIED_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")


@dataclass(frozen=True, slots=True)
class Part:
    """An encoded segment: its file, and the pts (in the clip's time base) where it belongs."""

    path: Path
    first_pts: int


@dataclass(frozen=True, slots=True)
class Muxing:
    """How the finished file is put together."""

    format: str
    carried: tuple[CarriedStream, ...]
    shift: TimeShift


def join(
    parts: Sequence[Part],
    clip: Clip,
    encoding: Encoding,
    muxing: Muxing,
    last_duration: int,
    target: Path,
    packet_limit: int | None = None,
) -> None:
    """Mux all parts, each where it belongs, and the other streams of the source into `target`.

    Every dts is written anew, from the sorted pts of the whole file: the dts of joined parts go
    backwards where the frame rate varies. `last_duration` is that of the last frame in the clip's
    ticks. `packet_limit` (for rehearsals) stops after so many packets of the other streams.

    Raises:
        UserError: the disk is full, or the container does not take a stream.
    """
    with reading(clip.path):
        source = av.open(local_name(clip.path), metadata_errors="replace")
    with (
        source,
        writing(target),
        av.open(
            local_name(target),
            "w",
            format=muxing.format,
            container_options=_container_options(clip, source, muxing),
        ) as output,
    ):
        stream = _add_video(output, parts[0], clip, encoding)
        carriers = {}
        for carried in muxing.carried:
            source_stream = source.streams[carried.info.index]
            carriers[carried.info.index] = add_carried(output, source_stream, carried, muxing.shift)
        _copy_tags(source, output, clip, muxing)
        video = _video_packets(parts, clip, muxing.shift, last_duration, stream)
        others = _limited(carried_packets(source, carriers, muxing.shift), packet_limit)
        for _, packet in heapq.merge(video, others, key=lambda timed: timed[0]):
            output.mux_one(packet)


def _container_options(clip: Clip, source: Any, muxing: Muxing) -> dict[str, str]:
    options = {"fflags": "+bitexact"}
    if muxing.format in ("mp4", "mov"):
        # Edit lists count in movie ticks: at the default of 1/1000 s they would move every frame.
        options["movie_timescale"] = str(_movie_timescale(clip, source, muxing))
        options["movflags"] = "+faststart"
        if any("." in key for key in source.metadata):  # com.apple.quicktime.make and its kin
            options["movflags"] += "+use_metadata_tags"
    if muxing.format in ("matroska", "webm"):
        # Sound may begin before the picture (AAC's priming); Matroska can say so, and FFmpeg would
        # rather move every frame.
        options["avoid_negative_ts"] = "disabled"
    if muxing.format == "mpegts":
        options["mpegts_copyts"] = "1"
    return options


def _movie_timescale(clip: Clip, source: Any, muxing: Muxing) -> int:
    """Ticks a second that fit the video's, and the sound's too while they stay few."""
    scale = clip.time_base.denominator
    for carried in muxing.carried:
        time_base = source.streams[carried.info.index].time_base
        common = math.lcm(scale, time_base.denominator) if time_base else scale
        scale = common if common <= MOST_MOVIE_TICKS else scale
    return scale


def _add_video(output: Any, part: Part, clip: Clip, encoding: Encoding) -> Any:
    with av.open(local_name(part.path)) as container:
        try:
            stream = output.add_stream_from_template(container.streams.video[0], opaque=True)
        except ValueError as error:
            raise UserError(
                f"{output.format.name} cannot hold {encoding.codec} video",
                "End -o in .mkv, or choose another --codec",
            ) from error
    stream.time_base = clip.time_base
    stream.sample_aspect_ratio = encoding.sample_aspect_ratio
    context = stream.codec_context
    context.sample_aspect_ratio = encoding.sample_aspect_ratio
    tag(context, encoding.color)
    if CODECS[encoding.codec].format == "hevc" and output.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # Apple's players take no other
    if not encoding.orientation.is_upright:
        stream.set_display_matrix(encoding.orientation.matrix)
    return stream


def _copy_tags(source: Any, output: Any, clip: Clip, muxing: Muxing) -> None:
    output.metadata.update(
        {k: v for k, v in source.metadata.items() if k.lower() not in NOT_CARRIED_TAGS}
    )
    video = source.streams[clip.stream_index]
    output.streams.video[0].metadata.update(
        {
            k: v
            for k, v in video.metadata.items()
            if k.lower() not in (*NOT_CARRIED_TAGS, "vendor_id", "rotate")
        }
    )
    chapters = []
    for chapter in source.chapters():
        time_base = Fraction(chapter["time_base"])
        offset = round(muxing.shift.start / time_base)
        end = chapter["end"] - offset
        if muxing.shift.end is not None:
            end = min(end, round(muxing.shift.end / time_base) - offset)
        start = max(0, chapter["start"] - offset) if muxing.shift.trimmed else chapter["start"]
        if end > start:
            chapters.append({**chapter, "start": start, "end": end})
    if chapters:
        output.set_chapters(chapters)


def _video_packets(
    parts: Sequence[Part], clip: Clip, shift: TimeShift, last_duration: int, stream: Any
) -> Iterator[tuple[Fraction, Any]]:
    """(seconds of dts, packet) of all parts in decode order, with the plan's pts and new dts."""
    offset = round(shift.start / clip.time_base)
    decode_order = [
        part.first_pts + ticks - offset for part in parts for ticks in _part_ticks(part, clip)
    ]
    shown = sorted(decode_order)
    # A frame must be decoded before it is shown: how far decode order runs ahead of display order.
    delay = max(position - bisect_left(shown, pts) for position, pts in enumerate(decode_order))
    step = max(1, (shown[-1] - shown[0]) // max(1, len(shown) - 1))
    lead = [shown[0] - step * (delay - position) for position in range(delay)]
    all_dts = lead + shown[: len(shown) - delay]
    after = dict(itertools.pairwise(shown))
    position = 0
    for part in parts:
        with av.open(local_name(part.path)) as container:
            for packet in container.demux(video=0):
                if packet.size == 0:
                    continue
                pts, dts = decode_order[position], all_dts[position]
                packet.time_base = clip.time_base
                packet.pts, packet.dts = pts, dts
                packet.duration = after[pts] - pts if pts in after else last_duration
                packet.stream = stream
                position += 1
                yield dts * clip.time_base, packet


def _part_ticks(part: Part, clip: Clip) -> list[int]:
    """The pts of a part's packets in decode order, in the clip's ticks, its first frame at 0."""
    with av.open(local_name(part.path)) as container:
        ticks = [
            round((packet_time(packet) or 0) / clip.time_base)
            for packet in container.demux(video=0)
            if packet.size
        ]
    first = min(ticks)  # muxers shift a part so that its dts are not negative
    return [tick - first for tick in ticks]


def _limited(
    packets: Iterator[tuple[Fraction, Any]], limit: int | None
) -> Iterator[tuple[Fraction, Any]]:
    for count, timed in enumerate(packets):
        if limit is not None and count >= limit:
            return
        yield timed
