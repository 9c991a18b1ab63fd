"""Sheets of the same few test pictures, so that progress can be seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from engines.atomic import replacing

GAP = 4  # pixels of white between pictures
COLUMNS = "columns"
"""The text in a sheet's PNG that names its columns, a line each."""
UNPAIRED = ("source", "translated", "back", "target", "translated", "back")
PAIRED = ("source", "translated", "what it should be")
TAUGHT = ("source", "teacher", "student")


@torch.no_grad()
def sample_sheet(
    path: Path,
    to_target: nn.Module,
    to_source: nn.Module | None,
    pictures: Sequence[tuple[Tensor, Tensor]],
    teacher: nn.Module | None = None,
) -> None:
    """Write a PNG, a row for each pair of pictures `[1, 3, H, W]` in [-1, 1].

    Unpaired: source, its translation, that translated back; target, likewise. Paired (`to_source` is
    None): source, its translation, what it should be. With a teacher: source, its translation, that by
    the student `to_target`. The names of the columns stand in the file.
    """
    columns = UNPAIRED if to_source is not None else TAUGHT if teacher is not None else PAIRED
    rows = []
    for source, target in pictures:
        translated = to_target(source)
        row = [source, translated, target]
        if teacher is not None:
            row = [source, teacher(source), translated]
        elif to_source is not None:
            back = to_source(target)
            row = [source, translated, to_source(translated), target, back, to_target(back)]
        rows.append([_pixels(each) for each in row])
    path.parent.mkdir(parents=True, exist_ok=True)
    about = PngInfo()
    about.add_text(COLUMNS, "\n".join(columns))
    with replacing(path) as scratch:
        Image.fromarray(_grid(rows)).save(scratch, "PNG", pnginfo=about)


def _pixels(values: Tensor) -> np.ndarray:
    bytes_ = (values[0].float() * 127.5 + 127.5).round().clamp(0, 255).byte()
    return bytes_.permute(1, 2, 0).cpu().numpy()


def _grid(rows: list[list[np.ndarray]]) -> np.ndarray:
    """All pictures on white, in columns of one width."""
    column = max(each.shape[1] for row in rows for each in row) + GAP
    height = sum(max(each.shape[0] for each in row) + GAP for row in rows) - GAP
    sheet = np.full((height, column * len(rows[0]) - GAP, 3), 255, np.uint8)
    top = 0
    for row in rows:
        for number, each in enumerate(row):
            left = number * column
            sheet[top : top + each.shape[0], left : left + each.shape[1]] = each
        top += max(each.shape[0] for each in row) + GAP
    return sheet
