"""Ways to write a generator's ONNX graph that compute the same numbers faster.

Each is a function from one model to another that says where it did not apply. All are exact up to
the order of sums, and are for graphs of `engines.graph` alone: they rely on heights and widths that
are multiples of 4. What each is worth was measured; see docs/engines.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from engines.graph_draft import Draft, attributes, node

_LANES = 16
"""Outputs that a vector unit computes at once: with fewer, it idles."""


@dataclass(frozen=True, slots=True, eq=False)
class Rewritten:
    """A rewritten model, the number of places that changed, and why, where that is none."""

    model: onnx.ModelProto
    applied: int
    why_not: str


Rewrite = Callable[[onnx.ModelProto], Rewritten]


def _rewrite(operation: str) -> Callable[[Callable[[Draft, NodeProto], str]], Rewrite]:
    """Make a rewrite of a function that tries one node of this operation.

    That function changes the draft and returns "", or returns why it does not apply.
    """

    def decorate(attempt: Callable[[Draft, NodeProto], str]) -> Rewrite:
        def rewrite(model: onnx.ModelProto) -> Rewritten:
            draft = Draft(model)
            candidates = [made for made in draft.nodes if made.op_type == operation]
            answers = [attempt(draft, candidate) for candidate in candidates]
            if applied := answers.count(""):
                return Rewritten(draft.finish(), applied, "")
            reasons = "; ".join(dict.fromkeys(answers)) or f"there is no {operation}"
            return Rewritten(model, 0, reasons)

        rewrite.__name__, rewrite.__doc__ = attempt.__name__, attempt.__doc__
        return rewrite

    return decorate


@_rewrite("Conv")
def few_outputs_at_stride_2(draft: Draft, conv: NodeProto) -> str:
    """A convolution to few channels computes 2x2 pixels at once, at stride 2, as channels.

    Three outputs fill 3 lanes of 16. The four phases of the output are 12 channels over a kernel
    that is one row and column larger: (8/7)² times the arithmetic in a quarter of the steps.
    """
    weight, bias = draft.constant(conv.input[1]), _bias(draft, conv)
    if weight is None or weight.ndim != 4 or attributes(conv).get("group", 1) != 1:
        return "it is no plain convolution of two dimensions"
    outputs, inputs, rows, columns = weight.shape
    if 4 * outputs > _LANES:
        return f"{outputs} outputs fill the lanes"
    if attributes(conv)["strides"] != [1, 1] or min(rows, columns) < 3:
        return "its stride is not 1, or its kernel smaller than 3x3"
    phases = np.zeros((2, 2, outputs, inputs, rows + 1, columns + 1))
    for row, column in np.ndindex(2, 2):
        phases[row, column, :, :, row : row + rows, column : column + columns] = weight
    name = conv.output[0]
    draft.replace(
        conv,
        node(
            "Conv",
            _inputs(draft, conv, phases.reshape(-1, *phases.shape[3:]), np.tile(bias, 4)),
            f"{name}.phases",
            kernel_shape=phases.shape[4:],
            pads=attributes(conv)["pads"],
            strides=[2, 2],
        ),
        node("DepthToSpace", [f"{name}.phases"], name, blocksize=2, mode="DCR"),
    )
    return ""


@_rewrite("ConvTranspose")
def few_outputs_by_phase(draft: Draft, conv: NodeProto) -> str:
    """A transposed convolution to few channels becomes a plain one to four times as many.

    The four phases of its output are channels, with zeros where a phase has no tap.
    """
    if why_not := _no_doubling(draft, conv):
        return why_not
    weight, bias = draft.constant(conv.input[1]), _bias(draft, conv)
    assert weight is not None
    inputs, outputs, size, _ = weight.shape
    if 4 * outputs > _LANES:
        return f"{outputs} outputs fill the lanes"
    taps = [_taps(size, attributes(conv)["pads"][0], phase) for phase in (0, 1)]
    before = -min(offset for phase in taps for offset, _ in phase)
    after = max(offset for phase in taps for offset, _ in phase)
    phases = np.zeros((2, 2, outputs, inputs, before + after + 1, before + after + 1))
    for row, column in np.ndindex(2, 2):
        for y, from_y in taps[row]:
            for x, from_x in taps[column]:
                kernel = weight[:, :, from_y, from_x].T
                phases[row, column, :, :, before + y, before + x] = kernel
    name = conv.output[0]
    draft.replace(
        conv,
        node(
            "Conv",
            _inputs(draft, conv, phases.reshape(-1, *phases.shape[3:]), np.tile(bias, 4)),
            f"{name}.phases",
            kernel_shape=phases.shape[4:],
            pads=[before, before, after, after],
            strides=[1, 1],
        ),
        node("DepthToSpace", [f"{name}.phases"], name, blocksize=2, mode="DCR"),
    )
    return ""


@_rewrite("ConvTranspose")
def transposed_as_four(draft: Draft, conv: NodeProto) -> str:
    """A transposed convolution becomes four plain ones, one a phase of the output, and a shuffle."""
    if why_not := _no_doubling(draft, conv):
        return why_not
    weight, bias = draft.constant(conv.input[1]), _bias(draft, conv)
    assert weight is not None
    name, made = conv.output[0], []
    for row, column in np.ndindex(2, 2):
        (tops, ys), (lefts, xs) = (
            zip(*_taps(weight.shape[2], attributes(conv)["pads"][0], phase), strict=True)
            for phase in (row, column)
        )
        kernel = weight[:, :, ys][..., xs].swapaxes(0, 1)
        label = f"{name}.phase{row}{column}"
        made.append(
            node(
                "Conv",
                _inputs(draft, conv, kernel, bias, label),
                label,
                kernel_shape=kernel.shape[2:],
                pads=[-tops[0], -lefts[0], tops[-1], lefts[-1]],
                strides=[1, 1],
            )
        )
    draft.replace(
        conv,
        *made,
        node("Concat", [phase.output[0] for phase in made], f"{name}.phases", axis=1),
        node("DepthToSpace", [f"{name}.phases"], name, blocksize=2, mode="DCR"),
    )
    return ""


@_rewrite("Conv")
def resized_as_transposed(draft: Draft, conv: NodeProto) -> str:
    """Nearest enlargement, reflection and a 3x3 convolution become one transposed 4x4 convolution.

    A 3x3 window over doubled pixels holds only 2x2 different ones, so taps that read the same
    pixel are added up: 4 multiplications in place of 9. Next to the border the doubled picture's
    reflection is the pixel at the border itself.
    """
    pad = draft.maker(conv.input[0], "Pad")
    resize = draft.maker(pad.input[0], "Resize") if pad else None
    if pad is None or resize is None:
        return "nothing is enlarged in front of it"
    pads, scales = draft.constant(pad.input[1]), draft.constant(resize.input[2])
    weight = draft.constant(conv.input[1])
    if (
        any(len(draft.readers(made.output[0])) > 1 for made in (pad, resize))
        or pads is None
        or pads.tolist() != [0, 0, 1, 1] * 2
        or scales is None
        or scales.tolist() != [1, 1, 2, 2]
        or weight is None
        or weight.shape[2:] != (3, 3)
    ):
        return "it is no 3x3 convolution over doubled and reflected pixels alone"
    first, middle, last = range(3)
    merged = weight.swapaxes(0, 1)
    for axis in (2, 3):
        tap = [merged.take([number], axis) for number in range(3)]
        merged = np.concatenate(
            [tap[last], tap[middle] + tap[last], tap[first] + tap[middle], tap[first]], axis
        )
    name = conv.output[0]
    draft.nodes.remove(resize)
    draft.replace(pad, node("Pad", [resize.input[0], pad.input[1]], f"{name}.edged", mode="edge"))
    _, *constants = _inputs(draft, conv, merged, _bias(draft, conv))
    draft.replace(
        conv,
        node(
            "ConvTranspose",
            [f"{name}.edged", *constants],
            name,
            kernel_shape=[4, 4],
            pads=[3] * 4,
            strides=[2, 2],
        ),
    )
    return ""


@_rewrite("ReduceMean")
def means_of_means(draft: Draft, mean: NodeProto) -> str:
    """The mean over a large picture is taken of the means of small squares.

    Those are a depthwise convolution, which is fast for any number of channels; a reduction is
    slow for those that do not fill the lanes. And it is a convolution: OpenVINO in bf16 keeps all
    in fp32 that lies between an output and the convolutions before it, and transposed ones do not
    count, so that the form "measure" ran nearly half of the network in fp32.
    """
    axes = draft.constant(mean.input[1])
    if axes is None or axes.tolist() != [2, 3]:
        return "it is not a mean over height and width"
    channels, scale = _layout(draft)[mean.input[0]]
    side = int(4 * scale)
    if side < 2:
        return "its picture may have odd sides"
    name = mean.output[0]
    square = np.full((channels, 1, side, side), side**-2, np.float32)
    draft.replace(
        mean,
        node(
            "Conv",
            [mean.input[0], draft.keep(f"{name}.square", square)],
            f"{name}.means",
            kernel_shape=[side, side],
            pads=[0] * 4,
            strides=[side, side],
            group=channels,
        ),
        node("ReduceMean", [f"{name}.means", mean.input[1]], name),
    )
    return ""


@_rewrite("Pad")
def reflection_by_slices(draft: Draft, pad: NodeProto) -> str:
    """Reflection is written as single rows and columns put around what stays as it is."""
    pads = draft.constant(pad.input[1])
    if attributes(pad)["mode"] != b"reflect" or pads is None or pads.size != 8:
        return "it is no reflection of a picture"
    source, made = pad.input[0], []
    for axis, label in ((2, "rows"), (3, "columns")):
        parts = [source]
        for number in range(1, max(pads[axis], pads[axis + 4]) + 1):
            for begin, wanted in ((number, pads[axis]), (-1 - number, pads[axis + 4])):
                if number > wanted:
                    continue
                part = f"{pad.output[0]}.{label}{begin}"
                ends = [begin + 1, np.iinfo(np.int64).max][begin == -1]
                limits = [
                    draft.keep(f"{part}.{limit}", np.array([value], np.int64))
                    for limit, value in (("begin", begin), ("end", ends), ("axis", axis))
                ]
                made.append(node("Slice", [source, *limits], part))
                parts = [part, *parts] if begin > 0 else [*parts, part]
        source = pad.output[0] if axis == 3 else f"{pad.output[0]}.{label}"
        made.append(node("Concat", parts, source, axis=axis))
    draft.replace(pad, *made)
    return ""


def without_zero_biases(model: onnx.ModelProto) -> Rewritten:
    """Convolutions lose a bias that is zero, as it is in front of a norm that takes it away."""
    results = [_rewrite(operation)(_drop_bias) for operation in ("Conv", "ConvTranspose")]
    plain = results[0](model)
    transposed = results[1](plain.model)
    applied = plain.applied + transposed.applied
    return Rewritten(transposed.model, applied, "" if applied else plain.why_not)


def _drop_bias(draft: Draft, conv: NodeProto) -> str:
    if len(conv.input) < 3:
        return "it has no bias"
    if _bias(draft, conv).any():
        return "its bias is not zero"
    draft.replace(conv, node(conv.op_type, conv.input[:2], conv.output[0], **attributes(conv)))
    return ""


def rewritten(model: onnx.ModelProto, rewrites: Sequence[Rewrite]) -> onnx.ModelProto:
    """The model after these rewrites, one after the other."""
    for rewrite in rewrites:
        model = rewrite(model).model
    return model


def _bias(draft: Draft, conv: NodeProto) -> NDArray[Any]:
    """The bias of a convolution, zeros if it has none, in float64."""
    if len(conv.input) > 2 and (bias := draft.constant(conv.input[2])) is not None:
        return bias
    weight = draft.constant(conv.input[1])
    assert weight is not None
    return np.zeros(weight.shape[0 if conv.op_type == "Conv" else 1])


def _inputs(
    draft: Draft, conv: NodeProto, weight: NDArray[Any], bias: NDArray[Any], label: str = ""
) -> list[str]:
    """The inputs of `conv` with another weight and bias, in the types that it has; no new bias."""
    label = label or conv.output[0]
    names = [conv.input[0], draft.keep(f"{label}.weight", weight, conv.input[1])]
    if len(conv.input) > 2:
        names.append(draft.keep(f"{label}.bias", bias, conv.input[2]))
    return names


def _no_doubling(draft: Draft, conv: NodeProto) -> str:
    """Why a transposed convolution is not one that doubles the size, or "" if it is."""
    weight, said = draft.constant(conv.input[1]), attributes(conv)
    if weight is None or said.get("group", 1) != 1 or said["strides"] != [2, 2]:
        return "it is no plain transposed convolution with stride 2"
    extra, zeros = said.get("output_padding", [0, 0])[0], said["pads"][0]
    if len(set(said["pads"])) > 1 or weight.shape[2] + extra - 2 * zeros != 2:
        return "it does not double the size"
    return ""


def _taps(size: int, zeros: int, phase: int) -> list[tuple[int, int]]:
    """Of what output row 2i + phase of a transposed convolution with stride 2 is made.

    Pairs of the input row, counted from i, and the kernel's row; by input row.
    """
    taps = [((phase + zeros - row) // 2, row) for row in range(size) if (phase + zeros - row) % 2 == 0]
    return sorted(taps)


def _layout(draft: Draft) -> dict[str, tuple[int, float]]:
    """The channels of every tensor made of the frames, and its height over theirs."""
    layout: dict[str, tuple[int, float]] = {"frames": (3, 1.0)}
    for made in draft.nodes:
        if not made.input or made.input[0] not in layout:
            continue
        channels, scale = layout[made.input[0]]
        said = attributes(made)
        match made.op_type:
            case "Conv" | "ConvTranspose":
                weight = draft.constant(made.input[1])
                assert weight is not None
                stride = said["strides"][0]
                if made.op_type == "Conv":
                    channels, scale = weight.shape[0], scale / stride
                else:
                    channels, scale = weight.shape[1], scale * stride
            case "Resize":
                scale *= 2
            case "DepthToSpace":
                channels, scale = channels // said["blocksize"] ** 2, scale * said["blocksize"]
            case "Concat":
                channels = sum(layout.get(name, (0, 0.0))[0] for name in made.input)
        layout.update(dict.fromkeys(made.output, (channels, scale)))
    return layout
