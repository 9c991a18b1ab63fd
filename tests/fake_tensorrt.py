"""TensorRT and CUDA that record what they are asked, and compute on the CPU what a GPU would.

Memory is the host's, streams run at once, a plan is the ONNX graph behind a header, and a context
runs it by OpenVINO in fp32 on the memory that is bound: pixels are right only if shapes, addresses
and the order of calls are. Two generations: that of data-centre TensorRT 10, and TensorRT for RTX.
"""

import ctypes
import enum
import threading
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest

from engines.openvino_runtime import core as openvino_core
from engines.survey.driver import Driver, Gpu
from engines.tensorrt.flavour import Flavour

GENERATIONS = ("tensorrt_rtx", "tensorrt")
HEADER = b"fake plan of "


class Record(list):
    """The names of calls in order, with what matters of their arguments."""

    def __call__(self, *what):
        self.append(what if len(what) > 1 else what[0])

    def names(self):
        return [what[0] if isinstance(what, tuple) else what for what in self]


# CUDA, as cuda.core has it.


class CUDAError(Exception):
    __module__ = "cuda.core._utils.cuda_utils"


class Buffer:
    def __init__(self, record, size):
        self._record, self._memory = record, np.zeros(size + 256, np.uint8)
        start = -self._memory.ctypes.data % 256
        self.array = self._memory[start : start + size]
        self.size, self.handle = size, self.array.ctypes.data

    def copy_from(self, source, *, stream):
        self._record("copy", stream.handle)
        stream.run(lambda: np.copyto(self.array, source.array))


class Stream:
    def __init__(self, record, number):
        self._record, self.handle, self.captured = record, number, None
        self.broken = False
        STREAMS[number] = self

    def run(self, task):
        if self.captured is None:
            task()
        else:
            self.captured.append(task)

    def record(self, options):
        assert options.timing_enabled
        return Event()

    def wait(self, event):
        self._record("wait", self.handle)

    def sync(self):
        pass

    def create_graph_builder(self):
        return GraphBuilder(self._record, self)


class GraphBuilder:
    def __init__(self, record, stream):
        self._record, self.stream = record, stream
        self.tasks = []

    def begin_building(self):
        self.stream.captured = self.tasks
        return self

    def end_building(self):
        self.stream.captured = None
        if self.stream.broken:
            raise CUDAError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
        return self

    def complete(self):
        self._record("captured")
        return SimpleNamespace(launch=self._launch)

    def _launch(self, stream):
        self._record("launch", stream.handle)
        for task in self.tasks:
            task()


class Event:
    def sync(self):
        pass

    def __sub__(self, other):
        return 0.5  # milliseconds


STREAMS: dict[int, Stream] = {}


def fake_cuda(record, current, troubles):
    class Device:
        def __init__(self, number):
            self.number = number

        def set_current(self):
            record("set_current")
            current.number = self.number

        def create_stream(self):
            return Stream(record, 1000 + len(STREAMS))

        def allocate(self, size, *, stream):
            record("allocate", size)
            if "memory" in troubles:
                raise CUDAError("CUDA_ERROR_OUT_OF_MEMORY: no more")
            return Buffer(record, size)

    class Pinned:
        def allocate(self, size):
            return Buffer(record, size)

    return SimpleNamespace(
        Device=Device,
        LegacyPinnedMemoryResource=Pinned,
        EventOptions=SimpleNamespace,
    )


# TensorRT.


class Context:
    def __init__(self, record, graph, troubles):
        self._record, self._graph, self._troubles = record, graph, troubles
        network = openvino_core().read_model(graph.SerializeToString())
        hint = {"INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = openvino_core().compile_model(network, "CPU", hint)
        self.shapes, self.addresses, self.memory = {}, {}, None

    def set_input_shape(self, name, shape):
        self._record("set_input_shape", name, tuple(shape))
        if "shape" in self._troubles:
            return False
        self.shapes[name] = tuple(shape)
        return True

    def infer_shapes(self):
        self._record("infer_shapes")
        return [value.name for value in self._graph.graph.input if value.name not in self.shapes]

    def update_device_memory_size_for_shapes(self):
        self._record("update_device_memory_size_for_shapes")
        return 4096

    def set_device_memory(self, memory, size):
        self._record("set_device_memory", size)
        assert memory % 256 == 0
        self.memory = memory

    def set_tensor_address(self, name, address):
        self._record("set_tensor_address", name)
        self.addresses[name] = address
        return "address" not in self._troubles

    def execute_async_v3(self, stream):
        self._record("execute_async_v3")
        assert self.memory, "no memory for activations"
        if "run" in self._troubles:
            return False
        if "capture" in self._troubles and STREAMS[stream].captured is not None:
            STREAMS[stream].broken = True
            return False
        STREAMS[stream].run(self._compute)
        return True

    def _compute(self):
        given = []
        for value in self._graph.graph.input:
            shape = self.shapes[value.name]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            given.append(_array(self.addresses[value.name], shape, dtype))
        result = self._compiled(given)[0]
        name = self._graph.graph.output[0].name
        np.copyto(_array(self.addresses[name], result.shape, result.dtype), result)


def _array(address, shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).reshape(shape)


class Engine:
    def __init__(self, record, graph, troubles):
        self._record, self._graph, self._troubles = record, graph, troubles
        self._values = [*graph.graph.input, *graph.graph.output]
        self.num_io_tensors = len(self._values)

    def get_tensor_name(self, number):
        return self._values[number].name

    def get_tensor_dtype(self, name):
        return next(v.type.tensor_type.elem_type for v in self._values if v.name == name)

    def create_runtime_config(self):
        record = self._record
        record("create_runtime_config")

        class Config:
            dynamic_shapes_kernel_specialization_strategy = "LAZY"
            cuda_graph_strategy = "DISABLED"

            def set_execution_context_allocation_strategy(self, strategy):
                record("strategy", strategy.name)

            def create_runtime_cache(self):
                return RuntimeCache(record)

            def set_runtime_cache(self, cache):
                record("set_runtime_cache")
                return True

        return Config()

    def create_execution_context(self, how):
        if hasattr(how, "cuda_graph_strategy"):
            self._record("kernels", how.dynamic_shapes_kernel_specialization_strategy.name)
            self._record("graphs", how.cuda_graph_strategy.name)
        else:
            self._record("strategy", how.name)
        return (
            None
            if "context" in self._troubles
            else Context(self._record, self._graph, self._troubles)
        )


class RuntimeCache:
    def __init__(self, record):
        self._record = record

    def deserialize(self, blob):
        self._record("cache", bytes(blob))
        return bytes(blob) == b"compiled"

    def reset(self):
        self._record("cache reset")
        return True

    def serialize(self):
        return memoryview(b"compiled")


class Builder:
    def __init__(self, record, current):
        self._record, self._current = record, current

    def create_network(self, flags):
        self._record("create_network", flags)
        return SimpleNamespace(graph=None)

    def create_builder_config(self):
        return Config(self._record)

    def create_optimization_profile(self):
        return SimpleNamespace(
            set_shape=lambda name, *shapes: self._record("profile", name, *shapes)
        )

    def build_serialized_network(self, network, config):
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, 2)
        for step in range(2):
            if not monitor.step_complete("Building", step):
                return None
        monitor.phase_finish("Building")
        self._record("built on", getattr(self._current, "number", 0))
        self._record("built")
        return memoryview(HEADER + network.graph)


