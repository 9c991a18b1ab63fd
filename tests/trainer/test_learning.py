"""A run that is long enough to see that it learns."""

from pathlib import Path

import numpy as np
import pytest
from domains import BLUE, ORANGE, waves, write_waves

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.model_file import read_model
from trainer.config import PRESETS, config_from
from trainer.data import read_data
from trainer.hardware import hardware
from trainer.log import read_log
from trainer.loop import Watch, train


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_blue_waves_become_orange(tmp_path: Path) -> None:
    folders = {}
    for seed, (name, colour, count) in enumerate(
        [
            ("source", BLUE, 40),
            ("target", ORANGE, 40),
            ("test_source", BLUE, 12),
            ("test_target", ORANGE, 12),
        ]
    ):
        folders[name] = str(write_waves(tmp_path / name, colour, count, seed, [(72, 72)]))
    config = config_from(
        PRESETS["fast"],
        folders,
        {
            "name": "blue2orange", "load_size": 72, "crop": 64, "base_channels": 12, "blocks": 2,
            "discriminator_channels": 16, "discriminator_layers": 2, "images": 500, "average": 60,
            "evaluate_every": 100, "sample_every": 250, "save_every": 500, "decay_from": 0.6,
        },
    )  # fmt: skip
    run = tmp_path / "run"
    measured: list[dict[str, float]] = []

    def note(images_seen: int, values: object) -> None:
        measured.append({"images_seen": images_seen, **dict(values)})  # type: ignore[call-overload]

    train(config, read_data(config), hardware(config), run, Watch(measured=note))
    first, last = measured[0], measured[-1]
    assert last["taken_for_target_floor"] < 0.1
    assert last["taken_for_target"] > 0.9
    assert last["taken_for_source"] > 0.9
    assert last["score"] > first["score"]
    assert last["cycle_psnr_source"] > 20
    losses = [
        line["cycle_source"] for line in read_log(run / "log.jsonl") if "cycle_source" in line
    ]
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:2])

    model = read_model(run / "models" / "blue2orange.safetensors")
    blue = waves(np.random.default_rng(99), BLUE, (64, 96))
    with open_engine(model, EngineRequest("openvino", precision="fp32", streams=1)) as engine:
        red, _, blueness = engine(blue[None])[0].reshape(-1, 3).mean(0)
    assert red > 1.5 * blueness
