"""Spec and weights to ONNX, without torch: one network in three forms, pixels in and pixels out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.model_file import Model
from engines.spec import EPSILON, FLAT, ORDINARY, Form, Layer, Pixels

GRAPH_VERSION = 1
"""Counts the changes of this file that change a pixel; part of every engine's identity."""

OPSET = 20


def build_graph(
    model: Model,
    form: Form = "self",
    pixels: Pixels = "uint8",
    size: tuple[int, int] | None = None,
    batch: int | None = None,
) -> onnx.ModelProto:
    """The network of `model` as ONNX.

    The input is `frames` `[N, H, W, 3]`: uint8, or float32 in 0 to 1. By `form`:

    - "self" gives `translated`, as the input is, with statistics computed inside;
    - "statistics" the same, with one more input `statistics` float32 `[1 or N, 2, C]`: the scale
      1/std and the shift -mean/std of each channel (bias included), all norms in order of execution;
    - "measure" gives such `statistics` `[N, 2, C]` of every frame in place of pixels.

    `size` (height, width) and `batch` fix dimensions that are otherwise dynamic. A model without
    norms has the form "self" only; anything else raises ValueError.
    """
    spec = model.spec
    if form != "self" and not spec.statistics_channels:
        raise ValueError(f"{model.name} has no norms, so it has no form {form!r}")
    graph = _Graph()
    lift = _lift(model)
    given = iter(_unpack(graph, spec.norm_channels, lift)) if form == "statistics" else None
    typical = iter(_typical_deviations(model))
    used: list[tuple[str, str]] = []

    values = skipped = _pixels_in(graph, pixels)
    own = ""  # share of the frame's own statistics, known after the first norm
    done = 0  # channels of the norms so far
    for number, layer in enumerate(spec.layers):
        if layer.residual == "begins":
            skipped = values
        weight, bias = model.weight(f"{layer.key}.weight"), model.weight(f"{layer.key}.bias")
        if number == 0:  # what enters is centred, but not yet in [-1, 1]
            weight = weight * np.float32(2 / 255 if pixels == "uint8" else 2)
        if layer.normalised:
            bias = bias - lift[done : done + layer.outputs]
            done += layer.outputs
        values = _convolve(graph, layer, values, weight, bias)
        if layer.normalised:
            deviation = next(typical)
            if given:
                scale, shift = next(given)
            else:
                mean, variance = _moments(graph, values, deviation)
                if deviation is not None:
                    # Values are centred, so the typical mean is 0.
                    own = own or _own_share(graph, variance, deviation)
                    usual = graph.number(deviation**2)
                    mean = graph.add("Mul", own, mean)
                    apart = graph.add("Mul", own, graph.add("Sub", variance, usual))
                    variance = graph.add("Add", usual, apart)
                scale, shift = _scale_and_shift(graph, mean, variance)
            used.append((scale, shift))
            if form == "measure" and len(used) == len(spec.norm_channels):
                break  # what follows are pixels, which nobody asked for
            values = graph.add("Add", graph.add("Mul", values, scale), shift)
        if layer.activation != "none":
            values = graph.add(layer.activation.capitalize(), values)
        if layer.residual == "ends":
            values = graph.add("Add", values, skipped)
    if form == "measure":
        _pack(graph, used, lift)
    else:
        _pixels_out(graph, values, pixels)
    return graph.finish(model, form, pixels, size, batch)


