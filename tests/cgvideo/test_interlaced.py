"""Interlaced frames become whole ones, each from itself and its neighbours alone."""

from pathlib import Path

import numpy as np
import pytest
from clips import RGB, make_clip, picture, read_numbers, read_pictures
from converting import convert, plan_for

from cgvideo.codec.decode import Seam, VideoSource
from cgvideo.codec.probe import probe

SIZE = (128, 96)
FRAMES = 40
H264 = {"x264-params": "tff=1:keyint=10"}


def woven(number: int, size: tuple[int, int]) -> RGB:
    """The numbered picture; in its lower half a bar moves, and every other row is half a frame later."""
    width, height = size
    pixels = picture(number, size)
    pixels[height // 2 :] = 40
    for row in range(height // 2, height):
        left = (6 * number + 3 * (row % 2)) % (width - 24)
        pixels[row, left : left + 24] = 220
    return pixels


def combing(pixels: RGB) -> float:
    """How much more neighbouring rows differ than rows two apart, where the bar moves."""
    lower = pixels[pixels.shape[0] // 2 + 2 : -2].astype(float)
    return float(np.abs(lower[1:] - lower[:-1]).mean() - np.abs(lower[2:] - lower[:-2]).mean())


@pytest.fixture(scope="module")
def interlaced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interlaced")
    return make_clip(folder / "in.mp4", FRAMES, size=SIZE, painter=woven, options=H264)


def test_the_comb_is_gone_and_every_frame_is_there(interlaced: Path, tmp_path: Path) -> None:
    plan = plan_for(interlaced, tmp_path / "out.mp4")
    assert plan.clip.interlaced
    assert any("interlaced" in notice and "bwdif" in notice for notice in plan.notices)
    output = convert(interlaced, tmp_path / "out.mp4").output
    assert read_numbers(output) == read_numbers(interlaced)
    combed = [combing(pixels) for _, pixels in read_pictures(interlaced)]
    whole = [combing(pixels) for _, pixels in read_pictures(output)]
    assert np.mean(combed) > 5
    assert np.mean(whole) < 1
    assert not probe(output).interlaced


def test_a_run_that_begins_in_the_middle_gives_the_same_pictures(interlaced: Path) -> None:
    clip = probe(interlaced)
    straight = list(VideoSource(clip, clip.upright_size).frames())
    last = straight[24]
    seam = Seam(last.number, last.pts, last.content_hash())
    resumed = list(VideoSource(clip, clip.upright_size).frames(seam))
    assert [(f.number, f.pts, f.content_hash()) for f in resumed] == [
        (f.number, f.pts, f.content_hash()) for f in straight[25:]
    ]


def test_pictures_that_are_whole_pass_untouched(tmp_path: Path) -> None:
    """Here interlacing begins in the middle, as where a broadcast changes over."""
    parts = [
        make_clip(tmp_path / f"{name}.ts", 12, size=SIZE, painter=woven, options=options)
        for name, options in (("progressive", {}), ("interlaced", H264))
    ]
    joined = tmp_path / "in.h264"
    joined.write_bytes(b"".join(_elementary(part) for part in parts))
    clip = probe(joined)
    frames = list(VideoSource(clip, clip.upright_size).frames())
    assert len(frames) == 24
    shown = [combing(frame.pixels) for frame in frames]
    assert min(shown[:12]) > 5
    assert max(shown[13:23]) < 1.5


def _elementary(path: Path) -> bytes:
    import av

    with av.open(path) as container:
        return b"".join(bytes(packet) for packet in container.demux(video=0) if packet.size)
