"""The main path: from a plan to a finished file."""

import time
from dataclasses import dataclass
from pathlib import Path

from cgvideo.codec.check import check
from cgvideo.codec.errors import writing
from cgvideo.codec.join import join
from cgvideo.frame import Damage
from cgvideo.journal import Journal
from cgvideo.places import refuse_existing
from cgvideo.plan import SEGMENT_FRAMES, Plan
from cgvideo.progress import Progress, Silent, StopRequest
from cgvideo.rendering import Rendering
from cgvideo.workers.coordinator import Coordinator
from cgvideo.workers.crew import Crew
from cgvideo.workers.worker import Errand, Rendered
from engines.atomic import replacing
from engines.engine import Engine
from engines.errors import UserError


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
    plan: Plan,
    engine: Engine | Crew[Errand, Rendered],
    progress: Progress | None = None,
    stop: StopRequest | None = None,
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
    source = plan.open_source()
    suffix = f".{plan.encoding.part_format}"
    with Journal(plan.work_folder, plan.fingerprint, plan.describe(), suffix) as journal:
        if not journal.parts and plan.output.exists() and not plan.overwrite:
            journal.discard()  # another run has just finished
        refuse_existing(plan.output, plan.overwrite)
        progress.planned(plan)
        if journal.abandoned and not journal.parts:
            progress.notice(
                "an unfinished conversion with other settings, or of another input, is kept in"
                f" {plan.work_folder.parent}; this one starts afresh"
            )
        if journal.parts:
            progress.resumed(sum(len(record.pts) for record in journal.parts))
        render: Rendering | Coordinator
        if isinstance(engine, Crew):
            render = Coordinator(engine, source, journal, progress, stop or StopRequest())
        else:
            render = Rendering(plan, engine, source, journal, progress, stop)
        for segments in journal.missing_runs(SEGMENT_FRAMES):
            render.run(segments)
        progress.finishing()
        records = journal.parts
        if not records:
            raise UserError(
                f"{plan.clip.path} has no frame in the part that was asked for",
                "Give an earlier --start, or a longer --duration",
            )
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
