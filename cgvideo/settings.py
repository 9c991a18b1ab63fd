"""What a user asks of a conversion."""

import math
from dataclasses import dataclass
from pathlib import Path

from cgvideo.codec.encode import encoder_options
from engines.errors import UserError

TONEMAPS = ("off", "sdr", "keep")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for; the names are those of the command line.

    `start` and `duration` are in seconds, `max_size` is the longer side in pixels, `strength` goes
    from 0 (the source) to 1 (the translation). `tonemap` says what becomes of HDR: "off" refuses
    it, "sdr" makes it SDR first, "keep" translates its values as they are coded. `strict` refuses
    a damaged source.
    """

    output: Path | None = None
    start: float = 0.0
    duration: float | None = None
    max_size: int | None = None
    strength: float = 1.0
    codec: str = "h264"
    crf: float | None = None
    preset: str | None = None
    pixel_format: str | None = None
    tonemap: str = "off"
    strict: bool = False
    audio: bool = True
    compare: bool = False
    overwrite: bool = False
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        numbers = {"--start": self.start, "--duration": self.duration, "--crf": self.crf}
        for flag, number in numbers.items():
            if number is not None and not math.isfinite(number):
                raise UserError(f"{flag} {number} is no number to count with", "Give a finite one")
        if self.start < 0:
            raise UserError(
                f"--start {self.start:g} lies before the clip", "Give 0 or more seconds"
            )
        if self.duration is not None and self.duration <= 0:
            raise UserError(
                f"--duration {self.duration:g} is no time at all", "Give seconds over 0"
            )
        if self.max_size is not None and self.max_size < 16:
            raise UserError(f"--max-size {self.max_size} is too small", "Give 16 pixels or more")
        if not 0 <= self.strength <= 1:
            raise UserError(f"--strength {self.strength:g} is out of range", "It goes from 0 to 1")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"--threads {self.threads} is too few", "Give 1 or more")
        if self.tonemap not in TONEMAPS:
            raise UserError(
                f"There is no --tonemap {self.tonemap!r}", f"Choose from {', '.join(TONEMAPS)}"
            )
        encoder_options(self.codec, self.crf, self.preset, threads=1)  # refuses what is wrong
