"""`cgvideo export`: a model becomes a file for a runtime."""

from pathlib import Path
from typing import Any, cast

import typer

from engines.errors import UserError


def export(
    model: str = typer.Argument(..., help="A name from `cgvideo models`, or a model file."),
    target: str = typer.Option(..., "--target", "-t", help="What to write: onnx or openvino."),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="File to write (.onnx, .xml), or an existing folder. Default: MODEL.onnx or MODEL.xml"
        " in the current folder.",
    ),
    form: str = typer.Option(
        "self",
        help="self: statistics of the norms computed inside. statistics: given as an input."
        " measure: gives the statistics in place of pixels.",
    ),
    size: str | None = typer.Option(
        None,
        help="1080p, 720p, WIDTHxHEIGHT, or MIN:OPT:MAX of such, rounded up to what the model"
        " takes. Default: any size.",
    ),
    batch: int | None = typer.Option(
        None, help="Frames in a call. Default: 1 with --size, else any number."
    ),
    precision: str = typer.Option(
        "fp32", help="fp32 or fp16 (half the size; statistics stay in fp32)."
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace an existing file. Default: refuse."
    ),
    as_json: bool = typer.Option(False, "--json", help="Report as JSON, one object a line."),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Write a model as ONNX or OpenVINO file, checked against fp32 on eight pictures.

    A sidecar, FILE.json, says what the file takes and gives and how close it is.
    """
    from cgvideo.cli.reports import emit
    from cgvideo.cli.steps import steps
    from engines.export import FORMS, PRECISIONS, SUFFIXES, TARGETS, ExportRequest, files_of
    from engines.export import export as write
    from engines.library import find_model
    from engines.profile import parse_profile

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
    if size is not None:
        batch = batch or 1
        profile = parse_profile(size, found.spec, batch)
    request = ExportRequest(
        cast(Any, target), cast(Any, form), profile, batch, cast(Any, precision)
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
        )
        return
    for file in exported.files:
        typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    typer.echo(f"{exported.sidecar}: what it takes and gives; {exported.parity} from fp32")
