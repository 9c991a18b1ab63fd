"""What happens where PyTorch sees a GPU and then fails on it; no GPU is needed for that."""

import sys

import numpy as np
import pytest
from fake_tensorrt import fake_gpu

from engines import backends
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.survey.driver import Driver, Gpu
from engines.tensorrt.flavour import Flavour

torch_engine = pytest.importorskip("engines.torch_engine", exc_type=ImportError)
COMPILER_OPTIONS = pytest.importorskip("engines.torch_cuda", exc_type=ImportError).COMPILER_OPTIONS


DRIVER = Driver("580.1", (13, 0), (Gpu("NVIDIA Fake", (8, 9), 8 << 30),))


@pytest.fixture
def broken_gpu(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("CUDA error: no kernel image is available\nand a page more")

    monkeypatch.setattr(backends, "driver", lambda: DRIVER)
    monkeypatch.setattr(backends, "installed", tuple)
    monkeypatch.setattr(torch_engine, "cuda_works", lambda: True)
    monkeypatch.setattr(torch_engine, "open_torch", fail)


def test_the_cpu_takes_over_and_says_why(broken_gpu, small_model):
    with open_engine(small_model, EngineRequest(streams=1)) as engine:
        assert engine.identity["backend"] == "openvino"
        assert engine.why.startswith("PyTorch fails on cuda (CUDA error: no kernel image")


@pytest.mark.parametrize("asked", [{"backend": "torch"}, {"device": "cuda"}])
def test_who_insists_is_told(broken_gpu, small_model, asked):
    with pytest.raises(UserError, match="PyTorch fails on") as caught:
        open_engine(small_model, EngineRequest(**asked))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("asked", ["cuda:2", "cuda:", "cudax"])
def test_a_gpu_that_is_not_there(small_model, monkeypatch, asked):
    monkeypatch.setattr(torch_engine, "cuda_works", lambda: True)
    monkeypatch.setattr(torch_engine.torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"cannot use the device '{asked}'"):
        open_engine(small_model, EngineRequest(device=asked))


def test_pytorch_takes_the_gpu_by_itself(monkeypatch):
    """Who asks for --backend torch and no device wants the fast one."""
    monkeypatch.setattr(torch_engine.torch.cuda, "device_count", lambda: 1)
    devices = []
    for works in (True, False):
        monkeypatch.setattr(torch_engine, "cuda_works", lambda works=works: works)
        devices.append(torch_engine._decided(EngineRequest("torch")).device)
    assert devices == ["cuda", "cpu"]


def test_a_pytorch_that_does_not_load(small_model, monkeypatch):
    monkeypatch.setattr(backends, "driver", lambda: DRIVER)
    monkeypatch.setattr(backends, "installed", tuple)
    monkeypatch.setitem(sys.modules, "engines.torch_engine", None)  # its import fails
    with open_engine(small_model, EngineRequest(streams=1)) as engine:
        assert engine.identity["backend"] == "openvino"
        assert engine.why.startswith("PyTorch does not load")
    with pytest.raises(UserError, match="does not load"):
        open_engine(small_model, EngineRequest("torch"))


def test_openvino_that_fails_says_so_in_one_line(small_model):
    with pytest.raises(UserError, match=r"OpenVINO fails on cpu\.5 \(.*device id") as caught:
        open_engine(small_model, EngineRequest("openvino", device="cpu.5", streams=1))
    assert "\n" not in str(caught.value)


def test_each_engine_keeps_its_threads(small_model):
    """PyTorch has one number for the process, and the number is part of the identity."""
    torch, before = torch_engine.torch, torch_engine.torch.get_num_threads()
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    try:
        with (
            open_engine(small_model, EngineRequest("torch", "cpu", threads=1)) as one,
            open_engine(small_model, EngineRequest("torch", "cpu", threads=2)) as two,
        ):
            for engine, number in ((two, 2), (one, 1)):
                engine(frames)
                assert engine.identity["threads"] == str(torch.get_num_threads()) == str(number)
    finally:
        torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:.*jit:DeprecationWarning")
def test_the_compiler_knows_our_options():
    torch_engine.torch.compile(lambda x: x, options=COMPILER_OPTIONS)  # refuses others


def test_int8_goes_to_the_backend_that_has_it(broken_gpu, make_model, small_model):
    with open_engine(small_model, EngineRequest(precision="int8", streams=1)) as engine:
        assert engine.identity["backend"] == "openvino"


@pytest.mark.parametrize(
    ("packages", "flavours", "asked", "expected"),
    [
        (("cuda.core", "torch"), ("tensorrt_rtx",), {}, ["tensorrt", "torch", "openvino"]),
        (("cuda.core",), ("tensorrt_rtx",), {}, ["tensorrt", "openvino"]),
        (("torch",), ("tensorrt_rtx",), {}, ["torch", "openvino"]),
        ((), (), {}, ["openvino"]),
        (("cuda.core", "torch"), ("tensorrt_rtx",), {"device": "cuda"}, ["tensorrt", "torch"]),
        (("cuda.core", "torch"), ("tensorrt_rtx",), {"precision": "bf16"}, ["torch", "openvino"]),
        (("cuda.core", "torch"), ("tensorrt_rtx",), {"precision": "int8"}, ["openvino"]),
        (("cuda.core", "torch"), ("tensorrt_rtx",), {"device": "cpu"}, ["openvino"]),
        (("torch",), (), {"device": "cuda:3"}, ["torch"]),
    ],
)
def test_the_best_that_is_installed_comes_first(monkeypatch, packages, flavours, asked, expected):
    monkeypatch.setattr(backends, "driver", lambda: DRIVER)
    monkeypatch.setattr(
        backends, "installed", lambda: tuple(Flavour(name, "1.7") for name in flavours)
    )
    monkeypatch.setattr(backends, "_has", lambda package: package in packages)
    ways = backends._ways(EngineRequest(**asked))
    assert [way.backend for way, _ in ways] == expected
    if not packages:
        assert "NVIDIA Fake needs pip install" in ways[0][1]


def test_a_data_centre_gpu_wants_the_other_tensorrt(monkeypatch):
    hopper = Driver("580.1", (13, 0), (Gpu("NVIDIA H100", (9, 0), 80 << 30),))
    monkeypatch.setattr(backends, "driver", lambda: hopper)
    monkeypatch.setattr(backends, "installed", lambda: (Flavour("tensorrt_rtx", "1.7"),))
    monkeypatch.setattr(backends, "_has", lambda package: True)
    assert [way.backend for way, _ in backends._ways(EngineRequest())] == ["torch", "openvino"]


def test_a_driver_that_fails_leaves_the_cpu(monkeypatch, small_model):
    def fail():
        raise OSError("crashes (SIGSEGV)")

    monkeypatch.setattr(backends, "driver", fail)
    with open_engine(small_model, EngineRequest(streams=1)) as engine:
        assert engine.identity["backend"] == "openvino"
        assert engine.why.startswith("NVIDIA's driver fails (crashes (SIGSEGV))")


def test_tensorrt_that_fails_leaves_it_to_the_next(monkeypatch, small_model):
    with fake_gpu("tensorrt_rtx", {"plan"}):
        monkeypatch.setattr(backends, "driver", lambda: DRIVER)
        monkeypatch.setattr(backends, "_has", lambda package: package != "torch")
        with open_engine(small_model, EngineRequest(streams=1, size=(32, 32))) as engine:
            assert engine.identity["backend"] == "openvino"
            assert engine.why.startswith("TensorRT fails on cuda (TensorRT does not take the plan")


def test_tensorrt_is_taken_where_it_is(monkeypatch, small_model):
    with fake_gpu("tensorrt_rtx"):
        monkeypatch.setattr(backends, "driver", lambda: DRIVER)
        with open_engine(small_model, EngineRequest(streams=1, size=(32, 32))) as engine:
            assert engine.identity["backend"] == "tensorrt"
            assert engine.why.startswith("TensorRT for RTX is there for NVIDIA Fake")