class Config:
    def __init__(self, record):
        self._record = record
        self.num_compute_capabilities = 0

    def clear_flag(self, flag):
        self._record("clear_flag", flag.name)

    def set_memory_pool_limit(self, pool, size):
        self._record("limit", pool.name, size)

    def add_optimization_profile(self, profile):
        return 0

    def set_compute_capability(self, capability, index):
        self._record("capability", capability.name)
        return True

    def create_timing_cache(self, content):
        self._record("timing cache", bytes(content))
        return SimpleNamespace(serialize=lambda: memoryview(b"timed"))

    def set_timing_cache(self, cache, ignore_mismatch):
        return True


def fake_tensorrt(generation, record, current, troubles):
    """The module; `troubles` names what goes wrong."""
    api = ModuleType(generation)

    class ILogger:
        Severity = enum.IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)

    class OnnxParser:
        def __init__(self, network, logger):
            self._network = network

        def parse(self, graph):
            self._network.graph = graph
            return True

    def starts(logger):
        if "driver" in troubles:  # as data-centre TensorRT does it
            logger.log(ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def builder(logger):
        starts(logger)
        return Builder(record, current)

    class Runtime:
        def __init__(self, logger):
            starts(logger)
            self._logger = logger

        def deserialize_cuda_engine(self, plan):
            record("deserialize")
            if "plan" in troubles or not bytes(plan).startswith(HEADER):
                self._logger.log(
                    ILogger.Severity.ERROR, "Rebuild the engine with\n the same version"
                )
                return None
            return Engine(record, onnx.load_from_string(bytes(plan)[len(HEADER) :]), troubles)

    def names(name, members):
        return enum.Enum(name, members)

    rtx = generation == "tensorrt_rtx"
    api.ILogger = ILogger
    api.IProgressMonitor = object
    api.Builder = builder
    api.OnnxParser, api.Runtime = OnnxParser, Runtime
    api.Dims = tuple
    api.nptype = onnx.helper.tensor_dtype_to_np_dtype
    api.BuilderFlag = names("BuilderFlag", "TF32")
    api.MemoryPoolType = names("MemoryPoolType", "WORKSPACE")
    api.NetworkDefinitionCreationFlag = enum.IntEnum("Flag", {"STRONGLY_TYPED": 0 if rtx else 1})
    api.ExecutionContextAllocationStrategy = names("Strategy", "STATIC USER_MANAGED")
    if rtx:
        api.ComputeCapability = names("ComputeCapability", "CURRENT SM75 SM80 SM86 SM89 SM120")
        api.IRuntimeCache = RuntimeCache
        api.CudaGraphStrategy = names("Graphs", "DISABLED WHOLE_GRAPH_CAPTURE")
        api.DynamicShapesKernelSpecializationStrategy = names("Kernels", "LAZY EAGER NONE")
    return api


@contextmanager
def fake_gpu(generation, troubles=(), gpus=1):
    """A machine with GPUs and this generation of TensorRT; gives the record of what was asked."""
    record, current = Record(), threading.local()
    capability = (8, 9) if generation == "tensorrt_rtx" else (9, 0)
    driver = Driver("580.1", (13, 0), (Gpu("NVIDIA Fake", capability, 8 << 30),) * gpus)
    with pytest.MonkeyPatch.context() as patch:
        import engines.tensorrt.cuda

        patch.setattr(engines.tensorrt.cuda, "core", fake_cuda(record, current, troubles))
        for place in ("tensorrt.backend", "tensorrt.export", "backends", "survey.probes"):
            patch.setattr(f"engines.{place}.driver", lambda: driver)
        for place in ("tensorrt.flavour", "backends", "survey.probes"):
            patch.setattr(f"engines.{place}.installed", lambda: (Flavour(generation, "0.0"),))
        api = fake_tensorrt(generation, record, current, troubles)
        patch.setitem(__import__("sys").modules, generation, api)
        yield record
