"""An ONNX graph becomes a plan of TensorRT, by one code path for both flavours and API generations.

Generations differ by what modules have, never by their version: TensorRT for RTX compiles for named
capabilities and times nothing, data-centre TensorRT times kernels on the GPU at hand and remembers
that in a timing cache. Enumerations are taken by name, since their numbers have changed.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engines.errors import UserError

if TYPE_CHECKING:
    import tensorrt_rtx_bindings.tensorrt_rtx as trt

Shape = tuple[int, ...]
Shapes = Mapping[str, tuple[Shape, Shape, Shape]]
"""The least, usual and most shape of each input whose shape is not fixed."""

USUAL_CAPABILITIES = ("SM80", "SM86", "SM89", "SM120", "SM121")
"""GPUs from Ampere to Blackwell. Turing (SM75) wants eight channels, so a plan of its own."""

NO_BF16 = "TensorRT cannot compile a generator's transposed convolutions in bf16"

_SMALLER = "Take smaller frames, or fewer at a time"
_REASONS = (
    ("BuildCanceled", "it was cancelled", "Give the same command again"),
    ("OutOfMemory", "its activations do not fit the memory", _SMALLER),
    ("within workspace limit", "its activations do not fit the memory", _SMALLER),
    ("no optimization profile", "the sizes are open and no profile bounds them", "Give --size"),
    ("out of memory", "the GPU's memory is full", _SMALLER),
    ("driver version is insufficient", "NVIDIA's driver is missing, or older than its CUDA", "Update the driver"),
    ("failure with error: 35", "NVIDIA's driver is missing, or older than its CUDA", "Update the driver"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a plan is made.

    `capabilities` ("SM89") are for TensorRT for RTX; none is the GPU at hand. `workspace` is the most
    bytes that activations may take on the GPU, None no limit. `exact` keeps fp32 from becoming
    TF32. `timing_cache` is what an earlier build gave, of the same TensorRT on the same GPU.
    """

    shapes: Shapes = field(default_factory=dict)
    capabilities: Sequence[str] = ()
    workspace: int | None = None
    exact: bool = False
    timing_cache: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """What TensorRT reads, and the timing cache to give to the next build (empty: there is none)."""

    content: bytes
    timing_cache: bytes = b""


def build_plan(
    api: Any,
    graph: bytes,
    options: BuildOptions,
    report: Callable[[float], None] = lambda done: None,
    use_device: Callable[[], None] = lambda: None,
) -> Plan:
    """Build `graph` by the module `api`; `report` is told how much is done, 0 to 1.

    Ctrl-C cancels within a step of TensorRT's. Types are as the graph has them (strongly typed).
    `use_device` makes a GPU the building thread's; else it is the first where there is one.

    Raises:
        UserError: TensorRT does not take the graph or a capability, or finds no way to build it.
    """
    cancelled = threading.Event()
    with ThreadPoolExecutor(1) as pool:  # TensorRT must not meet a KeyboardInterrupt
        built = pool.submit(_build, api, graph, options, Progress(report, cancelled), use_device)
        while True:
            try:
                return built.result(timeout=0.1)
            except TimeoutError:
                continue
            except BaseException:
                cancelled.set()
                raise


def usual_capabilities(api: Any) -> list[str]:
    """Those of USUAL_CAPABILITIES that this TensorRT knows; none for data-centre TensorRT."""
    known = getattr(api, "ComputeCapability", None)
    return [name for name in USUAL_CAPABILITIES if known and name in known.__members__]


class Progress:
    """TensorRT's nested phases as one number; says no to the next step once cancelled.

    TensorRT may tell of them from several threads.
    """

    def __init__(self, report: Callable[[float], None], cancelled: threading.Event) -> None:
        self._report, self._cancelled = report, cancelled
        self._phases: dict[str, tuple[str, int, int]] = {}  # parent, steps, steps done
        self._told = 0.0
        self._lock = threading.Lock()

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """See `tensorrt.IProgressMonitor`."""
        with self._lock:
            self._phases[phase_name] = (parent_phase or "", max(num_steps, 1), 0)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """See `tensorrt.IProgressMonitor`."""
        with self._lock:
            if phase_name in self._phases:
                parent, steps, _ = self._phases[phase_name]
                self._phases[phase_name] = (parent, steps, min(step + 1, steps))
            self._told = max(self._told, self._done(""))  # a phase may begin behind another's end
            self._report(self._told)
        return not self._cancelled.is_set()

    def phase_finish(self, phase_name: str) -> None:
        """See `tensorrt.IProgressMonitor`."""
        with self._lock:
            self._phases.pop(phase_name, None)

    def _done(self, parent: str) -> float:
        """How much of the phases in `parent` is done, 0 to 1."""
        for name, (above, steps, done) in self._phases.items():
            if above == parent and name != parent:
                return min(1.0, (done + self._done(name)) / steps)
        return 0.0


