"""Clips made by formula, and readers of clips that share no code with the program.

Every frame carries its own number in its upper half, as sixteen black and white blocks, so that a
lost, doubled or swapped frame is seen whatever was done to the picture. Below them a pattern moves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 8, 2
SAMPLE_RATE = 48_000
RGB = NDArray[np.uint8]

OPEN_GOP = {"x264-params": "open-gop=1:keyint=24:min-keyint=24:bframes=3:b-adapt=0:scenecut=0"}
INTRA_REFRESH = {"x264-params": "intra-refresh=1:keyint=40:bframes=0:scenecut=0"}

# The display matrix that shows a picture upright, by what a player has to do.
DISPLAY_MATRICES: dict[str, tuple[int, int, int, int]] = {
    "as it is": (1, 0, 0, 1),
    "a quarter clockwise": (0, 1, -1, 0),
    "half a turn": (-1, 0, 0, -1),
    "a quarter anticlockwise": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed the other way": (0, -1, -1, 0),
}


@dataclass(frozen=True, slots=True)
class Tags:
    """Colour as a file says it: FFmpeg's name of the matrix, and the numbers of ITU-T H.273."""

    matrix: str = "bt601"
    full_range: bool = False
    numbers: tuple[int, int, int] = (6, 6, 6)
    """matrix, primaries, transfer"""


BT601 = Tags()
BT601_FULL = Tags(full_range=True)
BT709 = Tags("bt709", False, (1, 1, 1))
BT709_FULL = Tags("bt709", True, (1, 1, 1))


def picture(number: int, size: tuple[int, int] = (96, 64)) -> RGB:
    """The frame with this number, RGB `[height, width, 3]` of `size` (width, height)."""
    width, height = size
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    red = 128 + 90 * np.sin((across + 2 * number) / 9)
    green = 128 + 90 * np.cos((down - number) / 7)
    blue = 40 + (across * 3 + down * 2 + number * 5) % 160
    pixels = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    column = across * COLUMNS // width
    row = down * 2 * ROWS // height
    bits = (number >> (row * COLUMNS + column)) & 1
    pixels[row < ROWS] = (bits * 215 + 20)[row < ROWS][:, None]
    return pixels


def number_in(pixels: RGB) -> int:
    """The number that a picture carries, whatever its size."""
    height, width = pixels.shape[:2]
    number = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        y = (2 * row + 1) * height // (4 * ROWS)
        x = (2 * column + 1) * width // (2 * COLUMNS)
        number |= int(pixels[y, x].mean() > 127) << bit
    return number


def make_clip(
    path: Path,
    frames: int = 25,
    *,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: Fraction | int = 25,
    time_base: Fraction = Fraction(1, 12800),
    pts: Callable[[int], int] | Sequence[int] | None = None,
    audio: str | None = None,
    subtitles: Sequence[tuple[float, float, str]] = (),
    chapters: Sequence[tuple[float, float, str]] = (),
    metadata: Mapping[str, str] | None = None,
    tags: Tags | None = None,
    display_matrix: tuple[int, int, int, int] = (1, 0, 0, 1),
    sample_aspect_ratio: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    painter: Callable[[int, tuple[int, int]], RGB] = picture,
) -> Path:
    """Write a clip of `frames` numbered pictures and give its path; the suffix says the container.

    `pts` (in ticks of `time_base`; a formula or a list) makes the frame rate vary; `audio` names an
    encoder for a tone with a click each quarter of a second, from the time of the first frame on;
    `subtitles` and `chapters` are (begin, end, text) in seconds.
    """
    step = round(1 / Fraction(rate) / time_base)
    if pts is None:
        times = [number * step for number in range(frames)]
    else:
        times = [pts(number) if callable(pts) else pts[number] for number in range(frames)]
    with av.open(path, "w") as container:
        container.metadata.update(metadata or {})
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": number,
                        "start": round(begin * 1000),
                        "end": round(end * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for number, (begin, end, title) in enumerate(chapters)
                ]
            )
        usual = {"preset": "ultrafast", "crf": "12", "bf": "2"} if codec == "libx264" else {}
        stream: Any = container.add_stream(codec, rate=rate, options={**usual, **(options or {})})
        context = stream.codec_context
        context.width, context.height = size
        context.pix_fmt = pixel_format
        context.time_base = time_base
        if sample_aspect_ratio is not None:
            context.sample_aspect_ratio = sample_aspect_ratio
            stream.sample_aspect_ratio = sample_aspect_ratio
        if tags is not None:
            context.color_range = 2 if tags.full_range else 1
            context.colorspace, context.color_primaries, context.color_trc = tags.numbers
        if display_matrix != (1, 0, 0, 1):
            a, b, c, d = (sign << 16 for sign in display_matrix)
            stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        sound: Any = None
        if audio is not None:
            sound = container.add_stream(audio, rate=SAMPLE_RATE, layout="mono")
        captions: Any = None
        if subtitles:
            captions = container.add_mux_stream("subrip")
            captions.time_base = Fraction(1, 1000)
        tracks = [_encoded(stream, _frames(times, time_base, size, pixel_format, tags, painter))]
        if sound is not None:
            begin, end = times[0] * time_base, (times[-1] + step) * time_base
            tracks.append(_encoded(sound, _tone(begin, end, sound.codec_context)))
        if captions is not None:
            tracks.append(_captions(captions, subtitles))
        for packet in _in_order(tracks):
            container.mux(packet)
    return path


