"""What a user asks of a conversion."""

import math
from dataclasses import dataclass
from pathlib import Path

from cgvideo.codec.encode import encoder_options
from cgvideo.codec.images import MOST_PIXELS
from cgvideo.codec.images.formats import suffix_of
from cgvideo.stages.tiling import NORMS
from engines.errors import UserError

TONEMAPS = ("off", "sdr", "keep")
MOST_ANCHOR_SECONDS = 10.0
"""Between anchors: as many frames are held in memory, and in the worst case three times as many."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for; the names are those of the command line.

    `start` and `duration` are in seconds, `max_size` is the longer side in pixels, `strength` goes
    from 0 (the source) to 1 (the translation). `tonemap` says what becomes of HDR: "off" refuses
    it, "sdr" makes it SDR first, "keep" translates its values as they are coded. `strict` refuses
    a damaged source. `norm` says where a frame's statistics come from, `anchor_interval` is in
    seconds. `tile` is "auto", "off" or pixels, `halo` "auto" or pixels. With `work_size` frames are
    translated with that longer side, and come out as large as they are. `smooth` is "auto", "off",
    or goes from 0 (frame by frame) to 1 (as steady as can be). `format` (of
    `cgvideo.codec.images.FORMATS`), `quality` (1 to 100) and `max_pixels` are for pictures;
    `include` and `exclude` (globs) and `skip_existing` for folders. `workers` processes share a clip's
    segments, or one for each of `devices`, or those of the Ray cluster at `ray`; `mixed` admits
    workers with another engine.
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
    format: str | None = None
    quality: int | None = None
    max_pixels: int = MOST_PIXELS
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_existing: bool = False
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    norm: str = "auto"
    anchor_interval: float = 1.0
    tile: str | int = "auto"
    halo: str | int = "auto"
    work_size: int | None = None
    smooth: str | float = "auto"
    workers: int | None = None
    devices: tuple[str, ...] = ()
    ray: str | None = None
    mixed: bool = False

    def __post_init__(self) -> None:
        numbers = {
            "--start": self.start, "--duration": self.duration, "--crf": self.crf,
            "--anchor-interval": self.anchor_interval,
        }  # fmt: skip
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
        if self.work_size is not None and self.work_size < 16:
            raise UserError(f"--work-size {self.work_size} is too small", "Give 16 pixels or more")
        if self.norm not in ("auto", *NORMS):
            raise UserError(f"There is no --norm {self.norm}", f"Known: auto, {', '.join(NORMS)}")
        if not 0 < self.anchor_interval <= MOST_ANCHOR_SECONDS:
            raise UserError(
                f"--anchor-interval {self.anchor_interval:g} is out of range",
                f"Give seconds over 0 and up to {MOST_ANCHOR_SECONDS:g}",
            )
        self.tile_pixels()
        self.halo_pixels()
        self.smoothing()
        if not 0 <= self.strength <= 1:
            raise UserError(f"--strength {self.strength:g} is out of range", "It goes from 0 to 1")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers {self.workers} is too few", "Give 1 or more")
        if self.devices and self.workers not in (None, len(self.devices)):
            raise UserError(
                f"--workers {self.workers} and --devices {','.join(self.devices)} contradict",
                "Give one of them: there is one worker a device",
            )
        if self.devices and self.ray:
            raise UserError(
                "--devices are this machine's, and --ray is a cluster's",
                "Give one of them; --device cuda takes the cluster's GPUs",
            )
        if self.threads is not None and self.threads < 1:
            raise UserError(f"--threads {self.threads} is too few", "Give 1 or more")
        if self.format is not None:
            suffix_of(self.format)  # refuses what is unknown
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UserError(f"--quality {self.quality} is out of range", "It goes from 1 to 100")
        if self.max_pixels < 1:
            raise UserError(f"--max-pixels {self.max_pixels} admits nothing", "Give 1 or more")
        if self.tonemap not in TONEMAPS:
            raise UserError(
                f"There is no --tonemap {self.tonemap!r}", f"Choose from {', '.join(TONEMAPS)}"
            )
        encoder_options(self.codec, self.crf, self.preset, threads=1)  # refuses what is wrong

    @property
    def by_several(self) -> bool:
        """Whether several processes share the work."""
        return bool(self.ray or len(self.devices) > 1 or (self.workers or 1) > 1)

    @property
    def sharers(self) -> int:
        """How many processes share the memory of one device; in a cluster that is not known."""
        if self.ray:
            return 1
        return max(map(self.devices.count, self.devices), default=self.workers or 1)

    def tile_pixels(self) -> int | None:
        """The longest side of a tile that was asked for; None for "auto" and "off".

        Raises:
            UserError: it is neither, nor a number of pixels.
        """
        if self.tile in ("auto", "off"):
            return None
        return _pixels(self.tile, "--tile", 16, "auto, off or pixels, 16 or more")

    def halo_pixels(self) -> int | None:
        """The halo that was asked for; None for "auto".

        Raises:
            UserError: it is neither that nor a number of pixels.
        """
        if self.halo == "auto":
            return None
        return _pixels(self.halo, "--halo", 0, "auto or pixels")

    def smoothing(self) -> float:
        """How much to smooth, 0 to 1: all of it for "auto".

        Raises:
            UserError: it is neither "auto" nor "off" nor such a number.
        """
        if self.smooth in ("auto", "off"):
            return float(self.smooth == "auto")
        try:
            share = float(self.smooth)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            raise UserError(
                f"--smooth {self.smooth} is not possible", "Give auto, off, or a number from 0 to 1"
            )
        return share


def _pixels(text: str | int, flag: str, least: int, possible: str) -> int:
    if not str(text).isdigit() or int(text) < least:
        raise UserError(f"{flag} {text} is not possible", f"Give {possible}")
    return int(text)
