"""A run as a page of HTML that needs nothing else: how it went, and how good it is."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from safetensors import SafetensorError, safe_open

from engines.page import address_of, write_page
from engines.page.charts import Chart, Curve
from trainer.config import TrainConfig
from trainer.log import read_log
from trainer.verdict import headline, in_words

PAGE = "report.html"
SHEET_WIDTH = 1280  # pixels, of few sheets; many share what SHEETS of them would take
SHEETS = 24
LEAST_WIDTH = 480


class Group(NamedTuple):
    """What stands in one chart: keys of the log with their labels; the axis includes `includes`."""

    title: str
    meaning: str
    keys: Mapping[str, str]
    includes: tuple[float, ...] = (0.0,)
    percent: bool = False


class Sheet(NamedTuple):
    """A sheet of samples after so many pictures; its address holds all of its bytes."""

    images_seen: int
    address: str
    width: int


MEASURES = (
    Group(
        "Taken for the target",
        "Translated test pictures that a small classifier takes for the target",
        {
            "taken_for_target": "translated",
            "taken_for_target_ceiling": "real target",
            "taken_for_target_floor": "untouched source",
        },
        (0.0, 1.0),
        percent=True,
    ),
    Group(
        "Taken for the source",
        "The way back, likewise",
        {
            "taken_for_source": "translated",
            "taken_for_source_ceiling": "real source",
            "taken_for_source_floor": "untouched target",
        },
        (0.0, 1.0),
        percent=True,
    ),
    Group(
        "Edges that stay",
        "1: all edges are where they were; 0: anywhere",
        {
            "edges_to_target": "to the target",
            "edges_to_source": "to the source",
            "edges_to_teacher": "to the teacher's",
        },
        (0.0, 1.0),
    ),
    Group(
        "There and back",
        "Likeness of a picture to itself in dB; more is better",
        {"cycle_psnr_source": "source", "cycle_psnr_target": "target"},
        (),
    ),
    Group(
        "Likeness to the true picture", "In dB; more is better", {"psnr_to_truth": "translated"}, ()
    ),
    Group(
        "Distance to the true picture",
        "Levels of 255 a pixel; less is better",
        {"l1_to_truth": "translated"},
    ),
    Group(
        "Likeness to the teacher",
        "In dB, of both translations of a picture; more is better",
        {"psnr_to_teacher": "mean", "worst_psnr_to_teacher": "worst picture"},
        (),
    ),
    Group("Score", "What the best checkpoint is chosen by; more is better", {"score": "score"}),
)
LOSSES = (
    Group(
        "Generators against discriminators",
        "These need not fall: two networks compete",
        {"adversarial_target": "to the target", "adversarial_source": "to the source"},
    ),
    Group(
        "Cycle and identity",
        "What is lost there and back, and of pictures that are there already",
        {
            "cycle_source": "cycle, source",
            "cycle_target": "cycle, target",
            "identity_source": "identity, source",
            "identity_target": "identity, target",
        },
    ),
    Group(
        "L1",
        "Distance to the true picture or the teacher's, as trained on",
        {"l1": "L1", "slopes": "of neighbours' differences"},
    ),
    Group(
        "Discriminators",
        "How much they err; near 0 they always tell real pictures from translations",
        {
            "discriminator_target": "of the target",
            "discriminator_source": "of the source",
            "penalty_target": "penalty, target",
            "penalty_source": "penalty, source",
        },
    ),
    Group("Speed", "Pairs of pictures a second", {"pairs_a_second": "pairs/s"}),
)
ASIDE = {"images_seen", "pictures_measured", "on_training_pictures"}
"""Keys of the log that are no curves."""


def write_report(run_folder: Path) -> Path:
    """Write the report of a run into its folder, from what is there so far; gives its path.

    At any time, also while the run goes on, and of one that has hardly begun. What cannot be read is
    left out. Raises OSError for a folder that cannot be written.
    """
    log = read_log(run_folder / "log.jsonl")
    lines = [line for line in log if isinstance(line["images_seen"], int | float)]
    lines.sort(key=lambda line: line["images_seen"])
    settings = _settings(run_folder / "config.toml")
    sheets, columns = _sheets(run_folder / "samples")
    known = {key for group in (*MEASURES, *LOSSES) for key in group.keys} | ASIDE
    others = {key: key for line in lines for key in line if key not in known}
    name = str(settings.get("name", run_folder.resolve().name))
    path = run_folder / PAGE
    write_page(
        path,
        Path(__file__).with_name(PAGE),
        title=escape(name),
        about=escape(_about(settings, lines)),
        verdict=_verdict(settings, lines),
        sheets=_slider(sheets, columns),
        measures=_charts(MEASURES, lines) or "<p>Nothing has been measured yet.</p>",
        losses=_charts((*LOSSES, Group("Also logged", "", others)), lines)
        or "<p>Nothing has been logged yet.</p>",
        settings=_settings_table(settings),
        models=_models_table(run_folder / "models"),
        notes=_notes(lines),
    )
    return path


def _settings(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _about(settings: Mapping[str, Any], lines: Sequence[Mapping[str, float]]) -> str:
    """What was trained, and how far it is."""
    said = []
    if "method" in settings:
        said.append({"cyclegan": "CycleGAN"}.get(settings["method"], str(settings["method"])))
    if "source" in settings and "target" in settings:
        said.append(f"{Path(settings['source']).name} to {Path(settings['target']).name}")
    seen = int(lines[-1]["images_seen"]) if lines else 0
    whole = settings.get("images")
    if whole and "minutes" not in settings:
        said.append(f"{seen:,} of {whole:,} pictures seen ({100 * seen / whole:.0f} %)")
    else:
        said.append(f"{seen:,} pictures seen")
    said.append(f"written {datetime.now():%Y-%m-%d %H:%M}")
    return " · ".join(said)


def _verdict(settings: Mapping[str, Any], lines: Sequence[Mapping[str, float]]) -> str:
    measured = [line for line in lines if "score" in line or "taken_for_target" in line]
    newest = measured[-1] if measured else {}
    said = list(in_words(newest))
    scored = [line for line in measured if "score" in line]
    if measured:
        count = newest.get("pictures_measured")
        of = f" on {count:.0f} pictures of each kind" if count else ""
        said.append(f"Measured after {newest['images_seen']:,} pictures{of}.")
    if len(scored) > 1:
        best = max(scored, key=lambda line: line["score"])
        at = "the newest" if best is newest else f"the one after {best['images_seen']:,} pictures"
        said.append(f"Of {len(scored)} measurements {at} is the best.")
    if not measured and "evaluate_every" in settings:
        said.append(
            f"It is measured every {settings['evaluate_every']:,} pictures, and at the end."
        )
    sentences = "".join(f"<li>{escape(each)}</li>" for each in said)
    return f"<p class=headline>{escape(headline(newest))}</p><ul>{sentences}</ul>"


def _charts(groups: Sequence[Group], lines: Sequence[Mapping[str, float]]) -> str:
    charts = []
    for title, meaning, keys, includes, percent in groups:
        curves = [
            Curve(label, _points(lines, key), key.endswith(("_floor", "_ceiling")))
            for key, label in keys.items()
        ]
        charts.append(Chart(title, meaning, curves, includes, percent, at="after {}").html())
    return "".join(charts)


def _points(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(pictures seen, value) where the value is there, and a number."""
    values = ((line["images_seen"], line.get(key)) for line in lines)
    return [(x, y) for x, y in values if isinstance(y, int | float) and math.isfinite(y)]


