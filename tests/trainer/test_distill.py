"""A student learns what its teacher does, by the same loop as every run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from generators import random_model
from PIL import Image
from tiny_run import CPU, make_domain, pictures, run, stops_after, tiny
from torch import nn

from engines.errors import UserError
from engines.library import remove_model
from engines.model_file import Model, read_model, write_model
from engines.network import Generator
from engines.spec import GeneratorSpec
from trainer.checkpoint import read_checkpoint
from trainer.config import DISTILL, TrainConfig, config_from
from trainer.data import Batches, read_data
from trainer.distill import Distillation, find_teacher, slopes
from trainer.log import read_log
from trainer.metrics import Likeness
from trainer.report import write_report

SPEC = GeneratorSpec(base_channels=8, blocks=2, upsampling="transpose4")


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A random generator in the library, named "master"."""
    monkeypatch.setenv("CGVIDEO_MODELS", str(tmp_path / "library"))
    write_model(tmp_path / "library" / "master.safetensors", random_model(SPEC))
    return read_model(tmp_path / "library" / "master.safetensors")


def student(domains: dict[str, str], **changes: Any) -> TrainConfig:
    """A run of twelve pictures in steps of two."""
    of_source = {key: domains[key] for key in ("source", "test_source") if key in domains}
    return tiny(of_source, **{
        "method": "distill", "teacher": "master", "name": "pupil", "preprocess": "zoom", "batch": 2,
        **changes,
    })  # fmt: skip


def test_the_usual_settings_are_a_run() -> None:
    config = config_from(DISTILL, {"teacher": "summer2winter", "name": "a", "source": "b"})
    assert config.target == config.source
    assert (config.spec.name, config.one_way) == ("24x6", True)


@pytest.mark.parametrize(
    "changes",
    [{"teacher": None}, {"method": "cyclegan"}, {"dropout": True}, {"adversarial": "hinge"}],
)
def test_what_does_not_suit_is_refused(domains: dict, changes: dict) -> None:
    with pytest.raises(UserError, match="distill"):
        student(domains, **{"target": domains["source"], **changes})


def test_slopes_are_the_differences_of_neighbours() -> None:
    """Rows 0, 1, 2, 3 against none: 1 a step downwards, 0 to the right, whatever is added."""
    ramp = torch.arange(4.0).view(1, 1, 4, 1).expand(1, 3, 4, 4)
    assert slopes(ramp, torch.zeros_like(ramp)).item() == 1
    assert slopes(ramp.mT * 2 + 7, torch.zeros_like(ramp)).item() == 2
    assert slopes(ramp + 5, ramp).item() == 0


def test_a_step_moves_the_student_alone(domains: dict, teacher: Model) -> None:
    method = Distillation(student(domains), CPU, teacher)
    before = {key: value.clone() for key, value in method.teacher.state_dict().items()}
    started = [each.clone() for each in method.to_target.parameters()]
    losses = method.step(pictures(0, 2), pictures(1, 2), 0)
    assert set(losses) == {"l1", "slopes", "adversarial_target", "discriminator_target"}
    assert all(torch.equal(before[k], v) for k, v in method.teacher.state_dict().items())
    moved = zip(started, method.to_target.parameters(), strict=True)
    assert not any(torch.equal(one, other) for one, other in moved if one.dim() > 1)


def test_the_losses_are_to_what_the_teacher_makes(domains: dict, teacher: Model) -> None:
    """A student that is its teacher has nothing to learn from it."""
    method = Distillation(student(domains, base_channels=8), CPU, teacher)
    method.to_target.load_state_dict(Generator.of(teacher).state_dict())
    losses = method.step(pictures(0, 2), pictures(1, 2), 0)
    assert max(losses["l1"], losses["slopes"]) < 1e-5  # PyTorch's norm kernel rounds otherwise


def test_pictures_are_read_once_and_drawn_once(domains: dict) -> None:
    config = student(domains)
    data = read_data(config)
    assert data.target is data.source
    assert data.test_target is data.test_source
    source, target = next(Batches(config, data, CPU.device).since(0))
    assert target is source
    assert source.shape == (2, 3, 32, 32)


