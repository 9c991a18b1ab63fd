"""Decisions before the first frame, and the fingerprint that tells them apart."""

import os
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import BT709_FULL, make_clip
from converting import MODEL, IdentityEngine, convert, plan_for
from generators import random_model

from cgvideo import plan as planning
from cgvideo.codec.probe import probe
from cgvideo.plan import SEGMENT_FRAMES, content_hash, make_plan
from cgvideo.settings import Settings
from cgvideo.sizes import working_size
from cgvideo.stages.tiled_engine import TiledEngine, Tiling
from cgvideo.stages.tiling import choose_grid
from engines.errors import UserError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", 50, audio="aac")


class OtherEngine(IdentityEngine):
    @property
    def identity(self) -> Mapping[str, str]:
        return {"engine": "identity", "threads": "4"}


@pytest.mark.parametrize(
    "settings",
    [
        {"start": 0.5},
        {"duration": 0.5},
        {"max_size": 48},
        {"work_size": 48},
        {"strength": 0.5},
        {"smooth": "auto"},
        {"smooth": 0.5},
        {"codec": "hevc"},
        {"codec": "ffv1"},
        {"crf": 30},
        {"preset": "fast"},
        {"pixel_format": "yuv444p"},
        {"audio": False},
        {"compare": True},
        {"engine": OtherEngine()},
        {"engine": IdentityEngine(batch=2)},
    ],
    ids=lambda settings: " ".join(f"{key}={value}" for key, value in settings.items())[:30],
)
def test_whatever_changes_the_bytes_changes_the_fingerprint(
    clip: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    output = tmp_path / "out.mkv"
    assert plan_for(clip, output, **settings).fingerprint != plan_for(clip, output).fingerprint


def test_tiles_and_statistics_are_in_the_fingerprint(clip: Path, tmp_path: Path) -> None:
    model, size = random_model(IdentityEngine.spec), (64, 96)

    def fingerprint(tiling: Tiling, **settings: Any) -> str:
        engine = TiledEngine(model, tiling, lambda form, size: IdentityEngine())
        asked = Settings(tmp_path / "out.mp4", preset="ultrafast", **settings)
        return make_plan(probe(clip), model, engine, asked).fingerprint

    whole, tiles, small_halo = (
        choose_grid(size, model.spec, tile, halo)
        for tile, halo in ((None, None), (80, 12), (80, 8))
    )
    prints = [
        fingerprint(Tiling(whole, "frame", "inside", True)),
        fingerprint(Tiling(whole, "frame", "whole", True)),
        fingerprint(Tiling(whole, "fast", "thumbnail", True)),
        fingerprint(Tiling(whole, "anchors", "whole", True)),
        fingerprint(Tiling(whole, "anchors", "whole", True), anchor_interval=0.5),
        fingerprint(Tiling(tiles, "frame", "whole", True)),
        fingerprint(Tiling(small_halo, "frame", "whole", False)),
    ]
    assert len(set(prints)) == len(prints)


def test_the_fingerprint_is_the_same_again(clip: Path, tmp_path: Path) -> None:
    plans = [plan_for(clip, tmp_path / "out.mp4") for _ in range(2)]
    assert plans[0].fingerprint == plans[1].fingerprint


def test_names_do_not_change_the_fingerprint(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(clip.read_bytes())
    plans = [
        plan_for(clip, tmp_path / "a.mp4"),
        plan_for(clip, tmp_path / "other" / "b.mp4", overwrite=True),
        plan_for(moved, tmp_path / "a.mp4"),
    ]
    assert len({plan.fingerprint for plan in plans}) == 1


def test_names_do_not_change_the_bytes(clip: Path, tmp_path: Path) -> None:
    outputs = [convert(clip, tmp_path / name).output.read_bytes() for name in ("a.mp4", "b.mp4")]
    assert outputs[0] == outputs[1]


def test_another_container_is_another_plan(clip: Path, tmp_path: Path) -> None:
    prints = {plan_for(clip, tmp_path / f"out{s}").fingerprint for s in (".mp4", ".mkv", ".ts")}
    assert len(prints) == 3


def test_another_model_or_another_input_is_another_plan(clip: Path, tmp_path: Path) -> None:
    other = make_clip(tmp_path / "other.mp4", 50)
    settings = Settings(tmp_path / "out.mp4", preset="ultrafast")

    def fingerprint(source: Path, model: Any) -> str:
        return make_plan(probe(source), model, IdentityEngine(), settings).fingerprint

    prints = {
        fingerprint(clip, MODEL),
        fingerprint(clip, replace(MODEL, sha256="2" * 64)),
        fingerprint(other, MODEL),
    }
    assert len(prints) == 3
    assert fingerprint(clip, replace(MODEL, name="renamed")) in prints


def test_a_large_file_is_told_by_blocks_spread_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "WHOLE_HASH_BYTES", 1000)
    monkeypatch.setattr(planning, "HASH_BLOCK_BYTES", 50)
    path = tmp_path / "large"
    content = bytearray(os.urandom(100_000))
    path.write_bytes(content)
    hashes = {content_hash(path)}
    for place in (0, 99_999):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        hashes.add(content_hash(path))
    path.write_bytes(content + b"!")
    hashes.add(content_hash(path))
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tile": "small"}, "--tile small"),
        ({"tile": 8}, "--tile 8"),
        ({"halo": "-1"}, "--halo -1"),
        ({"norm": "batch"}, "--norm batch"),
        ({"anchor_interval": 0}, "--anchor-interval 0"),
        ({"anchor_interval": 60}, "--anchor-interval 60"),
        ({"anchor_interval": float("nan")}, "--anchor-interval nan"),
        ({"work_size": 3}, "--work-size 3"),
    ],
)
def test_tiles_and_statistics_that_cannot_be_are_refused(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        Settings(**settings)


@pytest.mark.parametrize("change", [0, 500, -1])
def test_every_byte_of_a_small_file_counts(tmp_path: Path, change: int) -> None:
    path = tmp_path / "small"
    content = bytearray(1000)
    path.write_bytes(content)
    before = content_hash(path)
    content[change] = 1
    path.write_bytes(content)
    assert content_hash(path) != before


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((64, 96), None, (64, 96)),
        ((65, 97), None, (65, 97)),
        ((64, 96), 96, (64, 96)),
        ((64, 96), 1000, (64, 96)),
        ((1080, 1920), 640, (360, 640)),
        ((1920, 1080), 640, (640, 360)),
        ((750, 1024), 97, (72, 96)),
        ((2, 1000), 16, (2, 16)),
    ],
)
def test_the_working_size_keeps_proportions_and_even_sides(
    size: tuple[int, int], longest: int | None, expected: tuple[int, int]
) -> None:
    assert working_size(size, longest) == expected


