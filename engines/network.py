"""The generator as a PyTorch module: what the trainer trains and the torch backend runs."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.instance_norm import instance_norm
from engines.layers import LEAK, Layer
from engines.model_file import Model
from engines.spec import EPSILON, FLAT, ORDINARY, GeneratorSpec


class Generator(nn.Module):
    """The network of a spec; `state_dict` has the keys of the reference PyTorch project.

    `forward` takes and gives float `[N, 3, H, W]` in [-1, 1]. Typical statistics, when known, are
    buffers outside `state_dict`; without them every norm that goes by the picture is a plain one.
    The norm "batch" is PyTorch's own: it goes by its running statistics in `eval` mode only.
    `dropout` is the share of values that are left out in training: inside residual blocks, and in
    the first three layers of a U-Net's ascent (Isola et al. 2017, section 6.1).
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.dropout = 0.0
        self._layers = spec.layers
        inside = "joins" if spec.family == "unet" else "begins"
        dropping = [layer.key for layer in spec.layers[1:] if layer.skip == inside]
        self._dropping = set(dropping[:3] if spec.family == "unet" else dropping)
        for layer in spec.layers:
            self._place(layer.key, _convolution(layer))
            if layer.affine:
                self._place(layer.norm_key, nn.BatchNorm2d(layer.outputs, EPSILON))
        self.register_buffer("mean", None, persistent=False)
        self.register_buffer("std", None, persistent=False)

    @classmethod
    def of(cls, model: Model) -> Self:
        """The network of a model file, with weights and typical statistics, in float32 and `eval`."""
        network = cls(model.spec)
        network.load_state_dict({key: torch.tensor(model.weight(key)) for key in model.weights})
        if model.mean is not None and model.std is not None:
            network.mean, network.std = torch.tensor(model.mean), torch.tensor(model.std)
        return network.eval()

    def forward(self, pictures: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Translate; `statistics` (scale and shift, `[1 or N, 2, C]`) replace each picture's own."""
        return self._run(pictures, statistics)[0]

    def measure(self, pictures: Tensor) -> Tensor:
        """Scale and shift that each picture's norms use, float32 `[N, 2, C]`."""
        return self._run(pictures, None)[1]

    def _run(self, values: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        used: list[Tensor] = []
        kept: list[Tensor] = []  # by skips, the last on top
        done = 0
        # Of use for nothing but the pictures, and on a CPU: PyTorch's own norm is several times faster.
        whole = (
            self.training and given is None and self.mean is None and values.device.type == "cpu"
        )
        own: Tensor | None = None  # share of each picture's own statistics, see `spec.FLAT`
        for layer in self._layers:
            if layer.skip == "begins":
                kept.append(values)
            values = self._convolve(layer, values)
            if layer.norm == "batch":
                values = self.get_submodule(layer.norm_key)(values)
            elif layer.normalises and whole:
                values = instance_norm(values, *self._affine(layer))
            elif layer.normalises:
                channels = slice(done, done + layer.outputs)
                done = channels.stop
                if given is not None:
                    scaled = given[:, :, channels]
                else:
                    variance, mean = torch.var_mean(values.float(), (2, 3), correction=0)
                    if self.mean is not None and self.std is not None:
                        usual = self.std[channels].float().square()
                        if own is None:
                            contrast = (variance / usual).clamp(max=1).mean(1, keepdim=True)
                            own = ((contrast - FLAT) / (ORDINARY - FLAT)).clamp(0, 1).square()
                        mean = torch.lerp(self.mean[channels].float(), mean, own)
                        variance = torch.lerp(usual, variance, own)
                    scaled = self._scale_and_shift(layer, mean, variance)
                used.append(scaled)
                scale, shift = scaled[..., None, None].unbind(1)
                values = (values * scale + shift).to(values.dtype)
            values = _activate(layer, values)
            if self.training and self.dropout and layer.key in self._dropping:
                values = functional.dropout(values, self.dropout)
            if layer.skip == "keeps":
                kept.append(values)
            elif layer.skip == "adds":
                values = values + kept.pop()
            elif layer.skip == "joins":
                values = torch.cat([functional.relu(kept.pop()), values], 1)
        if (
            layer.skip == "adds" and not self.training
        ):  # what has no tanh; losses see how far it goes
            values = values.clamp(-1, 1)
        return values, torch.cat(used, 2) if used else values.new_empty(len(values), 2, 0)

    def _convolve(self, layer: Layer, values: Tensor) -> Tensor:
        if layer.enlarges:
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
        if layer.reflects:
            # Outside of autocast, which would have CPUs pad in float32.
            with torch.autocast(values.device.type, enabled=False):
                values = functional.pad(values, [layer.reflects] * 4, mode="reflect")
        values = self.get_submodule(layer.key)(values)
        return functional.pixel_shuffle(values, layer.shuffles) if layer.shuffles > 1 else values

    def _scale_and_shift(self, layer: Layer, mean: Tensor, variance: Tensor) -> Tensor:
        """`[N, 2, channels]` of moments `[N, channels]`, with the norm's weight and bias if any."""
        scale = torch.rsqrt(variance + EPSILON)
        shift = -mean * scale
        weight, bias = self._affine(layer)
        if weight is not None and bias is not None:
            scale, shift = scale * weight.float(), shift * weight.float() + bias.float()
        return torch.stack([scale, shift], 1)

    def _affine(self, layer: Layer) -> tuple[Tensor | None, Tensor | None]:
        """Weight and bias of a layer's norm, if it has them."""
        if not layer.affine:
            return None, None
        norm = self.get_submodule(layer.norm_key)
        assert isinstance(norm, nn.BatchNorm2d)
        return norm.weight, norm.bias

    def _place(self, key: str, module: nn.Module) -> None:
        """Put a module where its key says, through plain modules on the way."""
        *path, name = key.split(".")
        place: nn.Module = self
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        place.add_module(name, module)


def _convolution(layer: Layer) -> nn.Module:
    outputs = layer.outputs * layer.phases
    sizes = (layer.inputs, outputs, layer.kernel, layer.stride, layer.zeros)
    if layer.transposed:
        return nn.ConvTranspose2d(*sizes, output_padding=layer.extra, bias=layer.bias)
    return nn.Conv2d(*sizes, bias=layer.bias)


def _activate(layer: Layer, values: Tensor) -> Tensor:
    match layer.activation:
        case "relu":
            return functional.relu(values)
        case "leaky":
            return functional.leaky_relu(values, LEAK)
        case "tanh":
            return values.tanh()
        case "none":
            return values
