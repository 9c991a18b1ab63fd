"""Segments of a clip, shared out among workers.

A scout decodes the clip and says where segments begin; workers translate and encode them; the
coordinator alone writes the journal.
"""

from collections import Counter
from collections.abc import Iterator

from cgvideo.codec.decode import Seam, VideoSource
from cgvideo.journal import Journal
from cgvideo.plan import SEGMENT_FRAMES
from cgvideo.prefetch import prefetching
from cgvideo.progress import Progress, StageTimes, Stopped, StopRequest
from cgvideo.workers.crew import TRIES, Crew, shared_out
from cgvideo.workers.worker import Errand, Rendered
from engines.errors import UserError

SCOUTED = 4
"""Segments that the scout may be ahead of the workers."""


class Coordinator:
    """Gives out the segments that a journal lacks, and commits what comes back."""

    def __init__(
        self,
        crew: Crew[Errand, Rendered],
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
            Stopped: the user wanted it; what was in hand is finished and committed, if it came to
                an end in time.
        """
        with prefetching(self._scouted(segments), SCOUTED) as scouted:
            for _, rendered in shared_out(self.crew, scouted, self._bury, self.stop):
                self._commit(rendered)
        if self._frames_in_all is not None:
            self.journal.settle_end(self._frames_in_all, self.source.ending, self.source.clip.path)
        if self.stop.wanted:
            raise Stopped(self._done_before + self.frames_rendered, 0)

    def _scouted(self, segments: range) -> Iterator[Errand]:
        """Those of `segments` that have frames; and in the end, how many frames there are in all."""
        seam = self.journal.seam_before(segments.start, SEGMENT_FRAMES)
        number = segments.start * SEGMENT_FRAMES - 1
        decoded = self.stages.timed("scout", self.source.undeveloped(seam))
        for number, picture in decoded:
            segment, place = divmod(number, SEGMENT_FRAMES)
            if segment not in segments:
                return
            if place == 0:
                yield segment, seam
            if place == SEGMENT_FRAMES - 1:
                with self.stages.working("scout"):
                    seam = Seam(number, picture.pts, picture.frame(number).content_hash())
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

    def _bury(self, errand: Errand) -> list[Errand]:
        segment, _ = errand
        self._deaths[segment] += 1
        first = segment * SEGMENT_FRAMES
        if self._deaths[segment] == TRIES:
            raise UserError(
                f"{TRIES} workers died of frames {first} to {first + SEGMENT_FRAMES - 1}",
                "Convert without --workers to see why",
            )
        self.progress.notice(f"a worker died at frame {first} and after; another does them again")
        return [errand]
