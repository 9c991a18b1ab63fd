"""Ways to write a generator's ONNX graph that compute the same numbers faster.

Each is a function from one model to another that says why it did not apply. All are exact up to the
order of sums (and, in half precision, up to its rounding). They are for graphs of `engines.graph`
alone, whose heights and widths are multiples of 4. docs/engines.md has what each is worth.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from engines.graph.draft import Draft, Rewrite, at_each, attributes, node
from engines.graph.packed_columns import columns_in_pairs

_LANES = 16
"""Outputs that a CPU's convolution computes at once (AVX-512, fp32): with fewer it idles."""

_MANY_INPUTS = 512
"""From here on four plain convolutions are faster than a transposed one, shuffle included."""


@at_each("Conv")
def few_outputs_at_stride_2(draft: Draft, conv: NodeProto) -> str:
    """A convolution to few channels computes 2x2 pixels in one step of 2, as channels.

    The generator's last, to 3 channels, fills 3 lanes of 16. As 12 channels over an 8x8 kernel it
    does (8/7)² times the arithmetic in a quarter of the steps.
    """
    weight, bias = draft.kernel(conv)
    outputs, inputs, rows, columns = weight.shape
    if 4 * outputs > _LANES:
        return f"{outputs} outputs fill the lanes"
    said = attributes(conv)
    if said["strides"] != [1, 1] or said.get("group", 1) != 1 or min(rows, columns) < 3:
        return "it has a stride, or a kernel that would more than double"
    phases = np.zeros((2, 2, outputs, inputs, rows + 1, columns + 1))
    for row, column in np.ndindex(2, 2):
        phases[row, column, :, :, row : row + rows, column : column + columns] = weight
    _replace_by_phases(draft, conv, phases, bias, pads=said["pads"], strides=[2, 2])
    return ""


@at_each("ConvTranspose")
def few_outputs_by_phase(draft: Draft, conv: NodeProto) -> str:
    """A transposed convolution to few channels becomes a plain one to four times as many.

    They are the four phases of its output, with zeros where a phase has no tap.
    """
    if why_not := _why_no_doubling(draft, conv):
        return why_not
    weight, bias = draft.kernel(conv)
    inputs, outputs = weight.shape[:2]
    if 4 * outputs > _LANES:
        return f"{outputs} outputs fill the lanes"
    taps = [_taps(conv, phase) for phase in (0, 1)]
    before, after = -taps[0][0][0], taps[1][-1][0]
    size = before + 1 + after
    phases = np.zeros((2, 2, outputs, inputs, size, size))
    for row, column in np.ndindex(2, 2):
        for y, kernel_y in taps[row]:
            for x, kernel_x in taps[column]:
                tap = weight[:, :, kernel_y, kernel_x]
                phases[row, column, :, :, before + y, before + x] = tap.T
    pads = [before, before, after, after]
    _replace_by_phases(draft, conv, phases, bias, pads=pads, strides=[1, 1])
    return ""


@at_each("ConvTranspose")
def transposed_as_four(draft: Draft, conv: NodeProto) -> str:
    """A transposed convolution becomes four plain ones, one for each phase, and a shuffle.

    Worth it where there are many inputs, as in U-Nets: else the shuffle costs more than is saved.
    """
    if why_not := _why_no_doubling(draft, conv):
        return why_not
    weight, bias = draft.kernel(conv)
    if len(weight) < _MANY_INPUTS:
        return f"{len(weight)} inputs are too few to win"
    output, made = conv.output[0], []
    for row, column in np.ndindex(2, 2):
        ys, xs = _taps(conv, row), _taps(conv, column)
        kernel = weight[:, :, [y for _, y in ys]][..., [x for _, x in xs]].swapaxes(0, 1)
        pads = [-ys[0][0], -xs[0][0], ys[-1][0], xs[-1][0]]
        name = f"{output}.phase{row}{column}"
        made.append(draft.convolution(conv, kernel, bias, name, pads=pads, strides=[1, 1]))
    draft.replace(
        conv,
        *made,
        node("Concat", [phase.output[0] for phase in made], f"{output}.phases", axis=1),
        node("DepthToSpace", [f"{output}.phases"], output, blocksize=2, mode="DCR"),
    )
    return ""


