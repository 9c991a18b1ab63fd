"""Figures and findings in words, the same on the terminal and on the page."""

import math

from cgvideo.evaluation.agreement import Agreement
from cgvideo.evaluation.figures import Evaluation

SOUNDS = {
    "none": "the source has no sound, and neither has the result",
    "same": "the sound is the source's, packet by packet",
    "as long": "the sound was encoded anew and is as long as the source's",
    "missing": "sound is missing",
    "other length": "the sound has another length than the source's",
    "added": "the result has sound, the source has none",
}


def number(value: float | None) -> str:
    """A figure with three digits; "same" for an infinite likeness, nothing for None."""
    if value is None:
        return ""
    if math.isinf(value):
        return "same"
    if abs(value) < 0.0005:
        return "0"
    if abs(value) < 0.1:
        return f"{value:.3f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def title_of(evaluation: Evaluation) -> str:
    """What is measured against what."""
    names = [path.name for path in evaluation.paths]
    if len(set(names)) < len(names):  # of different folders
        names = [str(path) for path in evaluation.paths]
    source, result, *reference = names
    beside = f", beside {reference[0]}" if reference else ""
    return f"{result} against {source}{beside}"


def extent_of(evaluation: Evaluation) -> str:
    """The size, and how many frames were compared."""
    height, width = evaluation.size
    plural = "" if evaluation.frames == 1 else "s"
    return f"{width}x{height}, {evaluation.frames} frame{plural} compared"


def agreement_lines(found: Agreement) -> list[str]:
    """Frames, times, sound and picture, a line each."""
    if found.source_frames == found.result_frames:
        lines = [f"{found.source_frames} frames, as many as the source"]
    else:
        lines = [f"{found.result_frames} frames, the source has {found.source_frames}"]
    own, made = found.source_rate, found.result_rate
    if own and made and abs(made / own - 1) > 0.01:
        lines.append(f"{made:.4g} frames a second, the source has {own:.4g}: paired by their times")
    if found.same_times:
        lines.append("every frame at its own time")
    elif found.worst_time < 0.001:
        lines.append("those it has are at the source's times")
    else:
        lines.append(f"a frame is {1000 * found.worst_time:.0f} ms from any of the source's times")
    lines.append(SOUNDS[found.sound])
    if found.sound_shift and abs(found.sound_shift) >= 0.0005:
        where = "later" if found.sound_shift > 0 else "earlier"
        milliseconds = 1000 * abs(found.sound_shift)
        lines.append(f"the sound comes {milliseconds:.0f} ms {where} against the picture")
    if found.lag:
        where = "late" if found.lag > 0 else "early"
        plural = "" if abs(found.lag) == 1 else "s"
        lines.append(f"the picture is {abs(found.lag)} frame{plural} {where}")
    elif found.lag == 0:
        lines.append("each picture belongs to the source's frame at its time")
    else:
        lines.append("whether pictures are late cannot be told: nothing moves, or nothing is alike")
    return lines
