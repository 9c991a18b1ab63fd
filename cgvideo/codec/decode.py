"""Frames of a video, in order, from any point of it."""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from cgvideo.clip import Clip
from cgvideo.codec.color import ToRgb
from cgvideo.codec.errors import reading
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
        self.damage = Damage()
        with reading(self.clip.path):
            if after is None:
                yield from self._from_start()
                return
            sought = self._after_seam(self._sought(after), after, lead_in)
            if sought is None:
                sought = self._after_seam(self._from_start(), after, lead_in)
            if sought is None:
                raise UserError(
                    f"{self.clip.path} does not decode as it did when the conversion began",
                    "Start afresh with --overwrite",
                )
            yield from sought

    def _from_start(self) -> Generator[Frame, None, None]:
        """All wanted frames, numbered from 0."""
        if self._start_pts is not None:
            # A late landing shows in its first pts; then only decoding from the top is right.
            with closing(self._decoded(self._start_pts)) as sought:
                first = next(sought, None)
                if first is not None and first.pts <= self._start_pts:
                    yield from self._wanted(sought, first)
                    return
        with closing(self._decoded(None)) as frames:
            first = next(frames, None)
            if first is not None:
                yield from self._wanted(frames, first)

    def _wanted(self, frames: Iterator[Frame], first: Frame) -> Iterator[Frame]:
        """From `--start` to the end of `--duration`, numbered from 0."""
        number = 0
        frame: Frame | None = first
        while frame is not None:
            if self._end_pts is not None and frame.pts >= self._end_pts:
                return
            if self._start_pts is None or frame.pts >= self._start_pts:
                yield Frame(number, frame.pts, frame.duration, frame.pixels)
                number += 1
            frame = next(frames, None)

    def _sought(self, seam: Seam) -> Generator[Frame, None, None]:
        """Frames from some way before the seam's, numbered so that the seam's fits."""
        with closing(self._decoded(seam.pts)) as decoded:
            before: deque[Frame] = deque()
            for frame in decoded:
                before.append(frame)
                if frame.pts >= seam.pts:
                    break
            number = seam.number - len(before) + 1
            for frame in before:
                yield Frame(number, frame.pts, frame.duration, frame.pixels)
                number += 1
            for frame in decoded:
                if self._end_pts is not None and frame.pts >= self._end_pts:
                    return
                yield Frame(number, frame.pts, frame.duration, frame.pixels)
                number += 1

    def _after_seam(
        self, frames: Generator[Frame, None, None], seam: Seam, lead_in: int
    ) -> Iterator[Frame] | None:
        """The frames after the seam's, if it is among `frames`; None if it is not."""
        before: deque[Frame] = deque(maxlen=lead_in)
        for frame in frames:
            before.append(frame)
            if frame.number == seam.number:
                if frame.pts == seam.pts and frame.content_hash() == seam.content_hash:
                    return _chained(before, frames)
                break
        frames.close()
        return None

    def _decoded(self, seek_pts: int | None) -> Generator[Frame, None, None]:
        """Every frame that decodes from before `seek_pts` on (from the first without), number 0."""
        previous: int | None = None
        to_rgb = ToRgb(self.clip.color, self.clip.size[0], self.clip.orientation.turned(self.size))
        with av.open(self.clip.path, metadata_errors="replace") as container:
            stream: Any = container.streams[self.clip.stream_index]
            # With frames decoded side by side, the pictures of a damaged clip depend on which thread
            # was first, and a resumed run would not find the pictures of the run before it.
            stream.thread_type = "NONE"
            if seek_pts is not None:
                preroll = round(PREROLL_SECONDS / self.clip.time_base)
                container.seek(max(seek_pts - preroll, self.clip.first_pts), stream=stream)
            usual_step = max(1, round(1 / self.clip.rate / self.clip.time_base))
            for picture in self._pictures(container, stream):
                pts = picture.pts
                if pts is None:
                    pts = self.clip.first_pts if previous is None else previous + usual_step
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


def _chained(before: deque[Frame], frames: Iterator[Frame]) -> Iterator[Frame]:
    while before:
        yield before.popleft()
    yield from frames
