"""What a video file holds over time, by its packets: nothing is decoded."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction

import av

from cgvideo.clip import Clip
from cgvideo.codec.errors import local_name, reading
from cgvideo.codec.streams import packet_time


@dataclass(frozen=True, slots=True)
class Sound:
    """One audio stream: when it begins and ends in seconds, and a digest of all its packets."""

    codec: str
    begin: Fraction
    end: Fraction
    digest: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The times of a video's frames, ascending in seconds, and its sounds; `tick` is its time base."""

    times: tuple[Fraction, ...]
    tick: Fraction
    sounds: tuple[Sound, ...]

    @property
    def begin(self) -> Fraction:
        return self.times[0] if self.times else Fraction(0)

    @property
    def rate(self) -> float | None:
        """Frames a second, as a mean; None of a single frame."""
        span = self.times[-1] - self.begin if self.times else 0
        return float((len(self.times) - 1) / span) if span else None


def contents(clip: Clip) -> Contents:
    """Read all packets of a clip's video and audio.

    Raises:
        UserError: the file cannot be read.
    """
    times: list[Fraction] = []
    with reading(clip.path), av.open(local_name(clip.path), metadata_errors="replace") as container:
        video = container.streams[clip.stream_index]
        audio = {stream.index: hashlib.sha256() for stream in container.streams.audio}
        spans: dict[int, tuple[Fraction, Fraction]] = {}
        try:
            for packet in container.demux([video, *container.streams.audio]):
                moment = packet_time(packet)
                if not packet.size or moment is None:
                    continue
                if packet.stream_index == clip.stream_index:
                    times.append(moment)
                    continue
                audio[packet.stream_index].update(bytes(packet))
                end = moment + (packet.duration or 0) * Fraction(packet.time_base)
                begin, last = spans.get(packet.stream_index, (moment, end))
                spans[packet.stream_index] = (min(begin, moment), max(last, end))
        except (av.EOFError, av.FFmpegError):
            pass  # cut short: what came before it counts
        codecs = {info.index: info.codec for info in clip.other_streams}
    sounds = tuple(
        Sound(codecs.get(index, ""), *spans[index], digest.hexdigest())
        for index, digest in audio.items()
        if index in spans
    )
    return Contents(tuple(sorted(times)), clip.time_base, sounds)
