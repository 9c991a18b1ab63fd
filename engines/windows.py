"""Windows of equal size that cover a length once: tiles of a frame, strips of a picture.

All lengths are in pixels. A window sees `halo` pixels more than it answers for, but not beyond the
edges of the whole, where its own edge is that of the whole. What a network without memory of the
rest (its statistics given) makes of the pixels it answers for is then what it makes of the whole.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """It sees `start` to `stop` (not included), and answers for `first` to `end` (not included)."""

    start: int
    stop: int
    first: int
    end: int

    @property
    def kept(self) -> slice:
        """What it answers for, counted from its own start."""
        return slice(self.first - self.start, self.end - self.start)


def windows(length: int, size: int, halo: int, multiple: int = 1) -> list[Window]:
    """The fewest windows of `size` that cover `length`, in order; one of the whole where it fits.

    All begin at multiples of `multiple`, which divides `length`, `size` and `halo`; what they answer
    for follows one upon the other without a gap.

    Raises ValueError where a window would be all halo.
    """
    if size >= length:
        return [Window(0, length, 0, length)]
    if size <= 2 * halo:
        raise ValueError(f"windows of {size} are not larger than their halos of {halo}")
    count = window_count(length, size, halo)
    starts = [
        number * (length - size) // (count - 1) // multiple * multiple for number in range(count)
    ]
    borders = [0, *(start + halo for start in starts[1:]), length]
    return [
        Window(start, start + size, borders[number], borders[number + 1])
        for number, start in enumerate(starts)
    ]


def window_count(length: int, size: int, halo: int) -> int:
    """How many windows of `size` cover `length`."""
    return 1 if size >= length else -(-(length - 2 * halo) // (size - 2 * halo))


def least_size(length: int, count: int, halo: int, multiple: int = 1) -> int:
    """The least size of which no more than `count` windows cover `length`."""
    core = -(-(length - 2 * halo) // count)
    return min(length, -(-core // multiple) * multiple + 2 * halo)
