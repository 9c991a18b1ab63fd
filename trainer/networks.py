"""Discriminators, and how weights begin. The generator is `engines.network.Generator`."""

import math

import torch
from torch import Tensor, nn
from torch.nn import init

from engines.instance_norm import instance_norm
from engines.network import Generator
from trainer.config import DiscriminatorKind, Initialisation

SLOPE = 0.2


class InstanceNorm(nn.InstanceNorm2d):
    """PyTorch's, in float32 whatever comes in; on a CPU by the kernel that knows channels last."""

    def forward(self, values: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same, in its dtype."""
        if values.device.type != "cpu":
            return super().forward(values)
        return instance_norm(values)


class Discriminator(nn.Sequential):
    """Logits for overlapping parts of a picture: 70x70 pixels with 3 layers (Isola et al. 2017).

    "patch": 4x4 convolutions, `layers` of which halve the size, then one that does not, then one to a
    single channel. "pixel": 1x1 convolutions, every pixel for itself. Takes `[N, inputs, H, W]` in
    [-1, 1] and gives `[N, 1, h, w]`. 2.765 M parameters for 3 inputs, 64 channels and 3 layers.
    """

    def __init__(
        self,
        kind: DiscriminatorKind = "patch",
        inputs: int = 3,
        channels: int = 64,
        layers: int = 3,
        norm: str = "instance",
    ) -> None:
        bias = norm != "batch"
        modules: list[nn.Module]
        if kind == "pixel":
            modules = [
                nn.Conv2d(inputs, channels, 1),
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(channels, 2 * channels, 1, bias=bias),
                *_norm(norm, 2 * channels),
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(2 * channels, 1, 1, bias=bias),
            ]
        else:
            modules = [nn.Conv2d(inputs, channels, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            width = channels
            for number in range(1, layers + 1):
                before, width = width, channels * min(2**number, 8)
                stride = 2 if number < layers else 1
                modules += [
                    nn.Conv2d(before, width, 4, stride, 1, bias=bias),
                    *_norm(norm, width),
                    nn.LeakyReLU(SLOPE),
                ]
            modules.append(nn.Conv2d(width, 1, 4, 1, 1))
        super().__init__(*modules)


def begin(network: nn.Module, kind: Initialisation, gain: float, random: torch.Generator) -> None:
    """Draw the weights anew: biases 0, norms N(1, gain), convolutions by `kind`.

    "normal" is N(0, gain), as in both papers (0.02). A transposed convolution of 4x4 and stride 2
    begins smooth: each of its kernels is spread by bilinear interpolation, so that no checkerboard
    is there at the start that training would have to unlearn (Odena et al. 2016). So do the four
    pixels of a sub-pixel convolution, which begin alike (Aitken et al. 2017, arXiv 1707.02937).
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            init.normal_(module.weight, 1.0, gain, generator=random)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            match kind:
                case "normal":
                    init.normal_(module.weight, 0.0, gain, generator=random)
                case "xavier":
                    init.xavier_normal_(module.weight, gain, generator=random)
                case "kaiming":
                    init.kaiming_normal_(module.weight, a=0, mode="fan_in", generator=random)
                case "orthogonal":
                    init.orthogonal_(module.weight, gain, generator=random)
            if module.bias is not None:
                init.zeros_(module.bias)
            if isinstance(module, nn.ConvTranspose2d) and module.kernel_size == (4, 4):
                _begin_smooth(module, network)
    if isinstance(network, Generator):
        for layer in network.spec.layers:
            if layer.shuffles > 1:
                _begin_alike(network.get_submodule(layer.key), layer.phases)


def parameters_of(network: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def _norm(norm: str, channels: int) -> list[nn.Module]:
    match norm:
        case "instance":
            return [InstanceNorm(channels)]
        case "batch":
            return [nn.BatchNorm2d(channels)]
        case _:
            return []


def _begin_smooth(module: nn.ConvTranspose2d, network: nn.Module) -> None:
    if not (isinstance(network, Generator) and network.spec.family == "resnet"):
        return
    hat = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=module.weight.dtype)
    with torch.no_grad():
        # One number a pair of channels, as strong as 16 independent ones would be.
        strength = module.weight.sum((2, 3), keepdim=True) / math.sqrt(16)
        spread = torch.outer(hat, hat)
        module.weight.copy_(strength * spread * (4 / spread.norm()))


@torch.no_grad()
def _begin_alike(module: nn.Module, phases: int) -> None:
    assert isinstance(module, nn.Conv2d)
    module.weight.copy_(module.weight[::phases].repeat_interleave(phases, 0))


def judge_input(source: Tensor, picture: Tensor) -> Tensor:
    """What a conditional discriminator sees: the source and its translation, `[N, 6, H, W]`."""
    return torch.cat([source, picture], 1)
