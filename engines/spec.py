"""What a generator is, down to every layer: the one description that all runtimes are built from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from engines.errors import UserError

Form = Literal["self", "statistics", "measure"]
"""Where a generator's statistics come from, or that they are what is wanted; see `engines.graph`."""

Pixels = Literal["uint8", "float32"]
"""What an engine takes and gives: 0 to 255, or 0 to 1."""

EPSILON = 1e-5
"""Added to the variance in every norm; the value of the reference networks (Zhu et al. 2017)."""

FLAT, ORDINARY = 0.01, 0.2
"""The rule for flat frames, of models that know their typical statistics.

Instance norm divides a flat frame (a fade to black) by almost nothing and makes noise of it. So a
frame's contrast is taken at the first norm: the mean over its channels of min(1, variance / typical
variance). From ORDINARY upwards every norm takes the frame's own moments, at FLAT and below the
typical ones. In between, the share of its own, the same at every norm, is the square of the way
from FLAT to ORDINARY; mean and variance are mixed by it.

Measured with both starter models. Of 96 frames (landscape and road clips at 640x360, animation,
256-pixel photographs) 95 have a contrast of 0.248 or more, so nothing changes for them; the other,
0.10, is from a fade. One level of noise on black, grey or white has less than 0.0001. Black comes
out at 17 and 14 of 255, grey 128 at 150 and 108, white at 245 and 240, without noise, where plain
instance norm makes noise around 120 of all. A fade falls from 130 to 18, and on the way the steps
upwards add to 17 at most (kinks of the network itself; 19 with the share not squared, 27 with the
geometric mean of the variances). Deciding by channel and layer did not do: the edges of the zero
padding alone give the deeper layers variance enough, and black came out at 207.
"""

FAMILIES = ("resnet",)
NORMS = ("instance", "none")
PADDINGS = ("reflect",)
UPSAMPLINGS = ("transpose3", "transpose4", "resize")

