"""The networks are those of the papers, and begin as they should."""

import math

import pytest
import torch
from tiny_run import pictures
from torch import nn

from engines.network import Generator
from engines.spec import GeneratorSpec
from trainer.networks import Discriminator, begin, judge_input, parameters_of

INITIALISATIONS = ("normal", "xavier", "kaiming", "orthogonal")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("spec", "millions"),
    [
        (GeneratorSpec(), 11.378),
        (GeneratorSpec(blocks=6), 7.838),
        (GeneratorSpec(family="unet", blocks=8, norm="batch"), 54.414),
        (GeneratorSpec(family="unet", blocks=7, norm="batch"), 41.829),
    ],
)
def test_generators_have_the_published_number_of_parameters(
    spec: GeneratorSpec, millions: float
) -> None:
    with torch.device("meta"):
        assert parameters_of(Generator(spec)) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        # By hand: sums of outputs * (inputs * 16 + 1), or without the 1 in front of a batch norm.
        ({}, 64 * 49 + 128 * 1025 + 256 * 2049 + 512 * 4097 + 8193),
        ({"inputs": 6, "norm": "batch"}, 64 * 97 + 128 * 1026 + 256 * 2050 + 512 * 4098 + 8193),
        ({"kind": "pixel"}, 64 * 4 + 128 * 65 + 129),
        ({"layers": 5}, 64 * 49 + 128 * 1025 + 256 * 2049 + 512 * 4097 + 2 * 512 * 8193 + 8193),
    ],
)
def test_discriminators_have_the_published_number_of_parameters(
    arguments: dict, count: int
) -> None:
    assert parameters_of(Discriminator(**arguments)) == count


def test_the_patchgan_of_the_papers_has_2_765_million_parameters() -> None:
    assert parameters_of(Discriminator()) / 1e6 == pytest.approx(2.765, abs=5e-4)


def test_the_patchgan_has_the_layers_of_the_papers() -> None:
    convolutions = [each for each in Discriminator() if isinstance(each, nn.Conv2d)]
    assert [
        (each.in_channels, each.out_channels, each.kernel_size[0], each.stride[0], each.padding[0])
        for each in convolutions
    ] == [(3, 64, 4, 2, 1), (64, 128, 4, 2, 1), (128, 256, 4, 2, 1), (256, 512, 4, 1, 1),
          (512, 1, 4, 1, 1)]  # fmt: skip
    kinds = [type(each).__name__ for each in Discriminator()]
    inner = ["Conv2d", "InstanceNorm", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *inner * 3, "Conv2d"]
    assert {each.negative_slope for each in Discriminator() if isinstance(each, nn.LeakyReLU)} == {
        0.2
    }


