"""Segments of a plan become committed parts: decode, translate, smooth, encode."""

import itertools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from cgvideo.codec.decode import Seam, VideoSource
from cgvideo.codec.encode import write_part
from cgvideo.frame import WHOLE, Damage, Frame, Pixels, TranslatedFrame, side_by_side
from cgvideo.journal import PartRecord, describe_part
from cgvideo.plan import SEGMENT_FRAMES, Plan
from cgvideo.prefetch import prefetching
from cgvideo.progress import Progress, Silent, StageTimes, Stopped, StopRequest
from cgvideo.stages.scenes import marked
from cgvideo.stages.smoothing import smoothed
from cgvideo.stages.statistics import Statistics, anchored
from cgvideo.stages.tiled_engine import TiledEngine
from cgvideo.stages.translate import measuring, translate
from engines.engine import Engine

READ_AHEAD = 8  # frames: evens out the stages, and bounds the memory whatever the clip's length
PATIENCE_SECONDS = 60.0  # a segment that would take longer is dropped when the user wants to stop


class Commits(Protocol):
    """What a rendering needs of a journal."""

    def seam_before(self, segment: int, frames_per_segment: int) -> Seam | None:
        """This and all below: see `Journal`."""

    def part_path(self, segment: int) -> Path: ...

    def committing(self, segment: int) -> AbstractContextManager[Path]: ...

    def commit(self, record: PartRecord) -> None: ...

    def note(self, text: str) -> None: ...

    def settle_end(self, frames: int, ending: Damage, source: Path) -> None: ...


class Rendering:
    """Segments of a plan become committed parts."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        source: VideoSource,
        journal: Commits,
        progress: Progress | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self.plan = plan
        self.engine = engine
        self.source = source
        self.journal = journal
        self.progress = progress or Silent()
        self.stop = stop or StopRequest()
        self.stages = StageTimes()
        self.frames_rendered = 0
        self._steps_noted = 0
        self._began: float | None = None  # when the first frame came out

    def run(self, segments: range) -> None:
        """Render neighbouring segments in one go: each frame is decoded and translated once."""
        plan, stages = self.plan, self.stages
        lead_in, _ = plan.reach
        first = segments.start * SEGMENT_FRAMES - plan.smoothing_reach
        after = segments.stop * SEGMENT_FRAMES + plan.smoothing_reach
        seam = self.journal.seam_before(segments.start, SEGMENT_FRAMES)
        decoded = stages.timed("decode", self.source.frames(seam, lead_in))
        with prefetching(decoded, READ_AHEAD) as frames:
            waiting = stages.timed(stages.WAITING, frames)
            scenes = marked(waiting) if lead_in else waiting
            measured = _up_to(after, self._with_statistics(scenes, first))
            translated = translate(measured, self.engine, plan.batch, plan.strength, plan.work_size)
            with prefetching(stages.timed("translate", translated), READ_AHEAD) as finished:
                steady = self._smoothed(stages.timed(stages.WAITING, finished))
                with prefetching(steady, READ_AHEAD) as smooth:
                    ready = stages.timed(stages.WAITING, smooth)
                    for segment in segments:
                        if not self._render_segment(segment, ready):
                            return

    def _smoothed(self, frames: Iterator[TranslatedFrame]) -> Iterator[TranslatedFrame]:
        if not self.plan.smooth:
            return frames
        return smoothed(frames, self.plan.smooth, working=partial(self.stages.working, "smooth"))

    def _with_statistics(self, frames: Iterator[Frame], first: int) -> Iterator[Frame]:
        """From number `first` on, frames with the statistics that they are to be translated with."""
        interval, engine = self.plan.anchor_interval, self.engine
        if interval is None or not isinstance(engine, TiledEngine):
            yield from (frame for frame in frames if frame.number >= first)
            return
        with measuring(engine, self.plan.work_size) as measure:

            def timed(pixels: Pixels) -> Statistics:
                with self.stages.working("measure"):
                    return measure(pixels)

            yield from anchored(frames, timed, interval, engine.typical, first)

    def _render_segment(self, segment: int, ready: Iterator[TranslatedFrame]) -> bool:
        """Encode and commit one segment; False when the clip has ended."""
        first_number = segment * SEGMENT_FRAMES
        frames = _between(ready, first_number, first_number + SEGMENT_FRAMES)
        first = next(frames, None)
        if first is None:
            self.journal.settle_end(first_number, self.source.ending, self.plan.clip.path)
            return False
        taken: list[int] = []  # pts
        damage = WHOLE
        last = first.source

        def pictures() -> Iterator[tuple[int, Pixels]]:
            nonlocal last, damage
            for frame in itertools.chain([first], frames):
                self._stop_if_wanted(first_number, len(taken))
                last = frame.source
                self._note_steps()
                taken.append(last.pts)
                damage += last.damage
                yield last.pts, self._coded(frame)
                self.frames_rendered += 1
                self.progress.frame_done(last.number, self.stages)

        with self.journal.committing(segment) as scratch, self.stages.working("encode"):
            write_part(pictures(), scratch, self.plan.encoding)
        path = self.journal.part_path(segment)
        self.journal.commit(
            describe_part(path, segment, tuple(taken), last.duration, last.content_hash(), damage)
        )
        if len(taken) < SEGMENT_FRAMES:
            self.journal.settle_end(last.number + 1, self.source.ending, self.plan.clip.path)
            return False
        if self.stop.wanted:
            raise Stopped(first_number + SEGMENT_FRAMES, 0)
        return True

    def _stop_if_wanted(self, first_number: int, in_segment: int) -> None:
        """Drop the segment in hand if the user wants to stop and it would take too long."""
        now = time.monotonic()
        if self._began is None:  # what comes before the first frame says nothing of the others
            self._began = now
        if not self.stop.wanted:
            return
        elapsed = now - self._began
        left = (SEGMENT_FRAMES - in_segment) * elapsed / max(1, self.frames_rendered)
        if left > PATIENCE_SECONDS:
            raise Stopped(first_number, in_segment)

    def _note_steps(self) -> None:
        """Record where the engine went on with smaller tiles."""
        steps = self.engine.stepped_down if isinstance(self.engine, TiledEngine) else []
        for step in steps[self._steps_noted :]:
            self.journal.note(step)
            self.progress.notice(step)
        self._steps_noted = len(steps)

    def _coded(self, frame: TranslatedFrame) -> Pixels:
        pixels, alpha = frame.pixels, frame.source.alpha
        if self.plan.compare:
            pixels = side_by_side(frame.source.pixels, pixels)
            alpha = None if alpha is None else np.concatenate([alpha, alpha], axis=1)
        if alpha is not None:
            pixels = np.dstack([pixels, alpha])
        return self.plan.encoding.orientation.coded(pixels)


def _up_to(after: int, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Frames numbered before `after`; none is asked for that would not be given."""
    for frame in frames:
        yield frame
        if frame.number == after - 1:
            return


def _between(
    frames: Iterator[TranslatedFrame], first: int, after: int
) -> Iterator[TranslatedFrame]:
    """Frames numbered from `first` to before `after`; those before (a lead-in) are dropped."""
    for frame in frames:
        if frame.source.number >= first:
            yield frame
        if frame.source.number == after - 1:
            return
