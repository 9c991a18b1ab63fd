"""How the reference PyTorch project lays out a generator in a checkpoint: keys and shapes.

The project is junyanz/pytorch-CycleGAN-and-pix2pix; its `models/networks.py` decides the layout. A
checkpoint says nothing of its architecture, so it is recognised by keys and shapes alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engines.errors import UserError
from engines.spec import GeneratorSpec

Shapes = Mapping[str, tuple[int, ...]]

_MEND = "Use a generator of pytorch-CycleGAN-and-pix2pix: resnet_*blocks or unet_*, from RGB to RGB"

_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.")
_CHAINED = re.compile(r"(?:model|net)\.(\d+)\.weight")


@dataclass(frozen=True, slots=True)
class Layout:
    """A generator as a checkpoint holds it.

    `dropout`: whether it was trained with dropout, which moves a resnet's keys; None for U-Nets,
    where it leaves no trace.
    """

    spec: GeneratorSpec
    dropout: bool | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The key in a checkpoint of every array that it holds, by the key in a model file."""
        lacked = self.left_out
        return {key: self._theirs(key) for key in self.spec.shapes if key not in lacked}

    @property
    def left_out(self) -> frozenset[str]:
        """Biases (by the key in a model file) that it lacks: without norm, all but the last."""
        if self.spec.norm != "none":
            return frozenset()
        return frozenset(f"{layer.key}.bias" for layer in self.spec.layers[:-1])

    @property
    def counters(self) -> frozenset[str]:
        """The keys in a checkpoint of what batch norms count and nothing here needs."""
        norms = (layer.norm_key for layer in self.spec.layers if layer.affine)
        return frozenset(self._theirs(f"{norm}.num_batches_tracked") for norm in norms)

    @property
    def leftovers(self) -> frozenset[str]:
        """Keys that the instance norms of old checkpoints carry; the project drops them as well."""
        names = ("running_mean", "running_var", "num_batches_tracked")
        norms = (layer.norm_key for layer in self.spec.layers if layer.norm == "instance")
        return frozenset(self._theirs(f"{norm}.{name}") for norm in norms for name in names)

    @property
    def loads_as(self) -> str:
        """The options by which the project makes this generator, and what it must learn first."""
        spec, resnet = self.spec, self.spec.family == "resnet"
        network = f"resnet_{spec.blocks}blocks" if resnet else f"unet_{2**spec.blocks}"
        options = f"--netG {network} --ngf {spec.base_channels} --norm {spec.norm.split('_')[0]}"
        if resnet and not self.dropout:
            options += " --no_dropout"
        lessons = []
        if network not in ("resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256"):
            lessons.append(f"a network {network}")
        if spec.upsampling == "transpose4":
            lessons.append("4x4 kernels, without output padding, where a resnet doubles the size")
        return f"{options}, once it knows {' and '.join(lessons)}" if lessons else options

    def _theirs(self, key: str) -> str:
        """Dropout stands in front of a block's second half and moves it one further."""
        if not self.dropout:
            return key
        return re.sub(r"(?<=conv_block\.)[56]\b", lambda found: str(int(found[0]) + 1), key)


def recognise(shapes: Shapes, path: str) -> Layout:
    """The generator whose arrays have these keys and shapes; every array must have its place.

    A batch norm is taken by its running statistics. Raises UserError, which names `path`, for a
    discriminator, for other channels than RGB, and for whatever the project does not make.
    """
    layout = _guess(shapes, path)
    wanted = {theirs: layout.spec.shapes[ours] for ours, theirs in layout.keys.items()}
    problem = ""
    if missing := [key for key in wanted if key not in shapes]:
        problem = f"lacks {missing[0]}"
    elif wrong := [key for key in wanted if shapes[key] != wanted[key]]:
        theirs, ours = list(shapes[wrong[0]]), list(wanted[wrong[0]])
        problem = f"has {wrong[0]} of shape {theirs} in place of {ours}"
    elif surplus := sorted(shapes.keys() - wanted.keys() - layout.counters - layout.leftovers):
        problem = f"holds {surplus[0]}, which such a generator has not"
    if problem:
        raise UserError(f"{path} {problem} (it looks like: {layout.spec.description})", _MEND)
    return layout