@pytest.mark.parametrize(
    ("kind", "layers", "field"),
    [("patch", 3, 70), ("patch", 2, 34), ("patch", 1, 16), ("pixel", 3, 1)],
)
def test_a_verdict_depends_on_so_many_pixels(kind: str, layers: int, field: int) -> None:
    judge = Discriminator(kind, channels=2, layers=layers, norm="none")
    for values in judge.parameters():
        nn.init.constant_(values, 0.1)  # nothing cancels
    picture = torch.ones(1, 3, 128, 128, requires_grad=True)
    verdicts = judge(picture)
    verdicts[0, 0, verdicts.shape[2] // 2, verdicts.shape[3] // 2].backward()
    touched = picture.grad[0].abs().sum(0)
    assert int((touched.sum(0) > 0).sum()) == field
    assert int((touched.sum(1) > 0).sum()) == field


def test_verdicts_of_256_pixels_are_30_by_30() -> None:
    assert Discriminator(channels=1)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_a_conditional_judge_sees_the_source_first() -> None:
    source, picture = pictures(0), pictures(1)
    seen = judge_input(source, picture)
    assert torch.equal(seen[:, :3], source)
    assert torch.equal(seen[:, 3:], picture)


def test_weights_begin_normal_and_biases_at_zero() -> None:
    network = Generator(GeneratorSpec(base_channels=32, blocks=2))
    begin(network, "normal", 0.02, seeded())
    weights = torch.cat(
        [v.detach().flatten() for k, v in network.named_parameters() if "weight" in k]
    )
    assert weights.mean().abs() < 1e-4
    assert weights.std() == pytest.approx(0.02, rel=0.005)
    assert (weights.abs() < 0.02).float().mean() == pytest.approx(math.erf(0.5**0.5), abs=0.003)
    assert all(not v.any() for k, v in network.named_parameters() if "bias" in k)


def test_batch_norms_begin_around_one() -> None:
    network = Generator(GeneratorSpec(base_channels=64, blocks=4, norm="batch"))
    begin(network, "normal", 0.02, seeded())
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    weights = torch.cat([each.weight.detach() for each in norms])
    assert weights.mean() == pytest.approx(1, abs=2e-3)
    assert weights.std() == pytest.approx(0.02, rel=0.1)
    assert not torch.cat([each.bias for each in norms]).any()


@pytest.mark.parametrize("kind", INITIALISATIONS)
def test_each_initialisation_has_its_strength(kind: str) -> None:
    network = nn.Sequential(nn.Conv2d(32, 64, 3))
    begin(network, kind, 0.5, seeded())
    weight = network[0].weight.detach()
    fan_in, fan_out = 32 * 9, 64 * 9
    strength = {
        "normal": 0.5,
        "xavier": 0.5 * (2 / (fan_in + fan_out)) ** 0.5,
        "kaiming": (2 / fan_in) ** 0.5,
        "orthogonal": 0.5 * (64 / (64 * fan_in)) ** 0.5,
    }
    assert weight.std() == pytest.approx(strength[kind], rel=0.02)
    if kind == "orthogonal":
        rows = weight.flatten(1)
        assert torch.allclose(rows @ rows.T, 0.25 * torch.eye(64), atol=1e-5)


def test_the_same_seed_begins_the_same_and_another_does_not() -> None:
    networks = [Discriminator(channels=4, layers=1) for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        begin(network, "normal", 0.02, seeded(seed))
    first, same, other = (network[0].weight for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", INITIALISATIONS)
def test_smooth_kernels_leave_no_checkerboard(kind: str) -> None:
    network = Generator(GeneratorSpec(base_channels=16, blocks=2, upsampling="transpose4"))
    begin(network, kind, 0.02, seeded())
    flat = torch.ones(1, 64, 6, 6)
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            flat = torch.ones(1, module.in_channels, 6, 6)
            inside = module(flat)[:, :, 2:-2, 2:-2]
            assert inside.std((2, 3)).max() < 1e-5 * inside.abs().max()


def test_sub_pixels_begin_alike_and_still_learn_apart() -> None:
    network = Generator(GeneratorSpec(base_channels=16, blocks=2, upsampling="subpixel"))
    begin(network, "normal", 0.02, seeded())
    enlarging = [layer for layer in network.spec.layers if layer.shuffles > 1]
    assert len(enlarging) == 2
    for layer in enlarging:
        module = network.get_submodule(layer.key)
        values = torch.randn(1, layer.inputs, 6, 6, generator=seeded())
        made = nn.functional.pixel_shuffle(module(values), 2)
        assert torch.equal(made[..., ::2, ::2], made[..., 1::2, 1::2])
    network(torch.rand(1, 3, 32, 32, generator=seeded())).square().mean().backward()
    slope = network.get_submodule(enlarging[0].key).weight.grad
    assert slope is not None
    assert not torch.equal(slope[0], slope[1])


def test_plain_kernels_do_leave_one() -> None:
    """So the test above measures something."""
    module = nn.ConvTranspose2d(8, 8, 4, 2, 1)
    begin(nn.Sequential(module), "normal", 0.02, seeded())
    inside = module(torch.ones(1, 8, 6, 6))[:, :, 2:-2, 2:-2]
    assert inside.std((2, 3)).max() > 0.1 * inside.abs().max()


def test_smooth_kernels_are_as_strong_as_plain_ones() -> None:
    network = Generator(GeneratorSpec(base_channels=32, blocks=2, upsampling="transpose4"))
    begin(network, "normal", 0.02, seeded())
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            assert module.weight.detach().square().mean() ** 0.5 == pytest.approx(0.02, rel=0.05)


def test_unets_keep_their_plain_kernels() -> None:
    """Each of them mixes with what was kept; the papers begin them plainly."""
    network = Generator(GeneratorSpec(family="unet", base_channels=4, blocks=3))
    begin(network, "normal", 0.02, seeded())
    kernels = network.get_submodule("model.model.3").weight
    assert (kernels[:, :, 0, 0] / kernels[:, :, 1, 1]).std() > 0.5


def dropping(spec: GeneratorSpec) -> list[str]:
    """The layers whose dropout changes what the network gives, by trying."""
    network = Generator(spec)
    begin(network, "normal", 0.2, seeded())
    network.train()
    picture = pictures(side=64)
    plain = network(picture)
    network.dropout = 0.5
    all_of_them, found = set(network._dropping), []
    for layer in spec.layers:
        network._dropping = all_of_them & {layer.key}
        if not torch.equal(network(picture), plain):
            found.append(layer.key)
    return found


def test_resnets_drop_inside_their_blocks() -> None:
    spec = GeneratorSpec(base_channels=4, blocks=2)
    assert dropping(spec) == ["model.10.conv_block.1", "model.11.conv_block.1"]


def test_unets_drop_in_the_first_three_layers_of_the_ascent() -> None:
    spec = GeneratorSpec(family="unet", base_channels=4, blocks=6, norm="instance")
    ascent = [layer.key for layer in spec.layers if layer.transposed]
    assert dropping(spec) == ascent[:3]


def test_dropout_keeps_the_strength_and_is_for_training_alone() -> None:
    network = Generator(GeneratorSpec(base_channels=4, blocks=2))
    begin(network, "normal", 0.2, seeded())
    network.dropout = 0.5
    picture = pictures()
    assert not torch.equal(network.train()(picture), network(picture))
    assert torch.equal(network.eval()(picture), network(picture))


def test_batch_norms_learn_in_training_and_go_by_it_afterwards() -> None:
    network = Generator(GeneratorSpec(base_channels=4, blocks=2, norm="batch"))
    begin(network, "normal", 0.2, seeded())
    norm = network.get_submodule("model.2")
    batch = pictures(1, count=4)
    with torch.no_grad():
        values = network.get_submodule("model.1")(nn.functional.pad(batch, [3] * 4, "reflect"))
        network.train()(batch)
    variance, mean = torch.var_mean(values, (0, 2, 3))
    assert torch.allclose(norm.running_mean, 0.1 * mean, atol=1e-6)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * variance, atol=1e-5)
    network.eval()
    with torch.no_grad():
        together, alone = network(batch), network(batch[:1])
    assert torch.allclose(together[:1], alone, atol=1e-3)
    assert torch.allclose(norm.running_mean, 0.1 * mean, atol=1e-6)
