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
    notes = []
    asked = "auto" if backend == "all" else backend
    trouble = survey.nvidia.problem or (survey.nvidia.gpus and survey.runtimes["torch"].problem)
    if asked == "auto" and trouble:
        asked = "openvino"
        notes.append(f"The NVIDIA GPU is left out ({trouble}); `cgvideo doctor` says more.")
    likely = asked if asked != "auto" else "torch" if _cuda(survey) else "openvino"
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
    blocks = chosen.spec.family == "resnet"
    devices: dict[str, list[str]] = {"openvino": ["cpu"], "torch": []}
    if any(name.startswith("GPU") for name in survey.runtimes["openvino"].facts.get("devices", ())):
        devices["openvino"].append("gpu")
    if _cuda(survey):
        devices["torch"].append("cuda")
    own, device = chosen.identity["backend"], chosen.identity["device"].lower()
    known = {(own, device, "auto"), (own, device, chosen.identity["precision"])}
    wanted = [(own, device)]
    wanted += [
        (name, place)
        for name in BACKENDS[1:]
        if backend in ("all", name)
        for place in devices.get(name, ["auto"])
    ]
    for name, place in wanted:
        narrow = ["int8"] if (name, place) == ("openvino", "cpu") and blocks else []
        for precision in ("auto", "fp32", *narrow):
            if (name, place, precision) in known:
                continue
            known.add((name, place, precision))
            asked: Any = {"backend": name, "device": place, "precision": precision}
            yield replace(first, **asked)


def _cuda(survey: Survey) -> bool:
    return str(survey.runtimes["torch"].facts.get("device", "")).startswith("cuda")


def _problem(backend: str, survey: Survey) -> str:
    """What a child found wrong with a backend's runtime: it must not be tried in this process."""
    return survey.runtimes[backend].problem if backend in survey.runtimes else ""


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
