"""Whether there is a GPU to test on, and what a skipped test says."""

import os
from importlib.util import find_spec

import pytest

from engines.survey.driver import driver
from engines.tensorrt.flavour import installed


def require_cuda(backend: str = "torch") -> None:
    """Skip where that backend finds no GPU; with CGVIDEO_REQUIRE_CUDA=1 fail instead."""
    if backend == "torch":
        if find_spec("torch") is not None:
            import torch

            if torch.cuda.is_available():
                return
        reason = "no NVIDIA GPU that PyTorch can use"
    else:
        there = driver()
        gpus = there.gpus if there else ()
        if any(flavour.suits(gpu.capability) for flavour in installed() for gpu in gpus[:1]):
            return
        reason = "no NVIDIA GPU with a TensorRT for it"
    if os.environ.get("CGVIDEO_REQUIRE_CUDA") == "1":
        pytest.fail(f"{reason}, and CGVIDEO_REQUIRE_CUDA=1")
    pytest.skip(reason)