@pytest.mark.parametrize(
    ("asked", "batch"), [(1, 1), (4, 4), (5, 4), (7, 6), (16, 16), (40, 32), (1000, SEGMENT_FRAMES)]
)
def test_the_batch_divides_a_segment(clip: Path, tmp_path: Path, asked: int, batch: int) -> None:
    engine = IdentityEngine(batch=asked)
    assert plan_for(clip, tmp_path / "out.mp4", engine=engine).batch == batch


@pytest.mark.parametrize(
    "settings",
    [
        {"start": -1},
        {"duration": 0},
        {"max_size": 15},
        {"strength": 1.5},
        {"strength": -0.1},
        {"smooth": "very"},
        {"smooth": "1.1"},
        {"smooth": "nan"},
        {"threads": 0},
        {"codec": "cinepak"},
        {"crf": 52},
        {"crf": -1},
        {"codec": "ffv1", "crf": 20},
        {"pixel_format": "nonsense"},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_one_line(
    clip: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as caught:
        plan_for(clip, tmp_path / "out.mkv", **settings)
    assert "\n" not in str(caught.value)


def test_a_pixel_format_that_the_size_does_not_admit_is_refused(tmp_path: Path) -> None:
    odd = make_clip(tmp_path / "odd.mkv", 2, size=(97, 65), codec="ffv1")
    with pytest.raises(UserError, match="odd side"):
        plan_for(odd, tmp_path / "out.mp4", pixel_format="yuv420p")


# Where the result goes


def test_the_usual_place_is_beside_the_source_under_the_models_name(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mov", 2)
    assert plan_for(clip).output == tmp_path / "in.identity.mov"


def test_a_folder_as_output_takes_the_usual_name(clip: Path, tmp_path: Path) -> None:
    assert plan_for(clip, tmp_path).output == tmp_path / "in.identity.mp4"


def test_a_container_that_cannot_be_written_becomes_matroska(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.avi", 5, codec="mpeg4", time_base=Fraction(1, 25))
    assert plan_for(clip).output.suffix == ".mkv"


def test_the_source_is_never_the_output(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", 2)
    (tmp_path / "link.mp4").symlink_to(clip)
    for name in ("in.mp4", "link.mp4"):
        with pytest.raises(UserError, match="replace the input"):
            plan_for(clip, tmp_path / name, overwrite=True)


def test_an_output_that_exists_is_replaced_only_when_told_so(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="exists already"):
        plan_for(clip, tmp_path / "out.mp4")
    assert plan_for(clip, tmp_path / "out.mp4", overwrite=True).output == tmp_path / "out.mp4"


@pytest.mark.parametrize("name", ["out.xyz", "out", "missing/out.mp4"])
def test_places_that_cannot_be_written_are_refused(clip: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        plan_for(clip, tmp_path / name)


def test_planning_leaves_nothing_behind(clip: Path, tmp_path: Path) -> None:
    plan_for(clip, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


# What is found of a clip


def test_the_plan_knows_the_clip(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "in.mp4",
        50,
        tags=BT709_FULL,
        display_matrix=(0, 1, -1, 0),
        sample_aspect_ratio=Fraction(4, 3),
        audio="aac",
    )
    clip = probe(path)
    assert (clip.codec, clip.size, clip.upright_size) == ("h264", (64, 96), (96, 64))
    assert (clip.rate, clip.time_base) == (25, Fraction(1, 12800))
    assert clip.sample_aspect_ratio == Fraction(4, 3)
    assert (clip.color.full_range, clip.color.matrix) == (True, 1)
    assert [(info.kind, info.codec) for info in clip.other_streams] == [("audio", "aac")]


@pytest.mark.parametrize(
    ("start", "duration", "frames"),
    [(0, None, 50), (1, None, 25), (0, 0.4, 10), (1.5, 10, 12), (9, None, 1)],
)
def test_the_expected_number_of_frames(
    clip: Path, start: float, duration: float | None, frames: int
) -> None:
    assert abs((probe(clip).expected_frames(start, duration) or 0) - frames) <= 1


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused(tmp_path: Path, transfer: int) -> None:
    hdr = replace(BT709_FULL, full_range=False, numbers=(9, 9, transfer))
    source = make_clip(tmp_path / "in.mkv", 2, tags=replace(hdr, matrix="bt709"))
    with pytest.raises(UserError, match=r"HDR.*--tonemap sdr"):
        plan_for(source, tmp_path / "out.mkv")


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00" * 10_000])
def test_a_file_that_is_no_video_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a video"):
        probe(path)


def test_a_missing_file_and_a_folder_are_said_to_be_that(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        probe(tmp_path / "none.mp4")
    with pytest.raises(UserError, match="is a folder"):
        probe(tmp_path)


def test_a_clip_without_picture_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with (
        av.open(make_clip(tmp_path / "in.mp4", 5, audio="aac")) as source,
        av.open(path, "w") as target,
    ):
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    with pytest.raises(UserError, match="no video"):
        probe(path)
