"""Pictures of a folder, shared out among workers."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from cgvideo.folders.batches import Task
from cgvideo.folders.manifest import Entry, Manifest
from cgvideo.folders.picture_worker import Errand, Made
from cgvideo.folders.shapes import cost_of
from cgvideo.progress import StopRequest
from cgvideo.workers.crew import TRIES, Crew, shared_out
from cgvideo.workers.worker import MIX
from engines.errors import UserError

ERRAND_SECONDS = 4.0
"""What an errand is to take: long enough for reading, translating and writing to overlap in it."""
FIRST_PIXELS = 1e6  # of the first errands, when nobody knows how fast the workers are
MOST_AT_ONCE = 256  # pictures
MOST_DEATHS = 10
"""of workers in a row, with nothing made in between: then it is not the pictures"""


class Sharing:
    """Gives out a folder's pictures, records what comes back and gives it its name."""

    def __init__(
        self,
        crew: Crew[Errand, Made],
        manifest: Manifest,
        mixed: bool,
        report: Callable[[Entry], None],
        notice: Callable[[str], None],
        stop: StopRequest,
    ) -> None:
        """`mixed`: workers may have engines that differ."""
        self._crew = crew
        self._manifest = manifest
        self._mixed = mixed
        self._report = report
        self._notice = notice
        self._stop = stop
        self._pixels_at_once = FIRST_PIXELS
        self._engines: dict[str, dict[str, str]] = {}
        self._deaths: Counter[str] = Counter()
        self._deaths_in_a_row = 0

    def run(self, tasks: Iterable[Task], count: int) -> None:
        """Convert some `count` files, until each is recorded or the user wants to stop.

        Raises:
            UserError: something that would hit all files.
        """
        errands = self._errands(tasks, count)
        for errand, made in shared_out(self._crew, errands, self._bury, self._stop):
            self._deaths_in_a_row = 0
            self._pixels_at_once = _pixels(errand) / max(made.seconds, 0.001) * ERRAND_SECONDS
            self._compare(made)
            finished = [(entry, path) for entry, path in made.entries if path is not None]
            self._manifest.take_in(finished)
            for entry, path in made.entries:
                self._report(self._manifest.add(entry) if path is None else entry)

    def _errands(self, tasks: Iterable[Task], left: int) -> Iterator[Errand]:
        """Neighbours together, as many as take a few seconds; fewer near the end, so that all end at once."""
        workers = self._crew.idle
        those: list[Task] = []
        for task in tasks:
            most = min(MOST_AT_ONCE, max(1, left // (2 * workers)))
            full = len(those) >= most or _pixels([*those, task]) > self._pixels_at_once
            if those and (full or not task.is_still or not those[-1].is_still):
                yield tuple(those)
                left -= len(those)
                those = []
            those.append(task)
        if those:
            yield tuple(those)

    def _compare(self, made: Made) -> None:
        """Refuse what comes of another engine than what came before."""
        for what, identity in made.engines.items():
            first = self._engines.setdefault(what, identity)
            keys = first.keys() | identity.keys()
            differs = sorted(key for key in keys if first.get(key) != identity.get(key))
            if differs and not self._mixed:
                raise UserError(
                    f"A worker on {made.host} makes other bytes than those before it"
                    f" (its {', '.join(differs)} differ)",
                    MIX,
                )

    def _bury(self, errand: Errand) -> list[Errand]:
        """What to do again after a worker's death: each file alone, to find the one that kills."""
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row == MOST_DEATHS:
            raise UserError(
                f"{MOST_DEATHS} workers died one after the other", "Convert without --workers"
            )
        self._notice(f"a worker died at {errand[0].item.name}; another does its files again")
        again: list[Errand] = []
        for task in errand:
            name = task.item.name
            self._deaths[name] += 1
            if self._deaths[name] < TRIES:
                again.append((task,))
                continue
            reason = f"{TRIES} workers died of {task.item.source}. Convert it alone to see why"
            self._report(self._manifest.add(Entry(name, None, "failed", reason)))
        return again


def _pixels(errand: Iterable[Task]) -> float:
    return sum(cost_of(task.shape) for task in errand)
