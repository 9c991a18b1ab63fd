"""Generators by PyTorch, eagerly: the reference on a CPU, the plain way on an NVIDIA GPU."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from engines.engine import EngineRequest, check_call
from engines.errors import UserError
from engines.graph import GRAPH_VERSION
from engines.model_file import Model
from engines.network import Generator

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def cuda_works() -> bool:
    """Whether this PyTorch can use a GPU of this machine."""
    return torch.cuda.is_available()


class TorchEngine:
    """An `Engine` on PyTorch: fp32 and contiguous on a CPU, fp16 and channels last on a GPU.

    Frames run one by one, so that the batch has no part in a frame's bytes.
    """

    def __init__(self, model: Model, request: EngineRequest, why: str) -> None:
        name = "cpu" if request.device == "auto" else request.device.lower()
        if name != "cpu" and not (name.startswith("cuda") and cuda_works()):
            raise UserError(f"PyTorch cannot use the device {request.device!r}", "Use --device cpu")
        self._device = torch.device(name)
        on_gpu = self._device.type == "cuda"
        precision = request.precision
        if precision == "auto":
            # Deep pixels have more bits than fp16 keeps.
            precision = "fp16" if on_gpu and request.pixels == "uint8" else "fp32"
        if precision == "fp16" and not on_gpu:
            raise UserError(
                "PyTorch is a hundred times slower in fp16 on a CPU", "Use fp32 or auto"
            )
        if request.threads is not None:
            torch.set_num_threads(request.threads)
        self._type = _TYPES[precision]
        self._layout = torch.channels_last if on_gpu else torch.contiguous_format
        network = Generator.of(model).eval().requires_grad_(False).to(self._device, self._type)
        # PyTorch's stubs lack the form of `to` that changes the layout alone.
        network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._network: Generator | None = network
        self._request = request
        self.spec = model.spec
        self.batch = 1
        self.crossings: Mapping[str, float] = {}
        self.why = why
        where = torch.cuda.get_device_name(self._device) if on_gpu else "CPU"
        self.description = f"PyTorch {torch.__version__} on {where}, {precision}"
        self.identity: Mapping[str, str] = {
            "backend": "torch",
            "runtime": f"torch {torch.__version__}",
            "device": name,
            "device_name": where,
            "capabilities": torch.backends.cpu.get_cpu_capability(),
            "precision": precision,
            "threads": "" if on_gpu else str(torch.get_num_threads()),
            "streams": "1",
            "batch": "1",
            "form": request.form,
            "pixels": request.pixels,
            "size": "x".join(map(str, request.size)) if request.size else "any",
            "graph": str(GRAPH_VERSION),
            "model": model.sha256,
        }

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        """See `engines.engine.Engine`."""
        if self._network is None:
            raise RuntimeError("this engine is closed")
        check_call(self.spec, self._request, frames, statistics)
        results = []
        with torch.inference_mode():
            for index in range(len(frames)):
                given = None
                if statistics is not None:
                    own = np.array(statistics[index % len(statistics)][None], np.float32)
                    given = torch.from_numpy(own).to(self._device)
                frame = torch.from_numpy(np.array(frames[index : index + 1])).to(self._device)
                results.append(self._run(self._network, frame, given).cpu().numpy())
        return np.concatenate(results)

    def _run(
        self, network: Generator, frame: torch.Tensor, given: torch.Tensor | None
    ) -> torch.Tensor:
        most = 255 if self._request.pixels == "uint8" else 1
        values = frame.permute(0, 3, 1, 2).to(torch.float32) * (2 / most) - 1
        values = values.to(self._type).contiguous(memory_format=self._layout)
        if self._request.form == "measure":
            return network.measure(values)
        values = network.forward(values, given).to(torch.float32) * (most / 2) + most / 2
        if self._request.pixels == "uint8":
            values = values.round()
        values = values.clamp(0, most).permute(0, 2, 3, 1).contiguous()
        return values.to(frame.dtype)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._network = None
