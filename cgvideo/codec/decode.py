"""Frames of a video, in order, from any point of it."""

import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from cgvideo.clip import Clip
from cgvideo.codec.color import Development, ToRgb
from cgvideo.codec.deinterlace import deinterlaced
from cgvideo.codec.ending import is_cut_short
from cgvideo.codec.errors import local_name, reading
from cgvideo.codec.tonemap import USUAL_PEAK
from cgvideo.frame import Damage, Frame, Pixels
from engines.errors import UserError

PREROLL_SECONDS = 3  # decoded before the wanted frame, so that open GOPs and intra refresh settle
SWAPPED = 4  # a picture's pts may have been given to one of so many after it


@dataclass(frozen=True, slots=True)
class Seam:
    """The last source frame of a committed segment: where decoding goes on, and the proof of it."""

    number: int
    pts: int
    content_hash: str


@dataclass(frozen=True, slots=True, eq=False)
class Undeveloped:
    """A decoded picture and its time, not made RGB yet: many are only looked at for their time."""

    pts: int
    duration: int
    damage: Damage
    develop: Callable[[], tuple[Pixels, NDArray[np.float32] | None]]
    """gives pixels and transparency"""

    def frame(self, number: int) -> Frame:
        """The frame that it is, under a number."""
        pixels, alpha = self.develop()
        return Frame(number, self.pts, self.duration, pixels, alpha=alpha, damage=self.damage)


class VideoSource:
    """The wanted frames of a clip as RGB, upright, at the working size.

    Args:
        clip: what `probe` found.
        size: (height, width) of the frames to give, upright.
        start: seconds after the clip's first frame of the first frame wanted.
        duration: seconds wanted, None for all.
        wanted: what the pixels are to be.
        strict: damage in the part that is wanted is an error.
    """

    def __init__(
        self,
        clip: Clip,
        size: tuple[int, int],
        start: float = 0,
        duration: float | None = None,
        wanted: Development = Development(),  # noqa: B008  (frozen)
        strict: bool = False,
    ) -> None:
        self.clip = clip
        self.size = size
        self.ending = Damage()
        """what went wrong after the last frame"""
        self._wanted_pixels = wanted
        self._strict = strict
        self._start_pts = self._ticks_from_first(start) if start > 0 else None
        self._end_pts = None if duration is None else self._ticks_from_first(start + duration)

    def frames(self, after: Seam | None = None, lead_in: int = 0) -> Iterator[Frame]:
        """Yield the frames after a seam (all without one), led by up to `lead_in` frames before.

        A seek is believed only if it gives the very picture of the seam: containers land late,
        and open GOPs and intra refresh give wrong pictures at first. Else all is decoded anew.

        Raises:
            UserError: the file cannot be read (any more), or is not the one the seam was taken from.
        """
        for number, picture in self.undeveloped(after, lead_in):
            yield picture.frame(number)

    def undeveloped(
        self, after: Seam | None = None, lead_in: int = 0
    ) -> Iterator[tuple[int, Undeveloped]]:
        """The numbers of the same frames, and what makes a frame of each. Raises as `frames` does."""
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

    def _from_start(self) -> Generator[Undeveloped, None, None]:
        """Pictures from the first wanted one on, not yet numbered."""
        if self._start_pts is not None:
            # A late landing shows in its first pts; then only decoding from the top is right.
            with closing(self._decoded(self._start_pts)) as sought:
                first = next(sought, None)
                if first is not None and first.pts <= self._start_pts:
                    yield from self._wanted(itertools.chain([first], sought))
                    return
        with closing(self._decoded(None)) as decoded:
            yield from self._wanted(decoded)

    def _wanted(self, pictures: Iterable[Undeveloped]) -> Iterator[Undeveloped]:
        start = self._start_pts
        return (picture for picture in pictures if start is None or picture.pts >= start)

    def _numbered(
        self, pictures: Iterable[Undeveloped], first: int
    ) -> Iterator[tuple[int, Undeveloped]]:
        """Count pictures from `first`, up to the end of what is wanted."""
        for number, picture in enumerate(pictures, first):
            if self._end_pts is not None and picture.pts >= self._end_pts:
                self.ending = Damage()
                return
            self._refuse(picture.damage, f"before frame {number}")
            yield number, picture
        self._refuse(self.ending, "at the end")

    def _refuse(self, damage: Damage, where: str) -> None:
        if self._strict and damage.is_real:
            raise UserError(
                f"{self.clip.path} is damaged {where} ({'; '.join(damage.lines())})",
                "Leave --strict out to convert what can be decoded",
            )

    def _decoded(self, seek_pts: int | None) -> Generator[Undeveloped, None, None]:
        """Every picture that decodes from before `seek_pts` on (from the first without)."""
        self.ending = Damage()
        previous: int | None = None
        clip = self.clip
        turned = clip.orientation.turned(self.size)
        to_rgb = ToRgb(clip.color, clip.size[0], turned, self._wanted_pixels)
        with av.open(local_name(clip.path), metadata_errors="replace") as container:
            stream: Any = container.streams[clip.stream_index]
            # With frames decoded side by side, the pictures of a damaged clip depend on which thread
            # was first, and a resumed run would not find the pictures of the run before it.
            stream.thread_type = "NONE"
            if seek_pts is not None:
                preroll = round(PREROLL_SECONDS / clip.time_base)
                # Raw streams cannot be sought: then this begins at the top, as a late landing does.
                with contextlib.suppress(av.FFmpegError):
                    container.seek(max(seek_pts - preroll, clip.first_pts), stream=stream)
            timed = _timed(self._pictures(container, stream))
            for picture, (time, duration, damage) in deinterlaced(timed):
                pts = time
                if pts is None:
                    pts = clip.first_pts
                    if previous is not None:
                        pts = previous + clip.usual_step
                elif previous is not None and pts <= previous:
                    damage = replace(damage, moved_pts=1)
                    pts = previous + 1
                previous = pts
                yield Undeveloped(pts, duration, damage, partial(self._developed, to_rgb, picture))

    def _developed(self, to_rgb: ToRgb, picture: Any) -> tuple[Pixels, NDArray[np.float32] | None]:
        with reading(self.clip.path):
            pixels = self.clip.orientation.upright(to_rgb(picture))
        return pixels[..., :3], pixels[..., 3] if self._wanted_pixels.alpha else None

    def _pictures(self, container: Any, stream: Any) -> Iterator[tuple[Any, Damage]]:
        """Decoded pictures, each with what went wrong since the one before."""
        packets = container.demux(stream)
        skipped, torn, failing = 0, False, False
        while True:
            try:
                packet = next(packets, None)
            except av.EOFError:
                packet = None
            except av.FFmpegError:
                packet, torn = None, True
            if packet is None:
                break
            try:
                pictures = packet.decode()
            except av.EOFError:
                break
            except av.FFmpegError:
                skipped += 1  # as players do
                torn, failing = not failing, True  # of many that fail, the last is no sign of a cut
                continue
            if packet.size:
                torn, failing = packet.is_corrupt, False
            for picture in pictures:
                yield picture, Damage(packets=skipped, concealed=int(picture.is_corrupt))
                skipped = 0
        cut_short = torn or is_cut_short(self.clip.path, container, stream)
        self.ending = Damage(packets=skipped, cut_short=cut_short)

    def _ticks_from_first(self, seconds: float) -> int:
        return self.clip.first_pts + round(Fraction(seconds) / self.clip.time_base)


