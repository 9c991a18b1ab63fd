"""The entrance of a generator on pairs of columns: the rewrite that spans several layers."""

import numpy as np
from onnx import NodeProto

from engines.graph.draft import Draft, at_each, attributes, node

_ELEMENTWISE = ("Add", "Cast", "LeakyRelu", "Mul", "Relu", "Sub")


@at_each("Conv")
def columns_in_pairs(draft: Draft, conv: NodeProto) -> str:
    """From the pixels to the first stride, two columns side by side are twice the channels.

    A 7x7 kernel over 3 channels does not fill vector registers. Over pairs it is 7x4 over 6, and
    gives 2C channels, which fill them where C is no multiple of 16. What follows, norm and
    activation, runs on pairs too, with the moments of both columns; the next convolution has stride
    2 and reads them as they are.
    """
    pad = draft.maker(conv.input[0], "Pad")
    weight, bias = draft.kernel(conv)
    if pad is None or weight.shape[1] != 3:
        return "it does not read reflected pixels"
    outputs, inputs, rows, columns = weight.shape
    if attributes(conv)["strides"] != [1, 1] or columns % 2 == 0 or any(attributes(conv)["pads"]):
        return "it has a stride, zeros around or an even kernel"
    if outputs % 16 == 0:
        return f"{outputs} outputs fill the lanes"
    behind = _behind(draft, conv.output[0])
    if isinstance(behind, str):
        return behind
    paired = np.zeros((2, outputs, 2, inputs, rows, (columns + 1) // 2))
    for half, column in np.ndindex(2, columns):
        pair, side = divmod(half + column, 2)
        paired[half, :, side, :, :, pair] = weight[..., column]
    kernel, bias = paired.reshape(2 * outputs, 2 * inputs, rows, -1), np.tile(bias, 2)
    name, pads = conv.output[0], attributes(conv)["pads"]
    lengths = draft.keep(f"{name}.lengths", np.array([0, 0, -1, 2 * inputs]))
    draft.replace(
        conv,
        node("Transpose", [pad.output[0]], f"{name}.pixels", perm=[0, 2, 3, 1]),
        node("Reshape", [f"{name}.pixels", lengths], f"{name}.pairs"),
        node("Transpose", [f"{name}.pairs"], f"{name}.packed", perm=[0, 3, 1, 2]),
        draft.convolution(conv, kernel, bias, name, f"{name}.packed", pads=pads, strides=[1, 1]),
    )
    paired_names = {name}
    for reader in behind:
        if reader.op_type == "ReduceMean":
            _mean_of_both(draft, reader)
        elif reader.op_type == "Conv":
            _read_pairs(draft, reader)
        else:
            _double(draft, reader, paired_names)
            paired_names.update(reader.output)
    return ""


def _behind(draft: Draft, begin: str) -> list[NodeProto] | str:
    """All nodes that would read pairs, in order, or why one of them cannot."""
    paired, found = {begin}, []
    for reader in draft.nodes:
        if not paired.intersection(reader.input):
            continue
        if reader.op_type in _ELEMENTWISE:
            paired.update(reader.output)
        elif reader.op_type == "Conv":
            said = attributes(reader)
            if (said["kernel_shape"], said["strides"], said["pads"]) != ([3, 3], [2, 2], [1] * 4):
                return "what follows is no 3x3 convolution with stride 2"
        elif reader.op_type != "ReduceMean":
            return f"{reader.op_type} follows, which does not work on pairs of columns"
        found.append(reader)
    return found


def _mean_of_both(draft: Draft, mean: NodeProto) -> None:
    """The means `[N, 2C, 1, 1]` of all channels of pairs become those of both columns together."""
    name = mean.output[0]
    halves = draft.keep(f"{name}.lengths", np.array([0, 2, -1, 1]))
    first, last = (draft.keep(f"{name}.axis{axis}", np.array([axis])) for axis in (1, 3))
    draft.replace(
        mean,
        node("ReduceMean", list(mean.input), f"{name}.each"),
        node("Reshape", [f"{name}.each", halves], f"{name}.halves"),
        node("ReduceMean", [f"{name}.halves", first], f"{name}.both", keepdims=0),
        node("Unsqueeze", [f"{name}.both", last], name),
    )


def _read_pairs(draft: Draft, conv: NodeProto) -> None:
    """The 3x3 convolution with stride 2 becomes one of 3x2 that goes on by one pair at a time."""
    weight, bias = draft.kernel(conv)
    outputs, inputs = weight.shape[:2]
    paired = np.zeros((outputs, 2, inputs, 3, 2))
    for column in range(3):
        pair, side = divmod(column + 1, 2)
        paired[:, side, :, :, pair] = weight[..., column]
    kernel = paired.reshape(outputs, 2 * inputs, 3, 2)
    pads, strides = [1, 1, 1, 0], [2, 1]
    draft.replace(
        conv, draft.convolution(conv, kernel, bias, conv.output[0], pads=pads, strides=strides)
    )


def _double(draft: Draft, reader: NodeProto, paired: set[str]) -> None:
    """What meets pairs and has a number for each channel needs them twice."""
    inputs, doubled = [], []
    for name in reader.input:
        if name in paired or draft.constant(name).size == 1:
            inputs.append(name)
        else:
            inputs.append(f"{reader.output[0]}.{name}")
            doubled.append(node("Concat", [name, name], inputs[-1], axis=1))
    twice = node(reader.op_type, inputs, reader.output[0], **attributes(reader))
    draft.replace(reader, *doubled, twice)