def _guess(shapes: Shapes, path: str) -> Layout:
    """The layout by the few keys and shapes that tell it; the rest is not looked at."""
    if _discriminates(shapes):
        raise UserError(
            f"{path} is a discriminator, which tells real pictures from translated ones",
            "Take the generator beside it: its name has net_G in place of net_D",
        )
    if "model.model.0.weight" in shapes:
        return _guess_unet(shapes, path)
    if blocks := len({found[1] for key in shapes if (found := _BLOCK.match(key))}):
        return _guess_resnet(shapes, path, blocks)
    example = next(iter(sorted(shapes)), "nothing")
    raise UserError(f"{path} is no generator that is known here (it holds {example})", _MEND)


def _guess_unet(shapes: Shapes, path: str) -> Layout:
    level, halvings = "model.model.1.model", 1
    while any(key.startswith(f"{level}.") for key in shapes):
        level, halvings = f"{level}.3.model", halvings + 1
    base, inputs = _channels(shapes, "model.model.0.weight")
    _, outputs = _channels(shapes, "model.model.3.weight")  # transposed: outputs stand second
    _check_rgb(inputs, outputs, path)
    return Layout(_with_norm(GeneratorSpec("unet", base, halvings), shapes))


def _guess_resnet(shapes: Shapes, path: str, blocks: int) -> Layout:
    end = 10 + blocks  # the number of the module behind the blocks
    problem = ""
    if "model.10.conv_block.0.weight" in shapes:
        problem = "pads with zeros in its blocks, not by reflection"
    elif f"model.{end + 2}.weight" in shapes and f"model.{end}.weight" not in shapes:
        problem = "enlarges by resizing, and nothing in it says how"
    if problem:
        raise UserError(f"{path} is of a changed version of the project: it {problem}", _MEND)
    base, inputs = _channels(shapes, "model.1.weight")
    outputs, _ = _channels(shapes, f"model.{end + 7}.weight")
    _check_rgb(inputs, outputs, path)
    kernel = shapes.get(f"model.{end}.weight", ())[-1:]
    upsampling = "transpose4" if kernel == (4,) else "transpose3"
    spec = GeneratorSpec("resnet", base, blocks, upsampling=upsampling)
    dropout = len(shapes.get("model.10.conv_block.6.weight", ())) == 4
    return Layout(_with_norm(spec, shapes), dropout)


def _with_norm(spec: GeneratorSpec, shapes: Shapes) -> GeneratorSpec:
    """Batch norm has weights, instance norm has a bias in front of it, no norm has neither."""
    first = next(layer for layer in spec.layers if layer.norm != "none")
    if f"{first.norm_key}.weight" in shapes:
        return replace(spec, norm="batch")
    return spec if f"{first.key}.bias" in shapes else replace(spec, norm="none")


def _discriminates(shapes: Shapes) -> bool:
    """A chain of convolutions from the very first module on that ends in one channel."""
    chain = {
        int(found[1]): shape
        for key, shape in shapes.items()
        if (found := _CHAINED.fullmatch(key)) and len(shape) == 4
    }
    return 0 in chain and chain[max(chain)][0] == 1


def _channels(shapes: Shapes, key: str) -> tuple[int, int]:
    """The first two dimensions of a kernel; 0 where there is none."""
    first, second, *_ = *shapes.get(key, ()), 0, 0
    return first, second


def _check_rgb(inputs: int, outputs: int, path: str) -> None:
    if inputs and outputs and (inputs, outputs) != (3, 3):
        raise UserError(
            f"{path} turns {inputs} channels into {outputs}, and only RGB into RGB works", _MEND
        )