def _timed(
    pictures: Iterable[tuple[Any, Damage]],
) -> Iterator[tuple[Any, tuple[int | None, int, Damage]]]:
    """Pictures with their time (None if unknown), duration and damage.

    Pictures come out of a decoder in the order in which they are shown, but where a container knows
    no pts (H.264 in AVI) those that FFmpeg makes up are swapped among neighbours: they are sorted.
    """
    clock = _Clock()
    ahead: deque[tuple[Any, Damage]] = deque()
    known: list[int] = []

    def first() -> tuple[Any, tuple[int | None, int, Damage]]:
        picture, damage = ahead.popleft()
        pts = None if picture.pts is None else heapq.heappop(known)
        duration = int(getattr(picture, "duration", 0) or 0)
        return picture, (clock.time(pts, picture.dts), duration, damage)

    for picture, damage in pictures:
        ahead.append((picture, damage))
        if picture.pts is not None:
            heapq.heappush(known, picture.pts)
        if len(ahead) > SWAPPED:
            yield first()
    while ahead:
        yield first()


def shown(clip: Clip, size: tuple[int, int], start: float = 0) -> VideoSource:
    """A clip's frames in 8 bits as a screen of ordinary brightness shows them: HDR is made SDR."""
    peak = (clip.light.peak or USUAL_PEAK) if clip.color.is_hdr else None
    return VideoSource(clip, size, start, wanted=Development(peak=peak))


class _Clock:
    """A frame's time: its pts, unless these have run backwards more often than the dts.

    Some containers (AVI) know no pts, and what FFmpeg makes up for them jumps to and fro. The rule
    is that of FFmpeg's own `best_effort_timestamp`, which PyAV does not show.
    """

    def __init__(self) -> None:
        self._faulty = [0, 0]
        self._last: list[int | None] = [None, None]

    def time(self, pts: int | None, dts: int | None) -> int | None:
        stamps = (pts, dts)
        for kind, stamp in enumerate(stamps):
            last = self._last[kind]
            if stamp is not None:
                self._faulty[kind] += last is not None and stamp <= last
                self._last[kind] = stamp
        trusted = pts if self._faulty[0] <= self._faulty[1] or dts is None else dts
        return None if trusted is None else int(trusted)


def _past_seam(
    pictures: Generator[Undeveloped, None, None], seam: Seam, lead_in: int
) -> deque[Undeveloped] | None:
    """Read `pictures` up to the seam's and give the last `lead_in` of them (all, if it is so near the start).

    None, and `pictures` closed, if the seam's very picture is not where it should be, or too few come before.
    """
    before: deque[Undeveloped] = deque(maxlen=lead_in)
    for picture in pictures:
        before.append(picture)
        if picture.pts >= seam.pts:
            enough = len(before) == min(lead_in, seam.number + 1)
            in_place = enough and picture.pts == seam.pts
            if in_place and picture.frame(seam.number).content_hash() == seam.content_hash:
                return before
            break
    pictures.close()
    return None
