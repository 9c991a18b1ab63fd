"""A worker: renders segments of a plan with an engine of its own, in a process of its own."""

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
from cgvideo.requests import of_one_worker
from cgvideo.settings import Settings
from engines.atomic import replacing
from engines.errors import UserError
from engines.library import find_model
from engines.store import EngineStore

MIXABLE = {"engine", "software", "batch"}
"""What of a plan may be another one with --mixed."""
MIX = "Give --mixed if the same within a level or so will do"


Errand = tuple[int, Seam | None]
"""A segment, and the last frame of the one before it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A segment that is on the disk, what it took, and what the user should know of it."""

    record: PartRecord
    stage_seconds: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClipPost:
    """What a worker is hired for; paths are absolute."""

    plan: Plan
    model: str
    """name of a model that all machines have, or path of its file"""
    settings: Settings

    def hand(self, device: str) -> "Worker":
        """A worker with an engine; raises UserError as it does."""
        return Worker(self, device)


class Worker:
    """Renders segments, one after the other."""

    def __init__(self, post: ClipPost, device: str) -> None:
        """Open the engine.

        Raises:
            UserError: it would make other bytes, or cannot see the files.
        """
        plan = post.plan
        see(plan.clip.path, plan.work_folder)
        settings = of_one_worker(post.settings, device)
        settings = replace(settings, output=plan.output, overwrite=True)
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
                mend = MIX
            elif "tiling" in differs:
                mend = "Give --tile in pixels, since the machines' memories differ"
            else:
                mend = "See that the input does not change"
            host = socket.gethostname()
            raise UserError(
                f"A worker on {host} would make other bytes (its {', '.join(differs)} differ)", mend
            )
        self._plan = plan

    def do(self, errand: Errand) -> Rendered:
        """Put a segment on the disk. Raises UserError for what the user can mend."""
        plan, (segment, seam) = self._plan, errand
        place = _Place(plan.work_folder, f".{plan.encoding.part_format}", seam)
        rendering = Rendering(plan, self._engine, plan.open_source(), place)
        rendering.run(range(segment, segment + 1))
        assert place.record is not None
        return Rendered(place.record, dict(rendering.stages.seconds), tuple(place.notes))

    def close(self) -> None:
        """Let the engine go."""
        self._stack.close()


def see(*paths: Path) -> None:
    """Raise UserError where this machine does not have one of `paths`."""
    host = socket.gethostname()
    for path in paths:
        if not path.exists():
            raise UserError(
                f"A worker on {host} cannot see {path}",
                "Put input and output where all machines have them by the same path",
            )


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
