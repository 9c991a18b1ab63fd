"""The pictures of a folder: looked at, sorted by size, and converted here or by workers."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from cgvideo.codec.images.formats import format_of
from cgvideo.codec.images.reading import Head, look
from cgvideo.folders.batches import WORKERS, PictureBatches, Task, failure, is_full
from cgvideo.folders.folder import FolderPlan, Item, picture_output
from cgvideo.folders.manifest import Entry, Manifest
from cgvideo.folders.picture_worker import FolderPost
from cgvideo.folders.shapes import Census, Shape, ShapeEngines
from cgvideo.folders.sharing import Sharing
from cgvideo.prefetch import in_parallel
from cgvideo.progress import StopRequest
from cgvideo.sizes import working_size
from cgvideo.workers.hire import hired, name_everywhere
from engines.errors import UserError
from engines.model_file import Model
from engines.store import EngineStore

HEADS_AT_ONCE = 64


class PictureRun:
    """Pictures of a folder, until each is recorded as done or failed; `report` is told of each."""

    def __init__(
        self,
        plan: FolderPlan,
        model: Model,
        store: EngineStore,
        manifest: Manifest,
        report: Callable[[Entry], None],
        notice: Callable[[str], None],
        stop: StopRequest,
        debug: bool = False,
    ) -> None:
        self._plan = plan
        self._model = model
        self._store = store
        self._manifest = manifest
        self._report = report
        self._notice = notice
        self._stop = stop
        self._debug = debug
        self._taken: dict[str, str] = {}
        """the inputs that outputs come of, by the outputs' names in small letters"""

    def convert(self, items: list[Item]) -> None:
        """Convert pictures, those of one size after each other, and animations and pages.

        Raises:
            UserError: no engine can be had or it fails again and again; the disk is full.
        """
        if not items:
            return
        wanted = frozenset(items)
        tasks = [
            Task(item, self._shape(item, head), head.kind == "still")
            for item, head in self._heads(wanted)
        ]
        census = Census(Counter(task.shape for task in tasks if task.is_still))
        tasks = [task for task in tasks if task.item in wanted]
        tasks.sort(key=lambda task: (not task.is_still, task.shape, task.item.name))
        if self._plan.settings.by_several:
            self._share_out(tasks, census)
            return
        settings = self._plan.settings
        with ShapeEngines(self._model, settings, self._store, census) as engines:
            batches = PictureBatches(
                self._plan, census, engines, self._manifest, self._report, self._debug
            )
            batches.convert(self._possible(tasks))

    def _share_out(self, tasks: list[Task], census: Census) -> None:
        plan = self._plan
        here = replace(plan, source=plan.source.absolute(), output=plan.output.absolute())
        here = replace(here, pictures=(), videos=(), left_alone={})
        model = name_everywhere(self._model)
        post = FolderPost(here, model, self._model.sha256, census, self._debug)
        tasks.sort(key=lambda task: task.is_still)  # what takes long is begun first

        def absolute() -> Iterator[Task]:
            for task in self._possible(tasks):
                yield replace(task, item=replace(task.item, source=task.item.source.absolute()))

        settings = plan.settings
        try:
            with hired(post, settings) as crew:
                sharing = Sharing(
                    crew, self._manifest, settings.mixed, self._report, self._notice, self._stop
                )
                sharing.run(absolute(), len(tasks))
        finally:
            self._manifest.sweep()

    def _heads(self, wanted: frozenset[Item]) -> list[tuple[Item, Head]]:
        """What the folder's pictures say of themselves; if `wanted`, one that says nothing has failed."""

        def head(item: Item) -> Head | UserError:
            try:
                return look(item.source, self._plan.settings.max_pixels)
            except UserError as error:
                return error

        found, items = [], self._plan.pictures
        with in_parallel(head, items, WORKERS, lambda item: 1, HEADS_AT_ONCE) as heads:
            for item, told in zip(items, heads, strict=True):
                if not isinstance(told, UserError):
                    found.append((item, told))
                elif item in wanted:
                    self._fail(item, told)
        return found

    def _shape(self, item: Item, head: Head) -> Shape:
        deep = head.deep and format_of(picture_output(self._plan, item)).deep
        return (deep, *working_size(head.size, self._plan.settings.max_size))

    def _possible(self, tasks: list[Task]) -> Iterator[Task]:
        """Files that can have their names, until the user wants to stop."""
        for task in tasks:
            if self._stop.wanted:
                return
            try:
                self._claim(task.item)
            except UserError as error:
                self._fail(task.item, error)
            else:
                yield task

    def _claim(self, item: Item) -> None:
        """Raise UserError where something else is, or will be, where a picture's result goes."""
        output = picture_output(self._plan, item)
        first = self._taken.setdefault(str(output).casefold(), item.name)
        if first != item.name:
            raise UserError(
                f"{first} and {item.name} would both become {output}", "Rename one of them"
            )
        self._manifest.check_output(item.name, output, self._plan.settings.overwrite)

    def _fail(self, item: Item, error: UserError) -> None:
        if self._debug or is_full(error):
            raise error
        self._report(self._manifest.add(failure(item, error)))
