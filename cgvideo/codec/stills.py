"""Frames of a video as pictures in a folder, evenly spread over it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from cgvideo.codec.decode import shown
from cgvideo.codec.errors import writing
from cgvideo.codec.images import Picture, write_picture
from cgvideo.codec.probe import probe
from engines.atomic import replacing
from engines.errors import UserError

MOST = 2000
WHOLE = "whole.json"
"""The file that stands in the folder when it is finished; it names the video."""


def keep_stills(
    video: Path, folder: Path, report: Callable[..., None] = lambda step, done: None
) -> Path:
    """Write every n-th frame to `folder` as JPEG (quality 95, full colour), at most MOST; give it.

    What is there of the same video already is left as it is; what is unfinished is begun anew.
    `report` is told the step, and the share of it that is done or None.

    Raises:
        UserError: it is no video, the folder holds frames of another one, or cannot be written.
    """
    clip = probe(video)
    about = {"video": video.name, "bytes": video.stat().st_size}
    if (folder / WHOLE).is_file():
        if json.loads((folder / WHOLE).read_text(encoding="utf-8")) != about:
            raise UserError(
                f"{folder} holds the frames of another video than {video}",
                "Give the same, or another --name",
            )
        return folder
    expected = clip.expected_frames(0, None)
    every = -(-expected // MOST) if expected else 1
    kept: list[Path] = []
    with writing(folder / WHOLE):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for frame in shown(clip, clip.upright_size).frames():
            report(f"frames of {video.name}", frame.number / expected if expected else None)
            if frame.number % every:
                continue
            if len(kept) == MOST:  # longer than its header says: every other one will do
                for odd in kept[1::2]:
                    odd.unlink()
                kept, every = kept[::2], 2 * every
                if frame.number % every:
                    continue
            kept.append(folder / f"{frame.number:07}.jpg")
            write_picture(kept[-1], Picture(frame.pixels))
        with replacing(folder / WHOLE) as scratch:
            scratch.write_text(json.dumps(about), encoding="utf-8")
    return folder