def make_planes(
    path: Path,
    frames: Sequence[Sequence[NDArray[Any]]],
    codec: str = "ffv1",
    pixel_format: str = "yuv420p10le",
    *,
    tags: Tags = BT709,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Write frames given as the planes of `pixel_format` (uint8, or uint16 of deep formats)."""
    height, width = frames[0][0].shape
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=dict(options or {}))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        context.color_range = 2 if tags.full_range else 1
        context.colorspace, context.color_primaries, context.color_trc = tags.numbers
        for number, planes in enumerate(frames):
            frame = av.VideoFrame(width, height, pixel_format)
            for plane, numbers in zip(frame.planes, planes, strict=True):
                rows = np.zeros((plane.height, plane.line_size), np.uint8)
                raw = np.ascontiguousarray(numbers).view(np.uint8)
                rows[:, : raw.shape[1]] = raw
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.color_range = 2 if tags.full_range else 1
            frame.colorspace, frame.color_primaries, frame.color_trc = tags.numbers
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_deep_planes(path: Path) -> Iterator[list[NDArray[np.uint16]]]:
    """The planes of every YUV frame of more than 8 bits, without any conversion."""
    for frame in _decoded(path):
        yield [
            np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
            for plane in frame.planes
        ]


def read_pictures(path: Path) -> Iterator[tuple[Fraction, RGB]]:
    """(seconds, RGB as coded) of every frame that decodes, on one thread, plainly converted."""
    for frame in _decoded(path):
        yield frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")


def read_numbers(path: Path) -> list[tuple[int, Fraction]]:
    """(number carried, seconds) of every frame."""
    return [(number_in(pixels), seconds) for seconds, pixels in read_pictures(path)]


def numbers(path: Path) -> list[int]:
    """The number that each frame carries."""
    return [number for number, _ in read_numbers(path)]


def frame_times(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    return [frame.pts * frame.time_base for frame in _decoded(path)]


def read_planes(path: Path) -> Iterator[list[NDArray[np.uint8]]]:
    """The planes of every 8-bit YUV frame, without any conversion."""
    for frame in _decoded(path):
        yield [
            np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width]
            for plane in frame.planes
        ]


def _decoded(path: Path) -> Iterator[Any]:
    with av.open(path, metadata_errors="replace") as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:  # damaged on purpose
                continue
            yield from frames


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """(seconds, bytes) of every packet of the streams of a kind: "audio", "subtitle" or "video"."""
    with av.open(path, metadata_errors="replace") as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        if not streams:
            return []
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(streams)
            if packet.size
        ]


def video_tick(path: Path) -> Fraction:
    """Seconds in a tick of the video stream's time base."""
    with av.open(path) as container:
        return Fraction(container.streams.video[0].time_base)


def flip_bytes(path: Path, at: float, count: int = 300) -> None:
    """Damage a file: invert `count` bytes from the share `at` of its length on."""
    content = bytearray(path.read_bytes())
    begin = int(len(content) * at)
    content[begin : begin + count] = bytes(255 - byte for byte in content[begin : begin + count])
    path.write_bytes(content)


def _frames(
    times: Sequence[int],
    time_base: Fraction,
    size: tuple[int, int],
    pixel_format: str,
    tags: Tags | None,
    painter: Callable[[int, tuple[int, int]], RGB],
) -> Iterator[Any]:
    for number, pts in enumerate(times):
        painted = av.VideoFrame.from_ndarray(painter(number, size), format="rgb24")
        if tags is None:
            frame = painted.reformat(format=pixel_format)
        else:
            matrix, primaries, transfer = tags.numbers
            frame = painted.reformat(
                format=pixel_format,
                dst_colorspace={"bt601": 5, "bt709": 1}[tags.matrix],
                dst_color_range=2 if tags.full_range else 1,
            )
            frame.color_range = 2 if tags.full_range else 1
            frame.colorspace, frame.color_primaries, frame.color_trc = matrix, primaries, transfer
        frame.pts, frame.time_base = pts, time_base
        yield frame


def _tone(begin: Fraction, end: Fraction, context: Any) -> Iterator[Any]:
    """A soft tone that rises, so that no packet equals another, with a click each quarter second."""
    first, last = round(begin * SAMPLE_RATE), round(end * SAMPLE_RATE)
    chunk = 1024
    planar_float = context.format.name == "fltp"
    for start in range(first, last, chunk):
        moments = np.arange(start, start + chunk) / SAMPLE_RATE
        wave = 0.1 * np.sin(2 * np.pi * (440 + 20 * moments) * moments)
        wave[(moments % 0.25) < 0.001] = 0.9
        samples = wave.astype(np.float32) if planar_float else (wave * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(
            samples[None], format="fltp" if planar_float else "s16", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE
        frame.pts, frame.time_base = start, Fraction(1, SAMPLE_RATE)
        yield frame


def _encoded(stream: Any, frames: Iterator[Any]) -> Iterator[Any]:
    for frame in chain(frames, [None]):
        yield from stream.encode(frame)


def _captions(stream: Any, subtitles: Sequence[tuple[float, float, str]]) -> Iterator[Any]:
    for begin, end, text in subtitles:
        packet = av.Packet(text.encode())
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = round(begin * 1000)
        packet.duration = round((end - begin) * 1000)
        yield packet


def _in_order(tracks: Sequence[Iterator[Any]]) -> list[Any]:
    """Interleave packets by time, as muxers like them."""
    return sorted(chain(*tracks), key=lambda packet: packet.dts * packet.time_base)
