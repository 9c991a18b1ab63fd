"""A conversion as events for programs, a line of JSON each."""

from dataclasses import asdict
from pathlib import Path

from cgvideo.cli.pace import Watch
from cgvideo.cli.reports import emit
from cgvideo.cli.wording import (
    cost_of_smaller,
)
from cgvideo.estimate import Estimate
from cgvideo.folders.folder import FolderPlan
from cgvideo.folders.folder_run import FolderResult
from cgvideo.folders.manifest import Entry
from cgvideo.folders.pictures import PictureEngine, PicturePlan, PictureResult
from cgvideo.pipeline import Result
from cgvideo.plan import Plan
from cgvideo.progress import StageTimes, Stopped
from cgvideo.stages.tiled_engine import TiledEngine
from engines.engine import Engine
from engines.errors import UserError
from engines.model_file import Model


class JsonDisplay(Watch):
    """One JSON object a line on standard output, for programs."""

    SECONDS = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0  # the first frame is reported

    def preparing(self, source: Path) -> None:
        emit("preparing", input=str(source))

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None:
        smaller = cost_of_smaller(plan, cost)
        emit(
            "plan",
            input=str(plan.clip.path),
            output=str(plan.output),
            model=model.name,
            fingerprint=plan.fingerprint,
            frames=plan.expected_frames,
            engine=engine.description,
            why=engine.why,
            seconds=cost.seconds,
            workers=cost.workers,
            disk_bytes=cost.disk_bytes,
            with_max_size=dict([smaller]) if smaller else {},
            notices=list(plan.notices),
            decisions=plan.describe(),
        )

    def explain_picture(self, plan: PicturePlan, engine: PictureEngine, model: Model) -> None:
        emit(
            "plan",
            input=str(plan.source),
            output=str(plan.output),
            model=model.name,
            frames=1,
            size=list(plan.size),
            tiling=engine.tiling.describe() if isinstance(engine, TiledEngine) else None,
            engine=engine.description,
            why=engine.why,
        )

    def explain_folder(self, plan: FolderPlan, model: Model) -> None:
        emit(
            "folder",
            input=str(plan.source),
            output=str(plan.output),
            model=model.name,
            pictures=len(plan.pictures),
            videos=len(plan.videos),
            left_alone=dict(plan.left_alone),
        )

    def file_done(self, entry: Entry, done: int, todo: int) -> None:
        self.files.mark(done)
        emit(
            "file",
            **asdict(entry),
            done=done,
            of=todo,
            files_per_second=self.files.frames_per_second,
            seconds_left=self.files.seconds_left(todo, done),
        )

    def folder_finished(self, plan: FolderPlan, result: FolderResult) -> None:
        emit(
            "done",
            input=str(plan.source),
            output=str(result.output),
            manifest=str(result.manifest),
            converted=result.done,
            failed=result.failed,
            skipped=result.skipped,
            left=result.left,
            left_alone=dict(result.left_alone),
            seconds=result.seconds,
        )

    def note(self, text: str) -> None:
        emit("notice", text=text)

    def failed(self, source: Path, error: UserError) -> None:
        emit("error", input=str(source), problem=error.problem, mend=error.mend)

    def picture_done(self, source: Path, result: PictureResult) -> None:
        emit(
            "done",
            input=str(source),
            output=str(result.output),
            frames=1,
            seconds=result.seconds,
            notices=list(result.notices),
        )

    def notice(self, text: str) -> None:
        emit("notice", text=text)

    def resumed(self, frame: int) -> None:
        emit("resumed", frame=frame, frames=self.total)
        super().resumed(frame)

    def report(self, done: int, stages: StageTimes) -> None:
        emit(
            "progress",
            frame=done,
            frames=self.total,
            frames_per_second=self.speed.frames_per_second,
            seconds_left=self.speed.seconds_left(self.total, done),
            slowest=stages.slowest,
        )

    def finishing(self) -> None:
        emit("finishing")

    def stopping(self) -> None:
        emit("stopping")

    def stopped(self, plan: Plan, stopped: Stopped) -> None:
        emit("stopped", frames=stopped.frames_done, frames_dropped=stopped.frames_dropped)

    def left(self, inputs: int, total: int) -> None:
        emit("left", inputs=inputs, of=total)

    def finished(self, result: Result) -> None:
        emit(
            "done",
            output=str(result.output),
            frames=result.frames,
            seconds=result.seconds,
            bytes=result.bytes,
            damaged_packets=result.damage.packets,
            concealed_frames=result.damage.concealed,
            moved_pts=result.damage.moved_pts,
            cut_short=result.damage.cut_short,
            stage_seconds=result.stage_seconds,
            steps=list(result.steps),
        )
