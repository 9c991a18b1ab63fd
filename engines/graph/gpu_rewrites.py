"""Ways to write a generator's ONNX graph that TensorRT turns into fewer kernels and less traffic.

Like those of `engines.graph.rewrites`; chosen by what the schedules of built plans say
(`benchmarks/plans.py`, docs/engines.md), since activations that cross the memory once more cost as
much as a convolution here.
"""

import numpy as np
from onnx import NodeProto, helper

from engines.graph.draft import Draft, Rewrite, at_each, attributes, node

_SPARSE = 16
"""Every so many rows and columns are enough to find a value near the mean."""


@at_each("ReduceMean")
def moments_in_one_pass(draft: Draft, mean: NodeProto) -> str:
    """Mean and mean square are taken of rows, side by side, then of the rows' means.

    TensorRT makes one kernel of that, which reads the activations once, in half precision; of means
    over pictures it makes two, and writes all activations in fp32 between them.

    The variance (of values that are not centred) becomes such too, of values less a mean of few of
    them: by the inequality of Cauchy and Schwarz these are at most 256 variances off, which leaves
    fp32 four digits where nothing worse can happen.
    """
    if draft.constant(mean.input[1]).tolist() != [2, 3]:
        return "it is not over height and width"
    values, output = mean.input[0], mean.output[0]
    centred = _square_of(draft, values)
    less = next((made for made in draft.nodes if list(made.input) == [values, output]), None)
    square = centred or (_square_of(draft, less.output[0]) if less is not None else None)
    second = square and _reader(draft, square, "ReduceMean")
    if square is None or second is None:
        return "no mean of squares goes with it"
    made: list[NodeProto] = []

    def add(operation: str, inputs: list[str], label: str, **said: int) -> str:
        made.append(node(operation, inputs, f"{output}.{label}", **said))
        return str(made[-1].output[0])

    rows, columns = (draft.keep(f"axis{axis}", np.array([axis])) for axis in (2, 3))
    near, names = "", [output, second.output[0]]
    if not centred:
        near = add("ReduceMean", [_few(draft, values, made), mean.input[1]], "near")
        values, names = add("Sub", [values, near], "apart"), [f"{output}.first", f"{output}.second"]
    squares = add("Mul", [values, values], "squares")
    sums = [add("ReduceMean", [values, columns], "rows")]
    sums.append(add("ReduceMean", [squares, columns], "rows_of_squares"))
    both = add("ReduceMean", [add("Concat", sums, "both_rows", axis=1), rows], "both")
    made.append(_split(both, names))
    if not centred:
        first, of_squares = names
        made.append(node("Add", [first, near], output))
        variance = add("Sub", [of_squares, add("Mul", [first, first], "square")], "variance")
        zero = draft.keep("no_variance", np.array(0, np.float32))
        made.append(node("Max", [variance, zero], second.output[0]))
    draft.replace(mean, *made)
    for gone in (less if not centred else None, square, second):
        if gone is not None:
            draft.replace(gone)
    return ""


@at_each("Transpose")
def pixels_as_four_channels(draft: Draft, transpose: NodeProto) -> str:
    """The pixels get a fourth channel of zeros before they are turned to channels first.

    A tensor core takes four or eight channels: TensorRT would join the fourth in a kernel of its
    own, from a plane of zeros as large as the frame that it keeps in the plan.
    """
    cast = draft.maker(transpose.input[0], "Cast")
    if cast is None or cast.input[0] != "frames":
        return "it does not turn frames of bytes"
    less = _reader(draft, transpose, "Sub")
    reader = _reader(draft, less, "Pad") if less is not None else None
    conv = _reader(draft, reader or less, "Conv") if less is not None else None
    if less is None or conv is None:
        return "no convolution follows"
    output, source = less.output[0], cast.output[0]
    weight, bias = draft.kernel(conv)
    weight = np.concatenate([weight, np.zeros_like(weight[:, :1])], axis=1)
    said = {name: attributes(conv)[name] for name in ("pads", "strides")}
    draft.replace(conv, draft.convolution(conv, weight, bias, conv.output[0], **said))
    pads = draft.keep(f"{output}.fourth", np.array([0] * 7 + [1]))
    draft.replace(
        transpose,
        node("Sub", [source, less.input[1]], f"{output}.centred"),
        node("Pad", [f"{output}.centred", pads], f"{output}.four", mode="constant"),
        node("Transpose", [f"{output}.four"], output, perm=[0, 3, 1, 2]),
    )
    draft.replace(less)
    return ""


@at_each("Transpose")
def channels_last_at_once(draft: Draft, transpose: NodeProto) -> str:
    """The last convolution's output is turned to channels last before anything else is done to it.

    It is that already, in memory: then all up to the bytes is one kernel.
    """
    if list(attributes(transpose)["perm"]) != [0, 2, 3, 1]:
        return "it does not turn to channels last"
    chain: list[NodeProto] = []
    above = draft.maker(transpose.input[0])
    while above is not None and above.op_type not in ("Conv", "ConvTranspose"):
        if any(draft.constant(name).size > 1 for name in above.input[1:]):
            return "what is between has a number for each channel"
        chain.insert(0, above)
        above = draft.maker(above.input[0])
    if above is None or not chain:
        return "no convolution is above"
    source = f"{above.output[0]}.last"
    turned = node("Transpose", above.output[:1], source, perm=[0, 2, 3, 1])
    for made in chain:
        output = transpose.output[0] if made is chain[-1] else f"{made.output[0]}.last"
        again = node(made.op_type, [source, *made.input[1:]], output, **attributes(made))
        draft.replace(made, *([turned] if made is chain[0] else []), again)
        source = output
    draft.replace(transpose)
    return ""


FOR_GPU: tuple[Rewrite, ...] = (
    pixels_as_four_channels,
    channels_last_at_once,
    moments_in_one_pass,
)
"""Those that win in TensorRT's schedules."""


def _reader(draft: Draft, made: NodeProto, operation: str) -> NodeProto | None:
    """The node that alone reads what `made` makes, if it is of this operation."""
    readers = [other for other in draft.nodes if made.output[0] in other.input]
    return readers[0] if len(readers) == 1 and readers[0].op_type == operation else None


def _square_of(draft: Draft, values: str) -> NodeProto | None:
    return next((made for made in draft.nodes if list(made.input) == [values, values]), None)


def _few(draft: Draft, values: str, made: list[NodeProto]) -> str:
    """A few of `values`, in fp32; taken before they are widened, so that few are."""
    cast = draft.maker(values, "Cast")
    source = cast.input[0] if cast else values
    bounds = [[0, 0], [np.iinfo(np.int64).max] * 2, [2, 3], [_SPARSE] * 2]
    limits = [
        draft.keep(f"few.{name}", np.array(numbers))
        for name, numbers in zip(("begin", "end", "axes", "step"), bounds, strict=True)
    ]
    made.append(node("Slice", [source, *limits], f"{values}.few"))
    if cast:
        made.append(node("Cast", [f"{values}.few"], f"{values}.few32", **attributes(cast)))
    return str(made[-1].output[0])


def _split(both: str, names: list[str]) -> NodeProto:
    return helper.make_node("Split", [both], names, axis=1, num_outputs=2)
