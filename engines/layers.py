"""The layers of every family of generators, in order of execution."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

Norm = Literal["instance", "batch", "batch_picture", "none"]
Activation = Literal["relu", "leaky", "tanh", "none"]
Skip = Literal["none", "begins", "adds", "keeps", "joins"]

LEAK = 0.2
"""Slope of the "leaky" activation below 0; the value of the reference networks."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution with all that surrounds it, in the order in which it is applied.

    enlarge (nearest, twice the size) → reflect pad → convolution (or transposed convolution), with
    bias or without → shuffle by s (s² neighbouring channels become sxs pixels of one) → norm →
    activation → skip. Of skips, "begins" remembers what enters the layer
    and "keeps" what leaves it; "adds" adds the last remembered to the output, "joins" puts its
    positive part (ReLU) in front of the output's channels. Each remembered value is used once.
    """

    key: str  # of the weights in a model file: `model.1` stands for `model.1.weight` and `.bias`
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    transposed: bool = False
    enlarges: bool = False
    shuffles: int = 1  # how many times higher and wider a shuffle makes it
    reflects: int = 0  # rows and columns of reflection on each side
    zeros: int = 0  # rows and columns of zeros on each side (transposed: taken off, as in PyTorch)
    extra: int = 0  # `output_padding` of a transposed convolution
    bias: bool = True
    norm: Norm = "none"
    activation: Activation = "relu"
    skip: Skip = "none"

    @property
    def normalises(self) -> bool:
        """Whether its norm goes by the picture's own mean and variance, so that it has statistics."""
        return self.norm in ("instance", "batch_picture")

    @property
    def affine(self) -> bool:
        """Whether its norm has weight, bias, and running mean and variance."""
        return self.norm in ("batch", "batch_picture")

    @property
    def norm_key(self) -> str:
        """The key of the norm, which stands right behind the convolution."""
        path, number = self.key.rsplit(".", 1)
        return f"{path}.{int(number) + 1}"

    @property
    def phases(self) -> int:
        """How many channels the convolution makes for each output."""
        return self.shuffles**2

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape of the kernel as PyTorch and ONNX store it."""
        first, second = (
            (self.inputs, self.outputs)
            if self.transposed
            else (self.outputs * self.phases, self.inputs)
        )
        return (first, second, self.kernel, self.kernel)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array of this layer, by its key."""
        shapes: dict[str, tuple[int, ...]] = {f"{self.key}.weight": self.weight_shape}
        if self.bias:
            shapes[f"{self.key}.bias"] = (self.outputs * self.phases,)
        if self.affine:
            names = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"{self.norm_key}.{name}": (self.outputs,) for name in names}
        return shapes

    @property
    def enlargement(self) -> float:
        """Output height over input height."""
        return (2.0 if self.transposed or self.enlarges else 1 / self.stride) * self.shuffles

    def reads(self, low: int, high: int) -> tuple[int, int]:
        """The input rows that output rows `low` to `high` (both included) depend on."""
        if self.transposed:
            # Input row i adds to the output rows 2i - zeros … 2i - zeros + kernel - 1.
            return -((self.kernel - 1 - self.zeros - low) // 2), (high + self.zeros) // 2
        low, high = low // self.shuffles, high // self.shuffles
        pad = self.reflects + self.zeros
        low, high = low * self.stride - pad, high * self.stride - pad + self.kernel - 1
        return (low // 2, high // 2) if self.enlarges else (low, high)


@cache
def resnet_layers(base: int, blocks: int, norm: Norm, upsampling: str) -> tuple[Layer, ...]:
    """Johnson et al. 2016 as used by CycleGAN (Zhu et al. 2017); see `GeneratorSpec`."""
    one, two, four = base, 2 * base, 4 * base
    bias = _has_bias(norm)
    down = Layer("", 0, 0, kernel=3, stride=2, zeros=1, bias=bias, norm=norm)
    block = Layer("", four, four, kernel=3, reflects=1, bias=bias, norm=norm)
    layers = [
        Layer("model.1", 3, one, kernel=7, reflects=3, bias=bias, norm=norm),
        replace(down, key="model.4", inputs=one, outputs=two),
        replace(down, key="model.7", inputs=two, outputs=four),
    ]
    for number in range(10, 10 + blocks):
        key = f"model.{number}.conv_block"
        layers += [
            replace(block, key=f"{key}.1", skip="begins"),
            replace(block, key=f"{key}.5", skip="adds", activation="none"),
        ]
    # Keys count the modules of a Sequential: enlarging and padding are two more in front.
    number, step = 10 + blocks, 3
    if upsampling == "resize":
        up = replace(block, enlarges=True)
        number, step = number + 2, 5
    elif upsampling == "subpixel":
        up = replace(block, shuffles=2)
        number, step = number + 1, 4
    elif upsampling == "transpose4":
        up = replace(down, transposed=True, kernel=4)
    else:
        up = replace(down, transposed=True, extra=1)
    last = f"model.{10 + blocks + 2 * step + 1}"
    layers += [
        replace(up, key=f"model.{number}", inputs=four, outputs=two),
        replace(up, key=f"model.{number + step}", inputs=two, outputs=one),
        Layer(last, one, 3, kernel=7, reflects=3, activation="tanh"),
    ]
    return tuple(layers)


@cache
def compact_layers(base: int, blocks: int, norm: Norm, reduction: int) -> tuple[Layer, ...]:
    """Residual blocks at a fraction of the size, and what they change of the picture; see `GeneratorSpec`."""
    bias = _has_bias(norm)
    block = Layer("", base, base, kernel=3, reflects=1, bias=bias, norm=norm)
    layers = [
        Layer(
            "model.1", 3, base, kernel=2 * reduction, stride=reduction, reflects=reduction // 2,
            bias=bias, norm=norm, skip="begins",
        )
    ]  # fmt: skip
    for number in range(4, 4 + blocks):
        key = f"model.{number}.conv_block"
        layers += [
            replace(block, key=f"{key}.1", skip="begins"),
            replace(block, key=f"{key}.5", skip="adds", activation="none"),
        ]
    change = Layer(
        f"model.{5 + blocks}", base, 3, kernel=3, reflects=1, shuffles=reduction,
        activation="none", skip="adds",
    )  # fmt: skip
    return (*layers, change)


@cache
def unet_layers(base: int, halvings: int, norm: Norm) -> tuple[Layer, ...]:
    """The U-Net of pix2pix (Isola et al. 2017); see `GeneratorSpec`.

    In the reference project each level is a Sequential around the next. Its convolutions start
    with LeakyReLU on the way down and ReLU on the way up. Here each activation stands at the end of
    the layer before, which is the same: what is kept is already leaky, and the ReLU of a leaky
    value is the ReLU of the value.
    """
    widths = [base * min(2**level, 8) for level in range(halvings)]
    down = Layer(
        "", 0, 0, kernel=4, stride=2, zeros=1, bias=_has_bias(norm), norm=norm,
        activation="leaky", skip="keeps",
    )  # fmt: skip
    up = replace(down, transposed=True, activation="relu", skip="joins")
    descent = [replace(down, key="model.model.0", inputs=3, outputs=base, norm="none")]
    ascent = [
        Layer(
            "model.model.3", 2 * base, 3, kernel=4, stride=2, zeros=1, transposed=True,
            activation="tanh",
        )
    ]  # fmt: skip
    path = "model.model.1.model"
    for level in range(1, halvings):
        outer, inner = widths[level - 1], widths[level]
        innermost = level == halvings - 1
        below = replace(down, key=f"{path}.1", inputs=outer, outputs=inner)
        above = replace(up, key=f"{path}.5", inputs=2 * inner, outputs=outer)
        if innermost:
            below = replace(below, norm="none", activation="relu", skip="none")
            above = replace(above, key=f"{path}.3", inputs=inner)
        descent.append(below)
        ascent.append(above)
        path += ".3.model"
    return (*descent, *reversed(ascent))


def _has_bias(norm: Norm) -> bool:
    """Whether the inner convolutions have a bias: a batch norm has one of its own."""
    return norm in ("instance", "none")
