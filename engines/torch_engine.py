"""Generators by PyTorch: the reference on a CPU, fast on an NVIDIA GPU."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from engines.crossing import ArraySpec
from engines.engine import EngineRequest, check_call, empty_results, frame_by_frame
from engines.errors import UserError
from engines.graph import GRAPH_VERSION
from engines.model_file import Model
from engines.network import Generator
from engines.store import Built, EngineStore
from engines.torch_cuda import CudaFrames, repeatable
from engines.verify import Parity, check_parity, held_frames, pictures_digest

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

GPU_BATCH = 8  # frames in a call: the ring fills and empties once


def open_torch(
    model: Model, request: EngineRequest, why: str, store: EngineStore | None = None
) -> "TorchEngine":
    """Make an engine ready; one in less than fp32 is verified, once, where there is a store.

    Raises:
        UserError: PyTorch cannot use the device or the precision, or the picture suffers from it.
    """
    decided = _decided(request)
    if store is not None and decided.precision != "fp32":
        parity = _parity(model, decided, store)
        if harm := parity.why_not(decided.precision, request.precision):
            why += f"; {harm}"
            decided = replace(decided, precision="fp32")
    if store is not None and decided.device != "cpu" and request.size is not None:
        store.announce(_key(model, decided))  # compiling takes up to a minute the first time
    return TorchEngine(model, decided, why)


def cuda_works() -> bool:
    """Whether this PyTorch can use a GPU of this machine."""
    return torch.cuda.is_available()


class TorchEngine:
    """An `Engine` on PyTorch.

    On a CPU fp32, eagerly, in `layout`: "contiguous" or "channels_last". On a GPU fp16 and channels
    last: compiled and captured for a fixed size, with crossings and work overlapping, eagerly for
    any. Frames run one by one, so that the batch has no part in a frame's bytes.
    """

    def __init__(
        self, model: Model, request: EngineRequest, why: str, layout: str = "contiguous"
    ) -> None:
        request = _decided(request)
        self._device = torch.device(request.device)
        on_gpu = self._device.type == "cuda"
        precision = request.precision
        self._threads = request.threads or torch.get_num_threads()
        self._type = _TYPES[precision]
        self._exact = precision == "fp32"
        channels_last = on_gpu or layout == "channels_last"
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        network = Generator.of(model).eval().requires_grad_(False).to(self._device, self._type)
        # PyTorch's stubs lack the form of `to` that changes the layout alone.
        network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._network: Generator | None = network
        self._request = request
        self.spec = model.spec
        self._ready: CudaFrames | None = None
        how = note = "eager"
        if on_gpu and request.size is not None:
            self._ready = self._made_ready(request.size)
            how, note = self._ready.how, self._ready.note
        # A call of several frames lets them overlap; without lanes there is nothing to overlap.
        self.batch = GPU_BATCH if self._ready else 1
        self.why = why
        where = _device_name(self._device)
        self.description = f"PyTorch {torch.__version__} on {where}, {precision}, {note}"
        self.identity: Mapping[str, str] = {
            **_key(model, request),
            "streams": "1",
            "batch": "1",
            "layout": "channels_last" if channels_last else "contiguous",
            "how": how,
        }

    @property
    def crossings(self) -> Mapping[str, float]:
        """See `engines.engine.Engine`."""
        return self._ready.seconds if self._ready else {}

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        """See `engines.engine.Engine`."""
        if self._network is None:
            raise RuntimeError("this engine is closed")
        check_call(self.spec, self._request, frames, statistics)
        results = empty_results(self.spec, self._request, frames)
        given = frame_by_frame(frames, statistics)
        if self._device.type == "cpu":
            torch.set_num_threads(self._threads)  # one number for the process: the last one's
        with torch.inference_mode(), repeatable(self._exact):
            run = self._ready(given) if self._ready else self._eagerly(given)
            for index, result in enumerate(run):
                results[index] = result[0]
        return results

    def _eagerly(self, frames: Iterator[list[NDArray[Any]]]) -> Iterator[NDArray[Any]]:
        """Frame after frame, nothing overlapping: on a CPU, and for pictures, which come once."""
        for arrays in frames:
            tensors = [torch.from_numpy(np.array(array)).to(self._device) for array in arrays]
            yield self._run(*tensors).cpu().numpy()

    def _run(self, frame: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
        """One frame `[1, H, W, 3]`, on the device, pixels to pixels (or to statistics)."""
        network = self._network
        assert network is not None
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

    def _made_ready(self, size: tuple[int, int]) -> CudaFrames:
        channels = self.spec.statistics_channels
        frame = ArraySpec((1, *size, 3), self._request.pixels)
        packed = ArraySpec((1, 2, channels), "float32")
        return CudaFrames(
            self._device,
            self._run,
            [frame, packed] if self._request.form == "statistics" else [frame],
            packed if self._request.form == "measure" else frame,
            exact=self._exact,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._network = self._ready = None


def _decided(request: EngineRequest) -> EngineRequest:
    """The request with its device and precision named."""
    name = request.device.lower()
    if name == "auto":
        name = "cuda" if cuda_works() else "cpu"
    gpu = re.fullmatch(r"cuda(?::(\d+))?", name)
    there = gpu and cuda_works() and int(gpu[1] or 0) < torch.cuda.device_count()
    if name != "cpu" and not there:
        raise UserError(f"PyTorch cannot use the device {request.device!r}", "Use --device cpu")
    precision = request.precision
    if precision == "auto":
        # Deep pixels have more bits than fp16 keeps.
        precision = "fp16" if name != "cpu" and request.pixels == "uint8" else "fp32"
    if precision not in _TYPES:
        raise UserError(f"PyTorch does not compute in {precision} here", "Use --precision auto")
    if precision == "fp16" and name == "cpu":
        raise UserError("PyTorch is a hundred times slower in fp16 on a CPU", "Use fp32 or auto")
    return replace(request, device=name, precision=precision)


def _parity(model: Model, request: EngineRequest, store: EngineStore) -> Parity:
    """How far this precision is from fp32 on the held pictures, at their own size; measured once."""
    small = replace(request, size=None, form="self")

    def measure() -> Built:
        # Imported here: only who is verified needs the other runtime.
        from engines.openvino_engine import fp32_reference

        with TorchEngine(model, small, "to be verified") as engine:
            reference, frames = fp32_reference(model, None), held_frames(model.spec)
            parity = check_parity(engine, "self", reference, frames, request.pixels)
        return Built(b"", {"model": model.name, **asdict(parity)})

    key = _key(model, small) | {"what": "parity", "pictures": pictures_digest()}
    facts = store.get(key, measure).facts
    return Parity(facts["psnr"], facts["levels"])


def _key(model: Model, request: EngineRequest) -> dict[str, str]:
    """All that decides what an engine is, of a request that leaves nothing open."""
    device = torch.device(request.device)
    return {
        "backend": "torch",
        "runtime": f"torch {torch.__version__}",
        "device": request.device,
        "device_name": _device_name(device),
        "capabilities": _capabilities(device),
        "precision": request.precision,
        "threads": "" if device.type == "cuda" else str(request.threads or torch.get_num_threads()),
        "form": request.form,
        "pixels": request.pixels,
        "size": "x".join(map(str, request.size)) if request.size else "any",
        "graph": str(GRAPH_VERSION),
        "model": model.sha256,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _capabilities(device: torch.device) -> str:
    if device.type == "cpu":
        return torch.backends.cpu.get_cpu_capability()
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm{major}{minor}"
