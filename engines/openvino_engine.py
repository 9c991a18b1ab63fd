"""Generators on CPUs (and Intel GPUs) by OpenVINO: the only file that imports it."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engines.engine import EngineRequest, check_call
from engines.errors import UserError
from engines.graph import GRAPH_VERSION, build_graph
from engines.model_file import Model

# OpenVINO's telemetry leaves files in the home folder and sends an event on import; None makes the
# import of it fail, which OpenVINO takes as "not installed".
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino  # noqa: E402

_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVinoEngine:
    """An `Engine` on OpenVINO.

    A call runs its frames one by one over `streams` requests at once, so that the batch has no part
    in a frame's bytes.
    """

    def __init__(self, model: Model, request: EngineRequest, why: str) -> None:
        streams = request.streams
        if streams is None:
            streams, why_streams = 1, ""
            if request.size is not None:
                timings = measure_streams(model, request)
                streams = timings.best
                why_streams = f"; {timings}"
            why += why_streams
        self.spec = model.spec
        self.why = why
        self._request = request
        self._compiled = compiled = _compile(model, request, streams)
        precision = _precision_of(compiled)
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self._closed = False
        self.crossings: Mapping[str, float] = {}
        # Two rounds a call: the second hides the uneven ends of the first.
        self.batch = 1 if streams == 1 else 2 * streams
        core, device = _core(), compiled.get_property("EXECUTION_DEVICES")[0]
        name = core.get_property(device, "FULL_DEVICE_NAME")
        self.identity: Mapping[str, str] = {
            "backend": "openvino",
            "runtime": f"openvino {openvino.__version__}",
            "device": device,
            "device_name": name,
            "capabilities": " ".join(
                sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
            ),
            "instructions": _instructions(),
            "precision": precision,
            "threads": str(compiled.get_property("INFERENCE_NUM_THREADS"))
            if device == "CPU"
            else "",
            "streams": str(streams),
            "batch": "1",
            "form": request.form,
            "pixels": request.pixels,
            "size": "x".join(map(str, request.size)) if request.size else "any",
            "graph": str(GRAPH_VERSION),
            "model": model.sha256,
        }
        self.description = (
            f"OpenVINO {openvino.__version__.split('-')[0]} on {name}, {precision}, "
            f"{streams} stream{'s' if streams > 1 else ''}"
        )

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        """See `engines.engine.Engine`."""
        if self._closed:
            raise RuntimeError("this engine is closed")
        check_call(self.spec, self._request, frames, statistics)
        shape = frames.shape
        if self._request.form == "measure":
            result = np.empty((shape[0], 2, self.spec.statistics_channels), np.float32)
        else:
            result = np.empty(shape, frames.dtype)
        if statistics is not None:
            statistics = np.broadcast_to(statistics, (shape[0], *statistics.shape[1:]))
        running: list[Any] = []  # arrays that the requests read from until the last wait
        try:
            for index in range(shape[0]):
                request = self._requests[index % len(self._requests)]
                request.wait()
                # OpenVINO shares writeable memory only, though it never writes here.
                inputs = [np.require(frames[index : index + 1], requirements=["C", "W"])]
                if statistics is not None:
                    own = statistics[index : index + 1]
                    inputs.append(np.require(own, np.float32, requirements=["C", "W"]))
                tensors = [openvino.Tensor(array, shared_memory=True) for array in inputs]
                output = openvino.Tensor(result[index : index + 1], shared_memory=True)
                for number, tensor in enumerate(tensors):
                    request.set_input_tensor(number, tensor)
                request.set_output_tensor(0, output)
                running += [inputs, tensors, output]
                request.start_async()
        finally:
            for request in self._requests:
                request.wait()
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._requests = []
        self._compiled = None


@dataclass(frozen=True, slots=True)
class StreamTimings:
    """Seconds for one frame by the number of frames that run at once."""

    seconds: Mapping[int, float]

    @property
    def best(self) -> int:
        """The number to take: more streams must earn their memory with a twentieth of the time."""
        least = min(self.seconds.values())
        return min(count for count, taken in self.seconds.items() if taken <= 1.05 * least)

    def __str__(self) -> str:
        return ", ".join(
            f"{taken:.3f} s a frame with {count} stream{'s' if count > 1 else ''}"
            for count, taken in self.seconds.items()
        )


def measure_streams(
    model: Model, request: EngineRequest, most_seconds: float = 3.0
) -> StreamTimings:
    """Time 1, 2 and 4 streams (no more than threads) on noise of `request.size`.

    Rounds alternate, so that a busy moment of the machine hits all alike; the best round of each
    counts. Stops after about `most_seconds` besides compiling, and after the first round where one
    frame alone takes longer than a third of that.
    """
    if request.size is None:
        raise ValueError("streams are measured at a fixed size")
    probe = _compile(model, request, 1)
    threads = int(probe.get_property("INFERENCE_NUM_THREADS"))
    del probe
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (1, *request.size, 3), np.uint8)
    frames = noise if request.pixels == "uint8" else (noise / 255).astype(np.float32)
    given = model.typical_statistics() if request.form == "statistics" else None
    if request.form == "statistics" and given is None:
        given = np.stack([np.ones(model.spec.statistics_channels)] * 2)[None].astype(np.float32)
    engines = {
        count: OpenVinoEngine(model, replace(request, streams=count), "")
        for count in (1, 2, 4)
        if count <= max(1, threads)
    }
    best = dict.fromkeys(engines, float("inf"))
    begin = time.perf_counter()
    for round_number in range(6):
        for count, engine in engines.items():
            work = np.repeat(frames, max(2, count), axis=0)
            started = time.perf_counter()
            engine(work, given)
            # The first round also allocates: it only counts when there is no time for a second.
            taken = (time.perf_counter() - started) / len(work)
            best[count] = taken if round_number == 1 else min(best[count], taken)
        if time.perf_counter() - begin > most_seconds:
            break
    return StreamTimings(best)


@cache
def _core() -> openvino.Core:
    """One for the process: each would load its own plugins."""
    return openvino.Core()


def _compile(model: Model, request: EngineRequest, streams: int) -> Any:
    device = "CPU" if request.device == "auto" else request.device.upper()
    core = _core()
    if device.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
        raise UserError(
            f"OpenVINO finds no device {request.device!r}",
            f"Choose one of: {', '.join(name.lower() for name in core.available_devices)}",
        )
    options: dict[str, Any] = {"NUM_STREAMS": str(streams)}
    if device == "CPU" and request.threads is not None:
        options["INFERENCE_NUM_THREADS"] = request.threads
    # Deep pixels have more bits than bf16 keeps, so "auto" means fp32 for them.
    precision: str = request.precision
    if precision == "auto":
        can = "BF16" in core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if can and request.pixels == "uint8" else "fp32"
    options["INFERENCE_PRECISION_HINT"] = _PRECISIONS[precision]
    proto = build_graph(model, request.form, request.pixels, request.size, batch=1)
    compiled = core.compile_model(core.read_model(proto.SerializeToString()), device, options)
    if request.precision not in ("auto", _precision_of(compiled)):
        raise UserError(
            f"This {device} does not compute in {request.precision}, it would take "
            f"{_precision_of(compiled)}",
            "Ask for --precision auto or fp32",
        )
    return compiled


def _precision_of(compiled: Any) -> str:
    """What the device really computes in: hints that it cannot follow are silently ignored."""
    used: str = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {theirs: ours for ours, theirs in _PRECISIONS.items()}.get(used, used)


def _instructions() -> str:
    """The instruction sets beyond its baseline that NumPy finds: OpenVINO's kernels go by them."""
    found = np.show_config(mode="dicts")
    return " ".join(found["SIMD Extensions"].get("found", [])) if found else ""