def test_a_run_leaves_what_every_run_leaves(domains: dict, teacher: Model, tmp_path: Path) -> None:
    config = student(domains, sample_every=6, evaluate_every=6)
    run(config, tmp_path / "run")
    model = read_model(tmp_path / "run" / "models" / "pupil.safetensors")
    assert [path.name for path in (tmp_path / "run" / "models").iterdir()] == ["pupil.safetensors"]
    assert model.spec == config.spec
    card = model.card
    assert (card["teacher"], card["teacher_sha256"]) == ("master", teacher.sha256)
    assert card["does"] == teacher.card["does"]
    share = 100 * config.spec.macs(32, 32) / SPEC.macs(32, 32)
    assert card["share_of_teacher"] == f"{share:.1f} % of its arithmetic"
    measured = [line for line in read_log(tmp_path / "run" / "log.jsonl") if "score" in line]
    assert [line["images_seen"] for line in measured] == [6, 12]
    assert measured[-1]["score"] == measured[-1]["psnr_to_teacher"]
    assert card["psnr_to_teacher"] == (
        f"{measured[-1]['psnr_to_teacher']:.1f} dB, at worst"
        f" {measured[-1]['worst_psnr_to_teacher']:.1f} dB, on 2 test pictures"
    )
    with Image.open(tmp_path / "run" / "samples" / "000000012.png") as sheet:
        assert sheet.info["columns"].split("\n") == ["source", "teacher", "student"]
        assert sheet.width < 4 * 36
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "The student is like its teacher to" in page
    assert "Likeness to the teacher" in page


@pytest.mark.slow
def test_a_compact_student_learns(domains: dict, teacher: Model, tmp_path: Path) -> None:
    compact = {"family": "compact", "base_channels": 16, "blocks": 2, "evaluate_every": 40}
    run(student(domains, images=240, average=10, **compact), tmp_path / "run")
    model = read_model(tmp_path / "run" / "models" / "pupil.safetensors")
    assert model.spec == GeneratorSpec("compact", 16, 2)
    scores = [line["score"] for line in read_log(tmp_path / "run" / "log.jsonl") if "score" in line]
    assert scores[-1] > scores[0] + 1


def test_a_run_goes_on_exactly_though_its_teacher_is_gone(
    domains: dict, teacher: Model, tmp_path: Path
) -> None:
    config = student(domains)
    run(config, tmp_path / "whole")
    run(config, tmp_path / "parts", stops_after(3))
    remove_model("master")
    run(config, tmp_path / "parts")
    whole, parts = (
        read_checkpoint(tmp_path / name / "checkpoints" / "000000012.pt")
        for name in ("whole", "parts")
    )
    assert whole is not None
    assert parts is not None
    for kind in ("networks", "averages"):
        for name, weights in whole[kind].items():
            for key, value in weights.items():
                assert torch.equal(value, parts[kind][name][key]), (kind, name, key)


class Shifted(nn.Module):
    """The teacher, but for some levels of 255."""

    def __init__(self, network: nn.Module, levels: float) -> None:
        super().__init__()
        self.network, self.levels = network, levels

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.network(picture) + self.levels / 127.5
        return made


def test_the_measure_is_the_likeness_to_the_teacher(domains: dict, teacher: Model) -> None:
    config = student(domains)
    network = Generator.of(teacher)
    measure = Likeness(config, read_data(config), CPU, network)
    for levels, expected in ((0.0, 60.0), (10.0, 28.13)):
        average: Any = type("Fixed", (), {"network": Shifted(network, levels)})
        values = measure({"to_target": average})
        assert values["psnr_to_teacher"] == pytest.approx(expected, abs=0.05)
        assert values["worst_psnr_to_teacher"] == pytest.approx(expected, abs=0.05)
        assert values["edges_to_teacher"] == pytest.approx(1, abs=1e-3)
        assert (values["pictures_measured"], values["on_training_pictures"]) == (2, 0)


def test_a_teacher_that_does_not_take_such_crops_is_named(domains: dict, tmp_path: Path) -> None:
    spec = GeneratorSpec(family="unet", base_channels=4, blocks=6)
    write_model(tmp_path / "u.safetensors", random_model(spec))
    with pytest.raises(UserError, match=r"--crop 32 does not suit the teacher u.*64"):
        find_teacher(student(domains, teacher=str(tmp_path / "u.safetensors")))


@pytest.mark.slow
def test_a_student_comes_near_its_teacher(tmp_path: Path, teacher: Model) -> None:
    domains = {"source": str(make_domain(tmp_path / "A", 24, size=(64, 80)))}
    domains["test_source"] = str(make_domain(tmp_path / "T", 4, size=(64, 64), first=40))
    config = student(
        domains, base_channels=8, images=600, average=50, learning_rate=2e-3, policy="cosine",
        save_every=600,
    )  # fmt: skip
    measure = Likeness(config, read_data(config), CPU, Distillation(config, CPU, teacher).teacher)
    start = measure(Distillation(config, CPU, teacher).averages)["psnr_to_teacher"]
    run(config, tmp_path / "run")
    last = read_log(tmp_path / "run" / "log.jsonl")[-1]
    assert last["psnr_to_teacher"] > start + 5