@at_each("Conv")
def resized_as_transposed(draft: Draft, conv: NodeProto) -> str:
    """Nearest enlargement, reflection and a 3x3 convolution become one transposed 4x4 convolution.

    3x3 doubled pixels are at most 2x2 different ones. Taps that read the same pixel are added up:
    4 multiplications in place of 9. The reflection of doubled pixels is the pixel at the edge.
    """
    pad = draft.maker(conv.input[0], "Pad")
    resize = draft.maker(pad.input[0], "Resize") if pad else None
    if pad is None or resize is None:
        return "it does not read enlarged and reflected pixels"
    weight, bias = draft.kernel(conv)
    pads = draft.constant(pad.input[1]).tolist()
    if weight.shape[2:] != (3, 3) or pads != [0, 0, 1, 1] * 2:
        return "its kernel is not 3x3"
    if max(draft.readers(made.output[0]) for made in (pad, resize)) > 1:
        return "its input is read elsewhere"
    merged = weight.swapaxes(0, 1)
    for axis in (2, 3):
        before, here, after = (merged.take([number], axis) for number in range(3))
        merged = np.concatenate([after, here + after, before + here, before], axis)
    output = conv.output[0]
    draft.replace(resize)
    edged = node("Pad", [resize.input[0], pad.input[1]], pad.output[0], mode="edge")
    draft.replace(pad, edged)
    transposed = draft.convolution(
        conv, merged, bias, output, operation="ConvTranspose", pads=[3] * 4, strides=[2, 2]
    )
    draft.replace(conv, transposed)
    return ""


@at_each("ReduceMean")
def means_of_means(draft: Draft, mean: NodeProto) -> str:
    """The mean over a large picture is taken of the means of squares, by a depthwise convolution.

    OpenVINO's reductions are slow for channels that do not fill the lanes. And in bf16 it keeps all
    in fp32 that lies between an output and the last convolution in front of it, where transposed
    ones do not count: so the form "measure" had half of its network in fp32.
    """
    if draft.constant(mean.input[1]).tolist() != [2, 3]:
        return "it is not over height and width"
    channels, *scales = _layout(draft)[mean.input[0]]
    if channels % _LANES == 0 and draft.outputs != ["statistics"]:
        return f"{channels} channels fill the lanes"
    sides = [int(4 * scale) for scale in scales]
    if min(sides) < 2:
        return "its picture may have odd sides"
    output = mean.output[0]
    square = np.full((channels, 1, *sides), 1 / np.prod(sides), np.float32)
    inputs = [mean.input[0], draft.keep(f"{output}.square", square)]
    said = {"kernel_shape": sides, "strides": sides, "pads": [0] * 4, "group": channels}
    draft.replace(
        mean,
        node("Conv", inputs, f"{output}.means", **said),
        node("ReduceMean", [f"{output}.means", mean.input[1]], output),
    )
    return ""


@at_each("Pad")
def reflection_by_slices(draft: Draft, pad: NodeProto) -> str:
    """Reflection becomes rows, then columns, put around what stays as it is."""
    pads = draft.constant(pad.input[1]).tolist()
    if attributes(pad)["mode"] != b"reflect" or len(pads) != 8:
        return "it is no reflection of a picture"
    source, made = pad.input[0], []
    for axis, label in ((2, "rows"), (3, "columns")):
        before = [(number, number + 1) for number in range(pads[axis], 0, -1)]
        after = [(-1 - number, -number) for number in range(1, pads[axis + 4] + 1)]
        names = []
        for begin, end in before + after:
            name = f"{pad.output[0]}.{label}{begin}"
            bounds = {"begin": begin, "end": end, "axis": axis}
            limits = [
                draft.keep(f"{name}.{key}", np.array([value])) for key, value in bounds.items()
            ]
            made.append(node("Slice", [source, *limits], name))
            names.append(name)
        names.insert(len(before), source)
        source = pad.output[0] if axis == 3 else f"{pad.output[0]}.{label}"
        made.append(node("Concat", names, source, axis=axis))
    draft.replace(pad, *made)
    return ""


