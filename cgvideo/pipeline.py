"""The main path: from a plan to a finished file."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cgvideo.codec.check import check
from cgvideo.codec.decode import VideoSource
from cgvideo.codec.encode import write_part
from cgvideo.codec.errors import writing
from cgvideo.codec.join import join
from cgvideo.frame import WHOLE, Damage, Frame, Pixels, TranslatedFrame, side_by_side
from cgvideo.journal import Journal, describe_part
from cgvideo.plan import SEGMENT_FRAMES, Plan
from cgvideo.prefetch import prefetching
from cgvideo.progress import Progress, Silent, StageTimes
from cgvideo.scenes import marked
from cgvideo.smoothing import smoothed
from cgvideo.statistics import Statistics, anchored
from cgvideo.tiled_engine import TiledEngine
from cgvideo.translate import measuring, translate
from engines.atomic import replacing
from engines.engine import Engine
from engines.errors import UserError

READ_AHEAD = 8  # frames: evens out the stages, and bounds the memory whatever the clip's length
PATIENCE_SECONDS = 60.0  # a segment that would take longer is dropped when the user wants to stop


class Stopped(Exception):  # noqa: N818  (no error: the user asked for it)
    """The user asked to stop; what is committed stays, and the same command goes on from there."""

    def __init__(self, frames_done: int, frames_dropped: int) -> None:
        super().__init__(f"stopped after {frames_done} frames")
        self.frames_done = frames_done
        self.frames_dropped = frames_dropped


class StopRequest:
    """Set (from a signal handler, say) to end a run at the next good moment."""

    def __init__(self) -> None:
        self.wanted = False


@dataclass(frozen=True, slots=True)
class Result:
    """A finished conversion. `seconds` and `frames_rendered` are those of this run alone."""

    output: Path
    frames: int
    frames_rendered: int
    seconds: float
    bytes: int
    damage: Damage
    stage_seconds: dict[str, float]
    steps: tuple[str, ...] = ()
    """where an engine went on with smaller tiles: from there on frames are within one level"""
    notices: tuple[str, ...] = ()
    """what the plan said before, and what could not be kept"""


def run(
    plan: Plan, engine: Engine, progress: Progress | None = None, stop: StopRequest | None = None
) -> Result:
    """Translate every frame of the plan's clip and put the finished file in place.

    The unit of work is the segment. It counts once the journal has committed it, so a run that was
    interrupted, however rudely, goes on from the first segment not committed, to the same bytes.

    Raises:
        UserError: something the user can mend; committed segments are kept.
        Stopped: `stop` was set.
    """
    began = time.monotonic()
    progress = progress or Silent()
    source = VideoSource(
        plan.clip, plan.size, plan.start, plan.duration, plan.fidelity.development, plan.strict
    )
    suffix = f".{plan.encoding.part_format}"
    with Journal(plan.work_folder, plan.fingerprint, plan.describe(), suffix) as journal:
        progress.planned(plan)
        if journal.abandoned and not journal.parts:
            progress.notice(
                "an unfinished conversion with other settings, or of another input, is kept in"
                f" {plan.work_folder.parent}; this one starts afresh"
            )
        if journal.parts:
            progress.resumed(sum(len(record.pts) for record in journal.parts))
        render = _Rendering(plan, engine, source, journal, progress, stop or StopRequest())
        for segments in journal.missing_runs(SEGMENT_FRAMES):
            render.run(segments)
        progress.finishing()
        records = journal.parts
        if not records:
            raise UserError(f"{plan.clip.path} has no frame in the part that was asked for", "")
        with (
            writing(plan.output),
            replacing(plan.output, scratch_folder=plan.work_folder) as scratch,
        ):
            last_duration = records[-1].last_duration or plan.clip.usual_step
            join(journal.files(), plan.clip, plan.encoding, plan.muxing, last_duration, scratch)
            pts = [pts for record in records for pts in record.pts]
            check(scratch, plan.output, pts, plan.clip, plan.muxing)
        damage = journal.damage
        steps = tuple(journal.notes)
        journal.discard()
    return Result(
        output=plan.output,
        frames=len(pts),
        frames_rendered=render.frames_rendered,
        seconds=time.monotonic() - began,
        bytes=plan.output.stat().st_size,
        damage=damage,
        stage_seconds=dict(render.stages.seconds),
        steps=steps,
        notices=(*plan.notices, *damage.lines(), *steps),
    )


class _Rendering:
    """Segments of a plan become committed parts."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        source: VideoSource,
        journal: Journal,
        progress: Progress,
        stop: StopRequest,
    ) -> None:
        self.plan = plan
        self.engine = engine
        self.source = source
        self.journal = journal
        self.progress = progress
        self.stop = stop
        self.stages = StageTimes()
        self.frames_rendered = 0
        self._steps_noted = 0
        self._began = time.monotonic()

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
            self._end(first_number)
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
            self._end(last.number + 1)
            return False
        if self.stop.wanted:
            raise Stopped(first_number + SEGMENT_FRAMES, 0)
        return True

    def _stop_if_wanted(self, first_number: int, in_segment: int) -> None:
        """Drop the segment in hand if the user wants to stop and it would take too long."""
        if not self.stop.wanted:
            return
        elapsed = time.monotonic() - self._began
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

    def _end(self, frames: int) -> None:
        known = self.journal.frames_in_all
        if known is None:
            self.journal.note_end(frames, self.source.ending)
        elif known != frames:
            raise UserError(
                f"{self.plan.clip.path} had {known} frames when the conversion began and now"
                f" {frames}",
                f"Remove {self.journal.folder} to start afresh",
            )

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
