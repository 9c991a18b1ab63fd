"""`cgvideo engines`: what the engine store holds."""

import typer

app = typer.Typer(
    help="List the engines that were built and kept, or remove them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_them(as_json=False)


@app.command("list")
def list_them(as_json: bool = typer.Option(False, "--json", help="Report as JSON.")) -> None:
    """List the engines that were built and kept, the latest used first."""
    from rich.console import Console
    from rich.table import Table

    from cgvideo.cli.reports import emit
    from engines.store import EngineStore

    store = EngineStore()
    entries = store.entries()
    if as_json:
        for entry in entries:
            emit(
                "engine",
                folder=str(entry.folder),
                bytes=entry.bytes,
                used=entry.used.isoformat(),
                key=dict(entry.key),
                facts=dict(entry.facts),
            )
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "form", "size", "in", "runtime", "MB", "parity", "last used"):
        wide = heading == "runtime"  # its name and version may stand below each other
        table.add_column(heading, overflow="fold", no_wrap=not wide, min_width=9 * wide)
    for entry in entries:
        key, facts = entry.key, entry.facts
        if key.get("what"):
            continue  # a measurement, not an engine
        sides = key.get("size", "").split("x")
        table.add_row(
            str(facts.get("model", key.get("model", "damaged")[:12])),
            key.get("form", ""),
            "x".join(reversed(sides)),
            key.get("precision", ""),
            key.get("runtime", "").split("-")[0],
            f"{entry.bytes / 1e6:.1f}",
            f"{facts['psnr']:.1f} dB" if isinstance(facts.get("psnr"), float) else "",
            f"{entry.used.astimezone():%Y-%m-%d}",
        )
    if table.row_count:
        Console(highlight=False, markup=False).print(table)
    total = sum(entry.bytes for entry in entries) / 1e6
    engines = "1 engine" if table.row_count == 1 else f"{table.row_count} engines"
    typer.echo(f"{engines}, {total:.1f} MB in {store.folder}")


@app.command("clear")
def clear() -> None:
    """Remove all engines that were kept; they are built again when they are needed."""
    from engines.store import EngineStore

    store = EngineStore()
    count, freed = store.clear()
    entries = "1 entry" if count == 1 else f"{count} entries"
    typer.echo(f"{entries} removed, {freed / 1e6:.1f} MB freed in {store.folder}")
