import math

import pytest

from engines.errors import UserError
from engines.spec import FAMILIES, NORMS, REDUCTIONS, UPSAMPLINGS, GeneratorSpec


def test_known_figures():
    small = GeneratorSpec(base_channels=24, blocks=6)
    paper = GeneratorSpec(base_channels=64, blocks=9)
    assert small.name == "24x6"
    assert small.statistics_channels == 1392
    assert paper.statistics_channels == 5248
    assert small.norm_channels[:4] == (24, 48, 96, 96)
    assert small.norm_channels[-2:] == (48, 24)
    assert small.macs(256, 256) / 1e9 == pytest.approx(5.2, abs=0.05)
    assert paper.macs(256, 256) / 1e9 == pytest.approx(49.6, abs=0.05)
    assert GeneratorSpec(norm="none").statistics_channels == 0


def test_keys_are_those_of_the_reference_project():
    keys = [layer.key for layer in GeneratorSpec(base_channels=24, blocks=6).layers]
    assert keys[:5] == ["model.1", "model.4", "model.7"] + [
        f"model.10.conv_block.{number}" for number in (1, 5)
    ]
    assert keys[-3:] == ["model.16", "model.19", "model.23"]


def test_figures_of_the_unet_of_pix2pix():
    paper = GeneratorSpec("unet", 64, 8, norm="batch_picture")
    assert paper.name == "unet 64x8"
    assert (paper.multiple_of, paper.minimum_size) == (256, 256)
    assert not paper.tileable
    assert GeneratorSpec().tileable
    assert paper.norm_channels == (128, 256, 512, 512, 512, 512) + (512,) * 4 + (256, 128, 64)
    parameters = sum(math.prod(shape) for key, shape in paper.shapes.items() if "run" not in key)
    assert parameters / 1e6 == pytest.approx(54.4, abs=0.05)  # as the project prints it
    assert paper.halo > 256
    assert GeneratorSpec("unet", 64, 8, norm="batch").statistics_channels == 0


def test_figures_of_a_compact_generator():
    spec = GeneratorSpec("compact", 64, 6, reduction=8)
    assert spec.name == "compact 64x6/8"
    assert (spec.multiple_of, spec.minimum_size, spec.tileable) == (8, 16, True)
    assert spec.norm_channels == (64,) * 13
    entrance, block, change = 16 * 16 * 3 * 64, 9 * 64 * 64, 9 * 64 * 3 * 64
    assert spec.macs(64, 128) == 8 * 16 * (entrance + 12 * block + change)


SPECS = [GeneratorSpec(base_channels=8, blocks=2, upsampling=name) for name in UPSAMPLINGS] + [
    GeneratorSpec(family, base_channels=8, blocks=3, norm=norm)
    for family in FAMILIES
    for norm in NORMS
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.description)
def test_metadata_round_trip(spec):
    assert GeneratorSpec.from_metadata(spec.to_metadata()) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"family": "unet9000"},
        {"norm": "group"},
        {"padding": "zero"},
        {"upsample": "magic"},
        {"blocks": "0"},
        {"blocks": "six"},
        {"base_channels": "-3"},
        {"base_channels": "1000000"},
        {"family": "unet", "blocks": "1"},
        {"family": "unet", "blocks": "11"},
        {"family": "compact", "reduction": "3"},
    ],
)
def test_nonsense_is_the_users_error(change):
    with pytest.raises(UserError):
        GeneratorSpec.from_metadata(GeneratorSpec().to_metadata() | change)


def test_what_is_the_resnets_choice_is_not_the_unets():
    with pytest.raises(UserError, match="Only a resnet"):
        GeneratorSpec("unet", blocks=5, upsampling="resize")
    with pytest.raises(UserError, match="choice of reduction"):
        GeneratorSpec(reduction=8)


def test_missing_field_is_named():
    with pytest.raises(UserError, match="blocks"):
        GeneratorSpec.from_metadata({"family": "resnet", "base_channels": "24"})


WITHOUT_NORM = [
    *(GeneratorSpec("resnet", 2, 2, norm="none", upsampling=name) for name in UPSAMPLINGS),
    GeneratorSpec("unet", 2, 3, norm="none"),
    GeneratorSpec("compact", 2, 2, norm="none"),
    GeneratorSpec("compact", 2, 2, norm="none", reduction=8),
]


@pytest.mark.parametrize("spec", WITHOUT_NORM, ids=lambda spec: spec.description)
def test_reach_is_what_gradients_say(spec):
    torch = pytest.importorskip("torch")
    from engines.network import Generator

    network = Generator(spec).double()
    for parameter in network.parameters():  # all positive, so that no path cancels or dies
        torch.nn.init.constant_(parameter, 0.01)
    size, middle = 160, 80
    spans = []
    for row in range(middle, middle + spec.multiple_of):
        picture = torch.zeros(1, 3, size, size, dtype=torch.float64, requires_grad=True)
        network(picture)[0, 0, row, middle].backward()
        touched = picture.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        spans.append((int(touched[0]) - row, int(touched[-1]) - row))
    assert max(high - low + 1 for low, high in spans) == spec.receptive_field
    reach = max(max(-low, high) for low, high in spans)
    assert reach <= spec.halo < reach + spec.multiple_of


LEAST = [GeneratorSpec(base_channels=2, blocks=1, upsampling=name) for name in UPSAMPLINGS] + [
    GeneratorSpec("compact", 2, 1, reduction=reduction) for reduction in REDUCTIONS
]


@pytest.mark.parametrize("spec", LEAST, ids=lambda spec: spec.description)
def test_minimum_size_is_the_least_that_runs(spec):
    torch = pytest.importorskip("torch")
    from engines.network import Generator

    network = Generator(spec)
    least = spec.minimum_size
    assert network(torch.zeros(1, 3, least, least)).shape[2:] == (least, least)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, least - spec.multiple_of, least - spec.multiple_of))
