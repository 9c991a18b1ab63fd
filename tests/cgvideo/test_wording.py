"""The words that a plan's cost is told in."""

from dataclasses import replace
from pathlib import Path

import pytest
from clips import make_clip
from converting import MODEL, IdentityEngine, plan_for

import cgvideo.interface  # noqa: F401  (before a test replaces the store that it names)
from cgvideo.cli.files import convert_one
from cgvideo.cli.interrupt import Interruption
from cgvideo.cli.terminal import PlainDisplay
from cgvideo.cli.wording import (
    cost_line,
    cost_of_smaller,
    explanation,
    result_line,
    size_text,
    span,
)
from cgvideo.codec.decode import Damage
from cgvideo.estimate import Estimate
from cgvideo.pipeline import Result
from cgvideo.settings import Settings
from cgvideo.stages.tiled_engine import Tiling
from cgvideo.stages.tiling import choose_grid
from engines.errors import UserError
from engines.library import find_model
from engines.spec import GeneratorSpec


def test_a_long_run_is_told_what_a_smaller_size_would_take(tmp_path: Path) -> None:
    plan = plan_for(make_clip(tmp_path / "in.mp4", 2, size=(1920, 1080)))
    hours = Estimate(10.0, 36_000.0, 2_000_000_000, 10**12)
    assert cost_of_smaller(plan, hours) == (1280, pytest.approx(16_000, rel=0.01))
    assert cost_line(plan, hours) == (
        "about 10 h 00 min and 2.0 GB of disk; --max-size 1280 would take about 4 h 27 min"
    )


def test_a_short_run_is_told_its_time_and_disk_alone(tmp_path: Path) -> None:
    plan = plan_for(make_clip(tmp_path / "in.mp4", 2, size=(1920, 1080)))
    assert cost_line(plan, Estimate(0.1, 5.0, 3_000_000, 10**12)) == (
        "about 5.0 s and 3.0 MB of disk"
    )


def test_too_little_room_is_said(tmp_path: Path) -> None:
    plan = plan_for(make_clip(tmp_path / "in.mp4", 2))
    assert "only 1.0 MB are free" in cost_line(plan, Estimate(0.1, 5.0, 3_000_000, 1_000_000))


def test_an_unknown_length_is_told_by_the_frame(tmp_path: Path) -> None:
    plan = plan_for(make_clip(tmp_path / "in.mp4", 2))
    assert cost_line(plan, Estimate(0.25, None, None, 10**12)).startswith("0.25 s a frame")


def test_the_last_line_says_whether_the_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    done = Result(tmp_path / "out.mp4", 30, 30, 2.0, 1_000_000, Damage(), {})
    assert "the same bytes each time: " in result_line(done)
    stepped = replace(done, steps=("the device's memory ran out: 2x2 tiles from here on",))
    assert "within one level" in result_line(stepped)
    assert "the same bytes" not in result_line(stepped)


def test_a_plan_tells_its_tiles_and_statistics(tmp_path: Path) -> None:
    engine, source = IdentityEngine(), make_clip(tmp_path / "in.mp4", 2)
    plan = plan_for(source, work_size=48)
    grid = choose_grid((400, 600), GeneratorSpec(), tile=300)
    tiling = Tiling(grid, "anchors", "strips", exact=True)
    plan = replace(plan, tiling=tiling, anchor_interval=25)
    lines = explanation(plan, engine, MODEL, Estimate(0.1, 5.0, 3_000_000, 10**12))
    (line,) = (line for line in lines if line.startswith("tiles"))
    for words in ("tiles of", "halo of 84", "in strips", "every 25 frames", "translated at 48x32"):
        assert words in line


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.26, "0.3 s"), (42, "42 s"), (600, "10 min"), (7260, "2 h 01 min")]
)
def test_spans_are_graspable(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_sizes_are_graspable() -> None:
    assert size_text(1_234_567) == "1.2 MB"
    assert size_text(12_345_678_901) == "12.3 GB"


def test_waiting_for_another_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cgvideo.cli.files.EngineStore", lambda on_build, on_wait: on_wait({}))
    with pytest.raises(UserError):
        convert_one(
            tmp_path / "no.mp4",
            find_model("summer2winter"),
            Settings(),
            PlainDisplay(),
            Interruption(1),
        )
    assert "waiting for another cgvideo" in capsys.readouterr().err
