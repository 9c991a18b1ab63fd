"""Which tiles a frame is translated in: all of one size, each pixel in one of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from engines.errors import UserError
from engines.spec import GeneratorSpec
from engines.windows import Window, least_size, window_count, windows

Norm = Literal["anchors", "frame", "fast"]
"""Where statistics come from: measured at anchors, on each frame, or on each frame's thumbnail."""

NORMS: tuple[Norm, ...] = get_args(Norm)

Size = tuple[int, int]
"""(height, width) in pixels"""

MOST_SIDE = 4096
"""No tile is longer: the halo costs a twentieth there, and TensorRT's engines take no more."""

MOST_ACTIVATION = 2 << 30
"""Bytes: runtimes count the elements of an activation in 32 bits."""

LEAST_CORE = 64
"""Pixels that the largest tiles must be able to answer for: with fewer, all work is in the halo."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles of a frame of `size`: each sees `tile` pixels, of which `halo` on each side are others'.

    At the frame's edges there is no halo: a tile's edge is the frame's. All (height, width) in
    pixels, multiples of `multiple`.
    """

    size: Size
    tile: Size
    halo: int
    multiple: int

    @property
    def whole(self) -> bool:
        """Whether the only tile is the frame."""
        return self.tile == self.size

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = (
            window_count(length, side, self.halo)
            for length, side in zip(self.size, self.tile, strict=True)
        )
        return rows, columns

    def tiles(self) -> Iterator[tuple[Window, Window]]:
        """Rows and columns of each tile, line by line."""
        rows, columns = (
            windows(length, side, self.halo, self.multiple)
            for length, side in zip(self.size, self.tile, strict=True)
        )
        return ((row, column) for row in rows for column in columns)

    def __str__(self) -> str:
        if self.whole:
            return "whole frames"
        (rows, columns), (height, width) = self.counts, self.tile
        return f"{rows}x{columns} tiles of {width}x{height} with a halo of {self.halo}"


def choose_grid(
    size: Size,
    spec: GeneratorSpec,
    tile: int | None = None,
    halo: int | None = None,
    most_pixels: int | None = None,
    most_side: int | None = None,
) -> Grid:
    """The grid for frames of `size` (already padded for the generator).

    `tile` is the longest side of a tile, halo included, None: the whole frame if it has at most
    `most_pixels` and no side above `most_side`, else the largest tiles of which that is true. `halo`
    None is the one with which the result is exact. Of grids that are possible it is the one with the
    fewest pixels to translate.

    Raises:
        UserError: the generator cannot be tiled and must be, or the tiles would be all halo.
    """
    multiple = spec.multiple_of
    halo = spec.halo if halo is None else _up(halo, multiple)
    if tile is not None:
        most_pixels, most_side = None, max(_up(tile, multiple), spec.minimum_size)
    if fits(size, most_pixels, most_side):
        return Grid(size, size, halo, multiple)
    if not spec.tileable:
        if tile is not None:
            raise UserError(
                "A U-Net sees the whole picture at once and cannot be tiled",
                "Use --tile auto or off, and --max-size where the memory is too small",
            )
        return Grid(size, size, halo, multiple)
    grids = [Grid(size, shape, halo, multiple) for shape in _shapes(size, halo, multiple)]
    side = min(most_side or MOST_SIDE, MOST_SIDE)
    fitting = [grid for grid in grids if fits(grid.tile, most_pixels, side)]
    if not fitting:
        raise UserError(
            f"Tiles with a halo of {halo} pixels need at least {2 * halo + LEAST_CORE} a side, and"
            " these may not be so large",
            f"Give --tile {2 * halo + LEAST_CORE} or more, or a smaller --halo (not exact)"
            if tile is not None
            else "Use a smaller --max-size",
        )
    return min(fitting, key=lambda grid: (_work(grid), grid.counts))


def most_whole(spec: GeneratorSpec, memory: int | None, streams: int) -> int:
    """The most pixels that an engine may take at once, with half of `memory` (bytes) for it."""
    limit = MOST_ACTIVATION // spec.activation_bytes
    if memory is None:
        return limit
    return min(limit, memory // 2 // (spec.working_bytes * streams))


def fits(size: Size, most_pixels: int | None, most_side: int | None) -> bool:
    """Whether a frame or tile has no more pixels, and no longer side."""
    return (most_pixels is None or size[0] * size[1] <= most_pixels) and (
        most_side is None or max(size) <= most_side
    )


def _shapes(size: Size, halo: int, multiple: int) -> Iterator[Size]:
    """The tiles of every grid that is worth a thought."""
    heights, widths = (list(_sides(length, halo, multiple)) for length in size)
    return ((height, width) for height in heights for width in widths)


def _sides(length: int, halo: int, multiple: int) -> Iterator[int]:
    yield length
    for count in range(2, -(-(length - 2 * halo) // LEAST_CORE) + 1):
        side = least_size(length, count, halo, multiple)
        if 2 * halo < side < length:
            yield side


def _work(grid: Grid) -> int:
    rows, columns = grid.counts
    return rows * columns * grid.tile[0] * grid.tile[1]


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
