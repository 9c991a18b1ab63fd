"""The sizes that an engine is made for."""

import re
from dataclasses import dataclass

from engines.errors import UserError
from engines.spec import GeneratorSpec

NAMED = {"360p": (360, 640), "480p": (480, 854), "720p": (720, 1280), "1080p": (1080, 1920), "1440p": (1440, 2560),
         "2160p": (2160, 3840)}  # fmt: skip

Size = tuple[int, int]
"""(height, width) in pixels"""


@dataclass(frozen=True, slots=True)
class Profile:
    """The least, usual and most size (height, width) of a frame, and the frames in a call."""

    least: Size
    usual: Size
    most: Size
    batch: int = 1

    @property
    def fixed(self) -> Size | None:
        """The one size there is, or None."""
        return self.usual if self.least == self.usual == self.most else None

    def __str__(self) -> str:
        sizes = [self.usual] if self.fixed else [self.least, self.usual, self.most]
        return ":".join(f"{width}x{height}" for height, width in sizes)


def parse_profile(text: str, spec: GeneratorSpec, batch: int = 1) -> Profile:
    """Read `1080p`, `WxH` or `MIN:OPT:MAX` of such, each rounded up to what the generator takes.

    Raises UserError for anything else.
    """
    if batch < 1:
        raise UserError(f"A batch of {batch} holds no frame", "Give --batch 1 or more")
    sizes = [_padded(parse_size(part), spec) for part in text.split(":")]
    if len(sizes) == 1:
        sizes *= 3
    if len(sizes) != 3:
        raise UserError(f"--size {text} is neither one size nor three", "Write MIN:OPT:MAX")
    least, usual, most = sizes
    if not all(a <= b <= c for a, b, c in zip(least, usual, most, strict=True)):
        raise UserError(
            f"--size {text} does not grow", "Write the smallest first, the largest last"
        )
    return Profile(least, usual, most, batch)


def bounds_of(spec: GeneratorSpec, most: Size) -> Profile:
    """Any size up to `most`, made for 1080p."""
    usual = min(NAMED["1080p"][0], most[0]), min(NAMED["1080p"][1], most[1])
    return Profile(_padded((1, 1), spec), _padded(usual, spec), _padded(most, spec))


def parse_size(text: str) -> Size:
    """(height, width) from `1080p` or `WxH`; raises UserError for anything else."""
    if text in NAMED:
        return NAMED[text]
    if match := re.fullmatch(r"(\d{1,5})x(\d{1,5})", text):
        width, height = (int(side) for side in match.groups())
        if min(height, width) > 0:
            return height, width
    raise UserError(f"{text!r} is no size", f"Write WIDTHxHEIGHT, or one of {', '.join(NAMED)}")


def _padded(size: Size, spec: GeneratorSpec) -> Size:
    height, width = (
        -(-max(side, spec.minimum_size) // spec.multiple_of) * spec.multiple_of for side in size
    )
    return height, width
