"""Mux before rendering: hours of work must not be lost to a stream that does not fit."""

from pathlib import Path

import av

from cgvideo.clip import Clip
from cgvideo.codec.check import check
from cgvideo.codec.encode import Encoding
from cgvideo.codec.join import Muxing, Part, join
from cgvideo.codec.streams import COPY, CarriedStream, possible_ways
from engines.errors import UserError

REHEARSED_PACKETS = 400


def rehearse(
    sample: Part, clip: Clip, encoding: Encoding, muxing: Muxing, target: Path
) -> tuple[tuple[CarriedStream, ...], tuple[str, ...]]:
    """Find out before rendering how each other stream of the clip can come along.

    Muxes a sample of the video (two frames) with the real first packets of every stream into
    `target`, reads that back, and removes it. Gives the streams that come along, and a line for
    each that is converted or left out.

    Raises:
        UserError: not even the video alone can be muxed.
    """

    def plays(carried: tuple[CarriedStream, ...]) -> UserError | None:
        trial = Muxing(muxing.format, carried, muxing.shift)
        pts = [sample.first_pts, sample.first_pts + clip.usual_step]
        try:
            join([sample], clip, encoding, trial, 1, target, packet_limit=REHEARSED_PACKETS)
            check(target, target, pts, clip, trial)
        except UserError as error:
            return error
        except (ValueError, av.FFmpegError) as error:  # what the container says of a stream
            return UserError(str(error))
        finally:
            target.unlink(missing_ok=True)
        return None

    everything = tuple(CarriedStream(info) for info in clip.other_streams)
    if plays(everything) is None:
        return everything, ()
    refused = plays(())
    if refused is not None:
        raise UserError(
            f"{muxing.format} does not take {encoding.codec} video as it is planned ({refused})",
            "End -o in .mkv, or choose another --codec",
        )
    chosen: list[CarriedStream] = []
    notices: list[str] = []
    for info in clip.other_streams:
        ways = (CarriedStream(info, how) for how in possible_ways(info))
        way = next((way for way in ways if plays((*chosen, way)) is None), None)
        if way is None:
            notices.append(f"{info} does not fit into {muxing.format} and is left out")
            continue
        if way.how != COPY:
            notices.append(f"{info} does not fit into {muxing.format}: converted {way.how}")
        chosen.append(way)
    return tuple(chosen), tuple(notices)
