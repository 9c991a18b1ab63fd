"""Engines of TensorRT as files: built, described, and run where there is a GPU (here: a fake)."""

import hashlib
import json

import pytest
from fake_tensorrt import GENERATIONS, fake_gpu

from engines.errors import UserError
from engines.export import ExportRequest, export, sidecar_of
from engines.profile import parse_profile
from engines.survey.driver import Driver, Gpu
from engines.tensorrt import export as tensorrt_export
from engines.tensorrt.export import parse_capabilities
from engines.tensorrt.flavour import Flavour, flavour_for


def exported(model, path, size="64x64", form="self", precision="fp16", capabilities=(), told=None):
    profile = parse_profile(size, model.spec)
    request = ExportRequest("tensorrt", form, profile, 1, precision, capabilities)
    tell = (lambda *step: told.append(step)) if told is not None else (lambda *step: None)
    result = export(model, request, path, tell)
    return result, json.loads(sidecar_of(path).read_text())


def test_the_sidecar_tells_what_a_plan_does_not(small_model, tmp_path):
    api = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    told: list[tuple] = []
    path = tmp_path / "small.engine"
    result, sidecar = exported(
        small_model,
        path,
        "64x64:96x64:128x128",
        "statistics",
        capabilities=("SM86", "SM89"),
        told=told,
    )
    plan = path.read_bytes()
    assert result.files == (path,)
    assert result.on_gpu is None
    assert result.parity.psnr >= 45
    assert sidecar["files"]["small.engine"]["sha256"] == hashlib.sha256(plan).hexdigest()
    assert [tensor["name"] for tensor in sidecar["inputs"]] == ["frames", "statistics"]
    assert sidecar["inputs"][0]["shape"] == [1, "H", "W", 3]
    assert sidecar["parity"]["graph"]["psnr"] == result.parity.psnr
    assert sidecar["parity"]["engine"] == "not run here"
    assert sidecar["versions"]["tensorrt"] == api.__version__
    of_plan = sidecar["tensorrt"]
    assert of_plan["flavour"] == "TensorRT for RTX"
    assert of_plan["capabilities"] == ["SM86", "SM89"]
    assert of_plan["profiles"] == {"frames": [[1, 64, 64, 3], [1, 64, 96, 3], [1, 128, 128, 3]]}
    assert 0 < of_plan["memory"]["activations"] < 1.1 * of_plan["memory"]["expected"]
    steps = [step for step, *_ in told]
    assert any("it will take about" in step for step in steps)
    assert len([done for step, *done in told if step.startswith("building it")]) > 20


def test_what_cannot_be_built_leaves_nothing(small_model, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    with pytest.raises(UserError, match="builds nothing for SM90"):
        exported(small_model, tmp_path / "a.engine", capabilities=("SM90",))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("generation", GENERATIONS)
def test_where_there_is_a_gpu_the_engine_is_run(small_model, tmp_path, generation, monkeypatch):
    with fake_gpu(generation) as record:
        result, sidecar = exported(small_model, tmp_path / "a.engine")
        assert result.on_gpu is not None
        assert sidecar["parity"]["engine"]["psnr"] == result.on_gpu.psnr
        assert "execute_async_v3" in record.names()
        record.clear()
        if generation == "tensorrt":
            assert sidecar["tensorrt"]["capabilities"] == ["SM90"]
            return
        # The GPU is an SM89: what is for another cannot be run.
        result, _ = exported(small_model, tmp_path / "b.engine", capabilities=("SM86",))
        assert result.on_gpu is None
        assert "execute_async_v3" not in record.names()


@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_engine_for_large_frames_alone_is_run_with_such(small_model, tmp_path, generation):
    with fake_gpu(generation) as record:
        result, _ = exported(small_model, tmp_path / "a.engine", "320x256:384x256:512x512")
    assert result.on_gpu is not None
    assert ("set_input_shape", "frames", (1, 256, 384, 3)) in record


def test_naming_the_gpu_that_is_here_takes_what_suits_it(small_model, tmp_path):
    with fake_gpu("tensorrt"):
        result, sidecar = exported(small_model, tmp_path / "a.engine", capabilities=("SM90",))
    assert result.on_gpu is not None
    assert sidecar["tensorrt"]["flavour"] == "TensorRT"


def test_without_nvidias_bindings_an_engine_is_built_and_not_run(
    small_model, tmp_path, monkeypatch
):
    with fake_gpu("tensorrt"):
        monkeypatch.setitem(__import__("sys").modules, "engines.tensorrt.engine", None)
        result, sidecar = exported(small_model, tmp_path / "a.engine")
    assert result.on_gpu is None
    assert sidecar["parity"]["engine"] == "not run here"


def test_a_gpu_too_old_is_as_none(small_model, tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    old = Driver("580.1", (13, 0), (Gpu("NVIDIA Old", (6, 1), 8 << 30),))
    monkeypatch.setattr("engines.tensorrt.export.driver", lambda: old)
    result, sidecar = exported(small_model, tmp_path / "a.engine")
    assert result.on_gpu is None
    assert "SM89" in sidecar["tensorrt"]["capabilities"]


def test_an_engine_that_draws_something_else_is_not_kept(small_model, tmp_path, monkeypatch):
    with fake_gpu("tensorrt_rtx"):
        wrong = tensorrt_export.Parity(20.0, 90)
        monkeypatch.setattr(tensorrt_export, "_parity", lambda *arguments: wrong)
        with pytest.raises(UserError, match=r"is 20\.0 dB"):
            exported(small_model, tmp_path / "a.engine")
    assert not list(tmp_path.iterdir())


def test_without_tensorrt_the_mend_is_told(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr("engines.tensorrt.flavour.installed", tuple)
    with pytest.raises(UserError, match=r"not installed.*pip install 'cgvideo\[tensorrt\]'"):
        exported(small_model, tmp_path / "a.engine")


def test_a_tensorrt_that_does_not_load_is_told(monkeypatch):
    flavour = Flavour("tensorrt", "11.4")
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(UserError, match=r"TensorRT 11\.4 does not load.*pypi\.nvidia\.com"):
        flavour.load()


def test_a_tensorrt_whose_libraries_are_missing_is_told(tmp_path, monkeypatch):
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.11:\\n cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "tensorrt", raising=False)
    with pytest.raises(UserError, match=r"does not load \(libnvinfer\.so\.11: cannot open\)"):
        Flavour("tensorrt", "11.4").load()


@pytest.mark.parametrize(
    ("there", "capability", "said"),
    [
        ((), (8, 9), r"TensorRT is not installed.*cgvideo\[tensorrt\]"),
        ((), (9, 0), r"TensorRT is not installed.*pypi\.nvidia\.com"),
        (("tensorrt_rtx",), (9, 0), r"TensorRT for RTX 1 does not run on H100.*pypi\.nvidia\.com"),
        (("tensorrt_rtx",), (6, 1), "older than any"),
    ],
)
def test_the_flavour_that_a_gpu_needs_is_told(monkeypatch, there, capability, said):
    monkeypatch.setattr(
        "engines.tensorrt.flavour.installed", lambda: tuple(Flavour(name, "1") for name in there)
    )
    with pytest.raises(UserError, match=said):
        flavour_for(capability, "H100")


def test_capabilities_are_read():
    assert parse_capabilities("sm86, SM120") == ("SM86", "SM120")
    for wrong in ("", "86", "sm86;sm89", "ampere"):
        with pytest.raises(UserError, match="no GPU architecture"):
            parse_capabilities(wrong)
