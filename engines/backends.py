"""The choice of a backend, and its engine made ready."""

import ctypes
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from engines.engine import BACKENDS, PRECISIONS, Engine, EngineRequest, check_size
from engines.errors import UserError
from engines.model_file import Model
from engines.store import EngineStore


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
    why, free = "as asked", request.backend == "auto" and request.device == "auto"
    if request.backend == "auto":
        request, why = _choose(request)
    if request.backend == "torch":
        if find_spec("torch") is None:
            raise UserError("The torch backend is not installed", "pip install 'cgvideo[torch]'")
        try:
            engine: Engine = _torch().open_torch(model, request, why, store)
        except (RuntimeError, MemoryError) as error:
            reason = _lines(error)[0]
            if not free:
                raise UserError(
                    f"PyTorch fails on {_where(request)} ({reason})", "Try --backend openvino"
                ) from error
            request = replace(request, backend="openvino", device="cpu")
            why = f"PyTorch fails on the GPU ({reason})"
        else:
            return engine
    if find_spec("openvino") is None:
        raise UserError("The openvino backend is not installed", "pip install openvino")
    from engines.openvino_engine import open_openvino

    try:
        return open_openvino(model, request, why, store)
    except (RuntimeError, MemoryError) as error:
        reason = _lines(error)[-1]  # the first are places in its source
        raise UserError(
            f"OpenVINO fails on {_where(request)} ({reason})",
            "Try a smaller picture, or another --device",
        ) from error


def _torch() -> Any:
    """The module of the torch backend; raises UserError where PyTorch is there but does not load."""
    try:
        import engines.torch_engine
    except (ImportError, OSError) as error:  # OSError: of its libraries, one is missing
        raise UserError(
            f"PyTorch does not load ({_lines(error)[0]})",
            "Install it again, pip install 'cgvideo[torch]', or use --backend openvino",
        ) from error
    return engines.torch_engine


def _where(request: EngineRequest) -> str:
    return "this machine" if request.device == "auto" else request.device


def _lines(error: BaseException) -> list[str]:
    """What an error says, at least one line."""
    return str(error).strip().splitlines() or [type(error).__name__]


def _choose(request: EngineRequest) -> tuple[EngineRequest, str]:
    """Backend and device for "auto", and why: an NVIDIA GPU that torch can use, else OpenVINO."""
    device = request.device.lower()
    if request.precision == "int8":
        return replace(request, backend="openvino"), "OpenVINO is the backend for int8"
    if device.startswith("cuda"):
        return replace(request, backend="torch"), "torch is the backend for CUDA devices"
    if device == "auto" and _has_nvidia_driver():
        if find_spec("torch") is None:
            why = (
                "the fastest here without torch (the NVIDIA GPU needs pip install 'cgvideo[torch]')"
            )
            return replace(request, backend="openvino"), why
        try:
            works = _torch().cuda_works()
        except UserError as error:
            return replace(request, backend="openvino"), error.problem
        if works:
            return replace(request, backend="torch", device="cuda"), "there is an NVIDIA GPU"
    if device.startswith("gpu"):
        return replace(request, backend="openvino"), "OpenVINO is the backend for Intel GPUs"
    return replace(request, backend="openvino"), "the fastest backend on CPUs"


def _has_nvidia_driver() -> bool:
    """Ask the driver itself: importing torch only to learn that there is no GPU takes seconds."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )
