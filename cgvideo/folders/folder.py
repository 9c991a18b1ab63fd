"""A folder: what is in it, what becomes of each file, and where that goes."""

import fnmatch
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import __version__ as pillow_version

from cgvideo.codec.encode import SOFTWARE
from cgvideo.codec.images import is_picture
from cgvideo.folders.pictures import picture_suffix
from cgvideo.plan import PIPELINE_VERSION
from cgvideo.requests import engine_request
from cgvideo.settings import Settings
from engines.errors import UserError
from engines.model_file import Model

VIDEO_SUFFIXES = frozenset(
    [
        ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov",
        ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv",
        ".y4m",
    ]
)  # fmt: skip
NO_PART_IN_BYTES = {
    "output", "overwrite", "max_pixels", "include", "exclude", "skip_existing", "workers", "devices", "ray",
}  # fmt: skip
OF_PICTURES = {"format", "quality"}
OF_VIDEOS = {
    "start", "duration", "codec", "crf", "preset", "pixel_format", "audio", "anchor_interval", "strict",
    "tonemap",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A file to convert. `name` is its path in the folder, with forward slashes."""

    name: str
    source: Path
    shares_stem: bool
    """whether another file beside it has the same name but for the suffix"""


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """A folder's conversion, decided as far as names go."""

    source: Path
    output: Path
    model: str
    settings: Settings
    pictures: tuple[Item, ...]
    videos: tuple[Item, ...]
    left_alone: Mapping[str, int]
    """how many files are left as they are, by the reason"""
    picture_fingerprint: str
    video_fingerprint: str

    @property
    def total(self) -> int:
        """The number of files to convert."""
        return len(self.pictures) + len(self.videos)

    def output_of(self, item: Item, suffix: str) -> Path:
        """Where a file's result goes: under its own name, with another suffix where it needs one.

        Where that name could be another file's, the old suffix stays in it: a.webm becomes
        a.webm.mkv beside a.mkv.
        """
        name = Path(item.name)
        if suffix.lower() == name.suffix.lower():
            return self.output / name
        if item.shares_stem:
            return self.output / name.with_name(name.name + suffix)
        return self.output / name.with_suffix(suffix)


def plan_folder(
    source: Path, model: Model, settings: Settings, output: Path | None = None
) -> FolderPlan:
    """List a folder in depth and decide where its conversion goes; writes nothing.

    `output` in place of the settings'; the default is FOLDER.MODEL beside it. Hidden files, files
    of other formats, and links that lead out of the folder are left alone.

    Raises:
        UserError: the folder cannot be read, or the output cannot be there.
    """
    output = _output_folder(source, model.name, output or settings.output)
    left_alone: Counter[str] = Counter()
    names: list[str] = []
    for name in _files(source, output, left_alone):
        suffix = Path(name).suffix.lower()
        if not (is_picture(Path(name)) or suffix in VIDEO_SUFFIXES):
            left_alone[f"of another format ({suffix or 'no suffix'})"] += 1
        elif not _wanted(name, settings):
            left_alone["not asked for (--include, --exclude)"] += 1
        else:
            names.append(name)
    if not names:
        others = sum(left_alone.values())
        raise UserError(
            f"{source} holds no picture and no video to convert ({others or 'no'} other files)",
            "Check the name, --include and --exclude",
        )
    stems = Counter(str(Path(name).with_suffix("")).casefold() for name in names)
    items = [
        Item(name, source / name, stems[str(Path(name).with_suffix("")).casefold()] > 1)
        for name in sorted(names)
    ]
    pictures = tuple(item for item in items if is_picture(item.source))
    return FolderPlan(
        source,
        output,
        model.name,
        settings,
        pictures,
        tuple(item for item in items if not is_picture(item.source)),
        dict(sorted(left_alone.items())),
        _fingerprint(model, settings, NO_PART_IN_BYTES | OF_VIDEOS),
        _fingerprint(model, settings, NO_PART_IN_BYTES | OF_PICTURES),
    )


def picture_output(plan: FolderPlan, item: Item) -> Path:
    """Where a picture's result goes."""
    return plan.output_of(item, picture_suffix(item.source, plan.settings))


def _output_folder(source: Path, model: str, asked: Path | None) -> Path:
    whole = source.resolve()
    above = source.parent if source.name not in ("", "..") else whole.parent
    output = asked or above / f"{whole.name}.{model}"
    if not whole.name and asked is None:
        raise UserError(f"{source} has no folder above it", "Say with -o where the results go")
    if output.resolve() == whole:
        raise UserError("The results would go among the inputs", "Choose another folder with -o")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file, and {source} a folder", "Give -o a folder")
    if not output.parent.is_dir():
        raise UserError(f"The folder {output.parent} does not exist", "Make it first")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise UserError(f"{output} may not be written", "Choose another place with -o")
    return output


def _files(source: Path, output: Path, left_alone: Counter[str]) -> Iterator[str]:
    """Names of the regular files below a folder, relative to it, but for what is left alone."""
    whole, results = source.resolve(), output.resolve()

    def refused(error: OSError) -> None:
        if error.filename == str(source):
            raise UserError(f"{source} may not be read", "Check its permissions") from error
        left_alone["in folders that may not be read"] += 1

    for folder, folders, files in os.walk(source, onerror=refused, followlinks=False):
        here = Path(folder)
        for name in list(folders):
            path = here / name
            if path.is_symlink():
                left_alone["links to folders"] += 1
            elif name.startswith("."):
                left_alone["hidden folders"] += 1
            elif path.resolve() != results:
                continue
            folders.remove(name)
        folders.sort()
        for name in sorted(files):
            path = here / name
            if name.startswith("."):
                left_alone["hidden"] += 1
            elif path.is_symlink() and not _leads_inside(path, whole):
                left_alone["links out of the folder"] += 1
            elif not path.is_file():
                left_alone["no regular files"] += 1
            else:
                yield path.relative_to(source).as_posix()


def _leads_inside(link: Path, folder: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(folder)
    except (OSError, RuntimeError):  # it leads nowhere, or round in a circle
        return False


def _wanted(name: str, settings: Settings) -> bool:
    """Whether the globs admit a file. They are matched against its name, its path and its folders."""
    path = Path(name)
    places = [path.as_posix(), path.name, *(p.as_posix() for p in path.parents), *path.parts[:-1]]

    def matches(globs: tuple[str, ...]) -> bool:
        return any(
            fnmatch.fnmatchcase(place.casefold(), glob.casefold().removesuffix("/"))
            for glob in globs
            for place in places
        )

    return (not settings.include or matches(settings.include)) and not matches(settings.exclude)


def _fingerprint(model: Model, settings: Settings, but: set[str]) -> str:
    """Tell model, settings `but` some, and software from any that could give other bytes."""
    chosen = {name: value for name, value in asdict(settings).items() if name not in but}
    request = engine_request(settings, None)  # what several workers share has a part in bytes
    chosen |= {"threads": request.threads, "device": request.device}
    software = [SOFTWARE, f"Pillow {pillow_version}", PIPELINE_VERSION]
    text = json.dumps([model.sha256, chosen, software], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
