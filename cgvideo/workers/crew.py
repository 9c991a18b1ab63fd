"""Segments rendered by several processes: who gives them out, and what is asked of workers.

A scout decodes the clip and says where segments begin; workers translate and encode them; the
coordinator alone writes the journal. A worker that dies costs the segment in its hand.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from cgvideo.codec.decode import Seam, VideoSource
from cgvideo.journal import Journal, PartRecord
from cgvideo.plan import SEGMENT_FRAMES
from cgvideo.prefetch import prefetching
from cgvideo.progress import Progress, StageTimes, Stopped, StopRequest
from engines.errors import UserError

TRIES = 3
"""How often a segment is given out before its workers' deaths are its own fault."""
SCOUTED = 4
"""Segments that the scout may be ahead of the workers."""

Errand = tuple[int, Seam | None]
"""A segment, and the last frame of the one before it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A segment that is on the disk, what it took, and what the user should know of it."""

    record: PartRecord
    stage_seconds: dict[str, float]
    notes: tuple[str, ...] = ()


class Crew(ABC):
    """Workers, wherever they are. Closed by `with`."""

    @property
    @abstractmethod
    def idle(self) -> int:
        """How many have nothing to do."""

    @abstractmethod
    def give(self, segment: int, seam: Seam | None) -> None:
        """Have an idle worker render a segment."""

    @abstractmethod
    def take(self) -> tuple[int, Rendered | None]:
        """Wait for a segment that was given out: what was rendered, None if its worker died.

        Raises what the worker raised.
        """

    @abstractmethod
    def close(self) -> None:
        """End all workers, whatever they do."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Coordinator:
    """Gives out the segments that a journal lacks, and commits what comes back."""

    def __init__(
        self,
        crew: Crew,
        source: VideoSource,
        journal: Journal,
        progress: Progress,
        stop: StopRequest,
    ) -> None:
        self.crew = crew
        self.source = source
        self.journal = journal
        self.progress = progress
        self.stop = stop
        self.stages = StageTimes()
        self.frames_rendered = 0
        self._done_before = sum(len(record.pts) for record in journal.parts)
        self._deaths: Counter[int] = Counter()
        self._frames_in_all: int | None = None

    def run(self, segments: range) -> None:
        """Render these segments, as far as there are frames.

        Raises:
            UserError: something the user can mend.
            Stopped: the user wanted it; what was in hand is finished and committed.
        """
        again: deque[Errand] = deque()
        given: dict[int, Errand] = {}
        with prefetching(self._scouted(segments), SCOUTED) as scouted:
            coming: Iterator[Errand] = iter(scouted)
            while True:
                while self.crew.idle and not self.stop.wanted:
                    errand = again.popleft() if again else next(coming, None)
                    if errand is None:
                        break
                    given[errand[0]] = errand
                    self.crew.give(*errand)
                if not given:
                    break
                segment, rendered = self.crew.take()
                errand = given.pop(segment)
                if rendered is None:
                    self._bury(segment)
                    again.append(errand)
                else:
                    self._commit(rendered)
        if self._frames_in_all is not None:
            self.journal.settle_end(self._frames_in_all, self.source.ending, self.source.clip.path)
        if self.stop.wanted:
            raise Stopped(self._done_before + self.frames_rendered, 0)

    def _scouted(self, segments: range) -> Iterator[Errand]:
        """Those of `segments` that have frames; and in the end, how many frames there are in all."""
        seam = self.journal.seam_before(segments.start, SEGMENT_FRAMES)
        number = segments.start * SEGMENT_FRAMES - 1
        decoded = self.stages.timed("scout", self.source.frames(seam))
        for frame in decoded:
            number = frame.number
            segment, place = divmod(number, SEGMENT_FRAMES)
            if segment not in segments:
                return
            if place == 0:
                yield segment, seam
            if place == SEGMENT_FRAMES - 1:
                seam = Seam(number, frame.pts, frame.content_hash())
        self._frames_in_all = number + 1

    def _commit(self, rendered: Rendered) -> None:
        for note in rendered.notes:
            self.journal.note(note)
            self.progress.notice(note)
        self.journal.commit(rendered.record)
        for stage, seconds in rendered.stage_seconds.items():
            self.stages.seconds[stage] += seconds
        self.frames_rendered += len(rendered.record.pts)
        self.progress.frame_done(self._done_before + self.frames_rendered - 1, self.stages)

    def _bury(self, segment: int) -> None:
        self._deaths[segment] += 1
        first = segment * SEGMENT_FRAMES
        if self._deaths[segment] == TRIES:
            raise UserError(
                f"{TRIES} workers died of frames {first} to {first + SEGMENT_FRAMES - 1}",
                "Convert without --workers to see why",
            )
        self.progress.notice(f"a worker died at frame {first} and after; another does them again")
