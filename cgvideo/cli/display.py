"""What the user sees while a conversion runs: a bar, a line a minute, or JSON."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from cgvideo.cli.events import JsonDisplay
from cgvideo.cli.terminal import PlainDisplay, TerminalDisplay
from cgvideo.estimate import Estimate
from cgvideo.folders.folder import FolderPlan
from cgvideo.folders.folder_run import FolderResult
from cgvideo.folders.manifest import Entry
from cgvideo.folders.pictures import PictureEngine, PicturePlan, PictureResult
from cgvideo.pipeline import Result
from cgvideo.plan import Plan
from cgvideo.progress import StageTimes, Stopped
from engines.engine import Engine
from engines.errors import UserError
from engines.model_file import Model


class Display(Protocol):
    """Everything a conversion says to its user."""

    def preparing(self, source: Path) -> None: ...

    def explain(self, plan: Plan, engine: Engine, model: Model, cost: Estimate) -> None: ...

    def explain_picture(self, plan: PicturePlan, engine: PictureEngine, model: Model) -> None: ...

    def note(self, text: str) -> None: ...

    def failed(self, source: Path, error: UserError) -> None: ...

    def picture_done(self, source: Path, result: PictureResult) -> None: ...

    def explain_folder(self, plan: FolderPlan, model: Model) -> None: ...

    def folder_planned(self, plan: FolderPlan, todo: int, skipped: int) -> None: ...

    def file_done(self, entry: Entry, done: int, todo: int) -> None: ...

    def folder_finished(self, plan: FolderPlan, result: FolderResult) -> None: ...

    def stopping(self) -> None: ...

    def stopped(self, plan: Plan, stopped: Stopped) -> None: ...

    def left(self, inputs: int, total: int) -> None: ...

    def finished(self, result: Result) -> None: ...

    def leave(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    # the Progress that a run reports to
    def planned(self, plan: Plan) -> None: ...

    def notice(self, text: str) -> None: ...

    def resumed(self, frame: int) -> None: ...

    def frame_done(self, number: int, stages: StageTimes) -> None: ...

    def finishing(self) -> None: ...


def open_display(as_json: bool) -> Display:
    """The display that suits where the output goes."""
    if as_json:
        return JsonDisplay()
    return TerminalDisplay() if sys.stderr.isatty() else PlainDisplay()
