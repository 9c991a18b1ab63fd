"""What a generator is, down to every layer: the one description that all runtimes are built from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from engines.errors import UserError
from engines.layers import Layer, Norm, compact_layers, resnet_layers, unet_layers

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

FAMILIES = ("resnet", "unet", "compact")
NORMS: tuple[Norm, ...] = get_args(Norm)
PADDINGS = ("reflect",)
REDUCTIONS = (4, 8)
UPSAMPLINGS = ("transpose3", "transpose4", "resize", "subpixel")

ANOTHER_MODEL = "Use a model from the list of `cgvideo models`, or a model file made for cgvideo"


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A generator, described wholly; checks itself.

    Input and output are RGB in [-1, 1], `[N, 3, H, W]`. `family`:

    - "resnet" (Johnson et al. 2016 as used by CycleGAN, Zhu et al. 2017): a 7x7 convolution, two that
      halve the size, `blocks` residual blocks at a quarter of the size, two that double it, a 7x7
      convolution and tanh. `upsampling` names what doubles the size: "transpose3" is a transposed
      convolution 3x3 with output padding 1, "transpose4" one of 4x4, "resize" the nearest neighbour
      twice and then a reflect-padded 3x3 convolution (Odena et al. 2016), "subpixel" a reflect-padded
      3x3 convolution to four times the channels, which become 2x2 pixels (Shi et al. 2016).
    - "unet" (pix2pix, Isola et al. 2017): `blocks` 4x4 convolutions that halve the size and as many
      transposed ones that double it, each of which also takes what left its counterpart, and tanh.
      `padding` and `upsampling` are of the resnets alone and stay as they are.
    - "compact", for speed: nothing is computed at full size. A convolution over 2r x 2r pixels every r
      (`reduction`) makes `base_channels` of them, `blocks` residual blocks follow, and a 3x3 convolution
      gives what is to change of the picture, as channels that become r x r pixels (Shi et al. 2016).
      The picture itself is added, so its edges stay as sharp as they are. No tanh; pixels are clamped.

    `norm`: "instance" is without parameters; "batch" has weight and bias and goes by its running
    mean and variance; "batch_picture" is a batch norm that goes by each picture's own, as the
    reference project runs it without `--eval`; "none". With batch norm only the last convolution has
    a bias.

    Raises UserError for anything that no generator can be built from.
    """

    family: str = "resnet"
    base_channels: int = 64
    blocks: int = 9
    norm: str = "instance"
    padding: str = "reflect"
    upsampling: str = "transpose3"
    reduction: int = 4
    """how many times smaller than the picture the residual blocks see it; a choice of "compact" alone"""
    input_channels: int = 3
    output_channels: int = 3

    def __post_init__(self) -> None:
        known = {
            "family": FAMILIES, "norm": NORMS, "padding": PADDINGS, "upsampling": UPSAMPLINGS,
            "reduction": REDUCTIONS,
        }  # fmt: skip
        for field, choices in known.items():
            if getattr(self, field) not in choices:
                raise UserError(
                    f"This generator has {field} {getattr(self, field)!r}; known: {', '.join(map(str, choices))}",
                    ANOTHER_MODEL,
                )
        possible = {"base_channels": (1, 1024), "blocks": (2, 10) if self._is_unet else (1, 64)}
        for field, (least, most) in possible.items():
            if not least <= getattr(self, field) <= most:
                raise UserError(
                    f"This generator has {field} {getattr(self, field)}; possible: {least} to {most}",
                    ANOTHER_MODEL,
                )
        if self.family != "resnet" and (self.padding, self.upsampling) != ("reflect", "transpose3"):
            raise UserError("Only a resnet has a choice of padding or upsampling", ANOTHER_MODEL)
        if self.family != "compact" and self.reduction != 4:
            raise UserError("Only a compact generator has a choice of reduction", ANOTHER_MODEL)
        if (self.input_channels, self.output_channels) != (3, 3):
            raise UserError("This generator does not turn RGB into RGB", ANOTHER_MODEL)

    @property
    def name(self) -> str:
        """Short, for people: `24x6` is 24 channels and 6 blocks, `unet 64x8` has 8 halvings.

        `compact 64x6/8` has its 6 blocks at an eighth of the size.
        """
        name = f"{self.base_channels}x{self.blocks}"
        if self.family == "resnet":
            return name
        return f"{self.family} {name}" + ("" if self._is_unet else f"/{self.reduction}")

    @property
    def description(self) -> str:
        """Longer, for people: `resnet, 64 channels, 9 blocks, instance norm`."""
        blocks = f"{self.blocks} {'halvings' if self._is_unet else 'blocks'}"
        norm = {
            "batch": "batch norm by its running statistics",
            "batch_picture": "batch norm by each picture's own statistics",
            "none": "no norm",
        }.get(self.norm, f"{self.norm} norm")
        facts = [self.family, f"{self.base_channels} channels", blocks, norm]
        if self.upsampling != "transpose3":
            facts.append(f"upsampling {self.upsampling}")
        if self.family == "compact":
            facts.append(f"at 1/{self.reduction} of the size")
        return ", ".join(facts)

    @property
    def _is_unet(self) -> bool:
        return self.family == "unet"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer in order of execution; the keys are those of the reference PyTorch project."""
        norm = cast(Norm, self.norm)
        if self._is_unet:
            return unet_layers(self.base_channels, self.blocks, norm)
        if self.family == "compact":
            return compact_layers(self.base_channels, self.blocks, norm, self.reduction)
        return resnet_layers(self.base_channels, self.blocks, norm, self.upsampling)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array that the generator needs, by its key in a model file."""
        return {key: shape for layer in self.layers for key, shape in layer.shapes.items()}

    @property
    def multiple_of(self) -> int:
        """Height and width must be multiples of this: `reduction`, or 2 to the number of a U-Net's halvings."""
        return 2**self.blocks if self._is_unet else self.reduction

    @property
    def tileable(self) -> bool:
        """Whether a picture can be translated in tiles, given its statistics.

        Not by a U-Net: what it makes of a pixel depends on all pixels further away than a tile is
        large, in principle on the whole picture.
        """
        return not self._is_unet

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
        """The channels at each norm that goes by the picture, in order of execution."""
        return tuple(layer.outputs for layer in self.layers if layer.normalises)

    @property
    def statistics_channels(self) -> int:
        """All channels of those norms: 1392 for 24x6, 5248 for 64x9, 0 with "batch" or no norm."""
        return sum(self.norm_channels)

    @property
    def activation_bytes(self) -> int:
        """Bytes of the largest activation for a pixel of the frame, in fp32: 96 for 24x6."""
        largest, scale = 0.0, 1.0
        for layer in self.layers:
            scale *= layer.enlargement
            largest = max(largest, 4 * layer.outputs * scale**2)
        return math.ceil(largest)

    @property
    def working_bytes(self) -> int:
        """Bytes for a pixel of the frame that an engine holds while it runs, in fp32, at most.

        Three activations of the largest kind: before its norm, behind it, and padded. Measured with
        OpenVINO at 1920x1080 for 24x6: 294 in the form "self" (this says 300), 196 to 204 with
        statistics from outside or to it, half of it in bf16; for 64x9 at 1280x720 772 (780), 516 to 528.
        """
        return 3 * self.activation_bytes + 4 * self.input_channels

    def macs(self, height: int, width: int) -> int:
        """Multiplications with addition for one frame: 49.6e9 for 64x9 at 256x256."""
        total, pixels = 0.0, float(height * width)
        for layer in self.layers:
            before, pixels = pixels, pixels * layer.enlargement**2
            # A transposed convolution spreads each input pixel, a plain one gathers each output's.
            spreads = layer.transposed or layer.shuffles > 1
            total += math.prod(layer.weight_shape) * (before if spreads else pixels)
        return round(total)

    def to_metadata(self) -> dict[str, str]:
        """The fields as a model file's metadata holds them; `from_metadata` reads them back."""
        fields = {
            "family": self.family,
            "base_channels": str(self.base_channels),
            "blocks": str(self.blocks),
            "norm": self.norm,
        }
        if self._is_unet:
            return fields
        if self.family == "compact":
            return fields | {"reduction": str(self.reduction)}
        return fields | {"padding": self.padding, "upsample": self.upsampling}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "GeneratorSpec":
        """Read a spec; raises UserError when a field is missing or means nothing."""
        try:
            # What a family has no choice of, its files have no word of.
            theirs = {"padding": "reflect", "upsample": "transpose3"}
            resnets = metadata if metadata["family"] == "resnet" else theirs
            compacts = metadata if metadata["family"] == "compact" else {"reduction": "4"}
            return cls(
                family=metadata["family"],
                base_channels=int(metadata["base_channels"]),
                blocks=int(metadata["blocks"]),
                norm=metadata["norm"],
                padding=resnets["padding"],
                upsampling=resnets["upsample"],
                reduction=int(compacts["reduction"]),
            )
        except KeyError as missing:
            raise UserError(
                f"The file does not describe its generator: {missing} is missing", ANOTHER_MODEL
            ) from missing
        except ValueError as nonsense:
            raise UserError(
                f"The file describes its generator wrongly: {nonsense}", ANOTHER_MODEL
            ) from nonsense


SPEC_KEYS = frozenset(key for family in FAMILIES for key in GeneratorSpec(family).to_metadata())
"""The metadata keys that describe the generator; all others belong to the card."""
