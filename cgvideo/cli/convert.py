"""`cgvideo convert`: files in, files out."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engines.errors import UserError

if TYPE_CHECKING:
    from cgvideo.cli.display import Display
    from cgvideo.pipeline import StopRequest
    from cgvideo.plan import Settings
    from engines.model_file import Model

INTERRUPTED = 130


def convert(
    inputs: list[Path] = typer.Argument(..., help="Videos and pictures (PNG, JPEG) to convert."),
    model: str = typer.Option(
        "summer2winter", "--model", "-m", help="A name from `cgvideo models`, or a model file."
    ),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="File to write, or an existing folder. Default: INPUT.MODEL.mp4 beside the input.",
    ),
    start: float = typer.Option(0.0, help="Begin so many seconds into the clip."),
    duration: float | None = typer.Option(None, help="Convert so many seconds. Default: all."),
    max_size: int | None = typer.Option(
        None, help="Shrink so that the longer side has at most so many pixels. Default: as it is."
    ),
    strength: float = typer.Option(
        1.0, help="Blend with the source: 0 is the source, 1 the full translation."
    ),
    codec: str = typer.Option(
        "h264", help="h264 (plays everywhere), hevc (smaller), ffv1 (lossless)."
    ),
    crf: float | None = typer.Option(
        None, help="Quality, 0 to 51: lower is better and larger. Default: 17 (h264), 20 (hevc)."
    ),
    preset: str | None = typer.Option(
        None, help="Encoder's effort, ultrafast to veryslow. Default: medium (h264), fast (hevc)."
    ),
    pix_fmt: str | None = typer.Option(
        None, help="Pixel format of the encoder. Default: yuv420p; yuv444p where a side is odd."
    ),
    no_audio: bool = typer.Option(
        False, "--no-audio", help="Leave the sound out. Default: keep it."
    ),
    compare: bool = typer.Option(
        False, "--compare", help="Write source and result side by side. Default: the result alone."
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace an existing output. Default: refuse."
    ),
    backend: str = typer.Option("auto", help="Runtime: auto, openvino or torch."),
    device: str = typer.Option("auto", help="Device of the runtime: auto, cpu, gpu or cuda."),
    precision: str = typer.Option(
        "auto", help="auto, fp32, bf16 or fp16. Default: bf16 where the CPU has it, else fp32."
    ),
    threads: int | None = typer.Option(None, help="CPU threads of the engine. Default: all cores."),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Print the plan and what it will cost, and stop."
    ),
    as_json: bool = typer.Option(False, "--json", help="Report as JSON, one object a line."),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Convert videos and pictures.

    A run that was interrupted goes on where it stopped: give the same command again.
    """
    from cgvideo.plan import Settings
    from engines.library import find_model

    display = open_display(as_json)
    settings = Settings(
        output=output,
        start=start,
        duration=duration,
        max_size=max_size,
        strength=strength,
        codec=codec,
        crf=crf,
        preset=preset,
        pixel_format=pix_fmt,
        audio=not no_audio,
        compare=compare,
        overwrite=overwrite,
        backend=backend,
        device=device,
        precision=precision,
        threads=threads,
    )
    if len(inputs) > 1 and output is not None and not output.is_dir():
        raise UserError(
            f"{output} is not a folder, and there are {len(inputs)} inputs",
            "Give -o an existing folder",
        )
    found = find_model(model)
    failed = 0
    with stopping(display) as stop:
        for source in inputs:
            try:
                convert_one(source, found, settings, display, stop, dry_run)
            except UserError as error:
                if len(inputs) == 1 or debug:
                    raise
                display.failed(source, error)
                failed += 1
    if failed:
        raise UserError(f"{failed} of {len(inputs)} inputs could not be converted", "See above")


def open_display(as_json: bool) -> "Display":
    """The display that suits where the output goes."""
    from cgvideo.cli.display import JsonDisplay, PlainDisplay, TerminalDisplay

    if as_json:
        return JsonDisplay()
    return TerminalDisplay() if sys.stderr.isatty() else PlainDisplay()


def convert_one(
    source: Path,
    model: "Model",
    settings: "Settings",
    display: "Display",
    stop: "StopRequest",
    dry_run: bool = False,
) -> None:
    """Convert one file with everything said to the user.

    Raises:
        UserError: something the user can mend.
        typer.Exit: the user stopped it.
    """
    from cgvideo.codec.images import is_picture
    from cgvideo.convert import convert_picture, prepared, remember_choices
    from cgvideo.estimate import estimate
    from cgvideo.pipeline import Stopped, run

    if source.is_dir():
        raise UserError(f"{source} is a folder", "Name the files in it")
    if is_picture(source):
        if dry_run:
            display.note(f"{source} is a picture: it would be translated with {model.name}")
        else:
            display.picture_done(source, convert_picture(source, model, settings))
        return
    display.preparing(source)
    with prepared(source, model, settings) as (plan, engine):
        display.explain(plan, engine, model, estimate(plan, engine))
        if dry_run:
            return
        remember_choices(plan)
        try:
            with display:
                result = run(plan, engine, display, stop)
        except Stopped as stopped:
            display.stopped(plan, stopped)
            raise typer.Exit(INTERRUPTED) from None
    display.finished(result)


@contextmanager
def stopping(display: "Display") -> Iterator["StopRequest"]:
    """Ctrl-C once asks the run to stop at a good moment, twice stops at once.

    Stopping at once is safe at any moment: what is committed is on the disk, and what is not has
    no name that anyone looks for.
    """
    from cgvideo.pipeline import StopRequest

    stop = StopRequest()

    def interrupt(number: int, frame: Any) -> None:
        if stop.wanted:
            display.leave()
            os._exit(INTERRUPTED)
        stop.wanted = True
        display.stopping()

    before = {sign: signal.signal(sign, interrupt) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
