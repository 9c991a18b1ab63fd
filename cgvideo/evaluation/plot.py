"""Curves over time as a PNG, for those who have no browser at hand."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from engines.atomic import replacing
from engines.page.charts import HEIGHT, LEFT, RIGHT, WIDTH, Chart, Drawing

SCALE = 2  # pixels to a unit of a chart's drawing
FINE = 2  # painted so many times as large, then reduced: Pillow's lines have hard edges
COLUMNS = 2
MARGIN, HEAD, FOOT = 24, 46, 26  # units around, above and below a chart's axes
INK, FAINT, GRID, PAPER = "#1d1f21", "#6a6f76", "#e2e2de", "#ffffff"
COLOURS = ("#2563c9", "#d1620f", "#2a8a4a", "#a13bb0", "#b8902a", "#c2334d")
DASH = 7.0  # units of line, and of gap


def write_plot(path: Path, title: str, charts: Sequence[Chart]) -> None:
    """Paint the charts, two beside each other, and write them as PNG, whole or not at all.

    Raises OSError for a folder that cannot be written.
    """
    drawings = [(chart, drawing) for chart in charts if (drawing := chart.drawing()) is not None]
    rows = -(-len(drawings) // COLUMNS)
    cell_width, cell_height = WIDTH + MARGIN, HEAD + HEIGHT + FOOT + MARGIN
    unit = SCALE * FINE
    size = (COLUMNS * cell_width + MARGIN, rows * cell_height + 2 * MARGIN + 20)
    sheet = Image.new("RGB", (size[0] * unit, size[1] * unit), PAPER)
    painter = _Painter(ImageDraw.Draw(sheet), unit)
    painter.text(MARGIN, MARGIN, title, 16, INK)
    for place, (chart, drawing) in enumerate(drawings):
        row, column = divmod(place, COLUMNS)
        painter.x = MARGIN + column * cell_width
        painter.y = 2 * MARGIN + 20 + row * cell_height
        painter.chart(chart, drawing)
    smaller = sheet.resize((size[0] * SCALE, size[1] * SCALE), Image.Resampling.BOX)
    with replacing(path) as scratch:
        smaller.save(scratch, "PNG")


class _Painter:
    """Draws in a chart's units, from (x, y) on."""

    def __init__(self, draw: ImageDraw.ImageDraw, unit: int) -> None:
        self.draw, self.unit = draw, unit
        self.x = self.y = 0.0

    def text(
        self, x: float, y: float, words: str, height: float, colour: str, anchor: str = "la"
    ) -> float:
        """Write and give the width."""
        font = ImageFont.load_default(height * self.unit)
        place = ((self.x + x) * self.unit, (self.y + y) * self.unit)
        self.draw.text(place, words, colour, font, anchor)
        return self.draw.textlength(words, font) / self.unit

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        places = [((self.x + x) * self.unit, (self.y + y) * self.unit) for x, y in points]
        self.draw.line(places, colour, round(width * self.unit), "curve")

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        place = ((self.x + x) * self.unit, (self.y + y) * self.unit)
        self.draw.circle(place, radius * self.unit, colour)

    def chart(self, chart: Chart, drawing: Drawing) -> None:
        self.text(0, 0, chart.title, 14, INK)
        self.text(0, 20, chart.meaning, 11, FAINT)
        self.y += HEAD
        for y, label in drawing.levels:
            self.line([(LEFT, y), (WIDTH - RIGHT, y)], GRID, 1)
            self.text(LEFT - 6, y, label, 11, FAINT, "rm")
        for x, label in drawing.moments:
            self.text(x, HEIGHT - 6, label, 11, FAINT, "rs" if x > WIDTH - RIGHT - 12 else "ms")
        along = float(LEFT)
        for line in drawing.lines:
            colour = COLOURS[line.colour]
            for piece in _dashes(line.places) if line.dashed else [line.places]:
                self.line(piece, colour, 1.3 if line.dashed else 1.8)
            if line.marked:
                for x, y in line.places:
                    self.dot(x, y, 2.5, colour)
            self.line([(along, HEIGHT + 14), (along + 18, HEIGHT + 14)], colour, 3)
            along += 24 + self.text(along + 24, HEIGHT + 14, line.label, 12, INK, "lm") + 20


def _dashes(places: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """A line cut into dashes of equal length along its way."""
    pieces, piece, gone = list[list[tuple[float, float]]](), [places[0]], 0.0
    for (x, y), (to_x, to_y) in itertools.pairwise(places):
        length = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
        done = 0.0
        while length - done > DASH - gone:
            done += DASH - gone
            gone = 0.0
            place = (x + (to_x - x) * done / length, y + (to_y - y) * done / length)
            pieces.append([*piece, place])
            piece = [place]
        gone += length - done
        piece.append((to_x, to_y))
    return [*pieces, piece][::2]
