"""PyTorch on an NVIDIA GPU: a frame's work compiled, captured, and fed without waiting."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from engines.crossing import ArraySpec, Crossing
from engines.errors import first_line
from engines.store import cache_folder

Work = Callable[..., Tensor]
"""frame `[1, H, W, 3]` and, where there are, statistics `[1, 2, C]` to a result, on the device"""

COMPILER_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"deterministic": True}
"""Else it times several ways to sum up, as norms do, and takes the one that wins this time."""

WARM_UP_RUNS = 3  # before a capture, so that nothing is left to be set up or allocated


class CudaDevice:
    """The `engines.crossing.Device` of PyTorch: streams and events of one GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def locked(self, shape: Sequence[int], dtype: DTypeLike) -> tuple[Tensor, NDArray[Any]]:
        """See `engines.crossing.Device`."""
        tensor = torch.empty(tuple(shape), dtype=_torch_type(dtype), pin_memory=True)
        return tensor, tensor.numpy()

    def memory(self, shape: Sequence[int], dtype: DTypeLike) -> Tensor:
        """See `engines.crossing.Device`."""
        return torch.empty(tuple(shape), dtype=_torch_type(dtype), device=self._device)

    def lane(self) -> torch.cuda.Stream:
        """See `engines.crossing.Device`."""
        return torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def copy(self, source: Tensor, target: Tensor, lane: torch.cuda.Stream) -> None:
        """See `engines.crossing.Device`."""
        with torch.cuda.stream(lane):
            target.copy_(source, non_blocking=True)

    def mark(self, lane: torch.cuda.Stream) -> torch.cuda.Event:
        """See `engines.crossing.Device`."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(lane)
        return event

    def follow(self, lane: torch.cuda.Stream, mark: torch.cuda.Event) -> None:
        """See `engines.crossing.Device`."""
        lane.wait_event(mark)

    def wait(self, mark: torch.cuda.Event) -> None:
        """See `engines.crossing.Device`."""
        mark.synchronize()

    def seconds(self, first: torch.cuda.Event, last: torch.cuda.Event) -> float:
        """See `engines.crossing.Device`."""
        return float(first.elapsed_time(last)) / 1000


class CudaFrames:
    """The work on frames of one size, ready on a GPU.

    The work is compiled (TorchInductor) and captured in a CUDA graph; where it cannot be compiled
    (no Triton, no compiler) it is captured as it is. `how` is "compiled" or "captured", `note` says
    why for people.
    """

    def __init__(
        self,
        device: torch.device,
        work: Work,
        inputs: Sequence[ArraySpec],
        output: ArraySpec,
        exact: bool,
    ) -> None:
        examples = [
            torch.zeros(form.shape, dtype=_torch_type(form.dtype), device=device) for form in inputs
        ]
        keep_compiled_code()
        with torch.inference_mode(), repeatable(exact), torch.cuda.device(device):
            try:
                ready: Work = torch.compile(
                    work, fullgraph=True, dynamic=False, options=COMPILER_OPTIONS
                )
                ready(*examples)
                self.how = self.note = "compiled"
            except Exception as error:  # whatever the compiler stumbles over, the work itself runs
                ready, self.how = work, "captured"
                self.note = f"not compiled: {first_line(error)[:100]}"
            self._graph, self._inputs, self._output = _capture(device, ready, examples)
        self._crossing = Crossing(CudaDevice(device), inputs, output, self._compute)

    def __call__(self, frames: Iterator[Sequence[NDArray[Any]]]) -> Iterator[NDArray[Any]]:
        """Results of frames as they come; copy each before asking for the next."""
        return self._crossing(frames)

    @property
    def seconds(self) -> dict[str, float]:
        """See `engines.engine.Engine.crossings`."""
        return self._crossing.seconds

    def _compute(self, inputs: Sequence[Tensor], output: Tensor, lane: torch.cuda.Stream) -> None:
        # A graph has memory of its own; a copy on the device costs a thousandth of the crossing.
        with torch.cuda.stream(lane):
            for ours, theirs in zip(self._inputs, inputs, strict=True):
                ours.copy_(theirs)
            self._graph.replay()
            output.copy_(self._output)


def _capture(
    device: torch.device, work: Work, inputs: list[Tensor]
) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
    """Record the work once; what replays it reads these inputs and writes this output."""
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_RUNS):
            work(*inputs)
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Without a stream of its own, torch takes one that it made for the first GPU ever captured on.
    with torch.cuda.graph(graph, stream=side):
        output = work(*inputs)
    return graph, inputs, output


@contextmanager
def repeatable(exact: bool) -> Iterator[None]:
    """Algorithms that give the same bits each time; `exact` keeps fp32 from becoming TF32."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=not exact
    ):
        yield


def keep_compiled_code() -> None:
    """Let compiled kernels be found again by the next process, in our cache folder."""
    for variable, name in (("TORCHINDUCTOR_CACHE_DIR", "inductor"), ("TRITON_CACHE_DIR", "triton")):
        os.environ.setdefault(variable, str(cache_folder() / "torch" / name))


def _torch_type(dtype: DTypeLike) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
