"""`cgvideo demo`: see what it does, with nothing at hand."""

from pathlib import Path

import typer

from cgvideo.cli.completing import models

NAME = "cgvideo-demo"
SAMPLE_RATE = 48_000
NEXT = """
Now a clip of your own:
  cgvideo convert YOURS.mp4 --model {model} --dry-run                  what it will take
  cgvideo convert YOURS.mp4 --model {model} --start 5 --duration 4     four seconds of it
  cgvideo convert YOURS.mp4 --model {model}                            all of it, with its sound
Pictures and folders work the same way. Other looks: cgvideo models; one of your own: cgvideo train."""


def demo(
    folder: Path = typer.Option(
        Path(), "--output", "-o", help="Existing folder to write into. Default: the current one."
    ),
    model: str = typer.Option(
        "summer2winter",
        "--model",
        "-m",
        help="A name from `cgvideo models`, or a model file.",
        autocompletion=models,
    ),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Render a summer valley of its own, translate it, and write before and after.

    Needs no clip, no network and no GPU. Files of an earlier demo are replaced.
    """
    from cgvideo.cli.display import open_display
    from cgvideo.cli.files import convert_one
    from cgvideo.cli.interrupt import interruptibly
    from cgvideo.codec.decode import VideoSource
    from cgvideo.codec.images import Picture, write_picture
    from cgvideo.codec.probe import probe
    from cgvideo.codec.render import write_clip
    from cgvideo.demo import FRAME_RATE, SECONDS, frames, sound
    from cgvideo.frame import side_by_side
    from cgvideo.settings import Settings
    from engines.errors import UserError
    from engines.library import find_model

    found = find_model(model)
    if not folder.is_dir():
        raise UserError(f"The folder {folder} does not exist", "Make it first")
    display = open_display(as_json=False)
    source = folder / f"{NAME}.mp4"
    translated = folder / f"{NAME}.{found.name}.mp4"
    beside = folder / f"{NAME}.{found.name}.compare.mp4"
    picture = folder / f"{NAME}.{found.name}.png"

    display.note("drawing a summer valley by formula, a few seconds …")
    music = sound(SECONDS, SAMPLE_RATE)
    write_clip(source, frames(), FRAME_RATE, music, SAMPLE_RATE)
    settings = Settings(output=translated, overwrite=True)
    interruptibly(
        lambda interruption: convert_one(source, found, settings, display, interruption), display
    )

    display.note("putting both side by side …")
    clips = (VideoSource(clip, clip.upright_size) for clip in map(probe, (source, translated)))
    pairs = zip(*(clip.frames() for clip in clips), strict=True)
    together = [side_by_side(before.pixels, after.pixels) for before, after in pairs]
    write_clip(beside, together, FRAME_RATE, music, SAMPLE_RATE)
    write_picture(picture, Picture(together[len(together) // 2]))
    for path, what in (
        (source, "the summer clip"),
        (translated, "translated"),
        (beside, "both side by side"),
        (picture, "before and after"),
    ):
        typer.echo(f"{what + ':':{len('both side by side:')}} {path.resolve()}")
    typer.echo(NEXT.format(model=found.name))
