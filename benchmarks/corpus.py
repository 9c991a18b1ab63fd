"""Convert every video of a folder of real files, and say what becomes of each.

    python benchmarks/corpus.py FOLDER [--write docs/formats.md] [--only PART_OF_A_NAME]

FOLDER holds files and an INDEX.tsv: their paths, their kind, and whether FFmpeg decodes them. The engine is
one that gives every picture back as it came, so what is measured is the way of a video through the
program: frames, times, sound, rotation, aspect and colour tags, each against the source as PyAV
reads it plainly. The pictures are small (64 pixels), and of clips over 300 frames the first two
seconds are taken. With --write the table goes between the two marks in that file.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from cgvideo.codec.probe import probe
from cgvideo.pipeline import run
from cgvideo.plan import make_plan
from cgvideo.settings import Settings
from engines.errors import UserError
from engines.model_file import Model
from engines.spec import GeneratorSpec

MAX_SIZE = 64
MANY_FRAMES, SECONDS_OF_MANY = 300, 2.0
SOUND_TICK = Fraction(1, 1000)  # Matroska's
CONVERTED_SOUND_OFF = Fraction(1, 10)  # encoded anew: its frames begin elsewhere
ASPECT_OFF = 0.05  # sides are even
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

SPEC = GeneratorSpec(base_channels=1, blocks=1)
MODEL = Model("identity", SPEC, {}, sha256="1" * 64)


class Identity:
    """An engine that gives every picture back as it came."""

    description, why, spec = "identity", "for the corpus", SPEC
    identity: Mapping[str, str] = {"engine": "identity"}
    crossings: Mapping[str, float] = {}
    batch = 4

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        return frames.copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass
class Outcome:
    """What became of one file. `wrong` is empty where all is as it should be."""

    name: str
    holds: str
    must_convert: bool
    result: str = ""
    refused: str = ""
    notices: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Reading:
    """A file as PyAV reads it, without this program."""

    times: list[Fraction]
    tick: Fraction
    sound: list[tuple[int, Fraction, bytes]]
    sound_codecs: list[str]
    rotation: tuple[int, ...]
    aspect: float
    color: tuple[int, ...]
    streams: dict[str, int]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    outcomes = []
    for row in rows(asked.folder):
        if asked.only in row["path"]:
            outcomes.append(outcome := examine(asked.folder, row))
            said = "; ".join(outcome.wrong) or outcome.refused or outcome.result
            print(f"{'WRONG' if outcome.wrong else 'ok':6}{outcome.name}: {said}", flush=True)
    if asked.write is not None:
        text = asked.write.read_text(encoding="utf-8")
        asked.write.write_text(with_table(text, outcomes), encoding="utf-8")
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    print(f"{len(outcomes)} files, {len(wrong)} wrong")
    return 1 if wrong else 0


def rows(folder: Path) -> Iterator[dict[str, str]]:
    """The rows of INDEX.tsv that are no pictures."""
    with (folder / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["kind"] != "image" and not row["path"].startswith("images/"):
                yield row


def examine(folder: Path, row: Mapping[str, str]) -> Outcome:
    """Convert one file and compare the result with it."""
    source = folder / row["path"]
    must = row["kind"] == "video" and row["decode_result"].startswith("ok")
    outcome = Outcome(row["path"], _holds(row), must)
    with tempfile.TemporaryDirectory(prefix="corpus-") as place:
        try:
            _convert(source, Path(place), row, outcome)
        except UserError as error:
            outcome.refused = str(error).replace(str(source), "FILE").replace("\n", " ")
            if must:
                outcome.wrong.append(f"refused: {outcome.refused}")
        except Exception as error:
            outcome.wrong.append(f"{type(error).__name__}: {error}")
    return outcome


def _convert(source: Path, place: Path, row: Mapping[str, str], outcome: Outcome) -> None:
    hdr = row["color_transfer"] in ("smpte2084", "arib-std-b67")
    clip = probe(source)
    frames = int(row["frames_decoded_pyav_or_pillow"] or 0)
    settings = Settings(
        output=place,
        max_size=MAX_SIZE,
        preset="ultrafast",
        duration=SECONDS_OF_MANY if frames > MANY_FRAMES else None,
        **({"tonemap": "sdr"} if hdr else {}),
    )
    engine = Identity()
    plan = make_plan(clip, MODEL, engine, settings)
    result = run(plan, engine)
    outcome.result = f"{result.frames} frames, {result.output.suffix[1:]}"
    outcome.notices += plan.notices
    outcome.notices += result.damage.lines()
    limit = None if settings.duration is None else Fraction(settings.duration)
    outcome.wrong += _differences(
        read(source, limit), read(result.output), plan.muxing.format, hdr, bool(plan.notices)
    )


def read(path: Path, seconds: Fraction | None = None) -> Reading:
    """Read the first video stream that is no cover, and all sound, up to `seconds` after the start."""
    with av.open(path, metadata_errors="replace") as container:
        cover = av.stream.Disposition.attached_pic
        video = next(s for s in container.streams.video if not s.disposition & cover)
        video.thread_type = "NONE"  # with threads, frames near damage are lost
        audio = list(container.streams.audio)
        times: list[Fraction] = []
        sound = []
        first: Any = None
        previous = None
        for packet in container.demux([video, *audio]):
            if packet.stream.type == "audio":
                if packet.size and packet.pts is not None:
                    moment = packet.pts * Fraction(packet.time_base)
                    sound.append((audio.index(packet.stream), moment, bytes(packet)))
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                first = first or frame
                stamp = frame.pts if frame.pts is not None else (previous or 0) + 1
                previous = stamp
                times.append(stamp * Fraction(video.time_base))
        if seconds is not None:
            end = times[0] + seconds
            times = [time for time in times if time < end]
            sound = [item for item in sound if item[1] < end]
        ratio = video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio or 1
        return Reading(
            times=times,
            tick=Fraction(video.time_base),
            sound=sound,
            sound_codecs=[s.codec_context.name if s.codec_context else "" for s in audio],
            rotation=_rotation(first),
            aspect=float(ratio * first.width / first.height),
            color=_color(first),
            streams={
                kind: sum(stream.type == kind for stream in container.streams)
                for kind in ("video", "audio", "subtitle", "attachment")
            },
        )


def _rotation(frame: Any) -> tuple[int, ...]:
    try:
        for side_data in frame.side_data:
            if side_data.type.name == "DISPLAYMATRIX":
                numbers = np.frombuffer(bytes(side_data), np.int32)
                return tuple(int(np.sign(numbers[place])) for place in (0, 1, 3, 4))
    except ValueError:
        pass
    return (1, 0, 0, 1)


def _color(frame: Any) -> tuple[int, ...]:
    """Range (2 is full), matrix, primaries, transfer; "unspecified" is 2 as in H.273.

    Of RGB pictures the matrix is said to be 0, whatever the file says.
    """
    if frame.format.is_rgb or frame.format.name == "pal8":
        return (2, 0, 2, 2)
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == 2
    matrix, primaries, transfer = (
        int(value) or 2 for value in (frame.colorspace, frame.color_primaries, frame.color_trc)
    )
    return (2 if full else 1, matrix, primaries, transfer)


def _differences(
    before: Reading, after: Reading, muxer: str, hdr: bool, said: bool
) -> Iterator[str]:
    """What is not as it was, one line each."""
    if len(after.times) != len(before.times):
        yield f"{len(after.times)} frames instead of {len(before.times)}"
    else:
        moved = Fraction(0)
        if muxer in ("mpegts", "flv"):  # these move all streams together
            moved = after.times[0] - before.times[0]
        pairs = zip(sorted(before.times), after.times, strict=True)
        worst = max(abs(b - a - moved) for a, b in pairs)
        if worst > after.tick / 2:
            yield f"a frame is {float(worst):.4f} s from its time"
    yield from _sound_differences(before, after, muxer, said)
    if after.rotation != before.rotation:
        yield f"turned as {after.rotation} instead of {before.rotation}"
    if abs(after.aspect / before.aspect - 1) > ASPECT_OFF:
        yield f"aspect {after.aspect:.3f} instead of {before.aspect:.3f}"
    if hdr:
        if after.color != (1, 1, 1, 1):
            yield f"tagged {after.color} after tone mapping"
    elif before.color[1] != 0 and after.color != before.color:
        yield f"tagged {after.color} instead of {before.color}"
    for kind in ("video", "subtitle", "attachment"):
        if after.streams[kind] < before.streams[kind] and not said:
            yield f"a {kind} stream is missing, and nothing is said of it"


def _sound_differences(before: Reading, after: Reading, muxer: str, said: bool) -> Iterator[str]:
    if len(after.sound_codecs) < len(before.sound_codecs):
        if not said:
            yield "sound is missing, and nothing is said of it"
        return
    for track, (old, new) in enumerate(zip(before.sound_codecs, after.sound_codecs, strict=True)):
        heard = [(time, data) for number, time, data in before.sound if number == track]
        kept = [(time, data) for number, time, data in after.sound if number == track]
        if not heard and not kept:
            continue
        moved = after.times[0] - before.times[0] if muxer in ("mpegts", "flv") else Fraction(0)
        if old != new:
            if not said:
                yield f"sound is {new} instead of {old}, and nothing is said of it"
            begins = abs(kept[0][0] - heard[0][0] - moved)
            if begins > CONVERTED_SOUND_OFF:
                yield f"converted sound begins {float(begins):.3f} s off"
        elif [data for _, data in kept] != [data for _, data in heard]:
            yield f"sound differs: {len(kept)} packets instead of {len(heard)}"
        else:
            worst = max(abs(b[0] - a[0] - moved) for a, b in zip(heard, kept, strict=True))
            if worst > SOUND_TICK / 2:
                yield f"sound is {float(worst):.4f} s from its time"


def _holds(row: Mapping[str, str]) -> str:
    """Container, codec, pixel format and what is special, in few words."""
    parts = [row["container"].split(",")[0], row["codec"], row["pix_fmt_or_mode"]]
    return ", ".join(part for part in parts if part)


def with_table(text: str, outcomes: list[Outcome]) -> str:
    """A document with the table between its two marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(outcomes)}{END}{after}"


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as Markdown."""
    lines = ["| file | holds | becomes | said |", "|---|---|---|---|"]
    for outcome in outcomes:
        said = outcome.refused or "; ".join(outcome.notices)
        becomes = "**wrong**: " + "; ".join(outcome.wrong) if outcome.wrong else outcome.result
        cells = (outcome.name, outcome.holds, becomes or "refused", said)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
