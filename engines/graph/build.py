"""Spec and weights to ONNX, without torch: one network in three forms, pixels in and pixels out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from engines.graph.draft import Rewrite
from engines.graph.gpu_rewrites import FOR_GPU
from engines.graph.nodes import GraphPrecision, Nodes
from engines.graph.rewrites import FOR_CPU, rewritten
from engines.graph.statistics import Statistics
from engines.layers import LEAK, Layer
from engines.model_file import Model
from engines.spec import EPSILON, Form, Pixels

GRAPH_VERSION = 3
"""Counts the changes of the `graph` files that change a pixel; part of every engine's identity."""


def build_graph(
    model: Model,
    form: Form = "self",
    pixels: Pixels = "uint8",
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    precision: GraphPrecision = "fp32",
    rewrites: Sequence[Rewrite] | None = None,
) -> onnx.ModelProto:
    """The network of `model` as ONNX.

    The input is `frames` `[N, H, W, 3]`: uint8, or float32 in 0 to 1. By `form`:

    - "self" gives `translated`, as the input is, with statistics computed inside;
    - "statistics" the same, with one more input `statistics` float32 `[1 or N, 2, C]`: the scale
      1/std and the shift -mean/std of each channel (bias included; a batch norm's weight and bias
      too), all norms that go by the picture in order of execution;
    - "measure" gives such `statistics` `[N, 2, C]` of every frame in place of pixels.

    `size` (height, width) and `batch` fix dimensions that are otherwise dynamic. A model without
    such norms has the form "self" only; anything else raises ValueError. Batch norms that go by
    their running statistics are folded into the convolutions.

    `precision` "fp16" has weights and activations in fp16; moments and what follows from them,
    tanh, and the scaling to pixels stay in fp32, as do statistics that go in or out.

    `rewrites` are applied to it in this order. None takes those that win on CPUs for a graph in
    fp32, and those that win on GPUs for one in fp16.
    """
    if form != "self" and not model.spec.statistics_channels:
        raise ValueError(f"{model.name} has no norms that go by the picture, so no form {form!r}")
    graph = Nodes(precision)
    statistics = Statistics(graph, model, form)
    values = pixels_in(graph, pixels)
    kept: list[str] = []  # by skips, the last on top
    pixels_given, last = values, model.spec.layers[-1]
    for layer in model.spec.layers:
        if layer.skip == "begins":
            kept.append(values)
        weight, bias = weights_of(model, layer, pixels)
        if layer.normalises:
            bias = bias - statistics.lift(layer).repeat(layer.phases)
        values = convolve(graph, layer, values, weight, bias)
        if layer.normalises:
            scale, shift = statistics.of(layer, values)
            if form == "measure" and statistics.complete:
                break  # what follows are pixels, which nobody asked for
            values = graph.add("Add", graph.add("Mul", values, scale), shift)
        values = activate(graph, layer, graph.widen(values) if layer is last else values)
        if layer.skip == "keeps":
            kept.append(values)
        elif layer.skip == "adds" and layer is not last:
            values = graph.add("Add", values, kept.pop())
        elif layer.skip == "joins":
            values = graph.add("Concat", graph.add("Relu", kept.pop()), values, axis=1)
    if form == "measure":
        statistics.pack()
    else:
        _pixels_out(graph, values, pixels, pixels_given if last.skip == "adds" else None)
    if rewrites is None:
        rewrites = FOR_CPU if precision == "fp32" else FOR_GPU
    return rewritten(graph.finish(model, form, pixels, size, batch), rewrites)


def pixels_in(graph: Nodes, pixels: Pixels) -> str:
    """Pixels to `[N, 3, H, W]`, centred on 0.

    The scaling to [-1, 1] is in the first weights: half-integers up to 127.5 are exact in bf16 and
    fp16, x/127.5 - 1 is not. Cast stands first since TensorRT transposes no bytes.
    """
    if pixels == "uint8":
        values = graph.add("Cast", "frames", to=graph.type)
        values = graph.add("Transpose", values, perm=[0, 3, 1, 2])
        return graph.add("Sub", values, graph.weights(np.array(127.5, np.float32)))
    values = graph.add("Transpose", "frames", perm=[0, 3, 1, 2])
    return graph.narrow(graph.add("Sub", values, graph.number(0.5)))


def _pixels_out(graph: Nodes, values: str, pixels: Pixels, added: str | None) -> None:
    """[-1, 1] to pixels: rounded half to even and clamped, or float32 in 0 to 1.

    What `pixels_in` gave may be `added`: here, where it is exact in half precision, too.
    """
    most = 255 if pixels == "uint8" else 1
    half = graph.number(most / 2)
    values = graph.add("Mul", values, half)
    if added is not None:
        values = graph.add("Add", values, graph.widen(added))
    values = graph.add("Add", values, half)
    if pixels == "uint8":
        values = graph.add("Round", values)
    values = graph.add("Clip", values, graph.number(0), graph.number(most))
    if pixels == "uint8":
        values = graph.add("Transpose", values, perm=[0, 2, 3, 1])
        graph.add("Cast", values, name="translated", to=TensorProto.UINT8)
    else:
        graph.add("Transpose", values, name="translated", perm=[0, 2, 3, 1])


def convolve(
    graph: Nodes,
    layer: Layer,
    values: str,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> str:
    """What a layer does up to its convolution, that included."""
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
    inputs = [values, graph.weights(weight)]
    if layer.bias or bias.any():
        inputs.append(graph.weights(bias))
    values = graph.add(operation, *inputs, **attributes)
    if layer.shuffles > 1:
        values = graph.add("DepthToSpace", values, blocksize=layer.shuffles, mode="CRD")
    return values


def weights_of(
    model: Model, layer: Layer, pixels: Pixels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of a convolution, with the norm behind it if that is of fixed numbers.

    The first layer's have the scaling of `pixels_in`.
    """
    weight, bias = model.weight(f"{layer.key}.weight"), model.bias(layer)
    if layer.key == model.spec.layers[0].key:  # what enters is centred, but not yet in [-1, 1]
        weight = weight * np.float32(2 / 255 if pixels == "uint8" else 2)
    if layer.norm != "batch":
        return weight, bias
    gain, offset, mean, variance = (
        model.weight(f"{layer.norm_key}.{name}").astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + EPSILON)
    scale, mean, offset = (each.repeat(layer.phases) for each in (scale, mean, offset))
    by_output = (1, -1, 1, 1) if layer.transposed else (-1, 1, 1, 1)
    folded = weight * scale.reshape(by_output)
    return folded.astype(np.float32), ((bias - mean) * scale + offset).astype(np.float32)


def activate(graph: Nodes, layer: Layer, values: str) -> str:
    """A layer's activation."""
    match layer.activation:
        case "none":
            return values
        case "leaky":
            return graph.add("LeakyRelu", values, alpha=LEAK)
        case _:
            return graph.add(layer.activation.capitalize(), values)