@at_each("Conv", "ConvTranspose")
def without_zero_bias(draft: Draft, conv: NodeProto) -> str:
    """A convolution loses a bias that is zero, as those in front of norms are that remove any."""
    if len(conv.input) < 3:
        return "it has no bias"
    if draft.constant(conv.input[2]).any():
        return "its bias is not zero"
    draft.replace(conv, node(conv.op_type, conv.input[:2], conv.output[0], **attributes(conv)))
    return ""


FOR_CPU: tuple[Rewrite, ...] = (
    resized_as_transposed,
    few_outputs_at_stride_2,
    few_outputs_by_phase,
    transposed_as_four,
    columns_in_pairs,
    means_of_means,
)
"""Those that win on CPUs, in the order in which they work together."""


def rewritten(model: onnx.ModelProto, rewrites: Sequence[Rewrite]) -> onnx.ModelProto:
    """The model after these rewrites, one after the other."""
    for rewrite in rewrites:
        model = rewrite(model).model
    return model


def _replace_by_phases(
    draft: Draft,
    conv: NodeProto,
    phases: NDArray[np.float64],
    bias: NDArray[np.float64],
    pads: list[int],
    strides: list[int],
) -> None:
    """A convolution with the kernels `[2, 2, outputs, inputs, rows, columns]`, and a shuffle."""
    output, weight = conv.output[0], phases.reshape(-1, *phases.shape[3:])
    named, bias = f"{output}.phases", np.tile(bias, 4)
    draft.replace(
        conv,
        draft.convolution(conv, weight, bias, named, pads=pads, strides=strides),
        node("DepthToSpace", [named], output, blocksize=2, mode="DCR"),
    )


def _why_no_doubling(draft: Draft, conv: NodeProto) -> str:
    """Why a transposed convolution is not one that doubles the size, or "" if it is."""
    said = attributes(conv)
    size, zeros = said["kernel_shape"][0], said["pads"][0]
    extra = said.get("output_padding", [0])[0]
    if said["strides"] != [2, 2] or len(set(said["pads"])) > 1 or size + extra - 2 * zeros != 2:
        return "it does not double the size"
    return ""


def _taps(conv: NodeProto, phase: int) -> list[tuple[int, int]]:
    """Of what row 2i + `phase` of a transposed convolution with stride 2 is made.

    Pairs of an input row, less i, and the kernel's row that it is multiplied by; in order of input.
    """
    said = attributes(conv)
    apart = [(phase + said["pads"][0] - row, row) for row in range(said["kernel_shape"][0])]
    return sorted((distance // 2, row) for distance, row in apart if distance % 2 == 0)


def _layout(draft: Draft) -> dict[str, tuple[int, float, float]]:
    """Channels, and height and width as shares of the frames', of all that is made of frames."""
    layout = {"frames": (3, 1.0, 1.0)}
    for made in draft.nodes:
        if made.input[0] not in layout or made.op_type == "ReduceMean":
            continue
        channels, rows, columns = layout[made.input[0]]
        said = attributes(made)
        match made.op_type:
            case "Conv":
                channels = draft.shape(made.input[1])[0]
                rows, columns = rows / said["strides"][0], columns / said["strides"][1]
            case "ConvTranspose":
                channels = draft.shape(made.input[1])[1]
                rows, columns = 2 * rows, 2 * columns
            case "Resize":
                rows, columns = 2 * rows, 2 * columns
            case "DepthToSpace":
                side = said["blocksize"]
                channels, rows, columns = channels // side**2, side * rows, side * columns
            case "Reshape":  # neighbours in a row become channels
                together = int(draft.constant(made.input[1])[-1])
                channels, columns = together, columns * channels / together
            case "Concat" if said["axis"] == 1:
                channels = sum(layout[name][0] for name in made.input)
        layout.update(dict.fromkeys(made.output, (channels, rows, columns)))
    return layout
