"""A generator becomes a file for a runtime: built, run, held to fp32, and only then kept."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.atomic import sync
from engines.errors import UserError, last_line
from engines.graph import GRAPH_VERSION, OPSET, build_graph
from engines.graph.gpu_rewrites import FOR_GPU
from engines.model_file import Model
from engines.openvino_engine import fp32_reference
from engines.openvino_runtime import VERSION, run_file, save_ir
from engines.profile import Profile
from engines.spec import Form
from engines.tensorrt.export import PlanFile, flavour_to_export, plan_file
from engines.verify import LEAST_PSNR, MOST_LEVELS, Parity, Run, check_parity, held_frames

Report = Callable[..., None]
"""Told a step, and how much of it is done (0 to 1) where that is known."""

Target = Literal["onnx", "openvino", "tensorrt"]
ExportPrecision = Literal["fp32", "fp16"]

SUFFIXES: dict[Target, str] = {"onnx": ".onnx", "openvino": ".xml", "tensorrt": ".engine"}
TARGETS: tuple[Target, ...] = get_args(Target)
FORMS: tuple[Form, ...] = get_args(Form)
PRECISIONS: tuple[ExportPrecision, ...] = get_args(ExportPrecision)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What file is wanted. `profile` None takes any size; `batch` None any number of frames.

    For TensorRT there must be both, and `capabilities` ("SM89") are the GPUs it is for, none those
    of most.
    """

    target: Target = "onnx"
    form: Form = "self"
    profile: Profile | None = None
    batch: int | None = None
    precision: ExportPrecision = "fp32"
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written, the first being the one that was asked for, and their parity.

    For TensorRT `parity` is of the graph, run by OpenVINO, and `on_gpu` of the plan itself, None
    where it could not be run.
    """

    files: tuple[Path, ...]
    sidecar: Path
    parity: Parity
    on_gpu: Parity | None = None


def sidecar_of(path: Path) -> Path:
    """The JSON beside an exported file that says what it is."""
    return path.with_name(f"{path.name}.json")


def files_of(path: Path, target: Target) -> tuple[Path, ...]:
    """What an export to `path` writes, or replaces, the sidecar last."""
    weights = [path.with_suffix(".bin")] if target == "openvino" else []
    return (path, *weights, sidecar_of(path))


def export(
    model: Model,
    request: ExportRequest,
    path: Path,
    report: Report = lambda step, done=None: None,
) -> Exported:
    """Write `model` as a file for a runtime, with a sidecar that describes it.

    The file is run on the eight held pictures by OpenVINO in fp32 and compared with our own fp32
    graph, before it gets its name: for TensorRT the graph that it is built from, and the plan as
    well where there is a GPU for it. `report` is told each step, and how much of it is done.

    Raises:
        UserError: the generator has no such form, the picture suffers too much, or the file cannot
            be written, or does not fit in memory.
    """
    if request.form != "self" and not model.spec.statistics_channels:
        raise UserError(
            f"{model.name} has no statistics, so there is no form {request.form!r} of it",
            "Leave --form out",
        )
    if request.target == "tensorrt":
        flavour_to_export(request.capabilities)  # what is missing is told before the work
    report("building the graph")
    graph = _graph(model, request)
    try:
        with tempfile.TemporaryDirectory(prefix=".cgvideo-", dir=path.parent) as folder:
            scratch = Path(folder) / path.name
            if request.target == "tensorrt":
                parity = _checked(model, request, graph.SerializeToString(), report)
                plan = _plan(model, request, graph, report)
                scratch.write_bytes(plan.content)
            else:
                report("writing it")
                plan = None
                _write(graph, request, scratch)
                parity = _checked(model, request, scratch, report)
            files = sorted(Path(folder).iterdir(), key=lambda file: file != scratch)
            described = _describe(model, request, graph, files, parity, plan)
            sidecar = Path(folder) / sidecar_of(path).name
            sidecar.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
            sidecar_of(path).unlink(missing_ok=True)  # it does not speak of what comes now
            for file in (*files, sidecar):
                sync(file)
                file.replace(path.with_name(file.name))
            sync(path.parent)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error})", "Choose another place with -o"
        ) from error
    except (RuntimeError, MemoryError) as error:  # of OpenVINO, which says no more
        raise UserError(
            f"{path} cannot be made ({last_line(error)})",
            "Choose another place with -o if the disk is full, or a smaller --size or --batch",
        ) from error
    written = tuple(path.with_name(file.name) for file in files)
    return Exported(written, sidecar_of(path), parity, plan.parity if plan else None)


def _graph(model: Model, request: ExportRequest) -> onnx.ModelProto:
    size = request.profile.fixed if request.profile else None
    # OpenVINO's own files keep weights in halves around a network that computes as it likes.
    precision = "fp32" if request.target == "openvino" else request.precision
    rewrites = FOR_GPU if request.target == "tensorrt" else None
    return build_graph(
        model,
        request.form,
        size=size,
        batch=request.batch,
        precision=precision,
        rewrites=rewrites,
    )


def _plan(model: Model, request: ExportRequest, graph: onnx.ModelProto, report: Report) -> PlanFile:
    assert request.profile is not None
    plan = plan_file(
        model,
        graph.SerializeToString(),
        request.form,
        request.precision,
        request.profile,
        request.capabilities,
        report,
    )
    if plan.parity is not None:
        _require(model, request, plan.parity)
    return plan


def _write(graph: onnx.ModelProto, request: ExportRequest, path: Path) -> None:
    if request.target == "onnx":
        onnx.checker.check_model(graph, full_check=True)
        path.write_bytes(graph.SerializeToString())
    else:
        save_ir(graph.SerializeToString(), path, request.profile, request.precision == "fp16")


def _checked(model: Model, request: ExportRequest, source: Path | bytes, report: Report) -> Parity:
    """Run a file, or a graph, on the held pictures; raises UserError when it is too far from fp32."""
    size = request.profile.usual if request.profile else None
    frames = list(held_frames(model.spec, size))

    def told() -> Any:
        for number, frame in enumerate(frames):
            report(f"checking it on the held pictures, {number + 1} of {len(frames)}")
            yield frame

    run = _batched(run_file(source), request.batch or 1)
    parity = check_parity(run, request.form, fp32_reference(model, size), told())
    _require(model, request, parity)
    return parity


def _require(model: Model, request: ExportRequest, parity: Parity) -> None:
    if not parity.reaches(request.precision):
        limit = f"{LEAST_PSNR[request.precision]:g} dB"
        if levels := MOST_LEVELS.get(request.precision):
            limit += f" and {levels} level"
        raise UserError(
            f"In {request.precision} {model.name} is {parity} from fp32, where {limit} is the limit",
            "Use --precision fp32" if request.precision != "fp32" else "This is a bug: report it",
        )


def _batched(run: Run, batch: int) -> Run:
    """The same for one frame, of a file that takes `batch` frames at a time."""

    def once(frames: NDArray[Any], statistics: NDArray[np.float32] | None) -> NDArray[Any]:
        return run(np.repeat(frames, batch, axis=0), statistics)[-1:]

    return once


def _describe(
    model: Model,
    request: ExportRequest,
    graph: onnx.ModelProto,
    files: list[Path],
    parity: Parity,
    plan: PlanFile | None,
) -> dict[str, Any]:
    checked = {
        **asdict(parity),
        "pictures": 8,
        "run_by": f"OpenVINO {VERSION} on the CPU, fp32",
        "against": f"graph {GRAPH_VERSION} in fp32, run likewise",
    }
    versions = {
        "cgvideo": version("cgvideo"),
        "graph": GRAPH_VERSION,
        "opset": OPSET,
        "onnx": onnx.__version__,
        "openvino": VERSION,
    }
    built: dict[str, Any] = {}
    if plan is not None:
        built = {"tensorrt": dict(plan.facts)}
        checked = {"graph": checked, "engine": built["tensorrt"].pop("parity")}
        versions["tensorrt"] = built["tensorrt"].pop("version")
    return {
        "target": request.target,
        "form": request.form,
        "precision": request.precision,
        "model": {"name": model.name, "sha256": model.sha256, **model.spec.to_metadata()},
        "inputs": [_tensor(value) for value in graph.graph.input],
        "outputs": [_tensor(value) for value in graph.graph.output],
        "profile": asdict(request.profile) if request.profile else None,
        "multiple_of": model.spec.multiple_of,
        "minimum_size": model.spec.minimum_size,
        "parity": checked,
        **built,
        "versions": versions,
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {
            file.name: {
                "bytes": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in files
        },
    }


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value for dim in kind.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return {"name": value.name, "type": str(dtype), "shape": shape}