_loggers: list[Any] = []
"""All there ever were: TensorRT keeps the first for itself as long as anything of it is there."""


class Log:
    """What TensorRT said that matters; `api` is its module."""

    def __init__(self, api: Any) -> None:
        errors: list[str] = []
        worst = api.ILogger.Severity.ERROR

        class Logger(api.ILogger):  # type: ignore[misc]
            def log(self, severity: Any, message: str) -> None:
                if severity <= worst:
                    errors.append(message)

        self.errors = errors
        self.logger: Any = Logger()
        _loggers.append(self.logger)

    def made(self, kind: Callable[[Any], Any]) -> Any:
        """A Builder or Runtime with this logger; raises UserError where CUDA does not start."""
        try:
            made = kind(self.logger)
        except TypeError as error:  # what pybind11 makes of a null pointer
            raise self.failure("does not start") from error
        return made

    @property
    def last(self) -> str:
        """The last error, in one line."""
        return " ".join(self.errors[-1].split()) if self.errors else "no reason was given"

    def failure(self, what: str) -> UserError:
        """The error for a failure of `what`, from all that was said."""
        said = "\n".join(self.errors)
        for sign, reason, mend in _REASONS:
            if sign in said:
                return UserError(f"TensorRT {what}: {reason}", mend)
        return UserError(f"TensorRT {what}: {self.last[:300]}", "Run `cgvideo doctor`")


def _build(
    api: Any,
    graph: bytes,
    options: BuildOptions,
    progress: Progress,
    use_device: Callable[[], None],
) -> Plan:
    use_device()  # which one is current is a matter of each thread
    log = Log(api)
    builder: trt.Builder = log.made(api.Builder)
    network: trt.INetworkDefinition = builder.create_network(
        1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    )
    parser: trt.OnnxParser = api.OnnxParser(network, log.logger)
    if not parser.parse(graph):
        raise log.failure("does not take the graph")
    config: trt.IBuilderConfig = builder.create_builder_config()
    if options.exact:
        config.clear_flag(api.BuilderFlag.TF32)
    if options.workspace is not None:
        config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace)
    if options.shapes:
        _bound(api, builder, config, options.shapes)
    timing_cache: trt.ITimingCache | None = None
    if hasattr(api, "ComputeCapability"):
        _name_capabilities(api, config, options.capabilities)
    else:
        timing_cache = config.create_timing_cache(options.timing_cache)
        config.set_timing_cache(timing_cache, ignore_mismatch=False)
    monitor = _monitor(api, progress)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise log.failure("builds nothing")
    kept = b"" if timing_cache is None else _bytes(timing_cache.serialize())
    return Plan(_bytes(plan), kept)


def _bytes(memory: Any) -> bytes:
    """Of TensorRT's memory, whose type does not say that it is a buffer."""
    return bytes(memory)


def _bound(api: Any, builder: "trt.Builder", config: "trt.IBuilderConfig", shapes: Shapes) -> None:
    """One profile; a second would nearly double the plan."""
    profile = builder.create_optimization_profile()
    for name, bounds in shapes.items():
        profile.set_shape(name, *(api.Dims(shape) for shape in bounds))
    if config.add_optimization_profile(profile) < 0:
        raise UserError(
            f"TensorRT takes no profile of {dict(shapes)}", "Give sizes that grow: MIN:OPT:MAX"
        )


def _name_capabilities(api: Any, config: Any, names: Sequence[str]) -> None:
    known = api.ComputeCapability.__members__
    config.num_compute_capabilities = max(len(names), 1)
    for index, name in enumerate(names or ["CURRENT"]):
        if name not in known or not config.set_compute_capability(known[name], index):
            there = ", ".join(each.lower() for each in known if each.startswith("SM"))
            raise UserError(f"TensorRT for RTX builds nothing for {name}", f"Choose of {there}")


def _monitor(api: Any, progress: Progress) -> Any:
    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        phase_start = staticmethod(progress.phase_start)
        step_complete = staticmethod(progress.step_complete)
        phase_finish = staticmethod(progress.phase_finish)

    return Monitor()
