"""A few layers of a generator as a graph of their own, for a strip of a picture at a time."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from engines.graph.build import activate, convolve, pixels_in, weights_of
from engines.graph.nodes import Nodes
from engines.layers import Layer
from engines.model_file import Model
from engines.spec import Pixels


def build_section(
    model: Model,
    layers: Sequence[Layer],
    size: tuple[int, int],
    normed: bool,
    keeps: bool,
    pixels: Pixels = "uint8",
) -> onnx.ModelProto:
    """`layers` up to the last one's convolution, whose moments are wanted; fp32.

    Inputs: the strip, `frames` `[1, H, W, 3]` of `pixels` where the first layer is the generator's, else
    `values` float32 `[1, channels, H, W]`, of `size` (H, W); `rows` int64 `[2]`, the first and last (not
    included) of the result's rows that count; and scale and shift float32 `[2, channels]` of each norm
    but the last one's: `norm` of what comes in, if that is `normed` (then it has its ReLU, too, behind
    it), and `norm1` … of the layers.

    Outputs: `means` and `variances` float32 `[1, channels, rows]` of each row that counts, and if the
    section `keeps` them these rows as `kept` float32 `[1, channels, rows, width]`. Skips are not part of it.
    """
    graph = Nodes("fp32")
    begins = layers[0].key == model.spec.layers[0].key
    if begins:
        values = pixels_in(graph, pixels)
        kind = TensorProto.UINT8 if pixels == "uint8" else TensorProto.FLOAT
        strip = helper.make_tensor_value_info("frames", kind, [1, *size, 3])
    else:
        shape = [1, layers[0].inputs, *size]
        strip = helper.make_tensor_value_info("values", TensorProto.FLOAT, shape)
        values = "values"
    inputs = [strip, helper.make_tensor_value_info("rows", TensorProto.INT64, [2])]

    def norm(values: str, name: str, channels: int) -> str:
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, channels]))
        scale, shift = (
            graph.add(
                "Unsqueeze", graph.add("Gather", name, graph.sizes([row])), graph.sizes([2, 3])
            )
            for row in (0, 1)
        )
        return graph.add("Add", graph.add("Mul", values, scale), shift)

    if normed:
        values = graph.add("Relu", norm(values, "norm", layers[0].inputs))
    for number, layer in enumerate(layers, 1):
        values = convolve(graph, layer, values, *weights_of(model, layer, pixels))
        if layer is not layers[-1]:
            values = activate(graph, layer, norm(values, f"norm{number}", layer.outputs))
    first, last = (graph.add("Gather", "rows", graph.sizes([place])) for place in (0, 1))
    counted = graph.add("Slice", values, first, last, graph.sizes([2]), name="kept")
    # Moments of each row: one sum over a million numbers has four digits in fp32.
    axis = graph.sizes([3])
    mean = graph.add("ReduceMean", counted, axis)
    apart = graph.add("Sub", counted, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", apart, apart), axis)
    outputs = {"means": mean, "variances": variance}
    for name, moment in outputs.items():
        graph.add("Squeeze", moment, axis, name=name)
    channels = layers[-1].outputs
    moments = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "rows"])
        for name in outputs
    ]
    kept = helper.make_tensor_value_info(
        "kept", TensorProto.FLOAT, [1, channels, "rows", "columns"]
    )
    return graph.as_model(model, inputs, [*moments, kept] if keeps else moments)
