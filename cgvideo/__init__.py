"""cgvideo: videos and pictures from one look into another with a CycleGAN.

import cgvideo
cgvideo.convert("in.mp4", model="summer2winter")
for frame in cgvideo.translate_frames(frames, model="summer2winter"): ...
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgvideo.interface import convert, translate_frames
    from cgvideo.settings import Settings
    from engines.errors import UserError

__version__ = "0.1.0"
__all__ = ["Settings", "UserError", "convert", "translate_frames"]

_HOMES = {
    "Settings": "cgvideo.settings",
    "UserError": "engines.errors",
    "convert": "cgvideo.interface",
    "translate_frames": "cgvideo.interface",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: the command line answers --help without OpenVINO and FFmpeg.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cgvideo' has no attribute {name!r}")
