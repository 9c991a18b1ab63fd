"""The choice of a backend, and its engine made ready."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from engines.engine import BACKENDS, PRECISIONS, Engine, EngineRequest, check_size
from engines.errors import UserError, first_line, last_line
from engines.model_file import Model
from engines.store import EngineStore
from engines.survey.driver import driver
from engines.survey.machine import memory
from engines.tensorrt.flavour import PIP_RTX, installed


def open_engine(
    model: Model, request: EngineRequest | None = None, store: EngineStore | None = None
) -> Engine:
    """Choose a backend for `model` and make it ready.

    What takes time to build is taken from `store`, and verified and kept there the first time;
    without a store, or of a model that has no `sha256` to be told by, it is built for this once.

    Raises UserError when the request cannot be met: a backend that is not installed, a device or
    precision that this machine lacks.
    """
    request = request or EngineRequest()
    if not model.sha256:
        store = None
    if request.size is not None:
        check_size(model.spec, *request.size)
    for option, number in (("threads", request.threads), ("streams", request.streams)):
        if number is not None and number < 1:
            raise UserError(f"{number} {option} cannot run anything", "Give 1 or more")
    if request.precision not in PRECISIONS:
        raise UserError(
            f"There is no precision {request.precision!r}", f"Known: {', '.join(PRECISIONS)}"
        )
    if request.backend not in BACKENDS:
        raise UserError(f"There is no backend {request.backend!r}", f"Known: {', '.join(BACKENDS)}")
    if request.backend != "auto":
        return _open(model, request, "as asked", store)
    ways = _ways(request)
    failed = ""
    for way, why in ways:
        try:
            return _open(model, way, f"{failed}{why}", store)
        except UserError as error:
            # Who named a device wants that one; on a GPU that was found here all may go wrong.
            if request.device != "auto" or (way, why) == ways[-1]:
                raise
            failed = f"{error.problem}; "
    raise AssertionError("there is always a way")


def memory_for(request: EngineRequest) -> int | None:
    """Bytes of memory of the device that `request` will most likely run on; None if unknown.

    Of a CPU's what this process may have by its cgroup.
    """
    on_gpu = request.backend in ("tensorrt", "torch") or (
        request.backend == "auto" and _ways(request)[0][0].device.startswith("cuda")
    )
    if on_gpu and not request.device.lower().startswith("cpu"):
        number = request.device.lower().partition(":")[2] or "0"
        with suppress(OSError):
            there = driver()
            if there and number.isdigit() and int(number) < len(there.gpus):
                return there.gpus[int(number)].bytes
    return memory().usable


def _open(model: Model, request: EngineRequest, why: str, store: EngineStore | None) -> Engine:
    """An engine of the backend that is named; whatever the runtime stumbles over is a UserError."""
    name, opened = _BACKENDS[request.backend]
    try:
        return opened(model, request, why, store)
    except (RuntimeError, MemoryError) as error:
        # OpenVINO begins with places in its source, PyTorch with the reason.
        reason = last_line(error) if request.backend == "openvino" else first_line(error)
        mend = "Try --backend openvino"
        if request.backend == "openvino":
            mend = "Try a smaller picture, or another --device"
        raise UserError(f"{name} fails on {_where(request)} ({reason})", mend) from error


def _open_openvino(*arguments: Any) -> Engine:
    if find_spec("openvino") is None:
        raise UserError("The openvino backend is not installed", "pip install openvino")
    from engines.openvino_engine import open_openvino

    return open_openvino(*arguments)


def _open_torch(*arguments: Any) -> Engine:
    if find_spec("torch") is None:
        raise UserError("The torch backend is not installed", "pip install 'cgvideo[torch]'")
    opened: Engine = _torch().open_torch(*arguments)
    return opened


def _open_tensorrt(*arguments: Any) -> Engine:
    if not _has("cuda.core"):
        raise UserError("The tensorrt backend is not installed", PIP_RTX)
    try:
        from engines.tensorrt.backend import open_tensorrt
    except ImportError as error:
        raise UserError(
            f"NVIDIA's Python bindings do not load ({first_line(error)})",
            f"Install them again, {PIP_RTX}, or use --backend torch or openvino",
        ) from error
    return open_tensorrt(*arguments)


_BACKENDS: Mapping[str, tuple[str, Callable[..., Engine]]] = {
    "openvino": ("OpenVINO", _open_openvino),
    "torch": ("PyTorch", _open_torch),
    "tensorrt": ("TensorRT", _open_tensorrt),
}


def _torch() -> Any:
    """The module of the torch backend; raises UserError where PyTorch is there but does not load."""
    try:
        import engines.torch_engine
    except (ImportError, OSError) as error:  # OSError: of its libraries, one is missing
        raise UserError(
            f"PyTorch does not load ({first_line(error)})",
            "Install it again, pip install 'cgvideo[torch]', or use --backend openvino",
        ) from error
    return engines.torch_engine


def _where(request: EngineRequest) -> str:
    return "this machine" if request.device == "auto" else request.device


def _ways(request: EngineRequest) -> list[tuple[EngineRequest, str]]:
    """Backends and devices for "auto", the best first, and why."""
    device = request.device.lower()
    on_cpu, plain = replace(request, backend="openvino"), "the fastest backend on CPUs"
    if request.precision == "int8":
        return [(on_cpu, "OpenVINO is the backend for int8")]
    if device.startswith("gpu"):
        return [(on_cpu, "OpenVINO is the backend for Intel GPUs")]
    if device != "auto" and not device.startswith("cuda"):
        return [(on_cpu, plain)]
    try:
        there = driver()
    except OSError as error:
        there, plain = None, f"NVIDIA's driver fails ({error})"
    gpus = there.gpus if there else ()
    number = device.partition(":")[2] or "0"
    gpu = gpus[int(number)] if number.isdigit() and int(number) < len(gpus) else None
    by_torch = replace(request, backend="torch", device="cuda" if device == "auto" else device)
    if gpu is None:
        if device == "auto":
            return [(on_cpu, plain)]
        return [(by_torch, "PyTorch is the backend for CUDA devices")]
    ways = []
    suits = [flavour.name for flavour in installed() if flavour.suits(gpu.capability)]
    if suits and _has("cuda.core") and request.precision != "bf16":
        why = f"{suits[0]} is there for {gpu.name}"
        ways.append((replace(by_torch, backend="tensorrt"), why))
    if _has("torch") or (device != "auto" and not ways):
        ways.append((by_torch, f"PyTorch is there for {gpu.name}"))
    if device == "auto":
        if not ways:
            plain = f"{gpu.name} needs {PIP_RTX} or pip install 'cgvideo[torch]'"
        ways.append((replace(on_cpu, device="cpu"), plain))
    return ways


def _has(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of what it would be in
        return False
