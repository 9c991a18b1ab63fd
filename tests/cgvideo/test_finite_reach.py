"""A segment's bytes do not depend on whether its neighbours were rendered in the same run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from clips import INTRA_REFRESH, OPEN_GOP, RGB, make_clip, read_numbers
from converting import convert
from generators import SMALL, random_model
from textures import noisy, texture

import cgvideo.pipeline
from cgvideo.frame import Frame, TranslatedFrame
from cgvideo.interface import translate_frames
from cgvideo.pipeline import Result, run
from cgvideo.plan import SEGMENT_FRAMES, Plan
from cgvideo.prepare import prepared
from cgvideo.settings import Settings
from cgvideo.stages.smoothing import REACH
from engines.store import EngineStore

FRAMES = 2 * SEGMENT_FRAMES + 20
CUTS = (70, SEGMENT_FRAMES - 2, SEGMENT_FRAMES + 1, 2 * SEGMENT_FRAMES)


def scenic(number: int, size: tuple[int, int]) -> RGB:
    """Scenes that pan, with cuts beside the seams of segments, and light that comes and goes."""
    scene = sum(number >= cut for cut in CUTS)
    width, height = size
    whole = texture((height, width + 64), seed=scene, sigma=3)
    light = 0.75 + 0.25 * np.cos(number / 9)
    return (whole[:, number % 64 :][:, :width] * light).astype(np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    return make_clip(folder / "in.mp4", FRAMES, size=(80, 64), painter=scenic, options=OPEN_GOP)


class Lost(Exception):
    pass


def broken_and_mended(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, lost: int, **settings: Any
) -> tuple[Path, Result, list[int], Plan]:
    """A run that is stopped before the join, loses a part, and goes on in a new process's place.

    Gives its output, its result, the numbers of the frames that it translated, and its plan.
    """
    translated: list[int] = []
    translate = cgvideo.rendering.translate

    def counting(frames: Iterator[Frame], *args: Any) -> Iterator[TranslatedFrame]:
        for frame in translate(frames, *args):
            translated.append(frame.source.number)
            yield frame

    def losing(*args: Any) -> None:
        raise Lost

    chosen = Settings(output=folder / "out.mkv", precision="fp32", backend="openvino", **settings)
    model = random_model(SMALL)
    with prepared(source, model, chosen, EngineStore()) as (plan, engine):
        with monkeypatch.context() as patch:
            patch.setattr("cgvideo.pipeline.join", losing)
            with pytest.raises(Lost):
                run(plan, engine)
        (plan.work_folder / f"{lost:06d}.nut").unlink()
    with (
        prepared(source, model, chosen, EngineStore()) as (plan, engine),
        monkeypatch.context() as patch,
    ):
        patch.setattr("cgvideo.rendering.translate", counting)
        return chosen.output or folder, run(plan, engine), translated, plan


@pytest.mark.parametrize(
    "lost", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_a_segment_rendered_alone_has_the_same_bytes_with_smoothing_and_anchors(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    settings = {"preset": "ultrafast", "norm": "anchors", "anchor_interval": 0.2}
    whole_output = tmp_path / "whole.mkv"
    chosen = Settings(output=whole_output, precision="fp32", backend="openvino", **settings)
    with prepared(source, random_model(SMALL), chosen, EngineStore()) as (plan, engine):
        whole = run(plan, engine)
    assert whole.stage_seconds["smooth"] > 0
    mended, result, translated, plan = broken_and_mended(
        source, tmp_path, monkeypatch, lost, **settings
    )
    assert plan.smooth == 1
    assert plan.anchor_interval == 5
    assert mended.read_bytes() == whole_output.read_bytes()
    first, after = lost * SEGMENT_FRAMES, min((lost + 1) * SEGMENT_FRAMES, FRAMES)
    assert result.frames_rendered == after - first
    assert translated == list(range(max(0, first - REACH), min(after + REACH, FRAMES)))


def test_frame_by_frame_and_smooth_differ_and_off_needs_no_neighbours(
    source: Path, tmp_path: Path
) -> None:
    settings = {"codec": "ffv1", "precision": "fp32", "norm": "frame", "duration": 0.6}
    plans, outputs = [], []
    for smooth in ("off", "auto"):
        chosen = Settings(output=tmp_path / f"{smooth}.mkv", smooth=smooth, **settings)  # type: ignore[arg-type]
        with prepared(source, random_model(SMALL), chosen, EngineStore()) as (plan, engine):
            plans.append(plan)
            outputs.append(run(plan, engine).output.read_bytes())
    assert plans[0].reach == (0, 0)
    assert plans[1].reach > (REACH, REACH)
    assert outputs[0] != outputs[1]


@pytest.mark.parametrize("options", [OPEN_GOP, INTRA_REFRESH], ids=["open GOP", "intra refresh"])
def test_the_identity_keeps_every_frame_in_its_place(
    tmp_path: Path, options: dict[str, str]
) -> None:
    source = make_clip(tmp_path / "in.mp4", 110, options=options)
    output = convert(source, tmp_path / "out.mp4", smooth="auto").output
    assert [number for number, _ in read_numbers(output)] == list(range(110))


def test_a_comparison_shows_the_smoothed_result_beside_the_source(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 8, painter=lambda n, size: texture(size[::-1], seed=0))
    output = convert(source, tmp_path / "out.mkv", codec="ffv1", compare=True, smooth="auto").output
    capture = cv2.VideoCapture(str(output))
    good, picture = capture.read()
    capture.release()
    assert good
    left, right = np.split(picture.astype(int), 2, axis=1)
    assert np.abs(left - right).mean() < 2


def test_frames_from_python_are_smoothed_when_asked() -> None:
    still = texture((64, 64))
    frames = [noisy(still, 4, n) for n in range(7)]
    plain = list(translate_frames(frames))
    steady = list(translate_frames(frames, smooth="auto"))
    assert len(plain) == len(steady) == 7

    def flicker(pictures: list[RGB]) -> float:
        return float(np.std([picture.astype(np.float32) for picture in pictures], axis=0).mean())

    assert flicker(steady) < 0.7 * flicker(plain)
