"""What becomes of a clip's sound, subtitles and other streams in the finished file."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from cgvideo.clip import StreamInfo

COPY, TO_AAC, TO_OPUS = "copy", "to aac", "to opus"
TO_MOV_TEXT, TO_SUBRIP = "to mov_text", "to subrip"
SOUND_ENCODERS = {TO_AAC: "aac", TO_OPUS: "libopus"}
OPUS_RATE = 48_000
TEXT_SUBTITLES = ("subrip", "srt", "text", "webvtt", "mov_text", "ass", "ssa")
SOUND_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Arial,16,&Hffffff,2
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True, slots=True)
class CarriedStream:
    """One more stream of the source, and how it comes into the output: copied or converted."""

    info: StreamInfo
    how: str = COPY


@dataclass(frozen=True, slots=True)
class TimeShift:
    """The part of the source that is wanted, and where it lands. All in seconds."""

    start: Fraction = Fraction(0)
    """taken off every time; packets before it are left out if `trimmed`"""
    end: Fraction | None = None
    trimmed: bool = False

    def admits(self, time: Fraction) -> bool:
        return not (self.trimmed and time < self.start) and (self.end is None or time < self.end)


def possible_ways(info: StreamInfo) -> tuple[str, ...]:
    """The ways to carry a stream, the best first."""
    if info.kind == "audio":
        return (COPY, TO_AAC, TO_OPUS)
    if info.kind == "subtitle" and info.codec in TEXT_SUBTITLES:
        return (COPY, TO_MOV_TEXT, TO_SUBRIP)
    return (COPY,)


def codec_after(carried: CarriedStream) -> str:
    """The codec that a stream has in the output."""
    converted = {TO_AAC: "aac", TO_OPUS: "opus", TO_MOV_TEXT: "mov_text", TO_SUBRIP: "subrip"}
    return converted.get(carried.how, carried.info.codec)


def add_carried(
    output: Any, source_stream: Any, carried: CarriedStream, shift: TimeShift
) -> Callable[[Any], list[Any]]:
    """Add the stream to an output container; give what turns its packets into ready ones.

    The returned function takes a packet of the source (None at the end) and gives the packets to
    mux, shifted in time. It raises whatever FFmpeg raises where the container or codec objects.
    """
    stream: Any
    ready: Callable[[Any], list[Any]]
    if carried.how in SOUND_ENCODERS:
        encoder = _SoundEncoder(output, source_stream, SOUND_ENCODERS[carried.how], shift)
        stream, ready = encoder.stream, encoder
    elif carried.how == COPY:
        stream = output.add_stream_from_template(source_stream, opaque=True)
        ready = _Copier(stream, shift)
    else:
        stream, ready = _add_text(output, carried, source_stream, shift)
    stream.metadata.update(
        {k: v for k, v in source_stream.metadata.items() if k.lower() != "encoder"}
    )
    stream.disposition = source_stream.disposition
    return ready


def packet_time(packet: Any) -> Fraction | None:
    """When a packet is shown, in seconds; None where the container does not say."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else ticks * Fraction(packet.time_base)


class _Copier:
    def __init__(self, stream: Any, shift: TimeShift) -> None:
        self.stream = stream
        self._shift = shift

    def __call__(self, packet: Any) -> list[Any]:
        if packet is None:
            return []
        ticks = round(self._shift.start / Fraction(packet.time_base))
        packet.pts = None if packet.pts is None else packet.pts - ticks
        packet.dts = None if packet.dts is None else packet.dts - ticks
        packet.stream = self.stream
        return [packet]


