"""`cgvideo export`: a model becomes a file for a runtime."""

from pathlib import Path
from typing import Any, cast

import typer

from cgvideo.cli.completing import models, words
from engines.errors import UserError


def export(
    model: str = typer.Argument(
        ...,
        metavar="MODEL",
        help="A name from `cgvideo models`, or a model file.",
        autocompletion=models,
    ),
    target: str = typer.Option(
        ...,
        "--target",
        "-t",
        help="What to write: onnx, openvino or tensorrt.",
        autocompletion=words("onnx", "openvino", "tensorrt"),
    ),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="File to write (.onnx, .xml, .engine), or an existing folder. Default: MODEL with that"
        " ending in the current folder.",
    ),
    form: str = typer.Option(
        "self",
        help="self: statistics of the norms computed inside. statistics: given as an input."
        " measure: gives the statistics in place of pixels.",
    ),
    size: str | None = typer.Option(
        None,
        help="1080p, 720p, WIDTHxHEIGHT, or MIN:OPT:MAX of such, rounded up to what the model"
        " takes. Default: any size; for tensorrt 64x64:1920x1080:3840x2160.",
    ),
    batch: int | None = typer.Option(
        None, help="Frames in a call. Default: 1 with --size and for tensorrt, else any number."
    ),
    precision: str | None = typer.Option(
        None,
        help="fp32 or fp16 (half the size; statistics stay in fp32). Default: fp32, for tensorrt"
        " fp16.",
        autocompletion=words("fp32", "fp16"),
    ),
    gpu: str | None = typer.Option(
        None,
        help="For tensorrt: what it is for, as sm86,sm89. Default: sm80, sm86, sm89, sm120 and"
        " sm121, which is Ampere (RTX 30) to Blackwell (RTX 50).",
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace an existing file. Default: refuse."
    ),
    as_json: bool = typer.Option(False, "--json", help="Report as JSON, one object a line."),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Write a model as file for ONNX, OpenVINO or TensorRT, checked against fp32 on eight pictures.

    A sidecar, FILE.json, says what the file takes and gives and how close it is. For TensorRT no
    GPU is needed: the graph is checked, and the engine too where there is a GPU that runs it.
    """
    from cgvideo.cli.reports import emit
    from cgvideo.cli.steps import steps
    from engines.export import FORMS, PRECISIONS, SUFFIXES, TARGETS, ExportRequest, files_of
    from engines.export import export as write
    from engines.library import find_model
    from engines.profile import parse_profile
    from engines.tensorrt.build import NO_BF16
    from engines.tensorrt.export import USUAL_SIZES, parse_capabilities

    for_tensorrt = target == "tensorrt"
    precision = precision or ("fp16" if for_tensorrt else "fp32")
    if for_tensorrt and precision == "bf16":
        raise UserError(NO_BF16, "Use --precision fp16")
    for flag, value, known in (
        ("--target", target, TARGETS),
        ("--form", form, FORMS),
        ("--precision", precision, PRECISIONS),
    ):
        if value not in known:
            raise UserError(f"{flag} {value} is unknown", f"Known: {', '.join(known)}")
    found = find_model(model)
    suffix = SUFFIXES[cast(Any, target)]
    path = output or Path(f"{found.name}{suffix}")
    path = path / f"{found.name}{suffix}" if path.is_dir() else path
    if path.suffix != suffix:  # OpenVINO takes no other case
        raise UserError(f"{path} does not end in {suffix}", f"Files for {target} do")
    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist", "Make it first")
    for taken in files_of(path, cast(Any, target)):
        if taken.exists() and not overwrite:
            raise UserError(f"{taken} exists already", "Give --overwrite, or another name with -o")
    profile = None
    if batch is not None and batch < 1:
        raise UserError(f"A batch of {batch} holds no frame", "Give --batch 1 or more")
    if gpu is not None and not for_tensorrt:
        raise UserError("--gpu is for TensorRT alone", "Leave it out, or give --target tensorrt")
    capabilities = parse_capabilities(gpu) if gpu is not None else ()
    if for_tensorrt:
        size = size or USUAL_SIZES
    if size is not None:
        batch = batch or 1
        profile = parse_profile(size, found.spec, batch)
    request = ExportRequest(
        cast(Any, target), cast(Any, form), profile, batch, cast(Any, precision), capabilities
    )
    with steps(f"{found.name} for {target}", as_json) as report:
        exported = write(found, request, path, report)
    if as_json:
        emit(
            "done",
            files=[str(file) for file in exported.files],
            sidecar=str(exported.sidecar),
            psnr=exported.parity.psnr,
            levels=exported.parity.levels,
            **({"run_here": exported.on_gpu is not None} if for_tensorrt else {}),
        )
        return
    for file in exported.files:
        typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    what = f"{exported.sidecar}: what it takes and gives; "
    if not for_tensorrt:
        typer.echo(f"{what}{exported.parity} from fp32")
    elif exported.on_gpu is not None:
        typer.echo(f"{what}run on this GPU, {exported.on_gpu} from fp32")
    else:
        typer.echo(f"{what}its graph is {exported.parity} from fp32; the engine was not run here")
