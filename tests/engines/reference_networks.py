"""The generators and the discriminator of pytorch-CycleGAN-and-pix2pix, as published: for comparison.

Written anew from the papers and the project's description, with its modules in its order, so that
`state_dict` has its keys.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

NormMaker = Callable[[int], nn.Module]
NORMS: dict[str, NormMaker] = {
    "instance": nn.InstanceNorm2d,
    "batch": nn.BatchNorm2d,
    "none": lambda channels: nn.Identity(),
}


class Named(nn.Module):
    """A network under a name."""

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, network)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.get_submodule(self.name)(pictures)


class Block(Named):
    def forward(self, values: Tensor) -> Tensor:
        return values + super().forward(values)


class Level(Named):
    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([values, super().forward(values)], 1)


def resnet(base: int, blocks: int, norm: str, dropout: bool = False, up_kernel: int = 3) -> Named:
    bias, normed = norm == "instance", NORMS[norm]

    def half(channels: int) -> list[nn.Module]:
        convolution = nn.Conv2d(channels, channels, 3, bias=bias)
        return [nn.ReflectionPad2d(1), convolution, normed(channels)]

    modules: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, base, 7, bias=bias)]
    modules += [normed(base), nn.ReLU(True)]
    for channels in (base, 2 * base):
        modules += [nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=bias)]
        modules += [normed(2 * channels), nn.ReLU(True)]
    for _ in range(blocks):
        between = [nn.ReLU(True)] + [nn.Dropout(0.5)] * dropout
        modules.append(
            Block("conv_block", nn.Sequential(*half(4 * base), *between, *half(4 * base)))
        )
    for channels in (2 * base, base):
        modules += [
            nn.ConvTranspose2d(
                2 * channels, channels, up_kernel, 2, 1, output_padding=up_kernel % 2, bias=bias
            ),
            normed(channels),
            nn.ReLU(True),
        ]
    modules += [nn.ReflectionPad2d(3), nn.Conv2d(base, 3, 7), nn.Tanh()]
    return Named("model", nn.Sequential(*modules))


def unet(base: int, halvings: int, norm: str, dropout: bool = False) -> Named:
    bias, normed = norm == "instance", NORMS[norm]
    widths = [min(base * 2**level, base * 8) for level in range(halvings)]

    def down(inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias)

    def up(inputs: int, outputs: int, bias: bool = bias) -> nn.Module:
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)

    inner, outer = widths[-1], widths[-2]
    level = Level(
        "model",
        nn.Sequential(
            nn.LeakyReLU(0.2, True), down(outer, inner), nn.ReLU(True), up(inner, outer), normed(outer)
        ),
    )  # fmt: skip
    for number in range(halvings - 2, 0, -1):
        outer, inner = widths[number - 1], widths[number]
        modules = [nn.LeakyReLU(0.2, True), down(outer, inner), normed(inner), level]
        modules += [nn.ReLU(True), up(2 * inner, outer), normed(outer)]
        if dropout and number >= 4:  # between the levels of full width
            modules.append(nn.Dropout(0.5))
        level = Level("model", nn.Sequential(*modules))
    modules = [down(3, base), level, nn.ReLU(True), up(2 * base, 3, bias=True), nn.Tanh()]
    return Named("model", Named("model", nn.Sequential(*modules)))


def discriminator(base: int = 8) -> Named:
    modules: list[nn.Module] = [nn.Conv2d(3, base, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for inputs, outputs, stride in ((base, 2 * base, 2), (2 * base, 4 * base, 1)):
        modules += [nn.Conv2d(inputs, outputs, 4, stride, 1), nn.InstanceNorm2d(outputs)]
        modules.append(nn.LeakyReLU(0.2, True))
    return Named("model", nn.Sequential(*modules, nn.Conv2d(4 * base, 1, 4, 1, 1)))


def fill(network: nn.Module, seed: int = 0) -> None:
    """Weights that keep activations of the order of 1, and norms that are not trivial."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            reached = module.weight.shape[1] * module.weight[0, 0].numel()
            if isinstance(module, nn.ConvTranspose2d):
                reached = module.weight.shape[0] * module.weight[0, 0].numel() // 4
            nn.init.normal_(module.weight, 0, reached**-0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.3)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.3, 1.5)


@torch.inference_mode()
def translate(network: nn.Module, frames: Tensor, by_picture: bool = False) -> Tensor:
    """uint8 `[N, H, W, 3]` to the same; batch norms by each picture, or by running statistics."""
    network.eval()
    if by_picture:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
    results = [network(frame.permute(2, 0, 1)[None] / 127.5 - 1)[0] for frame in frames]
    values = torch.stack(results).permute(0, 2, 3, 1)
    return ((values + 1) * 127.5).round().to(torch.uint8)
