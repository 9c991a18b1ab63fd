"""`cgvideo models`: what there is, and what it does."""

from pathlib import Path

import typer

app = typer.Typer(
    help="List models, describe one, add or remove your own.",
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

    from engines.errors import UserError
    from engines.library import list_models
    from engines.model_file import read_model

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "MB", "does", "terms", "training data"):
        table.add_column(heading, overflow="fold")
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
            card.get("does", ""),
            card.get("terms", "not stated"),
            card.get("data", "not stated"),
        )
    Console(highlight=False).print(table)


@app.command("info")
def info(name: str = typer.Argument(..., help="A model's name, or a model file.")) -> None:
    """Print a model's architecture and card."""
    from engines.library import find_model

    model = find_model(name)
    typer.echo(f"{model.name}: {model.card.get('does', 'no description')}")
    facts = {
        "file": str(model.path),
        "sha256": model.sha256,
        "architecture": model.spec.name,
        "halo": f"{model.spec.halo} pixels",
        "arithmetic": f"{model.spec.macs(360, 640) / 1e9:.1f} GMAC for a frame of 640x360",
        **{key.replace("_", " "): value for key, value in model.card.items() if key != "does"},
    }
    for key, value in facts.items():
        typer.echo(f"  {key}: {value}")


@app.command("add")
def add(
    file: Path = typer.Argument(..., help="A model file (.safetensors)."),
    name: str | None = typer.Option(None, help="Name to give it. Default: the file's."),
) -> None:
    """Put a model among your own, so that it can be used by name."""
    from engines.library import add_model

    entry = add_model(file, name)
    typer.echo(f"{entry.name} is added: use it with --model {entry.name}")


@app.command("remove")
def remove(name: str = typer.Argument(..., help="The name of one of your own models.")) -> None:
    """Remove one of your own models."""
    from engines.library import remove_model

    remove_model(name)
    typer.echo(f"{name} is removed")
