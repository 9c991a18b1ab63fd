"""What a child process finds out about drivers and runtimes: `engines.survey.probes` as a program.

Nothing here is called by the program itself: each of these calls can crash or hang where a driver
is broken. See `engines.survey.probing`.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

import numpy as np

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.library import find_model
from engines.model_file import Model
from engines.spec import GeneratorSpec
from engines.survey.driver import driver, nvidia
from engines.survey.probing import reply
from engines.tensorrt.build import Log
from engines.tensorrt.flavour import installed

SIZE = (64, 64)
SPEED_SECONDS = 1.5

Facts = Mapping[str, Any]


def openvino(device: str = "cpu") -> Facts:
    """Let OpenVINO run a tiny generator; gives the engine's identity and all "devices"."""
    from engines.openvino_runtime import core

    return {**_try("openvino", device, SIZE), "devices": list(core().available_devices)}


def torch(device: str = "auto") -> Facts:
    """Let PyTorch run a tiny generator, on the GPU where it can use one.

    For any size, since for a fixed one it would be compiled first, which takes up to a minute.
    """
    from engines.torch_engine import cuda_works

    if device == "auto":
        device = "cuda" if cuda_works() else "cpu"
    return _try("torch", device, None)


def onnxruntime() -> Facts:
    """Let onnxruntime run a tiny generator."""
    from engines.yardsticks import onnxruntime_network

    _check(onnxruntime_network(tiny_model(), SIZE))
    return {}


def tensorrt(package: str) -> Facts:
    """Let a flavour of TensorRT run a tiny generator on the first GPU, where it is the one for that.

    Else let it make a builder, which data-centre TensorRT is not asked for without a GPU: it would
    crash. "tried" says what was: "", "builder" or "generator"; the last gives the engine's identity.
    """
    flavour = next(each for each in installed() if each.package == package)
    there = driver()
    gpus = there.gpus if there else ()
    if not gpus and not flavour.builds_anywhere:
        return {"tried": ""}
    suited = [each for each in installed() if gpus and each.suits(gpus[0].capability)]
    if suited[:1] == [flavour] and _has_bindings():
        return {"tried": "generator", **_try("tensorrt", "cuda:0", SIZE)}
    api = flavour.load()
    Log(api).made(api.Builder)
    return {"tried": "builder"}


def bindings() -> Facts:
    """Import NVIDIA's Python bindings; gives their version."""
    return {"version": import_module("cuda.core").__version__}


def _has_bindings() -> bool:
    try:
        return bool(bindings())
    except ImportError:
        return False  # a finding of its own


def speed(
    device: str = "auto", rows: str = "360", columns: str = "640", model: str = "summer2winter"
) -> Facts:
    """Seconds a frame of the engine that `convert` would choose by itself, and what that is."""
    size = (int(rows), int(columns))
    noise = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    with open_engine(
        find_model(model), EngineRequest(device=device, streams=1, size=size)
    ) as engine:
        began = time.perf_counter()
        taken: list[float] = []
        while len(taken) < 2 or time.perf_counter() - began < SPEED_SECONDS:
            started = time.perf_counter()
            engine(noise)
            taken.append(time.perf_counter() - started)
            if taken[0] > SPEED_SECONDS:
                break
        return {
            "seconds": statistics.median(taken[1:] or taken),  # the first may set things up
            "identity": dict(engine.identity),
            "description": engine.description,
            "why": engine.why,
        }


def _try(backend: str, device: str, size: tuple[int, int] | None) -> dict[str, Any]:
    request = EngineRequest(cast(Any, backend), device, streams=1, size=size)
    with open_engine(tiny_model(), request) as engine:
        _check(engine)
        return dict(engine.identity)


def _check(engine: Callable[[Any], Any]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), np.uint8)
    result = engine(frames)
    if result.shape != frames.shape or result.dtype != np.uint8:
        raise RuntimeError(f"gives {result.dtype} {list(result.shape)}")
    if result.std() == 0:
        raise RuntimeError("gives a picture without content")


def tiny_model() -> Model:
    """A small generator with random weights."""
    return random_model("tiny", GeneratorSpec(base_channels=8, blocks=1))


def random_model(name: str, spec: GeneratorSpec) -> Model:
    """A generator with random weights, the same each time; it knows no typical statistics."""
    random = np.random.default_rng(0)
    weights = {}
    for layer in spec.layers:
        deviation = (layer.inputs * layer.kernel**2) ** -0.5
        weight = random.normal(0, deviation, layer.weight_shape)
        weights[f"{layer.key}.weight"] = weight.astype(np.float32)
        weights[f"{layer.key}.bias"] = np.zeros(layer.outputs, np.float32)
    return Model(name, spec, weights)


QUESTIONS: Mapping[str, Callable[..., Facts]] = {
    question.__name__: question
    for question in (nvidia, openvino, torch, onnxruntime, tensorrt, bindings, speed)
}

if __name__ == "__main__":
    reply(QUESTIONS)
