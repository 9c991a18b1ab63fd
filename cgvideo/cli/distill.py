"""`cgvideo distill`: a small student of a trained generator."""

from pathlib import Path

import typer

from cgvideo.cli.completing import models
from engines.errors import UserError


def distill(
    model: str = typer.Argument(
        ...,
        metavar="MODEL",
        help="The teacher: a name from `cgvideo models`, or a file.",
        autocompletion=models,
    ),
    data: Path | None = typer.Argument(
        None,
        metavar="DATA",
        help="Folder of pictures to translate, or one that holds trainA (and testA).",
    ),
    name: str = typer.Option(..., help="Of the student, and of the run's folder."),
    source: Path | None = typer.Option(
        None, help="Folder of pictures, or a video, in place of DATA."
    ),
    test_source: Path | None = typer.Option(None, help="Pictures to measure on, or a video."),
    family: str | None = typer.Option(
        None, help="resnet, or compact: no work at full size. Default: resnet."
    ),
    base_channels: int | None = typer.Option(None, help="Of the student. Default: 24."),
    blocks: int | None = typer.Option(None, help="Residual blocks. Default: 6."),
    upsampling: str | None = typer.Option(
        None, help="transpose3, transpose4, resize or subpixel. Default: transpose4."
    ),
    reduction: int | None = typer.Option(
        None, help="Of a compact one: its blocks see 1/4 or 1/8 of the size. Default: 4."
    ),
    images: int | None = typer.Option(None, help="Pictures to see. Default: 60000."),
    minutes: float | None = typer.Option(None, help="Time to train, in place of --images."),
    crop: int | None = typer.Option(None, help="Side of what is learnt from. Default: 256."),
    learning_rate: float | None = typer.Option(None, help="Default: 0.0005."),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The run's folder. Default: runs/NAME."
    ),
    as_json: bool = typer.Option(False, "--json", help="Report as JSON, one object a line."),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Teach a small generator to translate as a larger one does, for a share of the arithmetic.

    The same command again goes on where it stopped, whatever stopped it. The student can be used
    under its name at once: cgvideo convert in.mp4 --model NAME.
    """
    given = {
        "name": name, "source": source, "test_source": test_source, "family": family,
        "base_channels": base_channels, "blocks": blocks, "upsampling": upsampling,
        "reduction": reduction, "images": images, "minutes": minutes,
        "crop": crop, "learning_rate": learning_rate,
    }  # fmt: skip
    from cgvideo.cli.train import train_run
    from trainer.config import DISTILL, config_from

    if (data is None) == (source is None):
        raise UserError("Give a folder of pictures, or --source", "One of them, not both")
    given = {key: value for key, value in given.items() if value is not None}
    config = config_from(DISTILL, {"teacher": model}, _layout(data) if data else {}, given)
    train_run(config, None, output or Path("runs") / name, False, as_json)


def _layout(data: Path) -> dict[str, Path]:
    """The pictures in trainA, or else in the folder itself; those in testA, if it is there."""
    if not (data / "trainA").is_dir():
        return {"source": data}
    found = {"source": data / "trainA", "test_source": data / "testA"}
    return {name: folder for name, folder in found.items() if folder.is_dir()}
