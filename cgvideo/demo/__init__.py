"""The built-in demonstration: a green summer valley and its sound, made by formula."""

from cgvideo.demo.picture import FRAME_RATE, SECONDS, SIZE, frames
from cgvideo.demo.sound import sound

__all__ = ["FRAME_RATE", "SECONDS", "SIZE", "frames", "sound"]
