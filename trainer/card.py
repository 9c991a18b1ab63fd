"""What a model file says of how it was made: its card, from the run's own figures."""

from collections.abc import Mapping, Sequence

from trainer.config import TrainConfig, model_name


def card(
    config: TrainConfig,
    pictures: Sequence[int],
    images_seen: int,
    seconds: float,
    hardware: str,
    measures: Mapping[str, float],
    back: bool,
) -> dict[str, str]:
    """Facts by name, in words; what the pictures are and on what terms, `cgvideo models describe` adds.

    `pictures` are how many there are of each domain; `seconds` those spent in training; `measures`
    those of `trainer.metrics.Evaluator` after `images_seen`, if there are any. `back` is the generator
    from target to source.
    """
    facts = {
        "recipe": recipe(config),
        "images_seen": str(images_seen),
        "pictures": " and ".join(map(str, pictures)),
        "hardware": f"{hardware}; {_duration(seconds)}",
    }
    if config.start_from is not None:
        facts["start_from"] = model_name(config.start_from)
    if measured := _measured(measures, "source" if back else "target"):
        facts["measured"] = measured
    return facts


def recipe(config: TrainConfig) -> str:
    """How a run learns, in one line."""
    adversarial = config.adversarial
    parts = {
        "cyclegan": [
            "CycleGAN, both directions at once", adversarial, f"cycle {config.cycle:g}",
            f"identity {config.cycle * config.identity:g}",
        ],
        "pix2pix": ["pix2pix", adversarial, f"L1 {config.l1:g}"],
        "distill": ["distilled from a teacher: L1, slopes, a light", adversarial],
    }[config.method]  # fmt: skip
    if config.pool:
        parts.append(f"replay buffer of {config.pool}")
    judge = f"{config.discriminator} discriminator of {config.discriminator_channels} channels"
    rate = f"Adam {config.learning_rate:g} ({config.beta1:g}, {config.beta2:g}), {config.policy}"
    if config.policy in ("linear", "cosine"):
        rate += f" from {100 * config.decay_from:.0f} % of the run"
    cut = {
        "resize_and_crop": f"pictures of {config.load_size}, cut to {config.crop} pixels",
        "scale_width_and_crop": f"pictures {config.load_size} wide, cut to {config.crop} pixels",
        "crop": f"cut to {config.crop} pixels",
        "zoom": f"windows of all sizes, scaled to {config.crop} pixels",
        "none": "whole pictures",
    }[config.preprocess]
    parts += [judge, rate, f"batch {config.batch}", cut]
    if config.flip:
        parts.append("mirrored")
    if config.source_list or config.target_list:
        parts.append(f"{100 * config.list_share:.0f} % of the pictures drawn from a list")
    if config.average:
        parts.append(f"weights averaged with a half-life of {config.average} pictures")
    return ", ".join(parts)


def _measured(measures: Mapping[str, float], domain: str) -> str:
    """The measures of one direction, or "" where there are none."""
    taken, pictures = f"taken_for_{domain}", "pictures_measured"
    if not {taken, f"{taken}_floor", f"{taken}_ceiling", pictures} <= measures.keys():
        return ""
    floor, share, ceiling = (
        f"{100 * measures[name]:.0f} %" for name in (f"{taken}_floor", taken, f"{taken}_ceiling")
    )
    of = "training" if measures.get("on_training_pictures") else "test"
    said = [
        f"a small classifier takes {share} of {measures[pictures]:.0f} translated {of} pictures for the"
        f" {domain} ({floor} of them untouched, {ceiling} of real ones)"
    ]
    own = "source" if domain == "target" else "target"
    if f"edges_to_{domain}" in measures:
        said.append(f"edges agree to {measures[f'edges_to_{domain}']:.2f} of 1")
    if f"cycle_psnr_{own}" in measures:
        said.append(f"there and back {measures[f'cycle_psnr_{own}']:.1f} dB")
    if domain == "target" and "psnr_to_truth" in measures:
        said.append(f"{measures['psnr_to_truth']:.1f} dB to the true picture")
    return "; ".join(said)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
