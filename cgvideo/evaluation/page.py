"""An evaluation as one page of HTML: before and after under a slider, figures, and curves over time."""

import json
import math
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from typing import NamedTuple

import cv2

from cgvideo.evaluation.figures import Course, Evaluation, Figure
from cgvideo.evaluation.film import Measured
from cgvideo.evaluation.pairing import Moment
from cgvideo.evaluation.wording import agreement_lines, extent_of, number, title_of
from cgvideo.frame import Pixels
from engines.page import address_of, write_page
from engines.page.charts import Chart, Curve

MOST, WORST = 16, 4
"""Moments of which the page keeps the pictures."""
APART = 0.5  # seconds between two of the worst
WIDEST = 960  # pixels of the longer side of a kept picture
FILMS = ("source", "result", "reference")


class Still(NamedTuple):
    """A moment of which the page keeps the pictures: the address of each film's."""

    seconds: float
    warp_error: float
    pictures: dict[str, str]


@dataclass(slots=True)
class Stills:
    """The pictures that the page will show: evenly spread over time, and where E_warp is greatest."""

    _every: int = 1
    _seen: int = 0
    _spread: list[Still] = field(default_factory=list)
    _worst: list[Still] = field(default_factory=list)

    def look(self, moment: Moment, measured: Measured) -> None:
        """Keep the moment if it is one of those; `measured` has its figures already."""
        error = measured.result.warp_errors[-1]
        if self._seen % self._every == 0:
            self._spread.append(_still(moment, error))
            if len(self._spread) == 2 * MOST:
                self._spread, self._every = self._spread[::2], 2 * self._every
        self._seen += 1
        near = [still for still in self._worst if abs(still.seconds - moment.seconds) < APART]
        if not near and len(self._worst) == WORST:
            near = [min(self._worst, key=lambda still: still.warp_error)]
        if math.isnan(error) or any(still.warp_error >= error for still in near):
            return
        self._worst = [still for still in self._worst if still not in near]
        self._worst.append(_still(moment, error))

    def chosen(self) -> list[Still]:
        """At most MOST moments spread from the first to the last, and the WORST, in order of time."""
        chosen = self._spread
        if len(chosen) > MOST:
            steps = (len(chosen) - 1) / (MOST - 1)
            chosen = [chosen[round(place * steps)] for place in range(MOST)]
        by_time = {still.seconds: still for still in (*chosen, *self._worst)}
        return [by_time[seconds] for seconds in sorted(by_time)]


def write_evaluation(path: Path, evaluation: Evaluation, stills: Stills) -> None:
    """Write the page, whole or not at all. Raises OSError for a folder that cannot be written."""
    shown = evaluation.paths[1].name
    written = f"written {datetime.now():%Y-%m-%d %H:%M}"
    about = " · ".join((title_of(evaluation), extent_of(evaluation), written))
    curves = "".join(chart.html() for chart in charts(evaluation))
    write_page(
        path,
        Path(__file__).with_name("page.html"),
        title=escape(shown),
        about=escape(about),
        stage=_stage(stills.chosen(), evaluation.size),
        figures=_figures(evaluation),
        notes="".join(f"<p><small>{escape(each)}</small></p>" for each in evaluation.notices),
        agreement=_agreement(evaluation),
        over_time=f'<section><h2>Over time</h2><div class="charts">{curves}</div></section>'
        if evaluation.frames > 1
        else "",
    )


def charts(evaluation: Evaluation) -> list[Chart]:
    """The curves over time, those that have any."""
    return [
        _chart(course, evaluation.curves.seconds)
        for course in evaluation.curves.courses
        if any(value is not None for film in FILMS for value in getattr(course, film))
    ]


def _chart(course: Course, seconds: tuple[float, ...]) -> Chart:
    curves = []
    for film in FILMS:
        values: tuple[float | None, ...] = getattr(course, film)
        points = [
            (time, value) for time, value in zip(seconds, values, strict=False) if value is not None
        ]
        curves.append(Curve(film, points, dashed=film == "source"))
    return Chart(
        course.name,
        course.meaning,
        curves,
        course.includes,
        at="at {} s",
        digits=2,
        begin=seconds[0],
    )


def _still(moment: Moment, error: float) -> Still:
    pictures = zip(FILMS, moment[1:], strict=True)
    addresses = {film: address_of(_small(made)) for film, made in pictures if made is not None}
    return Still(moment.seconds, error, addresses)


def _stage(stills: list[Still], size: tuple[int, int]) -> str:
    first = stills[0].pictures
    moments = [{"seconds": still.seconds} | still.pictures for still in stills]
    height, width = size

    def choice(name: str, chosen: str) -> str:
        options = "".join(
            f"<option{' selected' if film == chosen else ''}>{film}</option>" for film in first
        )
        return f'<label>{name} <select id="{name}">{options}</select></label>'

    last = len(stills) - 1
    return (
        f'<div class="choice">{choice("left", "source")}{choice("right", "result")}</div>'
        f'<div class="stage" style="--split: 50%; max-width: {min(width * 2, 1216)}px"'
        f' data-moments="{escape(json.dumps(moments))}">'
        f'<img alt="source" width="{width}" height="{height}" style="height: auto"'
        f' src="{first["source"]}">'
        f'<img alt="result" class="after" src="{first["result"]}"><div class="divider"></div>'
        '<span class="name-before"></span><span class="name-after"></span></div>'
        '<div class="steer"><label for="split">divide</label>'
        '<input type="range" id="split" min="0" max="100" value="50" step="0.1"><output></output>'
        '<label for="time">time</label>'
        f'<input type="range" id="time" min="0" max="{last}" value="0" step="1"'
        f'{" disabled" if last == 0 else ""}><output id="seconds"></output></div>'
    )


def _figures(evaluation: Evaluation) -> str:
    films = FILMS[: len(evaluation.paths)]
    heads = "".join(f'<th class="number">{film}</th>' for film in films)
    rows = "".join(_row(figure, films) for figure in evaluation.figures)
    return f'<table class="figures"><tr><th>measure</th>{heads}<th>good is</th></tr>{rows}</table>'


def _row(figure: Figure, films: tuple[str, ...]) -> str:
    cells = "".join(
        f'<td class="number {film}">{escape(number(getattr(figure, film)))}</td>' for film in films
    )
    unit = f" ({figure.unit})" if figure.unit else ""
    note = f"<small>{escape(figure.note)}</small>" if figure.note else ""
    return (
        f"<tr><td>{escape(figure.name + unit)}<small>{escape(figure.meaning)}</small></td>{cells}"
        f"<td>{escape(figure.good)}{note}</td></tr>"
    )


def _agreement(evaluation: Evaluation) -> str:
    if evaluation.agreement is None:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in agreement_lines(evaluation.agreement))
    return f"<section><h2>In step with the source</h2><ul>{lines}</ul></section>"


def _small(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    if max(height, width) <= WIDEST:
        return pixels
    factor = WIDEST / max(height, width)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    small: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small
