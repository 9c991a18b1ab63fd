"""Curves over pictures seen or over time: laid out once, for a page of HTML and for others to paint."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 560, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 24  # room for the axes
MOST_POINTS = 240  # of a curve; more of them are averaged in groups
FEW = 25  # points that are marked each
COLOURS = 6
"""The page's style names so many."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points (x, value), in their order; dashed for a mere reference."""

    label: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


class Line(NamedTuple):
    """A curve laid out: its points as they were (thinned), and where they lie in the drawing."""

    label: str
    colour: int
    dashed: bool
    points: list[tuple[float, float]]
    places: list[tuple[float, float]]

    @property
    def marked(self) -> bool:
        """Few points are marked each: a single one has no line."""
        return len(self.places) < FEW and not self.dashed


class Drawing(NamedTuple):
    """A chart laid out on WIDTH x HEIGHT: (place, label) of the ticks on both axes, and the lines."""

    left: float
    right: float
    """the x at both ends"""
    levels: list[tuple[float, str]]
    moments: list[tuple[float, str]]
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves on one pair of axes; the vertical one includes `includes`, `percent` shows 1 as 100 %.

    `at` says in words where x is, with `digits` decimals, from `begin` on. A curve without points keeps its colour and is left out.
    """

    title: str
    meaning: str
    curves: Sequence[Curve]
    includes: tuple[float, ...] = ()
    percent: bool = False
    at: str = "at {}"
    digits: int = 0
    begin: float = 0.0

    def drawing(self) -> Drawing | None:
        """Where everything lies; None for a chart without points."""
        curves = [
            (colour, Curve(c.label, _thinned(c.points, self.digits), c.dashed))
            for colour, c in enumerate(self.curves)
            if c.points
        ]
        if not curves:
            return None
        left, right = self.begin, max(x for _, curve in curves for x, _ in curve.points)
        if right <= left:
            right = left + 1.0
        low, high = _range([y for _, curve in curves for _, y in curve.points], self.includes)

        def across(x: float) -> float:
            return LEFT + (WIDTH - LEFT - RIGHT) * (x - left) / (right - left)

        def down(y: float) -> float:
            share = (min(max(y, low), high) - low) / (high - low)
            return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

        lines = [
            Line(
                curve.label,
                colour % COLOURS,
                curve.dashed,
                list(curve.points),
                [(across(x), down(y)) for x, y in curve.points],
            )
            for colour, curve in curves
        ]
        levels = [
            (down(y), f"{100 * y:.0f} %" if self.percent else f"{y:.4g}")
            for y in _ticks(low, high, 5)
        ]
        moments = [(across(x), _short(x)) for x in _ticks(left, right, 6)]
        return Drawing(left, right, levels, moments, lines)

    def html(self) -> str:
        """A figure with its legend; nothing for a chart without points."""
        drawing = self.drawing()
        if drawing is None:
            return ""
        parts = [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
            for y, label in drawing.levels
        ]
        for x, label in drawing.moments:
            anchor = "end" if x > WIDTH - RIGHT - 12 else "middle"
            parts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{label}</text>'
            )
        legend = []
        for line in drawing.lines:
            kind = f"c{line.colour}" + (" dashed" if line.dashed else "")
            places = [(f"{x:.1f}", f"{y:.1f}") for x, y in line.places]
            joined = " ".join(",".join(place) for place in places)
            parts.append(f'<polyline class="{kind}" points="{joined}"/>')
            if line.marked:
                parts += [f'<circle class="{kind}" cx="{x}" cy="{y}" r="2.5"/>' for x, y in places]
            legend.append(
                f'<span class="key {kind}"><i></i>{escape(line.label)} <output></output></span>'
            )
        data = {
            "start": LEFT, "width": WIDTH - LEFT - RIGHT, "left": drawing.left, "right": drawing.right,
            "percent": self.percent, "at": self.at, "digits": self.digits,
            "curves": [[[x, float(f"{y:.4g}")] for x, y in line.points] for line in drawing.lines],
        }  # fmt: skip
        return (
            f'<figure class="chart" data-chart="{escape(json.dumps(data))}">'
            f"<figcaption><b>{escape(self.title)}</b><small>{escape(self.meaning)}</small>"
            f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="'
            f'{escape(self.title)}">{"".join(parts)}<line class="cursor" y1="{TOP}" y2="'
            f'{HEIGHT - BOTTOM}" visibility="hidden"/></svg>'
            f'<div class="legend">{"".join(legend)}<span class="at"></span></div></figure>'
        )


def _thinned(points: Sequence[tuple[float, float]], digits: int) -> list[tuple[float, float]]:
    """At most MOST_POINTS: means of equally many neighbours."""
    if len(points) <= MOST_POINTS:
        return list(points)
    groups = np.array_split(np.array(points), MOST_POINTS)
    means = [group.mean(0) for group in groups]
    return [(round(float(x), digits or None), float(y)) for x, y in means]


def _range(values: Sequence[float], includes: Sequence[float]) -> tuple[float, float]:
    """What the vertical axis shows: all but the outliers that would flatten the rest."""
    low, high = (float(each) for each in np.percentile(values, (1, 98)))
    if len(values) < 100:
        low, high = min(values), max(values)
    room = (high - low) * 0.06
    low, high = min([low - room, *includes]), max([high + room, *includes])
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(number: float) -> str:
    """1500 as 1.5k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.4g}{letter}"
    return f"{number:.4g}"
