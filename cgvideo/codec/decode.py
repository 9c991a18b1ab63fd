"""Frames of a video, in order, from any point of it."""

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av

from cgvideo.clip import Clip
from cgvideo.codec.color import ToRgb
from cgvideo.codec.errors import local_name, reading
from cgvideo.frame import Frame
from engines.errors import UserError

PREROLL_SECONDS = 3  # decoded before the wanted frame, so that open GOPs and intra refresh settle


@dataclass(frozen=True, slots=True)
class Seam:
    """The last source frame of a committed segment: where decoding goes on, and the proof of it."""

    number: int
    pts: int
    content_hash: str


@dataclass(slots=True)
class Damage:
    """What decoding had to put up with, counted while frames are read."""

    packets: int = 0
    """packets that did not decode and were skipped"""
    moved_pts: int = 0
    """frames moved by a tick or more because their pts did not come after the one before"""
    cut_short: bool = False
    """the file ended with a read error"""


class VideoSource:
    """The wanted frames of a clip as RGB, upright, at the working size.

    Args:
        clip: what `probe` found.
        size: (height, width) of the frames to give, upright.
        start: seconds after the clip's first frame of the first frame wanted.
        duration: seconds wanted, None for all.
    """

    def __init__(
        self, clip: Clip, size: tuple[int, int], start: float = 0, duration: float | None = None
    ) -> None:
        self.clip = clip
        self.size = size
        self.damage = Damage()
        self._start_pts = self._ticks_from_first(start) if start > 0 else None
        self._end_pts = None if duration is None else self._ticks_from_first(start + duration)

    def frames(self, after: Seam | None = None, lead_in: int = 0) -> Iterator[Frame]:
        """Yield the frames after a seam (all without one), led by up to `lead_in` frames before.

        A seek is believed only if it gives the very picture of the seam: containers land late,
        and open GOPs and intra refresh give wrong pictures at first. Else all is decoded anew.

        Raises:
            UserError: the file cannot be read (any more), or is not the one the seam was taken from.
        """
        with reading(self.clip.path):
            if after is None:
                yield from self._numbered(self._from_start(), 0)
                return
            lead_begin = after.pts - lead_in * self.clip.usual_step
            for decoded in (self._decoded(lead_begin), self._from_start()):
                led = _past_seam(decoded, after, lead_in)
                if led is not None:
                    yield from self._numbered(
                        itertools.chain(led, decoded), after.number + 1 - len(led)
                    )
                    return
            raise UserError(
                f"{self.clip.path} does not decode as it did when the conversion began",
                "Remove the hidden .cgvideo folder beside the output to start afresh",
            )

    def _from_start(self) -> Generator[Frame, None, None]:
        """Frames from the first wanted one on, not yet numbered."""
        if self._start_pts is not None:
            # A late landing shows in its first pts; then only decoding from the top is right.
            with closing(self._decoded(self._start_pts)) as sought:
                first = next(sought, None)
                if first is not None and first.pts <= self._start_pts:
                    yield from self._wanted(itertools.chain([first], sought))
                    return
        with closing(self._decoded(None)) as decoded:
            yield from self._wanted(decoded)

    def _wanted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        start = self._start_pts
        return (frame for frame in frames if start is None or frame.pts >= start)

    def _numbered(self, frames: Iterable[Frame], first: int) -> Iterator[Frame]:
        """Count frames from `first`, up to the end of what is wanted."""
        for number, frame in enumerate(frames, first):
            if self._end_pts is not None and frame.pts >= self._end_pts:
                return
            yield replace(frame, number=number)

    def _decoded(self, seek_pts: int | None) -> Generator[Frame, None, None]:
        """Every frame that decodes from before `seek_pts` on (from the first without), all number 0."""
        self.damage = Damage()
        previous: int | None = None
        to_rgb = ToRgb(self.clip.color, self.clip.size[0], self.clip.orientation.turned(self.size))
        with av.open(local_name(self.clip.path), metadata_errors="replace") as container:
            stream: Any = container.streams[self.clip.stream_index]
            # With frames decoded side by side, the pictures of a damaged clip depend on which thread
            # was first, and a resumed run would not find the pictures of the run before it.
            stream.thread_type = "NONE"
            if seek_pts is not None:
                preroll = round(PREROLL_SECONDS / self.clip.time_base)
                # Raw streams cannot be sought: then this begins at the top, as a late landing does.
                with contextlib.suppress(av.FFmpegError):
                    container.seek(max(seek_pts - preroll, self.clip.first_pts), stream=stream)
            clock = _Clock()
            for picture in self._pictures(container, stream):
                pts = clock.time(picture)
                if pts is None:
                    pts = self.clip.first_pts
                    if previous is not None:
                        pts = previous + self.clip.usual_step
                elif previous is not None and pts <= previous:
                    self.damage.moved_pts += 1
                    pts = previous + 1
                previous = pts
                duration = int(getattr(picture, "duration", 0) or 0)
                pixels = self.clip.orientation.upright(to_rgb(picture))
                yield Frame(0, pts, duration, pixels)

    def _pictures(self, container: Any, stream: Any) -> Iterator[Any]:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.EOFError:
                return
            except av.FFmpegError:
                self.damage.cut_short = True
                return
            if packet is None:
                return
            try:
                pictures = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError:
                self.damage.packets += 1  # skipped, as players do
                continue
            yield from pictures

    def _ticks_from_first(self, seconds: float) -> int:
        return self.clip.first_pts + round(Fraction(seconds) / self.clip.time_base)


class _Clock:
    """A frame's time: its pts, unless these have run backwards more often than the dts.

    Some containers (AVI) know no pts, and what FFmpeg makes up for them jumps to and fro. The rule
    is that of FFmpeg's own `best_effort_timestamp`, which PyAV does not show.
    """

    def __init__(self) -> None:
        self._faulty = [0, 0]
        self._last: list[int | None] = [None, None]

    def time(self, picture: Any) -> int | None:
        stamps = (picture.pts, picture.dts)
        for kind, stamp in enumerate(stamps):
            last = self._last[kind]
            if stamp is not None:
                self._faulty[kind] += last is not None and stamp <= last
                self._last[kind] = stamp
        pts, dts = stamps
        trusted = pts if self._faulty[0] <= self._faulty[1] or dts is None else dts
        return None if trusted is None else int(trusted)


def _past_seam(
    frames: Generator[Frame, None, None], seam: Seam, lead_in: int
) -> deque[Frame] | None:
    """Read `frames` up to the seam's and give the last `lead_in` of them (all, if it is so near the start).

    None, and `frames` closed, if the seam's very picture is not where it should be, or too few come before.
    """
    before: deque[Frame] = deque(maxlen=lead_in)
    for frame in frames:
        before.append(frame)
        if frame.pts >= seam.pts:
            enough = len(before) == min(lead_in, seam.number + 1)
            if enough and frame.pts == seam.pts and frame.content_hash() == seam.content_hash:
                return before
            break
    frames.close()
    return None
