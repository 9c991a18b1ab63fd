"""What our engines are measured against: the same network by PyTorch, eagerly, and by onnxruntime.

Each function makes a network ready and gives a callable: frames uint8 `[N, H, W, 3]` in and out, as
an `Engine` takes them. They hold no resource but memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.graph import build_graph
from engines.model_file import Model
from engines.survey.machine import processor

Frames = NDArray[Any]
Network = Callable[[Frames], Frames]

GEMM = 2048
"""Rows and columns of the matrices whose product is taken for the machine's limit."""


def eager_network(model: Model, channels_last: bool) -> Network:
    """`model` in PyTorch as one would write it first: eager, fp32, on the CPU, frame by frame."""
    import torch

    from engines.network import Generator

    torch.set_num_threads(processor().threads)
    layout: Any = torch.channels_last if channels_last else torch.contiguous_format
    network: Any = Generator.of(model).eval()
    network = network.to(memory_format=layout)

    def translate(frames: Frames) -> Frames:
        results = []
        with torch.inference_mode():
            for frame in frames:
                values = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1
                result = network(values.contiguous(memory_format=layout))[0]
                scaled = ((result + 1) * 127.5).round().clamp(0, 255).byte()
                results.append(scaled.permute(1, 2, 0).contiguous().numpy())
        return np.stack(results)

    return translate


def onnxruntime_network(model: Model, size: tuple[int, int]) -> Network:
    """`model` in onnxruntime on the CPU, fp32, the same graph that our engines run.

    Its threads do not spin while they wait: they would take the time of whoever runs next to it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = processor().threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    graph = build_graph(model, size=size, batch=1).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def translate(frames: Frames) -> Frames:
        results = [
            session.run(None, {"frames": frames[index : index + 1]})[0]
            for index in range(len(frames))
        ]
        return np.concatenate(results)

    return translate


def numpy_product() -> Callable[[], object]:
    """A large fp32 matrix product by NumPy: call it to compute it once."""
    random = np.random.default_rng(0)
    a, b = (random.random((GEMM, GEMM), np.float32) for _ in range(2))
    return lambda: a @ b


def torch_product() -> Callable[[], object]:
    """The same by PyTorch."""
    import torch

    torch.set_num_threads(processor().threads)
    a, b = (torch.rand(GEMM, GEMM) for _ in range(2))
    return lambda: torch.mm(a, b)
