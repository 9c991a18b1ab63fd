"""TensorRT as a backend: a plan from the store, or built and verified, and the engine that runs it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engines.engine import EngineRequest
from engines.errors import UserError
from engines.graph import GRAPH_VERSION, GraphPrecision
from engines.model_file import Model
from engines.profile import Profile, bounds_of
from engines.spec import GeneratorSpec
from engines.store import Built, EngineStore, Kept
from engines.survey.driver import Driver, Gpu, driver
from engines.tensorrt.build import NO_BF16, BuildOptions, build_plan
from engines.tensorrt.cuda import use_device
from engines.tensorrt.engine import MOST_SIDE, PlanRefusedError, TensorRtEngine
from engines.tensorrt.flavour import Flavour, flavour_for
from engines.tensorrt.network import graph_for, shapes_for
from engines.verify import VERIFY_SECONDS, Parity, check_parity, held_frames, pictures_digest


def open_tensorrt(
    model: Model, request: EngineRequest, why: str, store: EngineStore | None = None
) -> TensorRtEngine:
    """Make an engine ready: its plan from `store`, or built now and verified on the held pictures.

    Raises:
        UserError: there is no NVIDIA GPU or no TensorRT for it, the precision is none of its, or the
            picture suffers from it.
        RuntimeError: TensorRT fails.
    """
    number, there = _gpu(request.device)
    gpu = there.gpus[number]
    flavour = flavour_for(gpu.capability, gpu.name)
    decided = _decided(request, number)
    key = _key(model, decided, flavour, gpu) | {"driver": there.version or f"CUDA {there.cuda}"}
    maker = _Maker(model, decided, flavour, flavour.load(), gpu, number, key, store)
    kept = store.get(key, maker.build) if store else _unkept(maker.build())
    parity = Parity(kept.facts["psnr"], kept.facts["levels"])
    mend = "Use --backend openvino" if decided.precision == "fp32" else "Use --precision fp32"
    if harm := parity.why_not(decided.precision, request.precision, mend):
        return open_tensorrt(model, replace(request, precision="fp32"), f"{why}; {harm}", store)
    try:
        engine = maker.open(kept.content)
    except PlanRefusedError:
        if kept.built_now or store is None:
            raise
        kept = store.put(key, maker.build())  # whole, and ours, and yet TensorRT does not take it
        engine = maker.open(kept.content)
    if kept.built_now and store:
        why += f"; built now and {'kept' if kept.kept else 'not kept'}"
    engine.why = why
    engine.description = f"{flavour} on {gpu.name}, {decided.precision}"
    # What is built by the clock is never built twice alike.
    built = {"plan": hashlib.sha256(kept.content).hexdigest()[:16]}
    engine.identity = {**key, **built, "device": decided.device, "streams": "1", "batch": "1"}
    return engine


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes and opens one engine, wholly decided."""

    model: Model
    request: EngineRequest
    flavour: Flavour
    api: Any
    gpu: Gpu
    number: int
    key: Mapping[str, str]
    store: EngineStore | None

    def build(self) -> Built:
        """A plan, verified; nothing of one that harms the picture."""
        spec, request = self.model.spec, self.request
        profile = _profile(spec, request.size)
        timing = {name: self.key[name] for name in ("runtime", "device_name", "driver")}
        timing |= {"backend": "tensorrt", "what": "timing cache"}
        timed = self.store.find(timing) if self.store else None
        options = BuildOptions(
            shapes_for(spec, request.form, profile),
            # Of any size the largest need not fit: memory is taken for the size in hand.
            workspace=self.gpu.bytes if request.size else None,
            exact=request.precision == "fp32",
            timing_cache=timed.content if timed else b"",
        )
        precision: GraphPrecision = "fp16" if request.precision == "fp16" else "fp32"
        graph = graph_for(self.model, request.form, precision, profile, request.pixels)
        device = partial(use_device, self.number)
        plan = build_plan(self.api, graph, options, use_device=device)
        if plan.timing_cache and self.store:
            self.store.put(timing, Built(plan.timing_cache))
        # Imported here: only who is verified needs the other runtime.
        from engines.openvino_engine import fp32_reference

        with self.open(plan.content) as engine:
            reference = fp32_reference(self.model, request.size)
            frames = held_frames(spec, request.size)
            form, pixels = request.form, request.pixels
            parity = check_parity(engine, form, reference, frames, pixels, VERIFY_SECONDS)
        facts = {"model": self.model.name, "psnr": parity.psnr, "levels": parity.levels}
        return Built(plan.content if parity.reaches(request.precision) else b"", facts)

    def open(self, plan: bytes) -> TensorRtEngine:
        """The engine of a plan, with what TensorRT for RTX compiled for this GPU before."""
        key = {**self.key, "plan": hashlib.sha256(plan).hexdigest(), "what": "runtime cache"}
        compiled = self.store.find(key) if self.store else None

        def keep(cache: bytes) -> None:
            if self.store:
                self.store.put(key, Built(cache))

        return TensorRtEngine(
            self.model.spec,
            self.request,
            self.api,
            plan,
            compiled.content if compiled else b"",
            keep,
            self.number,
        )


def _gpu(device: str) -> tuple[int, Driver]:
    """The number of the GPU that was asked for, and what drives it."""
    name, _, number = device.lower().partition(":")
    if name not in ("auto", "cuda") or not (number or "0").isdigit():
        raise UserError(f"TensorRT does not run on {device!r}", "Use --device cuda")
    try:
        there = driver()
    except OSError as error:
        raise UserError(f"NVIDIA's driver fails ({error})", "Run `cgvideo doctor`") from error
    if there is None or not there.gpus:
        raise UserError(
            "TensorRT runs on NVIDIA GPUs, and there is none with a driver here",
            "Use --backend openvino",
        )
    index = int(number or 0)
    if index >= len(there.gpus):
        raise UserError(f"There is no GPU {index}", f"There are {len(there.gpus)}, from 0")
    return index, there


def _decided(request: EngineRequest, number: int) -> EngineRequest:
    """The request with its device and precision named."""
    precision = request.precision
    if precision == "auto":
        # Deep pixels have more bits than fp16 keeps.
        precision = "fp16" if request.pixels == "uint8" else "fp32"
    if precision == "bf16":
        raise UserError(NO_BF16, "Use --precision fp16 or auto")
    if precision not in ("fp16", "fp32"):
        raise UserError(f"TensorRT does not compute in {precision} here", "Use --precision auto")
    return replace(request, device=f"cuda:{number}", precision=precision)


def _profile(spec: GeneratorSpec, size: tuple[int, int] | None) -> Profile:
    if size is not None:
        return Profile(size, size, size)
    return bounds_of(spec, (MOST_SIDE, MOST_SIDE))


def _key(model: Model, request: EngineRequest, flavour: Flavour, gpu: Gpu) -> dict[str, str]:
    """All that decides what a plan is, but for the driver and what its build measures."""
    major, minor = gpu.capability
    return {
        "backend": "tensorrt",
        "runtime": f"{flavour.package} {flavour.version}",
        "device": "cuda",  # of several GPUs that are alike any
        "device_name": gpu.name,
        "capabilities": f"sm{major}{minor}",
        "precision": request.precision,
        "threads": "",
        "form": request.form,
        "pixels": request.pixels,
        "size": "x".join(map(str, request.size)) if request.size else "any",
        "graph": str(GRAPH_VERSION),
        "pictures": pictures_digest(),
        "model": model.sha256,
    }


def _unkept(built: Built) -> Kept:
    return Kept(built.content, built.facts, built_now=True, kept=False)
