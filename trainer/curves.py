"""Curves over the pictures seen, as SVG inside a page of HTML."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 560, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 24  # room for the axes
MOST_POINTS = 240  # of a curve; more of them are averaged in groups
FEW = 25  # points that are marked each
COLOURS = 6
"""The page's style names so many."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points of (pictures seen, value), in their order; dashed for a mere reference."""

    label: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves on one pair of axes; the vertical one includes `includes`, `percent` shows 1 as 100 %."""

    title: str
    meaning: str
    curves: Sequence[Curve]
    includes: tuple[float, ...] = ()
    percent: bool = False

    def html(self) -> str:
        """A figure with its legend; nothing for a chart without points."""
        curves = [Curve(c.label, _thinned(c.points), c.dashed) for c in self.curves if c.points]
        if not curves:
            return ""
        right = max(x for curve in curves for x, _ in curve.points) or 1.0
        low, high = _range([y for curve in curves for _, y in curve.points], self.includes)

        def across(x: float) -> float:
            return LEFT + (WIDTH - LEFT - RIGHT) * x / right

        def down(y: float) -> float:
            share = (min(max(y, low), high) - low) / (high - low)
            return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

        parts = []
        for y in _ticks(low, high, 5):
            label = f"{100 * y:.0f} %" if self.percent else f"{y:.4g}"
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(y):.1f}" y2="{down(y):.1f}"/>'
                f'<text x="{LEFT - 6}" y="{down(y) + 4:.1f}" text-anchor="end">{label}</text>'
            )
        for x in _ticks(0, right, 6):
            anchor = "end" if across(x) > WIDTH - RIGHT - 12 else "middle"
            parts.append(
                f'<text x="{across(x):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{_short(x)}</text>'
            )
        legend = []
        for number, curve in enumerate(curves):
            kind = f"c{number % COLOURS}" + (" dashed" if curve.dashed else "")
            places = [(f"{across(x):.1f}", f"{down(y):.1f}") for x, y in curve.points]
            joined = " ".join(",".join(place) for place in places)
            parts.append(f'<polyline class="{kind}" points="{joined}"/>')
            if len(places) < FEW and not curve.dashed:  # a single point has no line
                parts += [f'<circle class="{kind}" cx="{x}" cy="{y}" r="2.5"/>' for x, y in places]
            legend.append(
                f'<span class="key {kind}"><i></i>{escape(curve.label)} <output></output></span>'
            )
        data = {
            "left": LEFT, "width": WIDTH - LEFT - RIGHT, "right": right, "percent": self.percent,
            "curves": [[[x, float(f"{y:.4g}")] for x, y in curve.points] for curve in curves],
        }  # fmt: skip
        return (
            f'<figure class="chart" data-chart="{escape(json.dumps(data))}">'
            f"<figcaption><b>{escape(self.title)}</b><small>{escape(self.meaning)}</small>"
            f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="'
            f'{escape(self.title)}">{"".join(parts)}<line class="cursor" y1="{TOP}" y2="'
            f'{HEIGHT - BOTTOM}" visibility="hidden"/></svg>'
            f'<div class="legend">{"".join(legend)}<span class="at"></span></div></figure>'
        )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS: means of equally many neighbours."""
    if len(points) <= MOST_POINTS:
        return list(points)
    groups = np.array_split(np.array(points), MOST_POINTS)
    means = [group.mean(0) for group in groups]
    return [(round(float(x)), float(y)) for x, y in means]


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
