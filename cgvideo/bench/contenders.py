"""What can run a model here: our engines, and the yardsticks beside them, made ready."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from numpy.typing import NDArray

from engines.backends import open_engine
from engines.engine import BACKENDS, Engine, EngineRequest
from engines.errors import UserError, first_line
from engines.model_file import Model
from engines.survey.runtimes import Survey
from engines.yardsticks import eager_network, onnxruntime_network

Network = Callable[[NDArray[Any]], NDArray[Any]]

PIP = {"torch": "pip install 'cgvideo[torch]'", "onnxruntime": "pip install onnxruntime"}


@dataclass(frozen=True, slots=True)
class Contender:
    """A network that is ready to run. `seconds` is what a frame took at first, a rough figure."""

    name: str
    network: Network
    seconds: float
    engine: Engine | None = None
    """None for a yardstick"""
    eager: bool = False

    @property
    def batch(self) -> int:
        return 1 if self.engine is None else self.engine.batch


@dataclass(frozen=True, slots=True)
class Field:
    """Who runs, and first of all what `convert` would use by itself; who does not, and why."""

    running: list[Contender]
    failed: dict[str, str]
    notes: list[str]


def make_ready(
    model: Model,
    frame: NDArray[Any],
    backend: str,
    survey: Survey,
    opened: ExitStack,
    say: Callable[[str], None],
) -> Field:
    """Open every engine that `backend` names ("all": every one) and every yardstick, and try it.

    `frame` is uint8 `[1, H, W, 3]` of the size to run. Engines are closed by `opened`.

    Raises:
        UserError: the engine that `convert` would use does not run here.
    """
    size = (frame.shape[1], frame.shape[2])
    notes = _left_out(survey) if backend == "all" else []
    asked = _safe(survey) if backend == "all" else backend
    likely = asked if asked != "auto" else next(iter(_on_gpu(survey)), "openvino")
    if problem := _problem(likely, survey):
        raise UserError(f"{likely} is present but broken: {problem}", "`cgvideo doctor` says more")
    first = EngineRequest(cast(Any, asked), size=size)
    say("making the engine ready that convert would use")
    chosen = opened.enter_context(open_engine(model, first))
    try:
        running = [_tried(_name(chosen), chosen, frame, chosen)]
    except (RuntimeError, MemoryError) as error:
        raise UserError(
            f"The engine that convert would use fails ({first_line(error)})",
            "`cgvideo doctor` may say why; --size 320x180 needs less memory",
        ) from error
    failed: dict[str, str] = {}

    def enter(name: str, make: Callable[[], Contender]) -> None:
        say(f"making ready: {name}")
        try:
            running.append(make())
        except Exception as error:
            failed[name] = first_line(error)

    def engine(request: EngineRequest) -> Contender:
        opening = opened.enter_context(open_engine(model, request))
        return _tried(_name(opening), opening, frame, opening)

    for request in _others(chosen, first, backend, survey):
        words = (request.backend, request.device, request.precision)
        name = " ".join(word for word in words if word not in ("auto", "cpu"))
        if problem := _problem(request.backend, survey):
            failed[name] = problem
        else:
            enter(name, partial(engine, request))
    for package, name, make in _yardsticks(model, size):
        runtime = survey.runtimes[package]
        if runtime.works:
            eager = package == "torch"
            enter(name, lambda: _tried(name, make(), frame, eager=eager))  # noqa: B023
        elif runtime.problem:
            failed[name] = runtime.problem
        else:
            notes.append(f"{package} is not installed: {PIP[package]} gives another yardstick.")
    return Field(running, failed, list(dict.fromkeys(notes)))


def _yardsticks(
    model: Model, size: tuple[int, int]
) -> Iterator[tuple[str, str, Callable[[], Network]]]:
    """The package, the name, and what makes the network."""
    for layout, last in (("", False), (", channels_last", True)):
        yield "torch", f"PyTorch eager fp32{layout}", partial(eager_network, model, last)
    yield "onnxruntime", "onnxruntime fp32", partial(onnxruntime_network, model, size)


def _others(
    chosen: Engine, first: EngineRequest, backend: str, survey: Survey
) -> Iterator[EngineRequest]:
    """What else to ask for: the chosen engine in fp32, other backends, and what has to be asked for."""
    blocks = chosen.spec.family != "unet"
    devices: dict[str, list[str]] = {"openvino": ["cpu"], "torch": [], "tensorrt": []}
    if any(name.startswith("GPU") for name in survey.runtimes["openvino"].facts.get("devices", ())):
        devices["openvino"].append("gpu")
    for name in _on_gpu(survey):
        devices[name].append("cuda")
    own = chosen.identity["backend"]
    device = chosen.identity["device"].lower().removesuffix(":0")
    known = {(own, device, "auto"), (own, device, chosen.identity["precision"])}
    wanted = [(own, device)]
    wanted += [
        (name, place)
        for name in BACKENDS[1:]
        if backend in ("all", name)
        for place in devices[name]
    ]
    for name, place in wanted:
        if name == "tensorrt":
            precisions = ["fp16", "fp32"]
        else:
            narrow = ["int8"] if (name, place) == ("openvino", "cpu") and blocks else []
            precisions = ["auto", "fp32", *narrow]
        for precision in precisions:
            if (name, place, precision) in known:
                continue
            known.add((name, place, precision))
            asked: Any = {"backend": name, "device": place, "precision": precision}
            yield replace(first, **asked)


def _on_gpu(survey: Survey) -> list[str]:
    """The backends that ran a generator on the NVIDIA GPU, in a child, the best first."""
    runtimes = {"tensorrt": survey.tensorrt, "torch": survey.runtimes["torch"]}
    return [name for name, runtime in runtimes.items() if runtime and runtime.on_gpu]


def _safe(survey: Survey) -> str:
    """What to ask for in place of "auto": it must not try here what failed in a child."""
    runtimes = {"tensorrt": survey.tensorrt, "torch": survey.runtimes["torch"]}
    failed = any(runtime and runtime.problem for runtime in runtimes.values())
    if survey.nvidia.problem or (survey.nvidia.gpus and failed):
        return next(iter(_on_gpu(survey)), "openvino")
    return "auto"


def _left_out(survey: Survey) -> list[str]:
    """Which backends do not run on the NVIDIA GPU, and why."""
    if survey.nvidia.problem:
        return [
            f"The NVIDIA GPU is left out ({survey.nvidia.problem}); `cgvideo doctor` says more."
        ]
    if not survey.nvidia.gpus:
        return ["tensorrt is left out: there is no NVIDIA GPU."]
    notes = []
    for name in ("tensorrt", "torch"):
        if name not in _on_gpu(survey):
            why = f" ({problem})" if (problem := _problem(name, survey)) else ""
            notes.append(f"{name} on the GPU is left out{why}; `cgvideo doctor` says more.")
    return notes


def _problem(backend: str, survey: Survey) -> str:
    """What a child found wrong with a backend's runtime: it must not be tried in this process."""
    runtime = survey.tensorrt if backend == "tensorrt" else survey.runtimes[backend]
    return runtime.problem if runtime else ""


def _name(engine: Engine) -> str:
    identity = engine.identity
    where = "" if identity["device"].lower() == "cpu" else f" on {identity['device_name']}"
    return f"{identity['backend']} {identity['precision']}{where}"


def _tried(
    name: str,
    network: Network,
    frame: NDArray[Any],
    engine: Engine | None = None,
    eager: bool = False,
) -> Contender:
    """Run a frame twice, since the first may set things up."""
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        network(frame)
        seconds = time.perf_counter() - began
    return Contender(name, network, seconds, engine, eager)
