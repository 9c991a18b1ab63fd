"""What happens where PyTorch sees a GPU and then fails on it; no GPU is needed for that."""

import pytest

from engines import backends
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError

torch_engine = pytest.importorskip("engines.torch_engine", exc_type=ImportError)


@pytest.fixture
def broken_gpu(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("CUDA error: no kernel image is available\nand a page more")

    monkeypatch.setattr(backends, "_has_nvidia_driver", lambda: True)
    monkeypatch.setattr(torch_engine, "cuda_works", lambda: True)
    monkeypatch.setattr(torch_engine, "open_torch", fail)


def test_the_cpu_takes_over_and_says_why(broken_gpu, small_model):
    with open_engine(small_model, EngineRequest(streams=1)) as engine:
        assert engine.identity["backend"] == "openvino"
        assert engine.why.startswith("PyTorch fails on the GPU (CUDA error: no kernel image")


@pytest.mark.parametrize("asked", [{"backend": "torch"}, {"device": "cuda"}])
def test_who_insists_is_told(broken_gpu, small_model, asked):
    with pytest.raises(UserError, match="PyTorch fails on") as caught:
        open_engine(small_model, EngineRequest(**asked))
    assert "\n" not in str(caught.value)


def test_int8_goes_to_the_backend_that_has_it(broken_gpu, make_model, small_model):
    with open_engine(small_model, EngineRequest(precision="int8", streams=1)) as engine:
        assert engine.identity["backend"] == "openvino"
