"""Tiles give the very picture of the whole frame; too little memory costs no frame."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip
from converting import IdentityEngine
from generators import SMALL, random_model
from numpy.typing import NDArray

from cgvideo.codec.probe import probe
from cgvideo.pipeline import Result, run
from cgvideo.plan import SEGMENT_FRAMES, make_plan
from cgvideo.requests import tiling_for
from cgvideo.settings import Settings
from cgvideo.stages.tiled_engine import TiledEngine, Tiling, decide_tiling, open_tiled
from cgvideo.stages.tiling import Size, choose_grid
from cgvideo.stages.translate import translate_picture
from engines.backends import open_engine
from engines.engine import Engine, EngineRequest
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model
from engines.spec import Form, GeneratorSpec
from engines.verify import held_frames

CLIPS = Path(__file__).parents[3] / "shared" / "clips"


def _frame(model: Model, size: Size) -> NDArray[np.uint8]:
    return next(iter(held_frames(model.spec, size)))


def _apart(model: Model, frame: NDArray[np.uint8], tile: int, **settings: Any) -> int:
    """The largest difference between a frame translated in tiles and as a whole, in fp32."""
    size = frame.shape[1], frame.shape[2]
    request = EngineRequest("openvino", "cpu", "fp32", streams=1, size=size)
    tiling = decide_tiling(model, size, request, "frame", tile, **settings)
    assert not tiling.grid.whole
    with open_engine(model, request) as engine:
        whole = engine(frame)
    with open_tiled(model, tiling, request) as engine:
        return int(np.abs(engine(frame).astype(int) - whole).max())


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (SMALL, (160, 260)),
        (
            GeneratorSpec(base_channels=4, blocks=1, norm="batch_picture", upsampling="resize"),
            (204, 140),
        ),
        (GeneratorSpec(base_channels=4, blocks=1, norm="batch"), (140, 140)),
    ],
    ids=str,
)
def test_tiles_give_the_picture_of_the_whole(spec: GeneratorSpec, size: Size) -> None:
    model = random_model(spec)
    assert _apart(model, _frame(model, size), 2 * spec.halo + 64) <= 1


@pytest.mark.slow
def test_a_halo_that_is_too_small_shows() -> None:
    model = random_model(SMALL)
    assert _apart(model, _frame(model, (160, 260)), 96, halo=4) > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summer2winter", "64x9"])
def test_tiles_at_720p(name: str) -> None:
    model = random_model(GeneratorSpec()) if name == "64x9" else find_model(name)
    assert _apart(model, _frame(model, (720, 1280)), 512) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summer2winter", "64x9"])
@pytest.mark.parametrize("clip", ["landscape/lofoten.mp4", "road/solidWhiteRight.mp4"])
def test_tiles_of_real_frames_of_odd_sizes(name: str, clip: str) -> None:
    path = CLIPS / clip
    if not path.exists():
        pytest.skip("the shared clips are not here")
    import cv2

    _, picture = cv2.VideoCapture(str(path)).read()
    picture = np.ascontiguousarray(picture[:341, :453, ::-1])
    model = random_model(GeneratorSpec()) if name == "64x9" else find_model(name)
    request = EngineRequest("openvino", "cpu", "fp32", streams=1, size=(344, 456))
    tiling = decide_tiling(model, (344, 456), request, tile=260)
    with open_engine(model, request) as engine:
        whole = translate_picture(picture, engine)
    with open_tiled(model, tiling, request) as engine:
        tiled = translate_picture(picture, engine)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


class Local(IdentityEngine):
    """The identity, of any form; runs out of memory above so many pixels."""

    def __init__(self, form: Form, most: int = 1 << 40) -> None:
        super().__init__(batch=2)
        self.form, self.most = form, most

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        if frames.shape[1] * frames.shape[2] > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if self.form == "measure":
            return np.zeros((len(frames), 2, self.spec.statistics_channels), np.float32)
        return super().__call__(frames)


def _local(tiling: Tiling, most: int = 1 << 40) -> TiledEngine:
    def opened(form: Form, size: Size | None) -> Engine:
        engine: Engine = Local(form, 1 << 40 if form == "measure" else most)
        return engine

    return TiledEngine(random_model(Local.spec), tiling, opened)


@pytest.mark.parametrize("size", [(160, 240), (101, 333), (64, 500)])
def test_the_identity_gives_back_the_very_bytes(size: Size) -> None:
    height, width = (-(-side // 4) * 4 for side in size)
    grid = choose_grid((height, width), Local.spec, tile=120)
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    engine = _local(Tiling(grid, "frame", "whole", True))
    np.testing.assert_array_equal(translate_picture(picture, engine), picture)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", 30, size=(192, 256))


class Listening:
    """Remembers what a run tells."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def planned(self, plan: Any) -> None: ...

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def resumed(self, frame: int) -> None: ...

    def frame_done(self, number: int, stages: Any) -> None: ...

    def finishing(self) -> None: ...


