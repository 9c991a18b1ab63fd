"""Settings: presets, files, what is refused, what may change."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from engines.errors import UserError
from trainer.config import (
    ASIDE,
    PRESETS,
    TrainConfig,
    config_from,
    differences,
    read_settings,
    resolved,
    to_toml,
)

NEEDED = {"name": "a2b", "source": "a", "target": "b"}


def refused(**changes: Any) -> str:
    """What is said of a setting; always one line."""
    with pytest.raises(UserError) as raised:
        config_from(NEEDED, changes)
    assert "\n" not in str(raised.value)
    assert raised.value.mend
    return raised.value.problem


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_runs(preset: str) -> None:
    config = config_from(PRESETS[preset], NEEDED)
    assert config_from(config.to_dict()) == config


def test_the_default_is_the_recipe_of_the_paper() -> None:
    config = config_from(PRESETS["cyclegan"], NEEDED)
    assert (config.cycle, config.identity, config.pool, config.batch) == (10, 0.5, 50, 1)
    assert (config.learning_rate, config.beta1, config.beta2) == (2e-4, 0.5, 0.999)
    assert (config.load_size, config.crop, config.flip) == (286, 256, True)
    assert (config.initialisation, config.gain, config.adversarial) == ("normal", 0.02, "lsgan")
    assert (config.policy, config.decay_from) == ("linear", 0.5)


def test_pix2pix_is_that_of_the_paper() -> None:
    config = config_from(PRESETS["pix2pix"], NEEDED)
    assert config.paired
    assert (config.spec.name, config.norm, config.dropout) == ("unet 64x8", "batch", True)
    assert (config.adversarial, config.l1, config.pool) == ("vanilla", 100, 0)


def test_later_layers_win() -> None:
    config = config_from(PRESETS["fast"], NEEDED, {"blocks": 4}, {"blocks": 3, "cycle": 5})
    assert (config.base_channels, config.blocks, config.cycle) == (24, 3, 5.0)
    assert isinstance(config.cycle, float)
    assert isinstance(config.source, Path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": 'a "quoted" \\ name', "source": "C:\\pictures\\new", "target": 'b "b"'},
        {"source": "ä\tb\x7f", "target": "c\nd"},
        {"learning_rate": 1e-5, "minutes": 2.5, "flip": False, "swap": True, "gain": 3},
        {"test_source": "/x y", "source_list": "list.txt", "list_share": 0.1},
    ],
)
def test_a_run_is_read_back_from_toml(changes: dict, tmp_path: Path) -> None:
    config = resolved(config_from(NEEDED, {"name": "n"} | changes | {"name": "n"}))
    config = dataclasses.replace(config, name="a b") if "\\" in str(changes) else config
    (tmp_path / "run.toml").write_text(to_toml(config), encoding="utf-8")
    assert config_from(read_settings(tmp_path / "run.toml")) == config


def test_a_name_with_quotes_is_read_back(tmp_path: Path) -> None:
    config = resolved(config_from(NEEDED, {"name": 'the "new" one'}))
    (tmp_path / "run.toml").write_text(to_toml(config), encoding="utf-8")
    assert read_settings(tmp_path / "run.toml")["name"] == 'the "new" one'


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'name = "x"\nsource = "a"\ntarget = "/b"\n', encoding="utf-8"
    )
    config = config_from(read_settings(tmp_path / "run.toml"))
    assert config.source == tmp_path / "a"
    assert config.target == Path("/b")
    (tmp_path / "run.toml").write_text('source = "~/a"\n', encoding="utf-8")
    assert read_settings(tmp_path / "run.toml")["source"] == str(Path("~/a").expanduser())


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"[a]\nb = 1\n[a]\n"])
def test_a_file_that_is_no_toml_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"run\.toml is no TOML") as raised:
        read_settings(tmp_path / "run.toml")
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_settings(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        read_settings(tmp_path)


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'learningrate'.*learning_rate"):
        config_from(NEEDED, {"learningrate": 1})
    with pytest.raises(UserError, match="no setting 'zzz'"):
        config_from(NEEDED, {"zzz": 1})


@pytest.mark.parametrize("missing", NEEDED)
def test_what_is_needed_is_asked_for(missing: str) -> None:
    with pytest.raises(UserError, match=f"--{missing} is missing"):
        config_from({name: value for name, value in NEEDED.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", "256"), ("crop", 256.0), ("crop", True), ("flip", 1), ("flip", "yes"),
        ("cycle", "10"), ("cycle", True), ("name", 3), ("source", 3), ("method", 1),
        ("norm", ["instance"]), ("blocks", {"a": 1}), ("crop", None), ("source", None),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused(name: str, value: Any) -> None:
    assert refused(**{name: value}).startswith(f"--{name} cannot be")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "stargan"), ("adversarial", "LSGAN"), ("preprocess", "crop_and_resize"),
        ("norm", "layer"), ("upsampling", "bicubic"), ("policy", "exponential"),
        ("initialisation", "zeros"), ("discriminator", "stylegan"), ("precision", "fp8"),
        ("family", "vit"),
    ],
)  # fmt: skip
def test_an_unknown_choice_is_refused(name: str, value: str) -> None:
    assert refused(**{name: value}) == f"--{name} {value} is unknown"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", 0), ("crop", -4), ("load_size", 4), ("batch", 0), ("images", 0), ("keep", 0),
        ("pool", -1), ("average", -1), ("sample_every", 0), ("evaluate_every", 0),
        ("save_every", 0), ("discriminator_channels", 0), ("discriminator_layers", 0),
        ("list_share", 1.1), ("list_share", -0.1), ("list_share", float("nan")),
        ("decay_from", 2.0), ("learning_rate", 0.0), ("learning_rate", float("inf")),
        ("learning_rate", float("nan")), ("gain", -1.0), ("cycle", -1.0), ("cycle", float("nan")),
        ("cycle", float("inf")), ("identity", -0.5), ("l1", -1.0), ("minutes", 0.0),
        ("minutes", -1.0), ("minutes", float("nan")), ("minutes", float("inf")),
        ("beta1", 1.0), ("beta2", -0.1), ("seed", -1), ("seed", 1 << 64),
        ("base_channels", 0), ("blocks", 0), ("name", ""), ("name", "a/b"), ("name", ".."),
    ],
)  # fmt: skip
def test_a_value_out_of_reach_is_refused(name: str, value: Any) -> None:
    assert refused(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 288},  # more than the load size
        {"crop": 254},  # no multiple of 4
        {"family": "unet", "blocks": 9},  # 512
        {"crop": 16},  # less than the PatchGAN takes
        {"crop": 32, "discriminator_layers": 4},
    ],
)
def test_a_crop_that_fits_nothing_is_refused(changes: dict) -> None:
    assert f"--crop {changes.get('crop', 256)}" in refused(**changes)


def test_a_crop_that_just_fits_is_taken() -> None:
    assert config_from(NEEDED, {"crop": 24}).least_size == 24
    config_from(NEEDED, {"crop": 8, "discriminator": "pixel", "blocks": 2})
    # The load size means nothing where pictures are not brought to it.
    config_from(NEEDED, {"crop": 512, "preprocess": "crop"})


def told(**changes: Any) -> list[str]:
    old = config_from(NEEDED)
    return differences(old, dataclasses.replace(old, **changes))


def test_a_run_may_be_made_longer_and_told_more_often() -> None:
    assert told() == []
    assert told(images=300_000) == []
    assert told(sample_every=1, evaluate_every=1, save_every=1, keep=1, device="cpu") == []
    old = config_from(NEEDED, {"minutes": 10})
    assert differences(old, dataclasses.replace(old, minutes=20.0)) == []


def test_all_else_is_another_run() -> None:
    assert told(crop=128) == ["--crop 256 → 128"]
    assert told(images=1000) == ["--images 240000 → 1000"]
    assert told(minutes=5.0) == ["--minutes None → 5.0"]
    assert told(learning_rate=1e-4, blocks=6) == [
        "--blocks 9 → 6",
        "--learning-rate 0.0002 → 0.0001",
    ]
    old = config_from(NEEDED, {"minutes": 10})
    assert differences(old, dataclasses.replace(old, minutes=5.0)) == ["--minutes 10.0 → 5.0"]
    assert differences(old, dataclasses.replace(old, minutes=None)) == ["--minutes 10.0 → None"]


def test_evaluations_matter_to_a_learning_rate_that_goes_by_them() -> None:
    old = config_from(NEEDED, {"policy": "plateau"})
    assert differences(old, dataclasses.replace(old, evaluate_every=1)) != []


def test_every_setting_but_those_is_compared() -> None:
    config = config_from(NEEDED)
    others = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v * 0.5 + 0.1}
    for field in dataclasses.fields(TrainConfig):
        value = getattr(config, field.name)
        if field.name in (*ASIDE, "crop", "images") or type(value) not in others:
            continue
        changed = dataclasses.replace(config, **{field.name: others[type(value)](value)})
        assert len(differences(config, changed)) == 1


def test_models_in_a_file_are_names_or_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('start_from = "a2b"\nteacher = "x.safetensors"\n')
    settings = read_settings(tmp_path / "run.toml")
    assert settings == {"start_from": "a2b", "teacher": str(tmp_path / "x.safetensors")}
