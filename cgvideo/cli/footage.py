"""Videos where pictures to learn from are wanted: their frames, kept with the run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.config import TrainConfig

DOMAINS = ("source", "target", "test_source", "test_target")


@contextmanager
def footage(
    config: "TrainConfig", run: Path, dry_run: bool, report: Callable[..., None]
) -> Iterator["TrainConfig"]:
    """Give the run with a folder of frames in place of each video, `run`/frames/source and so on.

    A dry run has them only inside the block. Raises UserError for a file that is no video.
    """
    videos = {name: getattr(config, name) for name in DOMAINS}
    videos = {name: path for name, path in videos.items() if path is not None and path.is_file()}
    if not videos:
        yield config
        return
    from cgvideo.codec.stills import keep_stills

    with TemporaryDirectory() as scratch:
        root = Path(scratch) if dry_run else run / "frames"
        folders: dict[Path, Path] = {}  # the same video twice is read once
        for name, video in videos.items():
            if video not in folders:
                folders[video] = keep_stills(video, root / name, report)
        frames: dict[str, Any] = {name: folders[video] for name, video in videos.items()}
        yield replace(config, **frames)
