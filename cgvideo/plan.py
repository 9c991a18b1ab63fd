"""Every decision of a conversion, made before its first frame."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cgvideo.clip import Clip, Orientation
from cgvideo.codec.decode import VideoSource
from cgvideo.codec.encode import (
    CODECS,
    SOFTWARE,
    Encoding,
    encoder_options,
    write_part,
)
from cgvideo.codec.errors import reading
from cgvideo.codec.hardware import hardware_of
from cgvideo.codec.join import ASPECT, FORMATS, TURNING, Muxing, Part
from cgvideo.codec.light import PARAMETERS, with_light
from cgvideo.codec.rehearsal import rehearse
from cgvideo.codec.streams import TimeShift
from cgvideo.fidelity import Fidelity, choose_fidelity
from cgvideo.places import choose_output, usual_suffix, work_folder_of
from cgvideo.settings import Settings
from cgvideo.sizes import working_size
from cgvideo.stages.scenes import REACH as SCENE_REACH
from cgvideo.stages.smoothing import REACH as SMOOTHING_REACH
from cgvideo.stages.statistics import anchor_reach
from cgvideo.stages.tiled_engine import TiledEngine, Tiling
from engines.engine import Engine
from engines.errors import UserError
from engines.model_file import Model
from engines.spec import Pixels

PIPELINE_VERSION = 2  # counts up when the same plan comes to give other bytes
SEGMENT_FRAMES = 96
"""Frames in a segment: the unit of resume. Batches of 1, 2, 3, 4, 6, 8 … frames divide it."""

WHOLE_HASH_BYTES = 64 << 20
HASH_BLOCKS = 64
HASH_BLOCK_BYTES = 64 << 10
MOST_ENCODER_THREADS = 16


@dataclass(frozen=True)
class Plan:
    """A conversion, decided. Same plan, same bytes."""

    clip: Clip
    output: Path
    overwrite: bool
    """whether a file that is there may be replaced"""
    model: str
    model_sha256: str
    size: tuple[int, int]
    """(height, width) of the frames that come out, upright"""
    work_size: tuple[int, int] | None
    """(height, width) at which they are translated, if that is not their own"""
    tiling: Tiling | None
    """tiles and statistics; None: of an engine that knows none"""
    anchor_interval: int | None
    """frames between anchors; None: each frame has its own statistics"""
    smooth: float
    """how much of the smoothing is blended in, 0 (none) to 1"""
    start: float
    duration: float | None
    strength: float
    compare: bool
    encoding: Encoding
    fidelity: Fidelity
    strict: bool
    muxing: Muxing
    engine: tuple[tuple[str, str], ...]
    """the engine's identity: all that decides its bytes; of devices that are alike not which one"""
    batch: int
    input_hash: str
    notices: tuple[str, ...]
    """what the user should know before it starts, a line each"""

    @cached_property
    def fingerprint(self) -> str:
        """Tells this plan from any that would give other bytes."""
        canonical = json.dumps(self.describe(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def work_folder(self) -> Path:
        """Where the parts and the journal live: beside the output, hidden, one a plan."""
        return work_folder_of(self.output) / self.fingerprint[:16]

    def open_source(self) -> VideoSource:
        """The frames to be translated."""
        return VideoSource(
            self.clip, self.size, self.start, self.duration, self.fidelity.development, self.strict
        )

    @property
    def reach(self) -> tuple[int, int]:
        """How many frames before and after its own a segment's stages look at."""
        frames = self.smoothing_reach
        if self.anchor_interval is not None:
            frames += anchor_reach(self.anchor_interval)
        if frames:
            frames += SCENE_REACH
        return frames, frames

    @property
    def smoothing_reach(self) -> int:
        """How many *translated* frames before and after its own a segment needs."""
        return SMOOTHING_REACH if self.smooth else 0

    @property
    def expected_frames(self) -> int | None:
        """How many frames there will be, by the header (often off by a few); None if unknown."""
        return self.clip.expected_frames(self.start, self.duration)

    def describe(self) -> dict[str, Any]:
        """All that decides the output's bytes, ready for JSON."""
        described: dict[str, Any] = asdict(self.encoding)
        return {
            "input": self.input_hash,
            "clip": self.clip.describe(),
            "model": self.model_sha256,
            "size": list(self.size),
            "work_size": None if self.work_size is None else list(self.work_size),
            "tiling": None if self.tiling is None else self.tiling.describe(),
            "anchor_interval": self.anchor_interval,
            "smooth": self.smooth,
            "start": self.start,
            "duration": self.duration,
            "strength": self.strength,
            "compare": self.compare,
            "encoding": {key: _plain(value) for key, value in described.items()},
            "pixels": asdict(self.fidelity.development),
            "format": self.muxing.format,
            "streams": [[way.info.index, way.how] for way in self.muxing.carried],
            "engine": dict(self.engine),
            "batch": self.batch,
            "segment": SEGMENT_FRAMES,
            "software": [SOFTWARE, f"OpenCV {cv2.__version__}", PIPELINE_VERSION],
        }


def check_start(clip: Clip, settings: Settings) -> None:
    """Raise UserError where `--start` lies after the clip's end."""
    length = clip.duration_seconds
    if length is not None and settings.start >= length > 0:
        raise UserError(
            f"--start {settings.start:g} lies after the end of {clip.path}, at {length:.1f} s",
            "Begin earlier",
        )


def make_plan(
    clip: Clip, model: Model, engine: Engine, settings: Settings, output: Path | None = None
) -> Plan:
    """Decide everything about a conversion, and try the muxing on the real streams.

    `output` is what `choose_output` gave, where it was asked before.

    Raises:
        UserError: the output cannot be what was asked for.
    """
    output = output or choose_output(clip.path, model.name, settings, usual_suffix(clip, settings))
    size = working_size(clip.upright_size, settings.max_size)
    muxer = FORMATS[output.suffix.lower()]
    orientation, notices = _choose_orientation(clip, muxer)
    fidelity = choose_fidelity(clip, settings, _coded_size(orientation, size, settings))
    notices += fidelity.notices
    aspect = clip.sample_aspect_ratio
    if aspect != 1 and not CODECS[settings.codec].says_aspect and muxer not in ASPECT:
        kept = usual_suffix(clip, settings)
        mend = f"; -o NAME{kept} keeps it" if FORMATS[kept] in ASPECT else ""
        notices.append(
            f"{muxer} with {settings.codec} loses the shape of a pixel ({aspect}): the picture is"
            f" shown stretched{mend}"
        )
    if muxer == "nut" and settings.codec == "ffv1":
        notices.append(
            "nut with ffv1 loses colour tags and range; --codec h264 --crf 0 is lossless, too"
        )
    encoding = _choose_encoding(clip, size, settings, orientation, fidelity)
    work_size = working_size(size, settings.work_size)
    tiling = engine.tiling if isinstance(engine, TiledEngine) else None
    anchors = tiling is not None and tiling.norm == "anchors"
    start_ticks = round(Fraction(settings.start) / clip.time_base)
    shift = TimeShift()
    if settings.start > 0 or settings.duration is not None:
        first = clip.first_pts * clip.time_base
        begin = first + start_ticks * clip.time_base
        end = None if settings.duration is None else begin + Fraction(settings.duration)
        trimmed = settings.start > 0
        shift = TimeShift(begin if trimmed else Fraction(0), end, trimmed)
    muxing = Muxing(muxer, (), shift)
    others = clip.other_streams
    if not settings.audio:
        others = tuple(info for info in others if info.kind != "audio")
    carried, stream_notices = _rehearsed(
        replace(clip, other_streams=others), encoding, muxing, output
    )
    notices += [f"{way.info} is copied as it is" for way in carried if way.info.kind == "video"]
    return Plan(
        clip=clip,
        output=output,
        overwrite=settings.overwrite,
        model=model.name,
        model_sha256=model.sha256,
        size=size,
        work_size=None if work_size == size else work_size,
        tiling=tiling,
        anchor_interval=max(1, round(settings.anchor_interval * clip.rate)) if anchors else None,
        smooth=settings.smoothing(),
        start=settings.start,
        duration=settings.duration,
        strength=settings.strength,
        compare=settings.compare,
        encoding=encoding,
        fidelity=fidelity,
        strict=settings.strict,
        muxing=Muxing(muxing.format, carried, shift),
        engine=tuple(sorted(without_number(engine.identity).items())),
        batch=_dividing(engine.batch),
        input_hash=_hash_of(clip),
        notices=(*notices, *stream_notices),
    )


def without_number(identity: Mapping[str, str]) -> dict[str, str]:
    """An identity whose device is cuda, not cuda:1: GPUs of one name make the same bytes."""
    return {
        key: re.split("[:.]", value)[0] if key == "device" else value
        for key, value in identity.items()
    }


def content_hash(path: Path) -> str:
    """Tell a file's content: all of it up to 64 MB, else its size and 64 blocks spread over it."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= WHOLE_HASH_BYTES:
            digest.update(file.read())
        else:
            for block in range(HASH_BLOCKS):
                file.seek((size - HASH_BLOCK_BYTES) * block // (HASH_BLOCKS - 1))
                digest.update(file.read(HASH_BLOCK_BYTES))
    return digest.hexdigest()


def _hash_of(clip: Clip) -> str:
    with reading(clip.path):
        return content_hash(clip.path)


def engine_pixels(clip: Clip, settings: Settings, output: Path) -> Pixels:
    """What an engine for this conversion is to take and give.

    Raises:
        UserError: as `choose_fidelity` does, before an engine is built.
    """
    size = working_size(clip.upright_size, settings.max_size)
    orientation, _ = _choose_orientation(clip, FORMATS[output.suffix.lower()])
    return choose_fidelity(clip, settings, _coded_size(orientation, size, settings)).pixels


def _choose_orientation(clip: Clip, muxer: str) -> tuple[Orientation, list[str]]:
    if clip.orientation.is_upright or muxer in TURNING:
        return clip.orientation, []
    return Orientation(), [f"{muxer} cannot say how a picture is turned: it is written upright"]


def _coded_size(
    orientation: Orientation, size: tuple[int, int], settings: Settings
) -> tuple[int, int]:
    height, width = size
    return orientation.turned((height, width * 2) if settings.compare else size)


def _choose_encoding(
    clip: Clip,
    size: tuple[int, int],
    settings: Settings,
    orientation: Orientation,
    fidelity: Fidelity,
) -> Encoding:
    hardware = hardware_of(settings.codec)
    aspect = clip.sample_aspect_ratio
    if orientation != clip.orientation and clip.orientation.swaps_sides:
        aspect = 1 / aspect
    encoder = CODECS[settings.codec].encoder
    threads = min(os.cpu_count() or 1, MOST_ENCODER_THREADS)
    options = encoder_options(settings.codec, settings.crf, settings.preset, threads)
    if fidelity.stays_hdr and encoder in PARAMETERS:
        options = with_light(options, encoder, clip.light)
    return Encoding(
        settings.codec,
        encoder,
        fidelity.pixel_format,
        options,
        _coded_size(orientation, size, settings),
        clip.rate,
        clip.time_base,
        aspect,
        fidelity.color,
        orientation,
        hardware,
    )


def _rehearsed(
    clip: Clip, encoding: Encoding, muxing: Muxing, output: Path
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Encode two black frames and mux them with the clip's own streams, somewhere temporary."""
    height, width = encoding.size
    black = np.zeros((height, width, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="cgvideo-") as folder:
        sample = Path(folder) / f"sample.{encoding.part_format}"
        try:
            write_part(((number * clip.usual_step, black) for number in range(2)), sample, encoding)
        except UserError as error:
            raise UserError(
                f"{encoding.encoder} does not encode pictures of {width}x{height} in"
                f" {encoding.pixel_format} with these settings ({error.__cause__})",
                "Choose another --codec, --pix-fmt or --max-size",
            ) from error
        begin = round(muxing.shift.start / clip.time_base)
        return rehearse(
            Part(sample, max(clip.first_pts, begin)),
            clip,
            encoding,
            muxing,
            Path(folder) / f"rehearsal{output.suffix}",
        )


def _dividing(batch: int) -> int:
    """The largest batch up to `batch` that divides a segment."""
    return next(
        size for size in range(min(batch, SEGMENT_FRAMES), 0, -1) if SEGMENT_FRAMES % size == 0
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