ANOTHER_MODEL = "Use a model from the list of `cgvideo models`, or a model file made for cgvideo"


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution with all that surrounds it, in the order in which it is applied.

    enlarge (nearest, twice the size) → reflect pad → convolution (or transposed convolution) with
    bias → norm → activation → residual addition.
    """

    key: str  # of the weights in a model file: `model.1` stands for `model.1.weight` and `.bias`
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    transposed: bool = False
    enlarges: bool = False
    reflects: int = 0  # rows and columns of reflection on each side
    zeros: int = 0  # rows and columns of zeros on each side (transposed: taken off, as in PyTorch)
    extra: int = 0  # `output_padding` of a transposed convolution
    normalised: bool = False
    activation: Literal["relu", "tanh", "none"] = "relu"
    residual: Literal["begins", "ends", "none"] = "none"

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape of the kernel as PyTorch and ONNX store it."""
        first, second = (
            (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        )
        return (first, second, self.kernel, self.kernel)

    @property
    def enlargement(self) -> float:
        """Output height over input height."""
        return 2.0 if self.transposed or self.enlarges else 1 / self.stride

    def reads(self, low: int, high: int) -> tuple[int, int]:
        """The input rows that output rows `low` to `high` (both included) depend on."""
        if self.transposed:
            # Input row i adds to the output rows 2i - zeros … 2i - zeros + kernel - 1.
            return -((self.kernel - 1 - self.zeros - low) // 2), (high + self.zeros) // 2
        pad = self.reflects + self.zeros
        low, high = low * self.stride - pad, high * self.stride - pad + self.kernel - 1
        return (low // 2, high // 2) if self.enlarges else (low, high)


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A generator, described wholly; checks itself.

    Input and output are RGB in [-1, 1], `[N, 3, H, W]`. Of the "resnet" family (Johnson et al. 2016
    as used by CycleGAN, Zhu et al. 2017): a 7x7 convolution, two that halve the size, `blocks`
    residual blocks at a quarter of the size, two that double it, a 7x7 convolution and tanh.
    Instance norm is without parameters. `upsampling` names what doubles the size: "transpose3" is a
    transposed convolution 3x3 with output padding 1, "transpose4" one of 4x4, "resize" the nearest
    neighbour twice and then a reflect-padded 3x3 convolution (Odena et al. 2016).

    Raises UserError for anything that no generator can be built from.
    """

    family: str = "resnet"
    base_channels: int = 64
    blocks: int = 9
    norm: str = "instance"
    padding: str = "reflect"
    upsampling: str = "transpose3"
    input_channels: int = 3
    output_channels: int = 3

    def __post_init__(self) -> None:
        known = {
            "family": FAMILIES, "norm": NORMS, "padding": PADDINGS, "upsampling": UPSAMPLINGS,
        }  # fmt: skip
        for field, choices in known.items():
            if getattr(self, field) not in choices:
                raise UserError(
                    f"This generator has {field} {getattr(self, field)!r}; known: {', '.join(choices)}",
                    ANOTHER_MODEL,
                )
        for field, most in {"base_channels": 1024, "blocks": 64}.items():
            if not 1 <= getattr(self, field) <= most:
                raise UserError(
                    f"This generator has {field} {getattr(self, field)}; possible: 1 to {most}",
                    ANOTHER_MODEL,
                )
        if (self.input_channels, self.output_channels) != (3, 3):
            raise UserError("This generator does not turn RGB into RGB", ANOTHER_MODEL)

    @property
    def name(self) -> str:
        """Short, for people: `24x6` is 24 channels and 6 blocks."""
        return f"{self.base_channels}x{self.blocks}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer in order of execution; the keys are those of the reference PyTorch project."""
        return _resnet_layers(self)

    @property
    def multiple_of(self) -> int:
        """Height and width must be multiples of this."""
        return 4

    @property
    def minimum_size(self) -> int:
        """The least height and width: a reflection needs more pixels than it adds."""
        least, scale = 1, 1.0
        for layer in self.layers:
            size = (layer.reflects + 1) / (2 if layer.enlarges else 1)
            least = max(least, math.ceil(size / scale))
            scale *= layer.enlargement
        return math.ceil(least / self.multiple_of) * self.multiple_of

    @property
    def receptive_field(self) -> int:
        """The height and width in pixels that one output pixel depends on, given the statistics."""
        return max(high - low + 1 for low, high in self._reads())

    @property
    def halo(self) -> int:
        """Pixels that a tile needs on each side to be exact, rounded up to `multiple_of`.

        Holds for tiles that begin at multiples of `multiple_of`.
        """
        reach = max(max(row - low, high - row) for row, (low, high) in enumerate(self._reads()))
        return math.ceil(reach / self.multiple_of) * self.multiple_of

    def _reads(self) -> list[tuple[int, int]]:
        """For each output row of one period, the first and last input row that it depends on."""
        spans = []
        for row in range(self.multiple_of):
            span = (row, row)
            for layer in reversed(self.layers):
                span = layer.reads(*span)
            spans.append(span)
        return spans

    @property
    def norm_channels(self) -> tuple[int, ...]:
        """The number of channels at each norm, in order of execution."""
        return tuple(layer.outputs for layer in self.layers if layer.normalised)

    @property
    def statistics_channels(self) -> int:
        """All channels of all norms: 1392 for 24x6, 5248 for 64x9, 0 without norm."""
        return sum(self.norm_channels)

    def macs(self, height: int, width: int) -> int:
        """Multiplications with addition for one frame: 49.6e9 for 64x9 at 256x256."""
        total, pixels = 0.0, float(height * width)
        for layer in self.layers:
            before, pixels = pixels, pixels * layer.enlargement**2
            # A transposed convolution spreads each input pixel, a plain one gathers each output's.
            total += math.prod(layer.weight_shape) * (before if layer.transposed else pixels)
        return round(total)

    def to_metadata(self) -> dict[str, str]:
        """The fields as a model file's metadata holds them; `from_metadata` reads them back."""
        return {
            "family": self.family,
            "base_channels": str(self.base_channels),
            "blocks": str(self.blocks),
            "norm": self.norm,
            "padding": self.padding,
            "upsample": self.upsampling,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "GeneratorSpec":
        """Read a spec; raises UserError when a field is missing or means nothing."""
        try:
            return cls(
                family=metadata["family"],
                base_channels=int(metadata["base_channels"]),
                blocks=int(metadata["blocks"]),
                norm=metadata["norm"],
                padding=metadata["padding"],
                upsampling=metadata["upsample"],
            )
        except KeyError as missing:
            raise UserError(
                f"The file does not describe its generator: {missing} is missing", ANOTHER_MODEL
            ) from missing
        except ValueError as nonsense:
            raise UserError(
                f"The file describes its generator wrongly: {nonsense}", ANOTHER_MODEL
            ) from nonsense


@cache
def _resnet_layers(spec: GeneratorSpec) -> tuple[Layer, ...]:
    normalised = spec.norm == "instance"
    one, two, four = spec.base_channels, 2 * spec.base_channels, 4 * spec.base_channels
    down = Layer("", 0, 0, kernel=3, stride=2, zeros=1, normalised=normalised)
    block = Layer("", four, four, kernel=3, reflects=1, normalised=normalised)
    layers = [
        Layer("model.1", spec.input_channels, one, kernel=7, reflects=3, normalised=normalised),
        replace(down, key="model.4", inputs=one, outputs=two),
        replace(down, key="model.7", inputs=two, outputs=four),
    ]
    for number in range(10, 10 + spec.blocks):
        key = f"model.{number}.conv_block"
        layers += [
            replace(block, key=f"{key}.1", residual="begins"),
            replace(block, key=f"{key}.5", residual="ends", activation="none"),
        ]
    # Keys count the modules of a Sequential: enlarging and padding are two more in front.
    number, step = 10 + spec.blocks, 3
    if spec.upsampling == "resize":
        up = replace(block, enlarges=True)
        number, step = number + 2, 5
    elif spec.upsampling == "transpose4":
        up = replace(down, transposed=True, kernel=4)
    else:
        up = replace(down, transposed=True, extra=1)
    layers += [
        replace(up, key=f"model.{number}", inputs=four, outputs=two),
        replace(up, key=f"model.{number + step}", inputs=two, outputs=one),
        Layer(
            f"model.{10 + spec.blocks + 2 * step + 1}", one, spec.output_channels,
            kernel=7, reflects=3, activation="tanh",
        ),
    ]  # fmt: skip
    return tuple(layers)


SPEC_KEYS = frozenset(GeneratorSpec().to_metadata())
"""The metadata keys that describe the generator; all others belong to the card."""