class _SoundEncoder:
    """Decodes the sound and encodes it anew where the container does not admit its codec."""

    def __init__(self, output: Any, source: Any, encoder: str, shift: TimeShift) -> None:
        self._source = source
        self._shift = shift
        if source.codec_context is None:
            raise ValueError("there is no decoder for this sound")
        opus = encoder == "libopus"
        rate = OPUS_RATE if opus else source.codec_context.sample_rate
        channels = source.codec_context.layout.nb_channels
        layout = SOUND_LAYOUTS.get(channels, "stereo")
        self.stream = output.add_stream(encoder, rate=rate)
        self.stream.codec_context.bit_rate = 96_000 * min(channels, 6)
        self.stream.codec_context.layout = layout
        self.stream.codec_context.flags |= av.codec.context.Flags.bitexact
        form, size = ("flt", 960) if opus else ("fltp", 1024)
        self._resampler = av.AudioResampler(form, layout, rate, frame_size=size)

    def __call__(self, packet: Any) -> list[Any]:
        ready: list[Any] = []
        try:
            frames = self._source.codec_context.decode(packet)
        except av.FFmpegError:  # a damaged packet of sound is a gap, not the end
            frames = []
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._shift.start / Fraction(frame.time_base))
            for even in self._resampler.resample(frame):
                ready += self.stream.encode(even)
        if packet is None:
            for even in self._resampler.resample(None):
                ready += self.stream.encode(even)
            ready += self.stream.encode(None)
        return ready


def _add_text(
    output: Any, carried: CarriedStream, source: Any, shift: TimeShift
) -> tuple[Any, Callable[[Any], list[Any]]]:
    """A text subtitle stream in the container's own format."""
    if carried.how == TO_MOV_TEXT:
        stream = output.add_stream("mov_text")
        stream.codec_context.subtitle_header = ASS_HEADER
    else:
        stream = output.add_mux_stream("subrip")
    stream.time_base = Fraction(1, 1000)

    def ready(packet: Any) -> list[Any]:
        if packet is None or packet.pts is None:
            return []
        text = plain_text(carried.info.codec, bytes(packet))
        if not text:
            return []
        encoded = text.encode()
        if carried.how == TO_MOV_TEXT:
            encoded = len(encoded).to_bytes(2, "big") + encoded
        written = av.Packet(encoded)
        milliseconds = Fraction(packet.time_base) * 1000
        written.time_base = Fraction(1, 1000)
        written.pts = written.dts = round(packet.pts * milliseconds - shift.start * 1000)
        written.duration = round((packet.duration or 0) * milliseconds)
        written.stream = stream
        return [written]

    return stream, ready


def plain_text(codec: str, payload: bytes) -> str:
    """The words of one subtitle packet, without markup."""
    if codec == "mov_text":
        length = int.from_bytes(payload[:2], "big")
        return payload[2 : 2 + length].decode("utf-8", "replace").strip()
    text = payload.decode("utf-8", "replace").strip()
    if codec in ("ass", "ssa"):
        text = text.split(",", 8)[-1]
        text = re.sub(r"\{[^}]*\}", "", text).replace("\\N", "\n").replace("\\n", "\n")
    return re.sub(r"</?[a-zA-Z][^>]*>", "", text).strip()


def _cut_to_start(packet: Any, moment: Fraction, shift: TimeShift) -> Fraction:
    """A subtitle that is still shown when the wanted part begins, begins there."""
    time_base = Fraction(packet.time_base)
    end = moment + (packet.duration or 0) * time_base
    if not shift.trimmed or moment >= shift.start or end <= shift.start:
        return moment
    packet.pts = packet.dts = math.ceil(shift.start / time_base)
    packet.duration = max(1, round(end / time_base) - packet.pts)
    return Fraction(packet.pts * time_base)


def carried_packets(
    container: Any, carriers: dict[int, Callable[[Any], list[Any]]], shift: TimeShift
) -> Iterator[tuple[Fraction, Any]]:
    """(seconds, packet) of all carried streams, in the order of the source, shifted and ready."""
    if not carriers:
        return
    time = Fraction(0)
    ended: set[int] = set()
    try:
        for packet in container.demux([container.streams[index] for index in carriers]):
            if packet.size == 0:
                continue
            moment = packet_time(packet)
            if moment is not None:
                if packet.stream.type == "subtitle":
                    moment = _cut_to_start(packet, moment, shift)
                if not shift.admits(moment):
                    if shift.end is not None and moment > shift.end + 10:
                        ended.add(packet.stream_index)
                        if len(ended) == len(carriers):
                            break
                    continue
                time = moment - shift.start
            for ready in carriers[packet.stream_index](packet):
                yield time, ready
    except av.EOFError:
        pass
    for carrier in carriers.values():
        for ready in carrier(None):
            yield time, ready
