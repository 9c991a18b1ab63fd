"""A generator that was trained is a model that all engines run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import pictures

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.model_file import read_model
from engines.network import Generator
from engines.spec import EPSILON, GeneratorSpec
from trainer.networks import begin
from trainer.publish import name_back, publish, typical_statistics

SPECS = {
    "resnet": GeneratorSpec(base_channels=8, blocks=2, upsampling="transpose4"),
    "resize": GeneratorSpec(base_channels=8, blocks=2, upsampling="resize"),
    "batch": GeneratorSpec(base_channels=8, blocks=2, norm="batch"),
    "none": GeneratorSpec(base_channels=8, blocks=2, norm="none"),
    "unet": GeneratorSpec(family="unet", base_channels=8, blocks=4),
    "compact": GeneratorSpec(family="compact", base_channels=8, blocks=2),
    "unet batch": GeneratorSpec(family="unet", base_channels=8, blocks=4, norm="batch"),
}


def trained(spec: GeneratorSpec) -> Generator:
    """A network as after some training: running statistics have run."""
    network = Generator(spec)
    begin(network, "kaiming", 0.02, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for seed in range(8):
            network.train()(pictures(seed, 2, 64))
    return network.eval()


@pytest.mark.parametrize("kind", SPECS)
def test_a_published_model_translates_as_the_network_does(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    network = trained(SPECS[kind])
    path = tmp_path / "models" / "a2b.safetensors"
    seen = [pictures(seed, 1, 64) for seed in range(3)]
    publish(path, "a2b", network, seen, {"recipe": "none"})
    model = read_model(path)
    assert (model.name, model.spec, model.card["recipe"]) == ("a2b", network.spec, "none")
    frame = ((seen[0][0].permute(1, 2, 0).numpy() + 1) / 2)[None].astype(np.float32)
    with torch.no_grad():
        expected = (network(seen[0])[0].permute(1, 2, 0).numpy() + 1) / 2
    request = EngineRequest(
        backend="openvino", precision="fp32", pixels="float32", size=(64, 64), streams=1
    )
    with open_engine(model, request) as engine:
        apart = np.abs(engine(frame)[0] - expected) * 255
    assert np.sqrt(np.mean(apart**2)) < 0.5
    assert apart.max() < 6


def test_typical_statistics_are_those_in_front_of_the_norms() -> None:
    network = trained(SPECS["resnet"])
    seen = [pictures(seed, 1, 48) for seed in range(5)]
    before: list[list[torch.Tensor]] = [[] for _ in network.spec.layers]
    for number, layer in enumerate(network.spec.layers):
        network.get_submodule(layer.key).register_forward_hook(
            lambda module, given, made, number=number: before[number].append(made[0])
        )
    with torch.no_grad():
        for picture in seen:
            network(picture)
    means, deviations = [], []
    for layer, values in zip(network.spec.layers, before, strict=True):
        if layer.normalises:
            means.append(torch.stack([each.mean((1, 2)) for each in values]).mean(0))
            variances = [each.var((1, 2), correction=0) for each in values]
            deviations.append((torch.stack(variances).mean(0) + EPSILON).sqrt())
    mean, deviation = typical_statistics(network, seen)
    assert np.allclose(mean, torch.cat(means), atol=1e-4)
    assert np.allclose(deviation, torch.cat(deviations), rtol=1e-4)


@pytest.mark.parametrize("kind", ["batch", "none", "unet batch"])
def test_without_norms_by_the_picture_there_are_none(kind: str) -> None:
    assert typical_statistics(trained(SPECS[kind]), [pictures()]) == (None, None)


def test_a_frame_as_usual_is_translated_as_without_statistics(tmp_path: Path) -> None:
    network = trained(SPECS["resnet"])
    seen = [pictures(seed, 1, 64) for seed in range(6)]
    model = publish(tmp_path / "m.safetensors", "m", network, seen, {})
    with torch.no_grad():
        apart = Generator.of(model)(seen[0]) - network(seen[0])
    assert apart.abs().mean() < 0.01


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_weights_that_half_precision_does_not_hold_are_refused(
    value: float, tmp_path: Path
) -> None:
    network = trained(SPECS["resnet"])
    with torch.no_grad():
        network.get_submodule("model.1").weight[0, 0, 0, 0] = value
    with pytest.raises(UserError, match="cannot be kept"):
        publish(tmp_path / "m.safetensors", "m", network, [], {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "back"),
    [
        ("summer2winter", "winter2summer"), ("monet", "monet-back"), ("a2b2c", "b2c2a"),
        ("2b", "2b-back"), ("a2", "a2-back"), ("a2a", "a2a-back"),
    ],
)  # fmt: skip
def test_the_way_back_has_a_name(name: str, back: str) -> None:
    assert name_back(name) == back
