"""Sheets show what they say."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from trainer.samples import GAP, sample_sheet


class Add(nn.Module):
    """A translation that can be told by its brightness."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return picture + self.levels / 127.5


def shown(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def flat(level: int, height: int = 8, width: int = 12) -> torch.Tensor:
    return torch.full((1, 3, height, width), level / 127.5 - 1)


def test_each_row_is_source_translated_and_back_then_the_target_likewise(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "1.png"
    sample_sheet(path, Add(10), Add(-3), [(flat(100), flat(200)), (flat(50), flat(250))])
    sheet = shown(path)
    assert sheet.shape == (8 + GAP + 8, 6 * 12 + 5 * GAP, 3)
    for top, levels in (
        (0, (100, 110, 107, 200, 197, 207)),
        (8 + GAP, (50, 60, 57, 250, 247, 255)),
    ):
        for column, level in enumerate(levels):
            left = column * (12 + GAP)
            assert (sheet[top : top + 8, left : left + 12] == level).all()
    assert (sheet[8 : 8 + GAP] == 255).all()


def test_of_pairs_it_shows_what_should_be(tmp_path: Path) -> None:
    sample_sheet(tmp_path / "1.png", Add(10), None, [(flat(100), flat(200, 8, 12))])
    sheet = shown(tmp_path / "1.png")
    assert [int(sheet[0, column * (12 + GAP), 0]) for column in range(3)] == [100, 110, 200]


def test_pictures_of_several_sizes_stand_side_by_side(tmp_path: Path) -> None:
    sample_sheet(
        tmp_path / "1.png", Add(0), None, [(flat(9, 8, 4), flat(8, 4, 8)), (flat(7), flat(6))]
    )
    assert shown(tmp_path / "1.png").shape == (16 + GAP, 3 * 12 + 2 * GAP, 3)
