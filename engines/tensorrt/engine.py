"""Generators on NVIDIA GPUs by TensorRT: a plan, run on frames that cross while others are computed."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from engines.crossing import ArraySpec, Crossing
from engines.engine import EngineRequest, check_call, empty_results, frame_by_frame
from engines.errors import UserError
from engines.spec import GeneratorSpec
from engines.tensorrt.build import Log
from engines.tensorrt.cuda import CudaCoreDevice, cuda_errors

if TYPE_CHECKING:
    import tensorrt_rtx_bindings.tensorrt_rtx as trt
    from cuda import core

BATCH = 8  # frames in a call: the ring fills and empties once
MOST_SIDE = 4096
"""Engines for any size (pictures) take sides up to this. Memory is taken for the size in hand."""


class PlanRefusedError(RuntimeError):
    """TensorRT does not take a plan, or it is another generator's: built again it may be right."""


class TensorRtEngine:
    """An `Engine` on TensorRT. Frames run one by one, so that the batch has no part in their bytes.

    Raises PlanRefusedError when TensorRT does not take the plan, another RuntimeError when the GPU
    lacks the memory or a call fails, UserError when the driver is too old.
    """

    @cuda_errors()
    def __init__(
        self,
        spec: GeneratorSpec,
        request: EngineRequest,
        api: Any,
        plan: bytes,
        runtime_cache: bytes = b"",
        keep: Callable[[bytes], None] = lambda cache: None,
        number: int = 0,
    ) -> None:
        """`request` leaves nothing open; `number` is the GPU's.

        TensorRT for RTX compiles for the GPU when it first runs: `keep` is given the outcome, unless
        `runtime_cache` is one that an earlier engine of this plan gave and is taken.
        """
        self.spec = spec
        self.batch = BATCH
        self.identity: Mapping[str, str] = {}
        self.description = self.why = ""
        self._request = request
        self._api = api
        self._device = CudaCoreDevice(number)
        self._log = Log(api)
        runtime: trt.Runtime = self._log.made(api.Runtime)
        engine: trt.ICudaEngine | None = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise PlanRefusedError(str(self._failure("does not take the plan")))
        self._check_tensors(engine)
        self._cache: Any = None
        self._kept = False
        self._keep = keep
        self._context: trt.IExecutionContext | None = self._new_context(engine, runtime_cache)
        self._owned: list[Any] = [engine, runtime]  # each must outlive what was made of it
        self._frames: _Frames | None = None
        if request.size is not None:
            self._frames = self._ready_for(request.size)

    @property
    def crossings(self) -> Mapping[str, float]:
        """See `engines.engine.Engine`."""
        return self._frames.crossing.seconds if self._frames else {}

    @cuda_errors()
    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        """See `engines.engine.Engine`."""
        if self._context is None:
            raise RuntimeError("this engine is closed")
        check_call(self.spec, self._request, frames, statistics)
        if self._request.size is None and max(frames.shape[1:3]) > MOST_SIDE:
            raise UserError(
                f"TensorRT engines take pictures of up to {MOST_SIDE} pixels a side",
                f"Use --max-size {MOST_SIDE}, or --backend openvino",
            )
        self._device.use()
        size = (frames.shape[1], frames.shape[2])
        if self._frames is None or self._frames.size != size:
            self._frames = None  # its memory is free before the next is taken
            self._frames = self._ready_for(size)
        results = empty_results(self.spec, self._request, frames)
        for index, result in enumerate(self._frames.crossing(frame_by_frame(frames, statistics))):
            results[index] = result[0]
        return results

    def _new_context(
        self, engine: "trt.ICudaEngine", runtime_cache: bytes
    ) -> "trt.IExecutionContext":
        """A context whose memory is ours: as much as the frames in hand need."""
        api: Any = self._api
        ours = api.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(api, "IRuntimeCache"):
            context: trt.IExecutionContext | None = engine.create_execution_context(ours)
        else:
            config: Any = engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(ours)
            # Kernels for the shape in hand would take turns with general ones: not the same bytes.
            strategies = api.DynamicShapesKernelSpecializationStrategy
            config.dynamic_shapes_kernel_specialization_strategy = strategies.NONE
            config.cuda_graph_strategy = api.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            self._cache = config.create_runtime_cache()
            self._kept = bool(runtime_cache) and self._cache.deserialize(runtime_cache)
            if runtime_cache and not self._kept:
                self._cache.reset()
            config.set_runtime_cache(self._cache)
            context = engine.create_execution_context(config)
        if context is None:
            raise self._failure("makes no context")
        return context

    def _check_tensors(self, engine: "trt.ICudaEngine") -> None:
        inputs, outputs = self._tensors((1, 1))
        wanted = {**inputs, **outputs}
        there = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        if sorted(there) != sorted(wanted):
            raise PlanRefusedError(f"the plan has the tensors {there}, not {list(wanted)}")
        for name, form in wanted.items():
            dtype = self._api.nptype(engine.get_tensor_dtype(name))
            if np.dtype(dtype) != np.dtype(form.dtype):
                raise PlanRefusedError(f"the plan's {name} is {np.dtype(dtype)}, not {form.dtype}")

    def _tensors(self, size: tuple[int, int]) -> tuple[dict[str, ArraySpec], dict[str, ArraySpec]]:
        """What goes in and out for frames of a size, by name."""
        frame = ArraySpec((1, *size, 3), self._request.pixels)
        packed = ArraySpec((1, 2, self.spec.statistics_channels), "float32")
        inputs = {"frames": frame}
        if self._request.form == "statistics":
            inputs["statistics"] = packed
        measures = self._request.form == "measure"
        return inputs, {"statistics": packed} if measures else {"translated": frame}

    def _ready_for(self, size: tuple[int, int]) -> "_Frames":
        """Shapes set, memory found, addresses bound, and run once so that all is compiled."""
        context, device = self._context, self._device
        assert context is not None
        inputs, outputs = self._tensors(size)
        for name, form in inputs.items():
            if not context.set_input_shape(name, form.shape):
                raise self._failure(f"does not take {name} {list(form.shape)}")
        if missing := context.infer_shapes():
            raise RuntimeError(f"TensorRT wants shapes for {missing}")
        needed = context.update_device_memory_size_for_shapes()
        activations = device.memory((max(needed, 1),), np.uint8)
        context.set_device_memory(int(activations.handle), needed)
        bound = {
            name: device.memory(form.shape, form.dtype)
            for name, form in {**inputs, **outputs}.items()
        }
        for name, buffer in bound.items():
            if not context.set_tensor_address(name, int(buffer.handle)):
                raise self._failure(f"does not take an address for {name}")
        lane = device.lane()
        self._enqueue(lane)
        device.wait(device.mark(lane))
        if self._cache is not None and not self._kept:
            self._keep(bytes(self._cache.serialize()))
            self._kept = True
        sources = [bound[name] for name in inputs]
        (result,) = (bound[name] for name in outputs)
        run = self._captured(lane) or self._enqueue

        def compute(
            given: Sequence["core.Buffer"], target: "core.Buffer", lane: "core.Stream"
        ) -> None:
            # Always the same addresses, so that one capture serves all slots of the ring.
            for source, ours in zip(given, sources, strict=True):
                device.copy(source, ours, lane)
            run(lane)
            device.copy(result, target, lane)

        (output,) = outputs.values()
        crossing = Crossing(device, list(inputs.values()), output, compute)
        return _Frames(size, crossing, [activations, *bound.values()])

    def _enqueue(self, lane: "core.Stream") -> None:
        assert self._context is not None
        if not self._context.execute_async_v3(int(lane.handle)):
            raise self._failure("does not run")

    def _captured(self, lane: "core.Stream") -> Callable[["core.Stream"], None] | None:
        """The work as a CUDA graph; None where TensorRT captures for itself, or cannot be captured."""
        if hasattr(self._api, "CudaGraphStrategy"):
            return None
        building = lane.create_graph_builder().begin_building()
        try:
            with cuda_errors():
                try:
                    self._enqueue(building.stream)
                finally:
                    captured = building.end_building()  # fails too when the work could not be
                launch: Callable[[core.Stream], None] = captured.complete().launch
        except RuntimeError:
            return None
        return launch

    def _failure(self, what: str) -> RuntimeError:
        return RuntimeError(f"TensorRT {what}: {self._log.last[:300]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._device.use()  # who closes it may be another thread
        self._frames = self._context = self._cache = None
        while self._owned:
            self._owned.pop(0)  # the engine before the runtime


class _Frames:
    """What is ready for frames of one size; `held` lives as long."""

    def __init__(
        self, size: tuple[int, int], crossing: Crossing[Any, Any, Any], held: list[Any]
    ) -> None:
        self.size, self.crossing, self._held = size, crossing, held
