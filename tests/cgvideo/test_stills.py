"""Frames of a video as pictures to learn from."""

from pathlib import Path

import numpy as np
import pytest
from clips import make_clip, number_in
from PIL import Image

from cgvideo.codec import stills
from cgvideo.codec.stills import keep_stills
from engines.errors import UserError


def kept(folder: Path) -> list[int]:
    """The numbers that stand in the pictures themselves."""
    found = []
    for path in sorted(folder.glob("*.jpg")):
        with Image.open(path) as picture:
            found.append(number_in(np.asarray(picture)))
    return found


def test_all_frames_of_a_short_video(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=7)
    folder = keep_stills(clip, tmp_path / "frames" / "source")
    assert folder == tmp_path / "frames" / "source"
    assert kept(folder) == list(range(7))


@pytest.mark.parametrize("known", [True, False])
def test_frames_of_a_long_video_are_evenly_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Also where the header does not say, or wrongly, how many there are."""
    monkeypatch.setattr(stills, "MOST", 8)
    if not known:
        monkeypatch.setattr("cgvideo.clip.Clip.expected_frames", lambda *_: None)
    clip = make_clip(tmp_path / "a.mp4", frames=30)
    assert kept(keep_stills(clip, tmp_path / "frames")) == list(range(0, 30, 4))


def test_they_are_kept_once(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    told: list[str] = []
    folder = keep_stills(clip, tmp_path / "f", lambda step, done: told.append(step))
    assert set(told) == {"frames of a.mp4"}
    told.clear()
    keep_stills(clip, folder, lambda step, done: told.append(step))
    assert told == []


def test_what_is_unfinished_is_begun_anew(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    folder = keep_stills(clip, tmp_path / "f")
    (folder / stills.WHOLE).unlink()
    (folder / "0000000.jpg").write_bytes(b"torn")
    (folder / "0000009.jpg").write_bytes(b"torn")
    assert kept(keep_stills(clip, folder)) == [0, 1, 2]


def test_frames_of_another_video_are_not_replaced(tmp_path: Path) -> None:
    folder = keep_stills(make_clip(tmp_path / "a.mp4", frames=3), tmp_path / "f")
    with pytest.raises(UserError, match="another video"):
        keep_stills(make_clip(tmp_path / "b.mp4", frames=4), folder)
    assert kept(folder) == [0, 1, 2]


def test_what_is_no_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(UserError, match="cannot be read as a video"):
        keep_stills(tmp_path / "a.mp4", tmp_path / "f")
    assert not (tmp_path / "f").exists()
