"""OpenVINO without its telemetry: the only file that imports it."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.errors import UserError
from engines.profile import Profile
from engines.spec import Pixels

# OpenVINO's telemetry leaves files in the home folder and sends an event on import; None makes the
# import of it fail, which OpenVINO takes as "not installed".
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino  # noqa: E402

VERSION: str = openvino.__version__.split("-")[0]

TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""Our names of precisions, and OpenVINO's."""


_PLAIN = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1"}


@cache
def core() -> Any:
    """One for the process: each would load its own plugins."""
    return openvino.Core()


def find_device(asked: str) -> str:
    """OpenVINO's name of the device that was asked for; raises UserError where there is none."""
    device = "CPU" if asked == "auto" else asked.upper()
    found = core().available_devices
    if device.split(".")[0] not in {name.split(".")[0] for name in found}:
        raise UserError(
            f"OpenVINO finds no device {asked!r}",
            f"Choose one of: {', '.join(name.lower() for name in found)}",
        )
    return device


def capabilities(device: str) -> list[str]:
    """What a device says it can: "BF16", "INT8", "EXPORT_IMPORT" and so on."""
    return sorted(core().get_property(device, "OPTIMIZATION_CAPABILITIES"))


def best_precision(device: str, pixels: Pixels) -> Literal["bf16", "fp32"]:
    """What "auto" means. Deep pixels have more bits than bf16 keeps, so it is fp32 for them."""
    can = "BF16" in capabilities(device)
    return "bf16" if can and pixels == "uint8" else "fp32"


def precision_of(compiled: Any) -> str:
    """What a device really computes in: hints that it cannot follow are silently ignored."""
    used: str = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {theirs: ours for ours, theirs in TYPES.items()}.get(used, used)


def shared(array: NDArray[Any]) -> Any:
    """An array as OpenVINO takes it, without a copy; it must be contiguous and writeable."""
    return openvino.Tensor(array, shared_memory=True)


def machine(device: str) -> dict[str, str]:
    """What of the machine decides the bytes of a result."""
    return {
        "runtime": f"openvino {openvino.__version__}",
        "device": device,
        "device_name": core().get_property(device, "FULL_DEVICE_NAME"),
        "capabilities": " ".join(capabilities(device)),
        "instructions": _instructions(),
    }


def _instructions() -> str:
    """The instruction sets beyond its baseline that NumPy finds: OpenVINO's kernels go by them."""
    found = np.show_config(mode="dicts")
    return " ".join(found["SIMD Extensions"].get("found", [])) if found else ""


def few_threads(threads: int) -> dict[str, Any]:
    """Options for so many threads, which the scheduler may move.

    OpenVINO would bind them to the first cores, and those of several processes all to the same ones:
    two workers of a thread each were no faster than one.
    """
    return {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}


@cache
def usual_threads() -> int:
    """The CPU threads that OpenVINO takes by itself: by the cores it may run on, whatever their quota."""
    given = openvino.opset13.parameter([1])
    least = openvino.Model([openvino.opset13.relu(given)], [given], "least")
    return int(core().compile_model(least, "CPU", _PLAIN).get_property("INFERENCE_NUM_THREADS"))


def save_ir(graph: bytes, path: Path, profile: Profile | None, halves: bool) -> None:
    """Write an ONNX graph as OpenVINO's own two files, `path` (.xml) and its .bin.

    A profile bounds height and width; `halves` keeps the weights in fp16.
    """
    network = core().read_model(graph)
    if profile and not profile.fixed:
        sides = zip(profile.least, profile.most, strict=True)
        height, width = (openvino.Dimension(least, most) for least, most in sides)
        for tensor in network.inputs:
            if tensor.any_name == "frames":
                count = tensor.partial_shape[0]
                bounds = openvino.PartialShape([count, height, width, openvino.Dimension(3)])
                network.reshape({"frames": bounds})
    openvino.save_model(network, str(path), compress_to_fp16=halves)


def load_outputs(
    graph: onnx.ModelProto,
) -> Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]:
    """Load a graph on the CPU in fp32: frames in, all its outputs out."""
    compiled = core().compile_model(core().read_model(graph.SerializeToString()), "CPU", _PLAIN)
    return lambda frames: [values.copy() for values in compiled([frames]).values()]


def load_section(
    graph: onnx.ModelProto, threads: int | None = None
) -> Callable[[list[NDArray[Any]]], dict[str, NDArray[np.float32]]]:
    """Load a graph on the CPU in fp32: all inputs in order, all outputs by name.

    These are valid until the next call.
    """
    options: dict[str, Any] = dict(_PLAIN)
    if threads is not None:
        options |= few_threads(threads)
    compiled = core().compile_model(core().read_model(graph.SerializeToString()), "CPU", options)
    request = compiled.create_infer_request()
    names = [output.any_name for output in compiled.outputs]

    def run(given: list[NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        request.infer(given, share_inputs=True)
        return {name: request.get_output_tensor(n).data for n, name in enumerate(names)}

    return run


def run_file(
    source: Path | bytes,
) -> Callable[[NDArray[Any], NDArray[np.float32] | None], NDArray[Any]]:
    """Load an .onnx or .xml, or the bytes of an .onnx, on the CPU in fp32.

    Frames and statistics go in, its one output comes out.
    """
    network = core().read_model(source if isinstance(source, bytes) else str(source))
    compiled = core().compile_model(network, "CPU", _PLAIN)

    def run(frames: NDArray[Any], statistics: NDArray[np.float32] | None = None) -> NDArray[Any]:
        given = [frames] if statistics is None else [frames, statistics]
        result: NDArray[Any] = compiled(given)[0]
        return result.copy()

    return run
