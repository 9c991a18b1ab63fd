"""What was measured, as figures with a name and as curves over time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cgvideo.evaluation.agreement import Agreement
from cgvideo.evaluation.detail import decibels
from cgvideo.evaluation.film import Film, Measured
from cgvideo.evaluation.light import color_drift, pumping
from cgvideo.evaluation.seams import seams


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of all films; None where a film has none, or too little was seen."""

    name: str
    unit: str
    meaning: str
    good: str
    """what a good result has, in a few words"""
    source: float | None
    result: float | None
    reference: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """One measure over time: a value for each of the seconds of `Curves`, None where there is none."""

    name: str
    meaning: str
    includes: tuple[float, ...]
    """what the axis of a drawing shows in any case"""
    source: tuple[float | None, ...] = ()
    result: tuple[float | None, ...] = ()
    reference: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Curves:
    """All measures over time; `seconds` are the source's."""

    seconds: tuple[float, ...]
    courses: tuple[Course, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured. `size` is (height, width)."""

    paths: tuple[Path, ...]
    size: tuple[int, int]
    frames: int
    cuts: tuple[int, ...]
    """places among the frames where a scene begins"""
    figures: tuple[Figure, ...]
    curves: Curves
    agreement: Agreement | None
    """None for pictures"""
    notices: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        files = dict(zip(("source", "result", "reference"), map(str, self.paths), strict=False))
        facts = asdict(self)
        del facts["paths"]
        agrees = self.agreement
        whole = None if agrees is None else asdict(agrees) | {"whole": agrees.whole}
        plain: dict[str, Any] = _finite(files | facts | {"agreement": whole})
        return plain


def figures(measured: Measured, tile: int | None = None) -> tuple[Figure, ...]:
    """The figures of the films, those that the result has; `tile` is the period of a known grid."""
    source, result = measured.source, measured.result
    reference = measured.reference if measured.reference.warp_errors else None
    films = source, result, reference
    second = measured.second

    def each(
        value: Callable[[Film], float | None],
    ) -> tuple[float | None, float | None, float | None]:
        of_source, of_result, of_reference = (
            None if film is None else value(film) for film in films
        )
        return of_source, of_result, of_reference

    def pumped(film: Film) -> float | None:
        return pumping(measured.scenes(film.brightness), second)

    def drifted(film: Film) -> float | None:
        change = np.subtract(film.colors, source.colors)
        return color_drift(measured.scenes(list(change)), second)

    errors = each(lambda film: film.warp_error and 1e3 * film.warp_error)
    coherent = each(lambda film: film.coherent_detail)
    sharp = each(lambda film: float(np.mean(film.sharpness)))
    ghosts = each(lambda film: film.ghosts.share)
    drifts = None, *each(drifted)[1:]
    pumps = each(pumped)
    blurred = [decibels(error) for error in measured.low_band]
    low_band = decibels(float(np.mean(measured.low_band))) if blurred else None
    worst = f"worst frame {min(blurred):.1f}" if blurred and math.isfinite(min(blurred)) else ""
    near, less = "near the source's", "less is better"
    kept = near if reference is None else "the reference's or more"
    found = (
        Figure("E_warp", "1e-3", "change along the source's motion", less, *errors, _share(errors)),
        Figure("coherent detail", "", "the source's detail in it", kept, *coherent, _share(coherent)),
        Figure("sharpness", "levels", "detail and noise", near, *sharp),
        Figure(
            "low-band PSNR", "dB", "likeness to the reference, both blurred", "45 or more",
            None, low_band, None, worst,
        ),
        Figure("ghosting", "", "of the frame before or after", "near 0", *ghosts),
        _seams(films, tile),
        Figure("colour drift", "dE", "within a scene, over seconds", "below 2", *drifts),
        Figure("brightness pumping", "levels", "faster than a second", near, *pumps),
    )  # fmt: skip
    return tuple(figure for figure in found if figure.result is not None)


def curves(measured: Measured) -> Curves:
    """The measures that have a value at each frame."""
    source, result, reference = measured.source, measured.result, measured.reference

    def course(
        name: str,
        meaning: str,
        includes: tuple[float, ...],
        value: Callable[[Film], Sequence[float]],
    ) -> Course:
        films = (_plain(value(film)) for film in (source, result, reference))
        return Course(name, meaning, includes, *films)

    def detail(film: Film) -> tuple[float | None, ...]:
        return _plain([_ratio(*each) for each in film.coherent])

    def change(film: Film) -> tuple[float | None, ...]:
        if not film.colors:
            return ()
        apart = np.subtract(film.colors, source.colors)
        away = np.concatenate([scene - scene.mean(0) for scene in measured.scenes(list(apart))])
        return _plain([float(each) for each in np.linalg.norm(away, axis=1)])

    return Curves(
        tuple(measured.seconds),
        (
            course(
                "E_warp",
                "change along the source's motion, in 1e-3; less is steadier",
                (0,),
                lambda film: [1e3 * error for error in film.warp_errors],
            ),
            Course(
                "Coherent detail",
                "the source's detail in it; noise does not count",
                (),
                (),
                detail(result),
                detail(reference),
            ),
            course(
                "Sharpness",
                "detail and noise, in levels of 255",
                (0,),
                lambda film: film.sharpness,
            ),
            Course(
                "Low-band PSNR",
                "likeness to the reference in dB, both blurred",
                (),
                (),
                _plain([decibels(error) for error in measured.low_band]),
            ),
            course("Brightness", "mean luma, in levels of 255", (), lambda film: film.brightness),
            Course(
                "Colour drift",
                "how far the change of colour is from its mean in the scene, in dE",
                (0,),
                (),
                change(result),
                change(reference),
            ),
        ),
    )


def _seams(films: tuple[Film, Film, Film | None], tile: int | None) -> Figure:
    source, result, reference = films
    made = seams(source.profile, result.profile, tile)
    plain = None if reference is None else seams(source.profile, reference.profile, tile)
    note = ""
    if made is not None:
        note = f"at every {made.tile} pixels" if made.found or tile else "no grid found"
    return Figure(
        "seams", "x", "steps at the edges of tiles", "near 1", None,
        None if made is None else made.score, None if plain is None else plain.score, note,
    )  # fmt: skip


def _share(of: tuple[float | None, float | None, float | None]) -> str:
    """The result's figure as a share of the reference's, in words."""
    _, result, reference = of
    return f"{result / reference:.2f} of the reference's" if result and reference else ""


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _plain(values: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values)


def _finite(value: Any) -> Any:
    """JSON knows no infinity: an identical pair's PSNR is None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
