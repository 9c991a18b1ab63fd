"""Whatever else a file holds comes along, or is said to be left out."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import make_clip, numbers, packets
from converting import convert, plan_for


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, two sounds, two subtitles, a font, chapters."""
    folder = tmp_path_factory.mktemp("crowded")
    sources = [
        make_clip(
            folder / "a.mkv",
            25,
            audio="aac",
            subtitles=[(0.1, 0.4, "one"), (0.5, 0.8, "two")],
            chapters=[(0, 0.5, "a"), (0.5, 1, "b")],
        ),
        make_clip(
            folder / "b.mkv", 25, size=(48, 32), audio="flac", subtitles=[(0.2, 0.6, "zwei")]
        ),
    ]
    result = folder / "in.mkv"
    with av.open(sources[0]) as first, av.open(sources[1]) as second, av.open(result, "w") as out:
        out.set_chapters(first.chapters())
        places: list[dict[int, Any]] = []
        for number, source in enumerate((first, second)):
            places.append({})
            for stream in source.streams:
                added = out.add_stream_from_template(stream, opaque=True)
                added.metadata["language"] = ("eng", "deu")[number]
                places[number][stream.index] = added
        out.add_attachment("font.ttf", "application/x-truetype-font", b"glyphs" * 50)
        for number, source in enumerate((first, second)):
            for packet in source.demux():
                if packet.size:
                    packet.stream = places[number][packet.stream_index]
                    out.mux(packet)
    return result


def streams_of(path: Path) -> list[tuple[str, str]]:
    with av.open(path) as container:
        return [(s.type, s.metadata.get("language", "")) for s in container.streams]


def test_matroska_keeps_every_stream(crowded: Path, tmp_path: Path) -> None:
    plan = plan_for(crowded, tmp_path / "out.mkv")
    assert [n for n in plan.notices if "left out" in n or "converted" in n] == []
    assert any("video stream 3" in n and "copied as it is" in n for n in plan.notices)
    output = convert(crowded, tmp_path / "out.mkv").output
    assert streams_of(output) == streams_of(crowded)
    assert numbers(output) == list(range(25))
    for kind in ("audio", "subtitle"):
        assert [data for _, data in packets(output, kind)] == [
            data for _, data in packets(crowded, kind)
        ]
    with av.open(output) as container, av.open(crowded) as before:
        assert [c["metadata"]["title"] for c in container.chapters()] == ["a", "b"]
        names = [s.metadata.get("filename") for s in container.streams if s.type == "attachment"]
        assert names == ["font.ttf"]
        assert container.streams.video[1].codec_context.width == 48
        assert len(before.chapters()) == 2


@pytest.mark.parametrize(
    ("suffix", "left_out"),
    [("mp4", ["attachment"]), ("ts", ["attachment", "subtitle", "subtitle"])],
)
def test_what_does_not_fit_is_named(
    crowded: Path, tmp_path: Path, suffix: str, left_out: list[str]
) -> None:
    plan = plan_for(crowded, tmp_path / f"out.{suffix}")
    said = sorted(n.split()[0] for n in plan.notices if "left out" in n)
    assert said == left_out
    output = convert(crowded, tmp_path / f"out.{suffix}").output
    kinds = [kind for kind, _ in streams_of(output)]
    assert kinds.count("audio") == kinds.count("video") == 2


def test_a_cover_picture_stays_a_cover(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 10)
    source = tmp_path / "in.mp4"
    with av.open(clip) as before, av.open(source, "w") as after:
        video = after.add_stream_from_template(before.streams.video[0])
        cover: Any = after.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        red = np.zeros((16, 16, 3), np.uint8)
        red[..., 0] = 200
        pictures = cover.encode(av.VideoFrame.from_ndarray(red)) + cover.encode(None)
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = video
                after.mux(packet)
        after.mux(pictures)
    output = convert(source, tmp_path / "out.mp4").output
    assert numbers(output) == list(range(10))
    with av.open(output) as container:
        kept = container.streams.video[1]
        assert kept.disposition & av.stream.Disposition.attached_pic
        assert kept.codec_context.name == "png"
