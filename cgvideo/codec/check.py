"""A finished file is read back before it gets its name."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from cgvideo.clip import Clip
from cgvideo.codec.errors import local_name
from cgvideo.codec.join import MOVABLE_START, Muxing
from cgvideo.codec.streams import CarriedStream, codec_after, packet_time
from engines.errors import UserError

MEND = "Choose another container (-o NAME.mkv) or another --codec"


def check(path: Path, name: Path, expected_pts: Sequence[int], clip: Clip, muxing: Muxing) -> None:
    """Every frame is there with its own pts, and every other stream as what it should be.

    `path` is the file, `name` what it is called to the user; `expected_pts` are ascending, in the
    clip's time base, before the shift.

    Raises:
        UserError: the file does not hold what was rendered.
    """
    times: list[Fraction] = []
    try:
        # The format is named, since a file of two black frames is too small to be recognised.
        with av.open(
            local_name(path), format=muxing.format, metadata_errors="replace"
        ) as container:
            video, *others = container.streams
            if video.type != "video" or video.codec_context is None:
                raise UserError(f"{name} was written but holds no video that can be read", MEND)
            _check_carried(name, others, muxing.carried)
            tick = Fraction(video.time_base or 0)
            decodes = False
            for packet in container.demux(video):
                if packet.size:
                    times.append(packet_time(packet) or Fraction(0))
                if not decodes:
                    decodes = bool(packet.decode())
    except av.FFmpegError as error:
        raise UserError(f"{name} was written but cannot be read back ({error})", MEND) from error
    if not decodes:
        raise UserError(f"{name} was written but not one frame of it can be decoded", MEND)
    times.sort()
    wanted = [pts * clip.time_base - muxing.shift.start for pts in expected_pts]
    if len(times) != len(wanted):
        raise UserError(f"{name} holds {len(times)} frames instead of {len(wanted)}", MEND)
    moved = times[0] - wanted[0] if muxing.format in MOVABLE_START else Fraction(0)
    worst = max(abs(a - b - moved) for a, b in zip(times, wanted, strict=True))
    if worst > tick / 2:
        raise UserError(f"{name} shows a frame {float(worst):.6f} s from its time", MEND)


def _check_carried(name: Path, found: Sequence[Any], wanted: Sequence[CarriedStream]) -> None:
    for stream, carried in zip(found, wanted, strict=False):
        context = stream.codec_context
        codec = context.name if context is not None else ""
        known = carried.info.codec != "" or carried.info.kind == "attachment"
        if (stream.type != carried.info.kind and known) or codec != codec_after(carried):
            raise UserError(f"{name} does not hold {carried.info} as it should", MEND)
    if len(found) < len(wanted):
        raise UserError(f"{name} lacks {wanted[len(found)].info}", MEND)
