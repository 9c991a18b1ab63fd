"""Fine-tuning: what a run begins with, and what it does not take over."""

from pathlib import Path
from typing import Any

import pytest
import torch
from generators import random_model
from tiny_run import CPU, run, stops_after, tiny

from engines.errors import UserError
from engines.model_file import read_model, write_model
from engines.network import Generator
from engines.spec import GeneratorSpec
from trainer.checkpoint import read_checkpoint
from trainer.config import model_name, names_path, resolved, to_toml
from trainer.cyclegan import CycleGan
from trainer.start import check_models, read_start

SPEC = GeneratorSpec(base_channels=4, blocks=2, upsampling="transpose4")


@pytest.fixture(scope="module")
def before(domains: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is over."""
    folder = tmp_path_factory.mktemp("runs") / "before"
    config = tiny(domains, images=8, average=2)
    run(config, folder)
    (folder / "config.toml").write_text(to_toml(resolved(config)), encoding="utf-8")
    return folder


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pair of models, and one alone."""
    monkeypatch.setenv("CGVIDEO_MODELS", str(tmp_path / "library"))
    for seed, name in enumerate(("a2b", "b2a", "alone")):
        write_model(tmp_path / "library" / f"{name}.safetensors", random_model(SPEC, seed))
    return tmp_path / "library"


def begun(domains: dict, start: Path | str, **changes: Any) -> CycleGan:
    """The networks of a run in front of its first step."""
    config = tiny(domains, start_from=str(start), name="after", seed=5, **changes)
    method = CycleGan(config, CPU)
    read_start(config).give(method)
    return method


def same(network: torch.nn.Module, weights: Any) -> bool:
    own = network.state_dict()
    return own.keys() == weights.keys() and all(torch.equal(own[k], weights[k]) for k in own)


def test_a_run_gives_all_its_networks_and_averages(domains: dict, before: Path) -> None:
    newest = read_checkpoint(before / "checkpoints" / "000000008.pt")
    assert newest is not None
    method = begun(domains, before)
    for name, network in method.networks.items():
        assert same(network, newest["networks"][name])
    for name, average in method.averages.items():
        assert same(average.network, newest["averages"][name])
    assert not any(optimiser.state for optimiser in method.optimisers.values())


def test_a_checkpoint_can_be_named(domains: dict, before: Path) -> None:
    older = read_checkpoint(before / "checkpoints" / "000000004.pt")
    assert older is not None
    method = begun(domains, before / "checkpoints" / "000000004.pt")
    assert same(method.judge_source, older["networks"]["judge_source"])


def test_a_damaged_newest_checkpoint_is_passed_over(domains: dict, before: Path) -> None:
    path = before / "checkpoints" / "000000008.pt"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:1000])
        older = read_checkpoint(before / "checkpoints" / "000000004.pt")
        assert older is not None
        assert same(begun(domains, before).to_source, older["networks"]["to_source"])
        with pytest.raises(UserError, match="no checkpoint that can be read"):
            begun(domains, path)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("by_name", [True, False])
def test_a_model_gives_its_generator_and_its_counterpart(
    domains: dict, library: Path, by_name: bool
) -> None:
    method = begun(domains, "a2b" if by_name else library / "a2b.safetensors")
    for network, name in ((method.to_target, "a2b"), (method.to_source, "b2a")):
        weights = Generator.of(read_model(library / f"{name}.safetensors")).state_dict()
        assert same(network, weights)
    assert same(method.averages["to_target"].network, method.to_target.state_dict())


def test_without_a_counterpart_the_way_back_begins_anew(domains: dict, library: Path) -> None:
    method, fresh = begun(domains, "alone"), CycleGan(tiny(domains, seed=5), CPU)
    assert same(method.to_source, fresh.to_source.state_dict())
    assert not same(method.to_target, fresh.to_target.state_dict())
    assert same(method.judge_target, fresh.judge_target.state_dict())


def test_another_architecture_is_refused_and_both_are_named(
    domains: dict, before: Path, library: Path
) -> None:
    for start in (before, "a2b"):
        with pytest.raises(UserError, match=r"resnet, 4 channels, 2 blocks.* 4 channels, 3 blocks"):
            begun(domains, start, blocks=3)
    with pytest.raises(UserError, match=r"judge_target of .*before has other layers"):
        begun(domains, before, discriminator_channels=8)


def test_what_cannot_be_read_is_told_before_the_run_begins(
    domains: dict, library: Path, tmp_path: Path
) -> None:
    for start in ("nothing", str(tmp_path / "nothing.safetensors"), str(tmp_path / "no" / "run")):
        with pytest.raises(UserError):
            check_models(tiny(domains, start_from=start), tmp_path / "run")
    run(tiny(domains, images=4), tmp_path / "run")
    check_models(tiny(domains, start_from="nothing"), tmp_path / "run")  # it has begun


def test_it_counts_at_the_beginning_alone(
    domains: dict, before: Path, library: Path, tmp_path: Path
) -> None:
    """A run that goes on has the bytes of one that did not stop, though its start is gone."""
    config = tiny(domains, start_from="a2b")
    run(config, tmp_path / "whole")
    run(config, tmp_path / "parts", stops_after(5))
    (library / "a2b.safetensors").unlink()
    run(config, tmp_path / "parts")
    models = [tmp_path / each / "models" / "blue2orange.safetensors" for each in ("whole", "parts")]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert read_model(models[0]).card["start_from"] == "a2b"
    run(tiny(domains), tmp_path / "other")
    other = tmp_path / "other" / "models" / "blue2orange.safetensors"
    assert not torch.equal(
        torch.tensor(read_model(models[0]).weight("model.1.weight")),
        torch.tensor(read_model(other).weight("model.1.weight")),
    )


def test_of_another_method_the_generators_alone_are_taken(domains: dict, before: Path) -> None:
    config = tiny(
        {"source": domains["source"]}, method="distill", teacher="x", start_from=str(before)
    )
    start = read_start(config)
    assert set(start.networks) == {"to_target", "to_source"}


def test_cards_tell_names_not_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_name("a.b") == "a.b"
    assert model_name("/home/me/m.safetensors") == "m"
    assert model_name("/home/me/runs/x") == "x"
    assert model_name("/home/me/runs/x/checkpoints/best.pt") == "x/best.pt"
    monkeypatch.chdir(tmp_path)
    assert not names_path("run")
    (tmp_path / "run").mkdir()
    assert not names_path("run")  # a model of the library may have the name of some folder
    (tmp_path / "run" / "config.toml").touch()
    assert names_path("run")


def test_paths_hold_from_anywhere(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolved(tiny(domains, start_from="m.safetensors")).start_from == str(
        tmp_path / "m.safetensors"
    )
    assert resolved(tiny(domains, start_from="a2b")).start_from == "a2b"
