"""Two half-pictures of different moments become one picture of one moment.

FFmpeg's bwdif: a frame in, a frame out, at its own time. A frame depends on itself and its two
neighbours alone (a reach of one), so that a run that begins in the middle gives the same.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Generic, TypeVar

import av
import av.filter

TAKEN = ("yuv4", "yuvj4", "yuva4", "gray", "gbrp", "uyvy", "yuyv", "nv1")
"""how the names of the formats begin that bwdif takes, the packed ones after their bytes are sorted"""

Stamp = TypeVar("Stamp")


def deinterlaced(pictures: Iterable[tuple[Any, Stamp]]) -> Iterator[tuple[Any, Stamp]]:
    """Give (picture, what belongs to it) pairs on, those marked as interlaced made whole.

    Nothing is touched until the first that is marked; from then on bwdif lets through what is not.
    """
    bwdif: _Bwdif[Stamp] | None = None
    previous: Any = None
    for picture, stamp in pictures:
        if bwdif is not None and not bwdif.takes(picture):
            yield from bwdif.rest()
            bwdif = None
        if bwdif is None and is_interlaced(picture):
            bwdif = _Bwdif(picture)
            if previous is not None and bwdif.takes(previous):
                bwdif.push(previous, None)
        if bwdif is None:
            previous = picture
            yield picture, stamp
        else:
            bwdif.push(picture, (stamp,))
            yield from bwdif.ready()
    if bwdif is not None:
        yield from bwdif.rest()


def is_interlaced(picture: Any) -> bool:
    """Whether a decoded picture says so of itself, and bwdif can do something about it."""
    return bool(picture.interlaced_frame) and picture.format.name.startswith(TAKEN)


class _Bwdif(Generic[Stamp]):
    """The filter, for pictures of one shape."""

    def __init__(self, picture: Any) -> None:
        self._shape = _shape(picture)
        self._waiting: deque[tuple[Stamp] | None] = deque()
        self._count = itertools.count()
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        self._graph.link_nodes(
            self._graph.add_buffer(
                width=picture.width,
                height=picture.height,
                format=picture.format,
                time_base=Fraction(1, 1000),
            ),
            self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
            self._graph.add("buffersink"),
        ).configure()

    def takes(self, picture: Any) -> bool:
        return _shape(picture) == self._shape

    def push(self, picture: Any, stamp: tuple[Stamp] | None) -> None:
        """Put a picture in; one without a stamp is a neighbour only, and does not come out."""
        picture.pts = next(self._count)
        self._waiting.append(stamp)
        self._graph.vpush(picture)

    def ready(self) -> Iterator[tuple[Any, Stamp]]:
        while True:
            try:
                picture = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            stamp = self._waiting.popleft()
            if stamp is not None:
                yield picture, stamp[0]

    def rest(self) -> Iterator[tuple[Any, Stamp]]:
        self._graph.vpush(None)
        yield from self.ready()


def _shape(picture: Any) -> tuple[int, int, str]:
    return picture.width, picture.height, picture.format.name
