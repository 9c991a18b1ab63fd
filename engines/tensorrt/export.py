"""A plan for other programs, or another machine: built, described, and run where that is possible."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engines.engine import EngineRequest
from engines.errors import UserError
from engines.graph import GraphPrecision
from engines.model_file import Model
from engines.profile import Profile
from engines.spec import Form
from engines.survey.driver import Gpu, driver
from engines.tensorrt.build import BuildOptions, build_plan, usual_capabilities
from engines.tensorrt.flavour import LEAST, Flavour, flavour_for, flavour_to_build
from engines.tensorrt.network import activation_bytes, shapes_for
from engines.tensorrt.schedule import read_schedule
from engines.verify import Parity, check_parity, held_frames

USUAL_SIZES = "64x64:1920x1080:3840x2160"
NOT_RUN = "not run here"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan, its parity where it could be run, and what its sidecar says of it."""

    content: bytes
    parity: Parity | None
    facts: Mapping[str, Any]


def parse_capabilities(text: str) -> tuple[str, ...]:
    """Read `sm86,sm89`; raises UserError for anything else."""
    names = tuple(part.strip().upper() for part in text.split(","))
    for name in names:
        if not re.fullmatch(r"SM\d{2,3}", name):
            raise UserError(f"{name or text!r} is no GPU architecture", "Write such as sm86,sm89")
    return names


def plan_file(
    model: Model,
    graph: bytes,
    form: Form,
    precision: GraphPrecision,
    profile: Profile,
    capabilities: Sequence[str],
    report: Callable[[str, float | None], None],
) -> PlanFile:
    """Build `graph` for these capabilities ("SM89"), or for those that most GPUs have.

    Raises:
        UserError: the TensorRT that it needs is not installed or has no GPU, it cannot be built, or
            the GPU at hand makes another picture of it.
    """
    flavour, gpu = flavour_to_export(capabilities)
    api = flavour.load()
    memory = activation_bytes(model.spec, precision, profile)
    if flavour.builds_anywhere:
        names = list(capabilities) or _usual(api, gpu)
    else:
        names = []
    step = f"building it by {flavour}; it will take about {_megabytes(memory)} on the GPU"
    report(step, 0.0)
    exact = precision == "fp32"
    options = BuildOptions(shapes_for(model.spec, form, profile), names, exact=exact)
    plan = build_plan(api, graph, options, lambda done: report(step, done)).content
    parity = None
    if gpu and flavour.suits(gpu.capability) and (not names or _name(gpu) in names):
        report(f"running it on {gpu.name}", None)
        parity = _parity(model, form, precision, profile, api, plan)
    schedule = read_schedule(plan)
    facts = {
        "flavour": flavour.name,
        "capabilities": names or [_name(gpu) if gpu else "unknown"],
        "profiles": {name: list(map(list, shape)) for name, shape in options.shapes.items()},
        "options": {"strongly typed": True, "TF32": not exact},
        "onnx_sha256": hashlib.sha256(graph).hexdigest(),
        "memory": {
            "expected": memory,
            **({"activations": schedule.activations} if schedule else {}),
        },
        "launches": schedule.launches if schedule else None,
        "parity": {**asdict(parity), "run_by": f"{flavour} on {gpu.name}"}
        if parity and gpu
        else NOT_RUN,
        "version": flavour.version,
    }
    return PlanFile(plan, parity, facts)


def flavour_to_export(capabilities: Sequence[str]) -> tuple[Flavour, Gpu | None]:
    """What to build with, for these capabilities or the usual, and this machine's GPU if it has one.

    Raises UserError where it is not installed.
    """
    gpu = _gpu()
    if gpu and set(capabilities) <= {_name(gpu)}:
        return flavour_for(gpu.capability, gpu.name), gpu
    return flavour_to_build(), gpu


def _gpu() -> Gpu | None:
    """The first GPU of this machine, if it answers and is one for TensorRT."""
    try:
        there = driver()
    except OSError:
        return None
    first = there.gpus[0] if there and there.gpus else None
    return first if first and first.capability >= LEAST else None


def _usual(api: Any, gpu: Gpu | None) -> list[str]:
    """Those of most GPUs; on a machine with one of another kind, for that one."""
    names = usual_capabilities(api)
    if gpu and _name(gpu) not in names and _name(gpu) in api.ComputeCapability.__members__:
        return [_name(gpu)]
    return names


def _name(gpu: Gpu) -> str:
    return "SM{}{}".format(*gpu.capability)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _parity(
    model: Model,
    form: Form,
    precision: GraphPrecision,
    profile: Profile,
    api: Any,
    plan: bytes,
) -> Parity | None:
    """How far the plan's pictures are from fp32 on this GPU."""
    if profile.batch > 1:
        return None  # our engines run frame by frame
    try:  # a plan can be built where NVIDIA's bindings are not installed
        from engines.tensorrt.engine import TensorRtEngine
    except ImportError:
        return None
    from engines.openvino_engine import fp32_reference

    size = profile.usual  # of sizes that vary, one that surely is among them
    request = EngineRequest("tensorrt", precision=precision, form=form, size=size)
    with TensorRtEngine(model.spec, request, api, plan) as engine:
        frames = held_frames(model.spec, size)
        return check_parity(engine, form, fp32_reference(model, size), frames)
