"""Generators on CPUs (and Intel GPUs) by OpenVINO."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engines.engine import EngineRequest, check_call, empty_results
from engines.errors import UserError, last_line
from engines.graph import GRAPH_VERSION, build_graph
from engines.graph.int8 import measure_ranges, quantised
from engines.model_file import Model
from engines.openvino_runtime import (
    TYPES,
    VERSION,
    best_precision,
    capabilities,
    core,
    few_threads,
    find_device,
    load_outputs,
    machine,
    precision_of,
    shared,
    usual_threads,
)
from engines.spec import Form
from engines.store import Built, EngineStore
from engines.survey.machine import processor
from engines.verify import (
    VERIFY_SECONDS,
    Parity,
    Run,
    check_parity,
    held_frames,
    pictures_digest,
)


def open_openvino(
    model: Model, request: EngineRequest, why: str, store: EngineStore | None = None
) -> "OpenVinoEngine":
    """Decide what `request` leaves open, and make the engine ready: from `store`, where it is there.

    An engine that goes into the store is verified first. Without a store it is compiled as it is.

    Raises:
        UserError: there is no such device, it does not compute in that precision, or the picture
            suffers from it.
    """
    decided = _decided(request)
    try:
        return _opened(model, request, decided, why, store)
    except (RuntimeError, UserError) as error:
        if request.precision != "auto" or decided.precision == "fp32":
            raise
        # OpenVINO goes by the processor; what oneDNN may use of it can be less (ONEDNN_MAX_CPU_ISA).
        why = f"{why}; {decided.precision} fails here ({last_line(error).split('. ')[0]})"
        return open_openvino(model, replace(request, precision="fp32"), why, store)


def _opened(
    model: Model,
    request: EngineRequest,
    decided: EngineRequest,
    why: str,
    store: EngineStore | None,
) -> "OpenVinoEngine":
    device = decided.device
    if request.streams is None:
        decided, why = _with_streams(model, decided, why, store)
    if store is None or "EXPORT_IMPORT" not in capabilities(device):
        return OpenVinoEngine(model, decided, why, _compile(model, decided))
    key = _key(model, decided)
    kept = store.get(key, lambda: _build(model, decided))
    parity = Parity(kept.facts["psnr"], kept.facts["levels"])
    if harm := parity.why_not(decided.precision, request.precision):
        return open_openvino(model, replace(request, precision="fp32"), f"{why}; {harm}", store)
    if kept.built_now:
        why += f"; built now and {'kept' if kept.kept else 'not kept: the cache cannot be written'}"
    try:
        compiled = core().import_model(kept.content, device, _options(decided))
    except RuntimeError:  # whole, and ours, and yet this OpenVINO does not take it
        compiled = _compile(model, decided)
    return OpenVinoEngine(model, decided, why, compiled)


class OpenVinoEngine:
    """An `Engine` on OpenVINO.

    A call runs its frames one by one over `streams` requests at once, so that the batch has no part
    in a frame's bytes.
    """

    def __init__(self, model: Model, request: EngineRequest, why: str, compiled: Any) -> None:
        """`request` leaves nothing open; `compiled` is what OpenVINO made of it."""
        streams = request.streams or 1
        self.spec = model.spec
        self.why = why
        self._request = request
        self._compiled = compiled
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self._closed = False
        self.crossings: Mapping[str, float] = {}
        # Two rounds a call: the second hides the uneven ends of the first.
        self.batch = 1 if streams == 1 else 2 * streams
        device = compiled.get_property("EXECUTION_DEVICES")[0]
        precision = "int8" if request.precision == "int8" else precision_of(compiled)
        self.identity: Mapping[str, str] = {
            **_key(model, request),
            **machine(device),
            "precision": precision,
            "threads": str(compiled.get_property("INFERENCE_NUM_THREADS"))
            if device == "CPU"
            else "",
            "batch": "1",
        }
        self.description = (
            f"OpenVINO {VERSION} on {self.identity['device_name']}, "
            f"{precision}, {streams} stream{'s' if streams > 1 else ''}"
        )

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        """See `engines.engine.Engine`."""
        if self._closed:
            raise RuntimeError("this engine is closed")
        check_call(self.spec, self._request, frames, statistics)
        shape = frames.shape
        result = empty_results(self.spec, self._request, frames)
        if statistics is not None:
            statistics = np.broadcast_to(statistics, (shape[0], *statistics.shape[1:]))
        requests = self._requests
        running: list[Any] = []  # arrays that the requests read from until the last wait
        with ExitStack() as at_the_end:
            for request in requests:
                at_the_end.callback(request.wait)  # each, even where another's fails
            for index in range(shape[0]):
                request = requests[index % len(requests)]
                request.wait()
                # OpenVINO shares writeable memory only, though it never writes here.
                inputs = [np.require(frames[index : index + 1], requirements=["C", "W"])]
                if statistics is not None:
                    own = statistics[index : index + 1]
                    inputs.append(np.require(own, np.float32, requirements=["C", "W"]))
                tensors = [shared(array) for array in inputs]
                output = shared(result[index : index + 1])
                for number, tensor in enumerate(tensors):
                    request.set_input_tensor(number, tensor)
                request.set_output_tensor(0, output)
                running += [inputs, tensors, output]
                request.start_async()
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
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

    def to_json(self) -> bytes:
        """As the store keeps it; `from_json` reads it back."""
        return json.dumps(dict(self.seconds)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "StreamTimings":
        """Read what `to_json` wrote."""
        return cls({int(count): float(taken) for count, taken in json.loads(text).items()})

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
    height, width = request.size
    request = _decided(request)
    alone = OpenVinoEngine(model, request, "", _compile(model, replace(request, streams=1)))
    threads = int(alone.identity["threads"] or 4)
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (1, height, width, 3), np.uint8)
    frames = noise if request.pixels == "uint8" else (noise / 255).astype(np.float32)
    given = model.typical_statistics() if request.form == "statistics" else None
    if request.form == "statistics" and given is None:
        given = np.stack([np.ones(model.spec.statistics_channels)] * 2)[None].astype(np.float32)
    engines = {
        count: open_openvino(model, replace(request, streams=count), "")
        for count in (2, 4)
        if count <= threads
    }
    engines = {1: alone, **engines}
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


def _decided(request: EngineRequest) -> EngineRequest:
    """The request with its device and precision named, and threads where OpenVINO takes too many."""
    device = find_device(request.device)
    threads, most = request.threads, processor().threads
    if device == "CPU" and threads is None and most < usual_threads():
        threads = most  # more than a cgroup's quota would wait for one another
    precision = request.precision
    if precision == "auto":
        precision = best_precision(device, request.pixels)
    if precision == "int8" and "INT8" not in capabilities(device):
        raise UserError(f"This {device} does not compute in int8", "Use --precision auto")
    return replace(request, device=device, precision=precision, threads=threads)


def _with_streams(
    model: Model, request: EngineRequest, why: str, store: EngineStore | None
) -> tuple[EngineRequest, str]:
    """The request with a number of streams, measured once for a fixed size."""
    if request.size is None:
        return replace(request, streams=1), why
    if store is None:
        timings = measure_streams(model, request)
    else:
        key = _key(model, request) | {"what": "stream timings"}
        measured = store.get(key, lambda: Built(measure_streams(model, request).to_json()))
        timings = StreamTimings.from_json(measured.content)
    return replace(request, streams=timings.best), f"{why}; {timings}"


def _build(model: Model, request: EngineRequest) -> Built:
    """Compile, verify, and give what the store keeps: nothing of an engine that harms the picture."""
    compiled = _compile(model, request)
    content: bytes = compiled.export_model().getvalue()
    compiled = core().import_model(content, request.device, _options(request))
    parity = check_parity(
        OpenVinoEngine(model, request, "", compiled),
        request.form,
        fp32_reference(model, request.size),
        held_frames(model.spec, request.size),
        request.pixels,
        VERIFY_SECONDS,
    )
    good = parity.reaches(request.precision)
    facts = {"model": model.name, "psnr": parity.psnr, "levels": parity.levels}
    return Built(content if good else b"", facts)


def fp32_reference(model: Model, size: tuple[int, int] | None) -> Callable[[Form], Run]:
    """What every engine is held to: this graph, by form, in fp32."""

    def run(form: Form) -> Run:
        request = EngineRequest("openvino", "cpu", "fp32", streams=1, form=form, size=size)
        return open_openvino(model, request, "the reference")

    return run


def _key(model: Model, request: EngineRequest) -> dict[str, str]:
    """All that decides what a compiled network is, before it is compiled."""
    return {
        "backend": "openvino",
        **machine(request.device),
        "precision": request.precision,
        "threads": str(request.threads or f"all of {processor().threads}"),
        "streams": str(request.streams or 1),
        "form": request.form,
        "pixels": request.pixels,
        "size": "x".join(map(str, request.size)) if request.size else "any",
        "graph": str(GRAPH_VERSION),
        "pictures": pictures_digest(),  # they tell the parity, and the ranges of 8 bits
        "model": model.sha256,
    }


def _compile(model: Model, request: EngineRequest) -> Any:
    graph = build_graph(model, request.form, request.pixels, request.size, batch=1)
    if request.precision == "int8":
        plain = build_graph(model, batch=1)
        graph = quantised(graph, measure_ranges(plain, load_outputs, held_frames(model.spec)))
    network = core().read_model(graph.SerializeToString())
    compiled = core().compile_model(network, request.device, _options(request))
    used = precision_of(compiled)
    if request.precision not in (used, "int8"):
        raise UserError(
            f"This {request.device} does not compute in {request.precision}, it would take {used}",
            "Ask for --precision auto or fp32",
        )
    return compiled


def _options(request: EngineRequest) -> dict[str, Any]:
    options: dict[str, Any] = {
        "NUM_STREAMS": str(request.streams or 1),
        "INFERENCE_PRECISION_HINT": TYPES[
            best_precision(request.device, request.pixels)  # of what is not in 8 bits
            if request.precision == "int8"
            else request.precision
        ],
    }
    if request.device == "CPU" and request.threads is not None:
        options |= few_threads(request.threads)
    return options
