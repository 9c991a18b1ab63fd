"""The bench: everything has a figure or a reason, and the figures belong together."""

import json
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commandline import Cli, assert_one_line
from fake_tensorrt import fake_gpu

from cgvideo import demo
from cgvideo.bench import Report, Row, bench, contenders, measure
from cgvideo.bench.measure import pictures
from cgvideo.bench.trials import plain_way
from cgvideo.cli.bench import clip_size, show
from cgvideo.codec.render import write_clip
from engines.errors import UserError
from engines.model_file import write_model
from engines.survey.driver import Gpu
from engines.survey.probes import tiny_model
from engines.survey.runtimes import Nvidia, Runtime, Survey

STAGES = ["decode", "to device", "engine", "back", "smooth", "encode"]
RUNTIMES = ("openvino", "torch", "onnxruntime", "tensorrt", "tensorrt_rtx")


@pytest.mark.slow
def test_json_has_every_engine_every_stage_and_the_whole(cli: Cli, tmp_path: Path) -> None:
    model = tmp_path / "tiny.safetensors"
    write_model(model, tiny_model())
    result = cli("bench", "--model", model, "--size", "66x64", "--seconds", "0.2", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["event"] == "bench"
    assert told["size"] == [66, 64]
    assert [stage["name"] for stage in told["stages"]] == STAGES
    assert told["slowest_stage"] in STAGES
    names = [row["name"] for row in told["engines"]]
    assert "openvino fp32" in names
    whole = {row["name"]: row for row in told["end_to_end"]}
    assert f"convert, {names[0]}" in whole
    for row in (*told["engines"], *told["end_to_end"]):
        assert not row["problem"], row
        assert row["seconds_per_frame"] > 0
        speed = told["gmac_per_frame"] / row["seconds_per_frame"]
        assert row["gmac_per_second"] == pytest.approx(speed)
    assert all(row["psnr_to_fp32"] > 30 for row in told["engines"])
    assert told["matrix_product_gmac_per_second"] > 0
    assert {"processor", "memory", "versions", "date"} <= told["machine"].keys()
    assert "round 1" in result.stderr  # what it is doing
    if find_spec("torch"):
        eager = [row for row in told["engines"] if "eager" in row["name"]]
        assert len(eager) == 2  # both memory layouts
        assert max(row["times_eager"] for row in eager) == 1
        assert any("OpenCV" in name for name in whole)


@pytest.fixture
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if OpenVINO alone were installed; no child is started."""
    runtimes = {name: Runtime(name) for name in RUNTIMES}
    runtimes["openvino"] = Runtime("openvino", "1", {"devices": ["CPU"]})
    runtimes["onnxruntime"] = Runtime("onnxruntime", "1", {}, "crashes (SIGSEGV)")
    monkeypatch.setattr("cgvideo.bench.measure.survey", lambda: Survey(Nvidia(), runtimes))


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_asked")
def test_what_is_missing_or_broken_is_said_and_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = contenders.open_engine

    def refuse_fp32(model: Any, request: Any) -> Any:
        if request.precision == "fp32":
            raise RuntimeError("out of memory\nand a long trace")
        return real(model, request)

    monkeypatch.setattr(contenders, "open_engine", refuse_fp32)
    report = bench(tiny_model(), (64, 64), seconds=0.2)
    reasons = {row.name: row.problem for row in report.engines if row.problem}
    assert reasons["onnxruntime fp32"] == "crashes (SIGSEGV)"
    if report.engines[0].name != "openvino fp32":
        assert reasons["openvino fp32"] == "out of memory"
    assert report.engines[0].median
    assert any("pip install 'cgvideo[torch]'" in note for note in report.notes)
    assert any("tensorrt is left out: there is no NVIDIA GPU" in note for note in report.notes)
    assert not any("tensorrt" in row.name for row in report.engines)
    show(report)
    printed = capsys.readouterr().out
    assert "onnxruntime fp32 does not run: crashes (SIGSEGV)" in printed
    assert "The slowest stage is the" in printed
    assert "same memory" in printed


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_asked")
def test_an_engine_that_fails_on_the_way_is_a_row_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make_ready(*arguments: Any) -> Any:
        field = contenders.make_ready(*arguments)
        calls = iter(range(5))

        def dying(frames: Any) -> Any:
            if next(calls, None) is None:
                raise RuntimeError("device lost")
            return frames

        field.running.append(contenders.Contender("dying", dying, 0.0001))
        return field

    monkeypatch.setattr("cgvideo.bench.measure.make_ready", make_ready)
    report = bench(tiny_model(), (64, 64), seconds=0.2)
    row = next(row for row in report.engines if row.name == "dying")
    assert row.problem == "device lost"
    assert row.median is None
    assert report.engines[0].median


@pytest.mark.usefixtures("nothing_asked")
def test_if_the_engine_of_convert_itself_fails_there_is_nothing_to_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Dead:
        def __init__(self) -> None:
            self.identity = {"backend": "openvino", "device": "CPU", "precision": "fp32"}

        def __call__(self, frames: Any) -> Any:
            raise RuntimeError("device lost")

        def __enter__(self) -> "Dead":
            return self

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(contenders, "open_engine", lambda model, request: Dead())
    with pytest.raises(UserError, match="device lost"):
        bench(tiny_model(), (64, 64), seconds=0.2)


@pytest.mark.usefixtures("nothing_asked")
@pytest.mark.slow
def test_a_long_clip_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    real = measure.alone

    def alone(contender: Any, frames: Any, seconds: float) -> Any:
        held.append(len(frames))
        return real(contender, frames, seconds)

    monkeypatch.setattr(measure, "FEWEST_FRAMES", 20)
    monkeypatch.setattr(measure, "alone", alone)
    report = bench(tiny_model(), (64, 64), seconds=0.2)
    assert report.frames >= 20
    assert held
    assert max(held) <= 16


@pytest.mark.slow
def test_a_broken_gpu_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = contenders.open_engine

    def note(model: Any, request: Any) -> Any:
        asked.append(request.backend)
        return real(model, request)

    monkeypatch.setattr(contenders, "open_engine", note)
    runtimes = {name: Runtime(name) for name in RUNTIMES}
    survey = Survey(Nvidia(True, True, problem="crashes (SIGSEGV)"), runtimes)
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    with ExitStack() as opened:
        field = contenders.make_ready(tiny_model(), frame, "all", survey, opened, lambda text: None)
    assert set(asked) == {"openvino"}  # "auto" would ask the driver
    assert any("crashes (SIGSEGV)" in note for note in field.notes)


@pytest.mark.parametrize(("backend", "broken"), [("all", "openvino"), ("torch", "torch")])
def test_a_runtime_that_crashed_in_its_child_is_not_tried_here(
    monkeypatch: pytest.MonkeyPatch, backend: str, broken: str
) -> None:
    monkeypatch.setattr(contenders, "open_engine", lambda *words: pytest.fail("tried"))
    runtimes = {name: Runtime(name) for name in RUNTIMES}
    runtimes[broken] = Runtime(broken, "1", {}, "crashes (SIGILL)")
    monkeypatch.setattr("cgvideo.bench.measure.survey", lambda: Survey(Nvidia(), runtimes))
    with pytest.raises(UserError, match=f"{broken} is present but broken: crashes"):
        bench(tiny_model(), (64, 64), backend, seconds=0.2)


GPU = Nvidia(True, True, "580.1", "13.0", (Gpu("NVIDIA Fake", (8, 9), 8 << 30),))
RAN = {"tried": "generator", "device": "cuda:0", "precision": "fp16"}


def _with_gpu(**runtimes: Runtime) -> Survey:
    there = {"openvino": Runtime("openvino", "1", {"devices": ["CPU"]}), **runtimes}
    return Survey(GPU, {name: there.get(name, Runtime(name)) for name in RUNTIMES})


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["all", "tensorrt"])
def test_tensorrt_runs_with_its_crossings_as_stages(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """All of it on a GPU that is a fake: cuda.core and TensorRT record, and compute on the CPU."""
    survey = _with_gpu(tensorrt_rtx=Runtime("tensorrt_rtx", "0.0", RAN))
    monkeypatch.setattr("cgvideo.bench.measure.survey", lambda: survey)
    with fake_gpu("tensorrt_rtx"):
        report = bench(tiny_model(), (64, 64), backend, seconds=0.2)
    rows = {row.name: row for row in report.engines}
    ours = [name for name in rows if name.startswith("tensorrt")]
    assert ours == ["tensorrt fp16 on NVIDIA Fake", "tensorrt fp32 on NVIDIA Fake"]
    assert report.engines[0].name == ours[0]  # it is what convert uses
    assert report.engine.startswith("TensorRT for RTX")
    assert all(rows[name].median for name in ours)
    stages = {stage.name: stage.median for stage in report.stages}
    assert stages["to device"] == stages["back"] == pytest.approx(0.0005)
    assert {f"convert, {name}" for name in ours} == {row.name for row in report.ways}
    assert ("openvino fp32" in rows) is (backend == "all")
    if backend == "all":
        assert all((rows[name].psnr or 0) > 40 for name in ours)


def test_tensorrt_that_failed_in_its_child_is_not_tried_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    real = contenders.open_engine

    def note(model: Any, request: Any) -> Any:
        asked.append(request.backend)
        if request.precision == "int8":
            raise UserError("it would take long", "")
        return real(model, request)

    monkeypatch.setattr(contenders, "open_engine", note)
    survey = _with_gpu(tensorrt_rtx=Runtime("tensorrt_rtx", "0.0", {}, "crashes (SIGSEGV)"))
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    with ExitStack() as opened:
        field = contenders.make_ready(tiny_model(), frame, "all", survey, opened, lambda text: None)
    assert set(asked) == {"openvino"}  # "auto" would try it
    assert any("tensorrt on the GPU is left out (crashes" in note for note in field.notes)
    with (
        pytest.raises(UserError, match="tensorrt is present but broken: crashes"),
        ExitStack() as no,
    ):
        contenders.make_ready(tiny_model(), frame, "tensorrt", survey, no, lambda text: None)


def test_an_intel_gpu_runs_too_also_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = contenders.open_engine

    def note(model: Any, request: Any) -> Any:
        asked.append(request.device)
        if len(asked) > 1:
            raise UserError("not here", "")
        return real(model, request)

    monkeypatch.setattr(contenders, "open_engine", note)
    runtimes = {name: Runtime(name) for name in RUNTIMES}
    runtimes["openvino"] = Runtime("openvino", "1", {"devices": ["CPU", "GPU.0"]})
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    with ExitStack() as opened:
        contenders.make_ready(
            tiny_model(), frame, "all", Survey(Nvidia(), runtimes), opened, lambda text: None
        )
    assert "gpu" in asked


def test_the_plain_way_pads_for_the_network_too(tmp_path: Path) -> None:
    """A U-Net takes multiples of a large number only; the yardstick must not fail by that."""
    clip = tmp_path / "in.mp4"
    write_clip(clip, pictures((130, 94), 2), 24, demo.sound(2 / 24, 48_000), 48_000)
    shapes: list[tuple[int, ...]] = []

    def network(frames: Any) -> Any:
        shapes.append(frames.shape)
        return frames

    def padded(picture: Any) -> Any:
        return np.pad(picture, ((0, 34), (0, 126), (0, 0)))[None]

    plain_way(clip, contenders.Contender("eager", network, 0.1), 2, padded)()
    assert shapes == [(1, 128, 256, 3)] * 2


def test_a_plain_way_that_writes_nothing_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "in.mp4"
    write_clip(clip, pictures((64, 64), 2), 24, demo.sound(2 / 24, 48_000), 48_000)
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda writer: False)
    idle = contenders.Contender("eager", lambda frames: frames, 0.1)
    with pytest.raises(RuntimeError, match="does not write"):
        plain_way(clip, idle, 2, lambda picture: picture[None])()


def test_ratios_are_taken_round_by_round() -> None:
    eager = Row("PyTorch eager fp32", (2.0, 20.0, 2.0), eager=True)
    last = Row("channels_last", (4.0, 10.0, 4.0), eager=True)
    ours = Row("openvino", (1.0, 10.0, 0.5))
    failed = Row("other", problem="crashes")
    report = Report("m", "24x6", (64, 64), 8, 3, 1.0, 90.0, "e", (), (ours, eager, last, failed),
                    (Row("decode", (1.0,)), Row("engine", (3.0,)), Row("back")), (), {})  # fmt: skip
    assert report.times(ours) == 2.0  # 2, 1 and 4 times the faster layout of each round
    assert report.times(failed) is None
    assert report.slowest.name == "engine"
    assert report.share(report.slowest) == 0.75


@pytest.mark.parametrize("size", [(64, 48), (64, 96), (100, 80)])
def test_the_clip_has_the_size_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(demo, "SIZE", (80, 64))  # what is larger is mirrored
    picture = next(pictures(size, 1))
    assert picture.shape == (size[1], size[0], 3)
    assert picture[-30:, -30:].std() > 1  # there is something everywhere


def test_sizes_are_words_or_numbers() -> None:
    assert clip_size("640x360") == (640, 360)
    assert clip_size("1080p") == (1920, 1080)
    for nonsense in ("big", "63x64", "640x361", "17p", "0x0", "640", "64x20000"):
        with pytest.raises(UserError, match="no size"):
            clip_size(nonsense)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "abacus"], ["abacus", "openvino"]),
        (["--size", "huge"], ["huge", "720p"]),
        (["--seconds", "0"], ["--seconds"]),
        (["--model", "nowhere"], ["no model"]),
    ],
)
def test_what_a_user_can_get_wrong(here: Cli, arguments: list[str], words: list[str]) -> None:
    assert_one_line(here("bench", *arguments), *words)
