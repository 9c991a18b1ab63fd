"""Pictures: files with one frame or a few, and all that such a file says about them."""

from cgvideo.codec.images.formats import FORMATS, SUFFIXES, is_picture
from cgvideo.codec.images.picture import Picture
from cgvideo.codec.images.reading import MOST_PIXELS, PictureFile, opened, read_picture
from cgvideo.codec.images.writing import Making, write_picture, write_pictures

__all__ = [
    "FORMATS",
    "MOST_PIXELS",
    "SUFFIXES",
    "Making",
    "Picture",
    "PictureFile",
    "is_picture",
    "opened",
    "read_picture",
    "write_picture",
    "write_pictures",
]
