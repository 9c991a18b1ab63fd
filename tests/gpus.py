"""Whether there is a GPU to test on, and what a skipped test says."""

import os
from importlib.util import find_spec

import pytest


def require_cuda() -> None:
    """Skip where PyTorch finds no GPU; with CGVIDEO_REQUIRE_CUDA=1 fail instead."""
    if find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            return
    reason = "no NVIDIA GPU that PyTorch can use"
    if os.environ.get("CGVIDEO_REQUIRE_CUDA") == "1":
        pytest.fail(f"{reason}, and CGVIDEO_REQUIRE_CUDA=1")
    pytest.skip(reason)