class _Graph:
    """Nodes and constants as they come; each `add` gives the name of what the node computes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operation: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        return self.add_many(operation, inputs, [name or f"v{len(self._nodes)}"], **attributes)[0]

    def add_many(
        self, operation: str, inputs: Sequence[str], names: list[str], **attributes: Any
    ) -> list[str]:
        self._nodes.append(helper.make_node(operation, inputs, names, **attributes))
        return names

    def number(self, values: ArrayLike) -> str:
        """A float32 constant."""
        return self._constant(np.asarray(values, np.float32))

    def sizes(self, values: ArrayLike) -> str:
        """An int64 constant: axes, pads, lengths."""
        return self._constant(np.asarray(values, np.int64))

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def finish(
        self,
        model: Model,
        form: Form,
        pixels: Pixels,
        size: tuple[int, int] | None,
        batch: int | None,
    ) -> onnx.ModelProto:
        kind = TensorProto.UINT8 if pixels == "uint8" else TensorProto.FLOAT
        shape: list[int | str] = [batch or "N", *(size or ("H", "W")), 3]
        packed: list[int | str] = [batch or "N", 2, model.spec.statistics_channels]
        if form == "statistics" and batch != 1:
            packed[0] = "N or 1"
        frames = helper.make_tensor_value_info("frames", kind, shape)
        translated = helper.make_tensor_value_info("translated", kind, shape)
        statistics = helper.make_tensor_value_info("statistics", TensorProto.FLOAT, packed)
        made = helper.make_graph(
            self._nodes,
            model.spec.name,
            [frames, statistics] if form == "statistics" else [frames],
            [statistics] if form == "measure" else [translated],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        proto = helper.make_model(made, opset_imports=opsets, producer_name="cgvideo")
        proto.ir_version = 10  # the oldest that has this opset, for runtimes behind onnx itself
        return proto


def _pixels_in(graph: _Graph, pixels: Pixels) -> str:
    """Pixels to float32 `[N, 3, H, W]`, centred on 0.

    The scaling to [-1, 1] is in the first weights: half-integers up to 127.5 are exact in bf16 and
    fp16, x/127.5 - 1 is not. Cast stands first since TensorRT transposes no bytes.
    """
    values = graph.add("Cast", "frames", to=TensorProto.FLOAT) if pixels == "uint8" else "frames"
    values = graph.add("Transpose", values, perm=[0, 3, 1, 2])
    return graph.add("Sub", values, graph.number(127.5 if pixels == "uint8" else 0.5))


def _pixels_out(graph: _Graph, values: str, pixels: Pixels) -> None:
    """[-1, 1] to pixels: rounded half to even and clamped, or float32 in 0 to 1."""
    most = 255 if pixels == "uint8" else 1
    half = graph.number(most / 2)
    values = graph.add("Add", graph.add("Mul", values, half), half)
    if pixels == "uint8":
        values = graph.add("Round", values)
    values = graph.add("Clip", values, graph.number(0), graph.number(most))
    if pixels == "uint8":
        values = graph.add("Transpose", values, perm=[0, 2, 3, 1])
        graph.add("Cast", values, name="translated", to=TensorProto.UINT8)
    else:
        graph.add("Transpose", values, name="translated", perm=[0, 2, 3, 1])


def _convolve(
    graph: _Graph, layer: Layer, values: str, weight: NDArray[Any], bias: NDArray[Any]
) -> str:
    if layer.enlarges:
        values = graph.add(
            "Resize",
            values,
            "",
            graph.number([1, 1, 2, 2]),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    if pad := layer.reflects:
        values = graph.add(
            "Pad", values, graph.sizes([0, 0, pad, pad, 0, 0, pad, pad]), mode="reflect"
        )
    attributes: dict[str, Any] = {
        "kernel_shape": [layer.kernel] * 2,
        "pads": [layer.zeros] * 4,
        "strides": [layer.stride] * 2,
    }
    if layer.transposed:
        attributes["output_padding"] = [layer.extra] * 2
    operation = "ConvTranspose" if layer.transposed else "Conv"
    return graph.add(operation, values, graph.number(weight), graph.number(bias), **attributes)


def _typical_deviations(model: Model) -> list[NDArray[np.float64] | None]:
    """The typical deviation `[1, channels, 1, 1]` at each norm, or None for a file without."""
    counts = model.spec.norm_channels
    if model.std is None:
        return [None] * len(counts)
    parts = np.split(model.std.astype(np.float64), np.cumsum(counts)[:-1])
    return [part[None, :, None, None] for part in parts]


def _lift(model: Model) -> NDArray[np.float32]:
    """What is left out of the bias in front of each norm, float32 `[statistics_channels]`.

    The norm takes any bias away, so the bias may as well centre the values about their typical mean
    (or be left out). Then moments in one pass are well conditioned and half precision keeps its
    bits. Statistics from outside and to the outside count with the true bias.
    """
    if model.mean is not None:
        return model.mean
    biases = [model.weight(f"{layer.key}.bias") for layer in model.spec.layers if layer.normalised]
    return np.concatenate([*biases, np.empty(0, np.float32)])


def _unpack(
    graph: _Graph, channels: tuple[int, ...], lift: NDArray[np.float32]
) -> list[tuple[str, str]]:
    """Scale and shift `[N, channels, 1, 1]` of each norm from the input `statistics`.

    Packed and split like this is the graph that TensorRT runs with the fewest kernels.
    """
    scales, shifts = (graph.add("Gather", "statistics", graph.sizes(row), axis=1) for row in (0, 1))
    shifts = graph.add("Add", shifts, graph.add("Mul", scales, graph.number(lift[None])))
    split = [
        graph.add_many(
            "Split",
            [graph.add("Unsqueeze", rows, graph.sizes([2, 3])), graph.sizes(channels)],
            [f"{name}{number}" for number in range(len(channels))],
            axis=1,
        )
        for name, rows in (("scale", scales), ("shift", shifts))
    ]
    return list(zip(*split, strict=True))


def _pack(graph: _Graph, used: list[tuple[str, str]], lift: NDArray[np.float32]) -> None:
    """The output `statistics`: the inverse of `_unpack`."""
    scales, shifts = (graph.add("Concat", *names, axis=1) for names in zip(*used, strict=True))
    lifted = graph.add("Mul", scales, graph.number(lift[None, :, None, None]))
    shifts = graph.add("Sub", shifts, lifted)
    rows = [
        graph.add("Unsqueeze", graph.add("Squeeze", name, graph.sizes([2, 3])), graph.sizes([1]))
        for name in (scales, shifts)
    ]
    graph.add("Concat", *rows, name="statistics", axis=1)


def _moments(graph: _Graph, values: str, typical: NDArray[np.float64] | None) -> tuple[str, str]:
    """Mean and variance `[N, channels, 1, 1]` of `values` `[N, channels, H, W]`, in fp32."""
    axes = graph.sizes([2, 3])
    mean = graph.add("ReduceMean", values, axes)
    if typical is None:  # not centred (see `_lift`), so one pass would cancel
        apart = graph.add("Sub", values, mean)
        return mean, graph.add("ReduceMean", graph.add("Mul", apart, apart), axes)
    # Mean of squares less square of mean: on CPUs as fast as the fused norm, and it shows its work.
    pixels = graph.add("ReduceProd", graph.add("Shape", values, start=2), keepdims=0)
    pixels = graph.add("Cast", pixels, to=TensorProto.FLOAT)
    squares = graph.add("Div", graph.add("ReduceSumSquare", values, axes), pixels)
    variance = graph.add("Sub", squares, graph.add("Mul", mean, mean))
    return mean, graph.add("Max", variance, graph.number(0))


def _own_share(graph: _Graph, variance: str, typical: NDArray[np.float64]) -> str:
    """How much a frame's own statistics count, `[N, 1, 1, 1]` in 0 to 1; see `engines.spec.FLAT`."""
    contrast = graph.add("Mul", variance, graph.number(typical**-2.0))
    contrast = graph.add("Min", contrast, graph.number(1))
    contrast = graph.add("ReduceMean", contrast, graph.sizes([1]))
    share = graph.add("Sub", contrast, graph.number(FLAT))
    share = graph.add("Mul", share, graph.number(1 / (ORDINARY - FLAT)))
    share = graph.add("Clip", share, graph.number(0), graph.number(1))
    return graph.add("Mul", share, share)


def _scale_and_shift(graph: _Graph, mean: str, variance: str) -> tuple[str, str]:
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.number(EPSILON)))
    scale = graph.add("Reciprocal", deviation)
    return scale, graph.add("Neg", graph.add("Mul", mean, scale))
