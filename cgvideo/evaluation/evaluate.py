"""All measures of a result against its source, in one pass over the frames."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cgvideo.codec.contents import contents
from cgvideo.evaluation.agreement import Lag, agreement
from cgvideo.evaluation.detail import low_band_error
from cgvideo.evaluation.figures import Evaluation, curves, figures
from cgvideo.evaluation.film import Measured, View
from cgvideo.evaluation.pairing import Moment, open_films
from cgvideo.evaluation.steadiness import motion_between
from engines.errors import UserError


@dataclass(slots=True)
class Measuring:
    """The course of a measurement: moments in, what they showed in `measured`."""

    measured: Measured = field(default_factory=Measured)
    lag: Lag = field(default_factory=Lag)
    _before: View | None = None

    def add(self, moment: Moment) -> None:
        """The next moment; all pictures of all moments have one size."""
        found, before = self.measured, self._before
        source, result = View.of(moment.source), View.of(moment.result)
        motion = None
        if before is not None:
            motion = motion_between(before.pixels, moment.source)
            if motion.is_cut:
                motion = None
                found.cuts.append(len(found.seconds))
        found.seconds.append(moment.seconds)
        found.source.add(source, source, before, motion)
        found.result.add(result, source, before, motion)
        if moment.reference is not None:
            found.reference.add(View.of(moment.reference), source, before, motion)
            found.low_band.append(low_band_error(moment.result, moment.reference))
        self.lag.add(source.luma, result.luma)
        self._before = source


def evaluate(
    source: Path,
    result: Path,
    reference: Path | None = None,
    *,
    start: float = 0.0,
    frames: int | None = None,
    tile: int | None = None,
    report: Callable[[str, float | None], None] = lambda step, done: None,
    look: Callable[[Moment, Measured], None] = lambda moment, measured: None,
) -> Evaluation:
    """Measure how well `result` (and `reference`: the same without smoothing) follows `source`.

    Any two videos, or any two pictures. What has another size is brought to the source's, and frames
    are paired by their time. From `start` seconds on, at most `frames` moments; `tile` is the period
    of the tiles in pixels, searched for if None. `report` is told the step and the share that is
    done, `look` is shown every moment when it is measured. Memory grows by some hundred bytes a moment.

    Raises:
        UserError: a file cannot be read, is of another kind, or has no frame at the source's times.
    """
    films = open_films(
        [source, result] if reference is None else [source, result, reference], start
    )
    measuring = Measuring()
    total = min((n for n in (films.expected, frames) if n is not None), default=None)
    for number, moment in enumerate(itertools.islice(films.moments(), frames)):
        report("measuring", min(number / total, 1.0) if total else None)
        measuring.add(moment)
        look(moment, measuring.measured)
    measured = measuring.measured
    if not measured.seconds:
        raise UserError(
            f"{source.name} and {result.name} have no frames at the same time from {start:g} s on",
            "Choose an earlier --start",
        )
    agrees = None
    if films.clips:
        report("comparing times and sound", None)
        agrees = agreement(contents(films.clips[0]), contents(films.clips[1]), measuring.lag.frames)
    return Evaluation(
        films.paths,
        films.size,
        len(measured.seconds),
        tuple(measured.cuts),
        figures(measured, tile),
        curves(measured),
        agrees,
        films.notices,
    )
