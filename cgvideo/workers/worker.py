"""A worker: renders segments of a plan with an engine of its own, in a process of its own."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cgvideo.codec.decode import Seam
from cgvideo.frame import Damage
from cgvideo.journal import PartRecord, part_in
from cgvideo.plan import Plan
from cgvideo.prepare import prepared
from cgvideo.rendering import Rendering
from cgvideo.settings import Settings
from cgvideo.workers.crew import Rendered
from engines.atomic import replacing
from engines.errors import UserError
from engines.library import find_model
from engines.store import EngineStore

MIXABLE = {"engine", "software", "batch"}
"""What of a plan may be another one with --mixed."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is hired for; paths are absolute."""

    plan: Plan
    model: str
    """name of a model that all machines have, or path of its file"""
    settings: Settings


class Worker:
    """Renders segments, one after the other."""

    def __init__(self, post: Post, device: str) -> None:
        """Open the engine.

        Raises:
            UserError: it would make other bytes, or cannot see the files.
        """
        plan, here = post.plan, socket.gethostname()
        for path in (plan.clip.path, plan.work_folder):
            if not path.exists():
                raise UserError(
                    f"A worker on {here} cannot see {path}",
                    "Put input and output where all machines have them by the same path",
                )
        settings = replace(
            post.settings, device=device, devices=(), output=plan.output, overwrite=True
        )
        model = replace(find_model(post.model), name=plan.model)
        self._stack = ExitStack()
        own, self._engine = self._stack.enter_context(
            prepared(plan.clip.path, model, settings, EngineStore())
        )
        mine, wanted = own.describe(), plan.describe()
        differs = sorted(key for key in wanted if mine.get(key) != wanted[key])
        mixable = set(differs) <= MIXABLE
        if differs and not (post.settings.mixed and mixable):
            self.close()
            if mixable:
                mend = "Give --mixed if the same within a level or so will do"
            elif "tiling" in differs:
                mend = "Give --tile in pixels, since the machines' memories differ"
            else:
                mend = "See that the input does not change"
            raise UserError(
                f"A worker on {here} would make other bytes (its {', '.join(differs)} differ)", mend
            )
        self._plan = plan

    def render(self, segment: int, seam: Seam | None) -> Rendered:
        """Put a segment on the disk. Raises UserError for what the user can mend."""
        plan = self._plan
        place = _Place(plan.work_folder, f".{plan.encoding.part_format}", seam)
        rendering = Rendering(plan, self._engine, plan.open_source(), place)
        rendering.run(range(segment, segment + 1))
        assert place.record is not None
        return Rendered(place.record, dict(rendering.stages.seconds), tuple(place.notes))

    def process(self) -> int:
        """The number of its process."""
        return os.getpid()

    def close(self) -> None:
        """Let the engine go."""
        self._stack.close()


class _Place:
    """What a rendering needs of a journal, where the coordinator has the journal."""

    def __init__(self, folder: Path, suffix: str, seam: Seam | None) -> None:
        self.folder = folder
        self.record: PartRecord | None = None
        self.notes: list[str] = []
        self._suffix = suffix
        self._seam = seam

    def seam_before(self, segment: int, frames_per_segment: int) -> Seam | None:
        return self._seam

    def part_path(self, segment: int) -> Path:
        return part_in(self.folder, segment, self._suffix)

    @contextmanager
    def committing(self, segment: int) -> Iterator[Path]:
        with replacing(self.part_path(segment)) as scratch:
            yield scratch

    def commit(self, record: PartRecord) -> None:
        self.record = record

    def note(self, text: str) -> None:
        self.notes.append(text)

    def settle_end(self, frames: int, ending: Damage, source: Path) -> None:
        """The coordinator's scout knows."""
