"""The generator as a PyTorch module: what the trainer trains and the torch backend runs."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.model_file import Model
from engines.spec import EPSILON, FLAT, ORDINARY, GeneratorSpec, Layer


class Generator(nn.Module):
    """The network of a spec; `state_dict` has the keys of the reference PyTorch project.

    `forward` takes and gives float `[N, 3, H, W]` in [-1, 1]. Typical statistics, when known, are
    buffers outside `state_dict`; without them every norm is a plain instance norm.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        for layer in spec.layers:
            self._add(layer)
        self.register_buffer("mean", None, persistent=False)
        self.register_buffer("std", None, persistent=False)

    @classmethod
    def of(cls, model: Model) -> Self:
        """The network of a model file, with its weights and typical statistics, in float32."""
        network = cls(model.spec)
        network.load_state_dict({key: torch.tensor(model.weight(key)) for key in model.weights})
        if model.mean is not None and model.std is not None:
            network.mean, network.std = torch.tensor(model.mean), torch.tensor(model.std)
        return network

    def forward(self, pictures: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Translate; `statistics` (scale and shift, `[1 or N, 2, C]`) replace each picture's own."""
        return self._run(pictures, statistics)[0]

    def measure(self, pictures: Tensor) -> Tensor:
        """Scale and shift that each picture's norms use, float32 `[N, 2, C]`."""
        return self._run(pictures, None)[1]

    def _run(self, values: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        used: list[Tensor] = []
        skipped, done = values, 0
        own: Tensor | None = None  # share of each picture's own statistics, see `spec.FLAT`
        for layer in self.spec.layers:
            if layer.residual == "begins":
                skipped = values
            values = self._convolve(layer, values)
            if layer.normalised:
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
                    scale = torch.rsqrt(variance + EPSILON)
                    scaled = torch.stack([scale, -mean * scale], 1)
                used.append(scaled)
                scale, shift = scaled[..., None, None].unbind(1)
                values = (values * scale + shift).to(values.dtype)
            if layer.activation == "relu":
                values = functional.relu(values)
            elif layer.activation == "tanh":
                values = values.tanh()
            if layer.residual == "ends":
                values = values + skipped
        return values, torch.cat(used, 2) if used else values.new_empty(len(values), 2, 0)

    def _convolve(self, layer: Layer, values: Tensor) -> Tensor:
        if layer.enlarges:
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
        if layer.reflects:
            values = functional.pad(values, [layer.reflects] * 4, mode="reflect")
        return self.get_submodule(layer.key)(values)  # type: ignore[no-any-return]

    def _add(self, layer: Layer) -> None:
        """Put the convolution of `layer` where its key says, through plain modules on the way."""
        *path, name = layer.key.split(".")
        place: nn.Module = self
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        sizes = (layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.zeros)
        convolution: nn.Module
        if layer.transposed:
            convolution = nn.ConvTranspose2d(*sizes, output_padding=layer.extra)
        else:
            convolution = nn.Conv2d(*sizes)
        place.add_module(name, convolution)
