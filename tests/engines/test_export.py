"""Files for runtimes: they run, they give the picture, and they say what they are."""

import hashlib
import json

import numpy as np
import onnx
import pytest

from engines import export as export_module
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.export import FORMS, SUFFIXES, ExportRequest, export, sidecar_of
from engines.library import find_model
from engines.openvino_runtime import run_file
from engines.profile import parse_profile
from engines.spec import GeneratorSpec
from engines.verify import Parity

TARGETS = ("onnx", "openvino")  # TensorRT's has tests of its own


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, 64, 96, 3), np.uint8)


def _translated(model, frames, form="self", statistics=None):
    with open_engine(
        model, EngineRequest("openvino", precision="fp32", streams=1, form=form)
    ) as engine:
        return engine(frames, statistics)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_file_gives_what_the_engine_gives(tmp_path, small_model, frames, target, form):
    path = tmp_path / f"model{SUFFIXES[target]}"
    exported = export(small_model, ExportRequest(target, form), path)
    assert exported.files[0] == path
    measured = _translated(small_model, frames, "measure")
    result = run_file(path)(frames, measured if form == "statistics" else None)
    if form == "measure":
        np.testing.assert_allclose(result, measured, rtol=1e-3, atol=1e-3)
    else:
        assert Parity.between(result, _translated(small_model, frames)).reaches("fp32")


@pytest.mark.parametrize("target", TARGETS)
def test_the_sidecar_describes_the_file(tmp_path, small_model, target):
    path = tmp_path / f"model{SUFFIXES[target]}"
    request = ExportRequest(target, "statistics", parse_profile("94x64", small_model.spec, 2), 2)
    exported = export(small_model, request, path)
    described = json.loads(sidecar_of(path).read_text())
    assert exported.sidecar == sidecar_of(path)
    channels = small_model.spec.statistics_channels
    assert described["inputs"] == [
        {"name": "frames", "type": "uint8", "shape": [2, 64, 96, 3]},
        {"name": "statistics", "type": "float32", "shape": ["N or 1", 2, channels]},
    ]
    assert described["outputs"] == [
        {"name": "translated", "type": "uint8", "shape": [2, 64, 96, 3]}
    ]
    assert described["model"]["sha256"] == small_model.sha256
    assert described["parity"]["psnr"] == exported.parity.psnr > 55
    assert described["versions"]["openvino"]
    assert {name: facts["sha256"] for name, facts in described["files"].items()} == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in exported.files
    }
    # Nothing but what is named there, and no path of this machine.
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        [*described["files"], sidecar_of(path).name]
    )
    for file in tmp_path.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


@pytest.mark.parametrize("target", TARGETS)
def test_a_range_of_sizes(tmp_path, small_model, frames, target):
    path = tmp_path / f"model{SUFFIXES[target]}"
    profile = parse_profile("32x32:96x64:128x96", small_model.spec)
    export(small_model, ExportRequest(target, profile=profile), path)
    described = json.loads(sidecar_of(path).read_text())
    assert described["profile"]["most"] == [96, 128]
    expected = _translated(small_model, frames)
    assert Parity.between(run_file(path)(frames, None), expected).reaches("fp32")
    if target == "openvino":
        with pytest.raises(RuntimeError):
            run_file(path)(np.zeros((1, 200, 200, 3), np.uint8), None)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["", pytest.param("winter2summer", marks=pytest.mark.slow)])
def test_halves_are_half_the_size(tmp_path, make_model, target, name):
    model = find_model(name) if name else make_model(GeneratorSpec(base_channels=16, blocks=3))
    sizes = {}
    for precision in ("fp32", "fp16"):
        path = tmp_path / f"{precision}{SUFFIXES[target]}"
        exported = export(model, ExportRequest(target, precision=precision), path)
        sizes[precision] = sum(file.stat().st_size for file in exported.files)
        assert exported.parity.reaches(precision)
    assert sizes["fp16"] < 0.65 * sizes["fp32"]


def test_onnx_runs_elsewhere(tmp_path, small_model, frames):
    onnxruntime = pytest.importorskip("onnxruntime")
    expected = _translated(small_model, frames)
    for precision, levels in (("fp32", 1), ("fp16", 12)):
        path = tmp_path / f"{precision}.onnx"
        export(small_model, ExportRequest(precision=precision), path)
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (result,) = session.run(None, {"frames": frames})
        assert np.abs(result.astype(int) - expected).max() <= levels


def test_a_file_under_its_threshold_is_not_kept(tmp_path, small_model, monkeypatch):
    """The check is of the file itself: weights that are off by a little do not pass."""
    real = export_module.build_graph

    def careless(model, *arguments, **wanted):
        key = next(key for key in model.weights if key.endswith(".weight"))
        spoiled = dict(model.weights)
        spoiled[key] = np.asarray(spoiled[key]) * 1.05 + 0.01
        from dataclasses import replace

        return real(replace(model, weights=spoiled), *arguments, **wanted)

    monkeypatch.setattr(export_module, "build_graph", careless)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"what was there before")
    with pytest.raises(UserError, match="dB"):
        export(small_model, ExportRequest(), path)
    assert path.read_bytes() == b"what was there before"
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_model_without_norms_has_one_form(tmp_path, make_model):
    spec = GeneratorSpec(base_channels=8, blocks=1, norm="none")
    with pytest.raises(UserError, match="no statistics"):
        export(make_model(spec, typical=False), ExportRequest(form="measure"), tmp_path / "m.onnx")


def test_a_place_that_cannot_be_written(tmp_path, small_model):
    with pytest.raises(UserError, match="cannot be written"):
        export(small_model, ExportRequest(), tmp_path / "nowhere" / "m.onnx")


@pytest.mark.parametrize(
    "error", [RuntimeError("in a file:\nbasic_ios: iostream error"), MemoryError()]
)
def test_a_runtime_that_fails_is_said_and_leaves_nothing(tmp_path, small_model, monkeypatch, error):
    """OpenVINO has no other word for a full disk, or for a size that memory does not hold."""

    def fail(*arguments):
        raise error

    monkeypatch.setattr(export_module, "save_ir", fail)
    with pytest.raises(UserError, match="cannot be made") as caught:
        export(small_model, ExportRequest("openvino"), tmp_path / "m.xml")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_steps_are_told(tmp_path, small_model):
    steps: list[str] = []
    export(small_model, ExportRequest(), tmp_path / "m.onnx", steps.append)
    assert steps[0] == "building the graph"
    assert steps[-1] == "checking it on the held pictures, 8 of 8"
