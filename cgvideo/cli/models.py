"""`cgvideo models`: what there is, what it does, and exchange with the reference PyTorch project."""

import re
from importlib.util import find_spec
from pathlib import Path

import typer

from cgvideo.cli.completing import models
from cgvideo.cli.reports import plain
from engines.errors import UserError

app = typer.Typer(
    help="List models, show or write their cards, add, import, export or remove your own.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def list_them(context: typer.Context) -> None:
    """List models: name, size, what each does, terms, training data."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from engines.library import list_models
    from engines.model_file import read_model

    console = Console(highlight=False, markup=False)
    short = console.is_terminal  # a line a model; `models info` has all of it
    table = Table(box=None, pad_edge=False, expand=short)
    table.add_column("name", no_wrap=True)
    table.add_column("MB", no_wrap=True)
    for heading, share in (("does", 3), ("terms", 2), ("training data", 2)):
        table.add_column(
            heading, ratio=share, no_wrap=short, overflow="ellipsis" if short else "fold"
        )
    for entry in list_models():
        name = entry.name + ("" if entry.built_in else " (yours)")
        try:
            card = read_model(entry.path).card
        except UserError:
            table.add_row(name, "", "damaged", "", "")
            continue
        megabytes = f"{entry.path.stat().st_size / 1e6:.1f}"
        table.add_row(
            name,
            megabytes,
            plain(card.get("does", "")),
            plain(card.get("terms", "not stated")),
            plain(card.get("data", "not stated")),
        )
    console.print(table)
    if console.is_terminal:
        console.print("cgvideo models info NAME says more", style="dim")


@app.command("info")
def info(
    name: str = typer.Argument(
        ..., metavar="MODEL", help="A model's name, or a model file.", autocompletion=models
    ),
) -> None:
    """Print a model's architecture and card."""
    from cgvideo.stages.translate import padded_size
    from engines.library import find_model

    model = find_model(name)
    spec = model.spec
    height, width = padded_size((360, 640), spec.multiple_of, spec.minimum_size)
    padded = "" if (height, width) == (360, 640) else f", padded to {width}x{height}"
    typer.echo(plain(f"{model.name}: {model.card.get('does', 'no description')}"))
    facts = {
        "file": str(model.path),
        "sha256": model.sha256,
        "architecture": f"{spec.name} ({spec.description})",
        "sizes": f"multiples of {spec.multiple_of} from {spec.minimum_size} on, others are padded",
        "halo": f"{spec.halo} pixels" if spec.tileable else "none, it takes whole frames only",
        "arithmetic": f"{spec.macs(height, width) / 1e9:.1f} GMAC for a frame of 640x360{padded}",
        **{
            key.replace("_", " "): value
            for key, value in sorted(model.card.items())
            if key != "does"
        },
    }
    for key, value in facts.items():
        typer.echo(plain(f"  {key}: {value}"))


@app.command("add")
def add(
    file: Path = typer.Argument(..., metavar="FILE", help="A model file (.safetensors)."),
    name: str | None = typer.Option(None, help="Name to give it. Default: the file's."),
) -> None:
    """Put a model among your own, so that it can be used by name."""
    from engines.library import add_model

    entry = add_model(file, name)
    typer.echo(f"{entry.name} is added: use it with --model {entry.name}")


@app.command("describe")
def describe(
    name: str = typer.Argument(..., help="One of your own models, or a model file."),
    does: str | None = typer.Option(None, help="What it does: summer landscapes to winter."),
    data: str | None = typer.Option(None, help="What it was trained on, and whose that is."),
    terms: str | None = typer.Option(None, help="On what terms others may use it."),
    weaknesses: str | None = typer.Option(None, help="What it does badly."),
) -> None:
    """Write on a model's card what its training cannot know. An empty text takes a line away."""
    from engines.library import describe_model

    given = {"does": does, "data": data, "terms": terms, "weaknesses": weaknesses}
    facts = {key: value for key, value in given.items() if value is not None}
    if not facts:
        raise UserError("There is nothing to write", "Give --does, --data, --terms or --weaknesses")
    typer.echo(f"{describe_model(name, facts)} is written")


@app.command("import")
def import_(
    file: Path = typer.Argument(
        ..., metavar="FILE", help="A generator's checkpoint, such as latest_net_G.pth."
    ),
    name: str | None = typer.Option(
        None, help="Name to give it. Default: the folder's for *_net_G.pth, else the file's."
    ),
    norm: str | None = typer.Option(
        None,
        help="What batch norms go by: 'running', statistics from the training (as with the "
        "project's --eval), or 'picture', each picture's own (as without). Default: running.",
    ),
) -> None:
    """Make a model of a checkpoint of pytorch-CycleGAN-and-pix2pix. Nothing in it is executed."""
    _check_torch()
    from engines.checkpoint import import_checkpoint
    from engines.library import check_name, keep_model

    if norm not in (None, "running", "picture"):
        raise UserError(f"There is no norm {norm!r} to go by", "Known: running, picture")
    name = _name_for(file) if name is None else name
    check_name(name)
    model = import_checkpoint(file, name, "picture" if norm == "picture" else "running")
    entry = keep_model(model)
    spec = model.spec
    typer.echo(f"{entry.name} is {spec.description}; dropout: {model.card['dropout']}")
    if spec.norm == "batch" and norm is None:
        typer.echo("Like the project's --eval; --norm picture gives what it does without")
    if not spec.tileable:
        typer.echo(f"Frames are padded to multiples of {spec.multiple_of}")
    typer.echo(f"Use it with --model {entry.name}")


@app.command("export")
def export(
    name: str = typer.Argument(
        ..., metavar="MODEL", help="A model's name, or a model file.", autocompletion=models
    ),
    output: Path = typer.Option(..., "-o", "--output", help="The checkpoint to write (.pth)."),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace an existing file. Default: refuse."
    ),
) -> None:
    """Write a model as a checkpoint that pytorch-CycleGAN-and-pix2pix loads."""
    _check_torch()
    from engines.checkpoint import export_checkpoint
    from engines.library import find_model

    model = find_model(name)
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already", "Give --overwrite, or another name with -o")
    options = export_checkpoint(model, output)
    typer.echo(f"{output} is written")
    typer.echo(f"The project loads it with {options}")


def _check_torch() -> None:
    if find_spec("torch") is None:
        raise UserError("Checkpoints need PyTorch", "pip install 'cgvideo[torch]'")


def _name_for(file: Path) -> str:
    """The project saves as EPOCH_net_G.pth, or _G_A and _G_B for the two ways, in the run's folder."""
    from engines.library import sane_name

    if saved := re.fullmatch(r"\w+_net_G(_[AB])?", file.stem):
        return sane_name(file.resolve().parent.name + (saved[1] or ""))
    return sane_name(file.stem)


@app.command("remove")
def remove(
    name: str = typer.Argument(..., metavar="MODEL", help="The name of one of your own models."),
) -> None:
    """Remove one of your own models."""
    from engines.library import remove_model

    remove_model(name)
    typer.echo(f"{name} is removed")
