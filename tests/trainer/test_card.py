"""What the card of a trained model says."""

from pathlib import Path

from trainer.card import card, recipe
from trainer.config import PRESETS, TrainConfig, config_from

NEEDED = {"name": "a2b", "source": "a", "target": "b"}
MEASURES = {
    "pictures_measured": 80.0,
    "taken_for_target": 0.89, "taken_for_target_floor": 0.42, "taken_for_target_ceiling": 0.95,
    "taken_for_source": 0.7, "taken_for_source_floor": 0.05, "taken_for_source_ceiling": 0.58,
    "edges_to_target": 0.734, "cycle_psnr_source": 21.24, "cycle_psnr_target": 19.0,
}  # fmt: skip


def of(config: TrainConfig, back: bool, **measures: float) -> dict[str, str]:
    return card(config, [1200, 900], 40_000, 5400.0, "CPU, bf16", measures, back)


def test_a_recipe_can_be_repeated_from_its_words() -> None:
    said = recipe(config_from(NEEDED, {"target_list": "l.txt", "list_share": 0.9}))
    for word in (
        "CycleGAN", "lsgan", "cycle 10", "identity 5", "buffer of 50", "64 channels", "Adam 0.0002 (0.5, 0.999)",
        "linear from 50 %", "batch 1", "pictures of 286, cut to 256 pixels", "mirrored", "90 %", "10000 pictures",
    ):  # fmt: skip
        assert word in said
    paired = recipe(config_from(PRESETS["pix2pix"], NEEDED))
    assert "L1 100" in paired
    assert "buffer" not in paired
    assert "averaged" not in paired


def test_each_direction_has_its_own_figures() -> None:
    config = config_from(NEEDED)
    there, back = (of(config, back, **MEASURES) for back in (False, True))
    assert there["hardware"] == "CPU, bf16; 1.5 hours"
    assert there["pictures"] == "1200 and 900"
    assert there["measured"] == (
        "a small classifier takes 89 % of 80 translated test pictures for the target (42 % of them"
        " untouched, 95 % of real ones); edges agree to 0.73 of 1; there and back 21.2 dB"
    )
    assert "70 % of 80 translated test pictures for the source (5 %" in back["measured"]
    assert "there and back 19.0 dB" in back["measured"]


def test_what_was_not_measured_is_not_said() -> None:
    config = config_from(NEEDED, {"start_from": str(Path("far") / "mine.safetensors")})
    facts = of(config, back=False)
    assert "measured" not in facts
    assert facts["start_from"] == "mine"
