"""What the measures of `trainer.metrics` say, as a number and in words."""

from collections.abc import Mapping, Sequence

LEAST_SPREAD = 0.1
"""Between floor and ceiling; closer together, the classifier cannot tell the domains apart."""

LOST = 0.25
"""Agreement of edges below which a translation is of something else."""


def way(values: Mapping[str, float], domain: str) -> float:
    """How far a translation has come from the untouched pictures (0) to real ones of `domain` (1).

    By the shares that the classifier takes for the domain: from floor to ceiling.
    """
    name = f"taken_for_{domain}"
    floor, ceiling = values[f"{name}_floor"], values[f"{name}_ceiling"]
    share = (values[name] - floor) / max(ceiling - floor, LEAST_SPREAD)
    return min(max(share, 0.0), 1.0)


def headline(values: Mapping[str, float]) -> str:
    """The measures in one sentence."""
    if "psnr_to_teacher" in values:
        return f"The student is like its teacher to {values['psnr_to_teacher']:.1f} dB."
    if not _has(values, "target"):
        return "Nothing has been measured yet."
    if not told_apart(values):
        return "The two kinds of pictures cannot be told apart well enough to judge."
    come = way(values, "target")
    if come >= 0.25 and values.get("edges_to_target", 1.0) < LOST:
        return "Translated pictures pass for the target, but keep little of the source."
    if come >= 0.9:
        return "Translated pictures pass for the target."
    if come >= 0.6:
        return "Translated pictures mostly pass for the target."
    if come >= 0.25:
        return "Translated pictures pass for the target now and then."
    return "Translated pictures do not pass for the target yet."


def told_apart(values: Mapping[str, float]) -> bool:
    """Whether the classifier knows the domains well enough for its verdict to mean something."""
    spread = values["taken_for_target_ceiling"] - values["taken_for_target_floor"]
    return spread >= LEAST_SPREAD


def in_words(values: Mapping[str, float]) -> Sequence[str]:
    """What each measure means, a sentence or two each, for somebody who does not train networks."""
    said = []
    if _has(values, "target"):
        said.append(
            "A small classifier that was taught both kinds of pictures takes"
            f" {_percent(values['taken_for_target'])} of the translated pictures for the target."
            f" Of real ones it takes {_percent(values['taken_for_target_ceiling'])} for it, of"
            f" untouched ones {_percent(values['taken_for_target_floor'])}: the translation should"
            " be near the first and far from the second."
        )
    if _has(values, "source"):
        said.append(
            f"On the way back it is {_percent(values['taken_for_source'])}, between"
            f" {_percent(values['taken_for_source_floor'])} for untouched and"
            f" {_percent(values['taken_for_source_ceiling'])} for real pictures."
        )
    if "edges_to_target" in values:
        edges = values["edges_to_target"]
        kept = "stay where they were" if edges >= 0.7 else "mostly stay where they were"
        if edges < 0.4:
            kept = "often move, vanish or appear"
        said.append(f"Edges {kept}: their agreement with the source is {edges:.2f} of 1.")
    if "cycle_psnr_source" in values:
        said.append(
            f"Translated there and back, a picture is like itself to {values['cycle_psnr_source']:.1f}"
            " dB: more is better, and from about 30 dB on differences are hard to see."
        )
    if "psnr_to_teacher" in values:
        said.append(
            f"The picture that it does worst is like the teacher's to"
            f" {values['worst_psnr_to_teacher']:.1f} dB: more is better, and from about 30 dB on"
            " differences are hard to see."
        )
    if "l1_to_truth" in values:
        said.append(
            f"On average a pixel is {values['l1_to_truth']:.1f} of 255 levels away from what it"
            f" should be ({values['psnr_to_truth']:.1f} dB; more is better)."
        )
    if values.get("on_training_pictures"):
        said.append(
            "There are no test pictures, so this was measured on pictures that were trained on:"
            " with new ones it may be worse."
        )
    return said


def _has(values: Mapping[str, float], domain: str) -> bool:
    name = f"taken_for_{domain}"
    return {name, f"{name}_floor", f"{name}_ceiling"} <= values.keys()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