def _sheets(folder: Path) -> tuple[list[Sheet], list[str]]:
    """All sheets that can be read, the oldest first, and the names of their columns."""
    paths = sorted(path for path in folder.glob("*.png") if path.stem.isdigit())
    width = int(max(SHEET_WIDTH * min(1.0, math.sqrt(SHEETS / max(len(paths), 1))), LEAST_WIDTH))
    sheets, columns = list[Sheet](), list[str]()
    for path in paths:
        try:
            with Image.open(path) as opened:
                columns = str(opened.info.get("columns", "")).split("\n")
                picture = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError):
            continue
        if picture.width > width:
            height = max(round(picture.height * width / picture.width), 1)
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        sheets.append(Sheet(int(path.stem), address_of(picture), picture.width))
    return sheets, [each for each in columns if each]


def _slider(sheets: Sequence[Sheet], columns: Sequence[str]) -> str:
    if not sheets:
        return "<p>There are no sample sheets yet.</p>"
    last = len(sheets) - 1
    images = "".join(
        f'<img src="{sheet.address}" data-seen="{sheet.images_seen:,}"'
        f' alt="after {sheet.images_seen:,} pictures"{"" if number == last else " hidden"}>'
        for number, sheet in enumerate(sheets)
    )
    labels = "".join(f"<span>{escape(each)}</span>" for each in columns)
    widest = max(sheet.width for sheet in sheets)
    return (
        f'<div class="slide"><input type="range" id="slider" min="0" max="{last}" value="{last}"'
        f' step="1" aria-label="Sheet"{" disabled" if last == 0 else ""}>'
        f'<output id="seen">after {sheets[-1].images_seen:,} pictures</output></div>'
        f'<div class="sheet" style="max-width: {2 * widest}px"><div class="columns">{labels}</div>'
        f"{images}</div>"
    )


def _settings_table(settings: Mapping[str, Any]) -> str:
    if not settings:
        return "<p>There is no config.toml in the run's folder.</p>"
    usual = {each.name: each.default for each in fields(TrainConfig) if each.default is not MISSING}
    cells = []
    for name, value in settings.items():
        own = name not in usual or usual[name] != value
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        cells.append(
            f"<div{' class=own' if own else ''}><dt>{escape(name.replace('_', ' '))}</dt>"
            f"<dd>{escape(shown)}</dd></div>"
        )
    return f"<dl>{''.join(cells)}</dl><p><small>Bold: not as by default.</small></p>"


def _models_table(folder: Path) -> str:
    rows = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "numpy") as file:
                card: Mapping[str, str] = file.metadata() or {}
            size = path.stat().st_size
        except (OSError, SafetensorError, ValueError):
            continue
        seen, recipe = card.get("images_seen", ""), card.get("recipe", "")
        seen = f"{int(seen):,}" if seen.isdigit() else seen
        rows.append(
            f"<tr><td>{escape(path.name)}</td><td>{size / 1e6:.1f} MB</td>"
            f"<td>{escape(seen)}</td><td>{escape(recipe)}</td></tr>"
        )
    if not rows:
        return "<p>No model has been written yet.</p>"
    head = "<tr><th>file</th><th>size</th><th>after pictures</th><th>recipe</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _notes(lines: Sequence[Mapping[str, Any]]) -> str:
    """What the log says in words: hardware, versions; each as it was last."""
    notes = {key: line[key] for line in lines for key in line if isinstance(line[key], str)}
    if not notes:
        return ""
    cells = "".join(
        f"<div><dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(value)}</dd></div>"
        for key, value in notes.items()
    )
    return f"<section><h2>Hardware and versions</h2><dl>{cells}</dl></section>"