def _converted(clip: Path, output: Path, engine: TiledEngine, progress: Any = None) -> Any:
    settings = Settings(output=output, codec="ffv1")
    plan = make_plan(probe(clip), random_model(Local.spec), engine, settings)
    return run(plan, engine, progress)


def test_a_device_that_runs_out_of_memory_loses_no_frame(clip: Path, tmp_path: Path) -> None:
    size = probe(clip).upright_size
    grid = choose_grid(size, Local.spec)
    tiling = Tiling(grid, "frame", "whole", True)
    plain = _converted(clip, tmp_path / "plain.mkv", _local(tiling))
    engine, heard = _local(tiling, most=size[0] * size[1] // 3), Listening()
    stepped = _converted(clip, tmp_path / "stepped.mkv", engine, heard)
    assert stepped.frames == plain.frames == 30
    assert plain.output.read_bytes() == stepped.output.read_bytes()
    assert not plain.steps
    assert stepped.steps == tuple(heard.notices)
    assert "out of memory" in stepped.steps[-1]
    assert "tiles" in stepped.steps[-1]
    assert not engine.tiling.grid.whole


def test_a_frame_too_large_to_be_measured_at_once_is_measured_in_strips() -> None:
    class Greedy(Local):
        def __call__(
            self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
        ) -> NDArray[Any]:
            raise MemoryError

    grid = choose_grid((64, 64), Local.spec)
    model = random_model(Local.spec)

    def opened(form: Form, size: Size | None) -> Engine:
        engine: Engine = (Greedy if form == "measure" else Local)(form)
        return engine

    engine = TiledEngine(model, Tiling(grid, "anchors", "whole", True), opened)
    assert engine.measure(_frame(model, (64, 64))).shape == (1, 2, model.spec.statistics_channels)
    assert "strips" in engine.stepped_down[0]


def test_an_engine_that_measures_inside_steps_down_to_one_that_is_given() -> None:
    model = random_model(Local.spec)
    frame = _frame(model, (120, 160))
    engine = _local(Tiling(choose_grid((120, 160), Local.spec), "frame", "inside", True), 120 * 100)
    np.testing.assert_array_equal(engine(frame), frame)
    assert engine.tiling.form == "statistics"
    assert engine.tiling.measuring == "strips"
    assert "tiles" in engine.stepped_down[0]


def test_memory_for_no_tile_at_all_is_the_users_error(clip: Path, tmp_path: Path) -> None:
    grid = choose_grid(probe(clip).upright_size, Local.spec)
    engine = _local(Tiling(grid, "frame", "whole", True), most=100)
    with pytest.raises(UserError, match="out of memory"):
        _converted(clip, tmp_path / "out.mkv", engine)


class Shading(Local):
    """Adds to every frame what its statistics say, which go by a picture's brightness."""

    calls_left = 10**6

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        if self.form == "measure":
            found = np.ones((len(frames), 2, self.spec.statistics_channels), np.float32)
            return found * frames.mean(axis=(1, 2, 3), dtype=np.float64)[:, None, None]
        assert statistics is not None
        Shading.calls_left -= 1
        if Shading.calls_left < 0:
            raise RuntimeError("device lost")
        return frames + (statistics[:, :1, :1, None] / 8).astype(np.uint8)


@pytest.mark.parametrize("work_size", [None, pytest.param(64, marks=pytest.mark.slow)])
def test_a_run_that_goes_on_gives_the_same_bytes(
    work_size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(form: Form, size: Size | None) -> Engine:
        engine: Engine = Shading(form)
        return engine

    source = make_clip(tmp_path / "in.mp4", 2 * SEGMENT_FRAMES + 40)

    def converted(name: str) -> Result:
        grid = choose_grid((64, 96) if work_size is None else (44, 64), Local.spec)
        tiling = Tiling(grid, "anchors", "whole", True)
        engine = TiledEngine(random_model(Local.spec), tiling, opened)
        output = tmp_path / name
        settings = Settings(output, codec="ffv1", anchor_interval=0.4, work_size=work_size)
        plan = make_plan(probe(source), random_model(Local.spec), engine, settings)
        assert plan.anchor_interval == 10
        return run(plan, engine)

    monkeypatch.setattr(Shading, "calls_left", 10**6)
    straight = converted("straight.mkv")
    monkeypatch.setattr(Shading, "calls_left", SEGMENT_FRAMES // 2 + 9)
    with pytest.raises(UserError, match="device lost"):
        converted("torn.mkv")
    monkeypatch.setattr(Shading, "calls_left", 10**6)
    resumed = converted("torn.mkv")
    assert resumed.frames_rendered == straight.frames - SEGMENT_FRAMES
    assert resumed.output.read_bytes() == straight.output.read_bytes()


@pytest.mark.parametrize(
    ("asked", "form", "measuring"),
    [
        ({}, "self", "inside"),
        ({"norm": "anchors"}, "statistics", "whole"),
        ({"norm": "fast"}, "statistics", "thumbnail"),
        ({"tile": 200}, "statistics", "whole"),
    ],
)
def test_what_is_decided(asked: Mapping[str, Any], form: str, measuring: str) -> None:
    request = EngineRequest(size=(240, 320))
    tiling = decide_tiling(random_model(SMALL), (240, 320), request, **asked)
    assert (tiling.form, tiling.measuring) == (form, measuring)


def test_models_without_statistics_need_no_measuring() -> None:
    model = random_model(GeneratorSpec(base_channels=4, blocks=1, norm="batch"))
    tiling = decide_tiling(model, (240, 320), EngineRequest(), "anchors", tile=200)
    assert tiling.form == "self"
    assert not tiling.grid.whole


def test_frames_beyond_the_memory_are_tiled_and_measured_in_strips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cgvideo.stages.tiled_engine.memory_for", lambda _: 100 << 20)
    tiling = decide_tiling(find_model("summer2winter"), (720, 1280), EngineRequest())
    assert not tiling.grid.whole
    assert tiling.measuring == "strips"


def test_workers_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgvideo.stages.tiled_engine.memory_for", lambda _: 1 << 30)
    request = EngineRequest("openvino", "cpu", "fp32", streams=1, size=(720, 1280))

    def tiles(**several: Any) -> Size:
        settings = Settings(tile="auto", **several)
        return tiling_for(random_model(SMALL), request, settings).grid.tile

    alone = tiles()
    assert tiles(workers=8)[0] * tiles(workers=8)[1] < alone[0] * alone[1]
    assert tiles(devices=("cuda:0", "cuda:1")) == alone  # each has its own
    assert tiles(devices=("cpu",) * 8) == tiles(workers=8)
