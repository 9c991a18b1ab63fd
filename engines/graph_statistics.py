"""Statistics in an ONNX graph: each picture's own, given from outside, or measured."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from engines.graph_nodes import Nodes
from engines.layers import Layer
from engines.model_file import Model
from engines.spec import EPSILON, FLAT, ORDINARY, Form


class Statistics:
    """Scale and shift of every norm that goes by the picture, asked for in order of execution.

    All of it is in float32 whatever the activations are in, but what is multiplied and added.
    """

    def __init__(self, graph: Nodes, model: Model, form: Form) -> None:
        self._graph = graph
        self._channels = model.spec.norm_channels
        self._lift = _lift(model)
        given = form == "statistics"
        self._given = iter(_unpack(graph, self._channels, self._lift)) if given else None
        self._typical = iter(_typical_deviations(model))
        self._norms = model.gain_and_offset()
        self._own = ""  # share of the frame's own statistics, known after the first norm
        self._used: list[tuple[str, str]] = []
        self._done = 0  # channels of the norms so far

    @property
    def complete(self) -> bool:
        """Whether all norms have been asked for."""
        return len(self._used) == len(self._channels)

    def lift(self, layer: Layer) -> NDArray[np.float32]:
        """What to leave out of the bias in front of the next norm, see `_lift`."""
        return self._lift[self._done : self._done + layer.outputs]

    def of(self, layer: Layer, values: str) -> tuple[str, str]:
        """Scale and shift `[N, channels, 1, 1]` of the next norm, in the type of the activations."""
        channels = slice(self._done, self._done + layer.outputs)
        self._done = channels.stop
        typical = next(self._typical)
        if self._given:
            self._used.append(next(self._given))
            return self._used[-1]
        graph = self._graph
        mean, variance = _moments(graph, graph.widen(values), typical)
        if typical is not None:
            # Values are centred, so the typical mean is 0.
            self._own = self._own or _own_share(graph, variance, typical)
            usual = graph.number(typical**2)
            mean = graph.add("Mul", self._own, mean)
            apart = graph.add("Mul", self._own, graph.add("Sub", variance, usual))
            variance = graph.add("Add", usual, apart)
        gain, offset = self._norms[:, None, channels, None, None] if layer.affine else (None, None)
        scale, shift = _scale_and_shift(graph, mean, variance, gain, offset)
        self._used.append((scale, shift))
        return graph.narrow(scale), graph.narrow(shift)

    def pack(self) -> None:
        """The output `statistics`: the inverse of `_unpack`."""
        graph = self._graph
        scales, shifts = (
            graph.add("Concat", *names, axis=1) for names in zip(*self._used, strict=True)
        )
        lifted = graph.add("Mul", scales, graph.number(self._lift[None, :, None, None]))
        shifts = graph.add("Sub", shifts, lifted)
        rows = [
            graph.add(
                "Unsqueeze", graph.add("Squeeze", name, graph.sizes([2, 3])), graph.sizes([1])
            )
            for name in (scales, shifts)
        ]
        graph.add("Concat", *rows, name="statistics", axis=1)


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
    biases = [model.bias(layer) for layer in model.spec.layers if layer.normalises]
    return np.concatenate([*biases, np.empty(0, np.float32)])


def _unpack(
    graph: Nodes, channels: tuple[int, ...], lift: NDArray[np.float32]
) -> list[tuple[str, str]]:
    """Scale and shift `[N, channels, 1, 1]` of each norm from the input `statistics`.

    Packed and split like this is the graph that TensorRT runs with the fewest kernels.
    """
    scales, shifts = (graph.add("Gather", "statistics", graph.sizes(row), axis=1) for row in (0, 1))
    shifts = graph.add("Add", shifts, graph.add("Mul", scales, graph.number(lift[None])))
    scales, shifts = graph.narrow(scales), graph.narrow(shifts)
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


def _moments(graph: Nodes, values: str, typical: NDArray[np.float64] | None) -> tuple[str, str]:
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


def _own_share(graph: Nodes, variance: str, typical: NDArray[np.float64]) -> str:
    """How much a frame's own statistics count, `[N, 1, 1, 1]` in 0 to 1; see `engines.spec.FLAT`."""
    contrast = graph.add("Mul", variance, graph.number(typical**-2.0))
    contrast = graph.add("Min", contrast, graph.number(1))
    contrast = graph.add("ReduceMean", contrast, graph.sizes([1]))
    share = graph.add("Sub", contrast, graph.number(FLAT))
    share = graph.add("Mul", share, graph.number(1 / (ORDINARY - FLAT)))
    share = graph.add("Clip", share, graph.number(0), graph.number(1))
    return graph.add("Mul", share, share)


def _scale_and_shift(
    graph: Nodes,
    mean: str,
    variance: str,
    gain: NDArray[np.float64] | None,
    offset: NDArray[np.float64] | None,
) -> tuple[str, str]:
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.number(EPSILON)))
    scale = graph.add("Reciprocal", deviation)
    if gain is None or offset is None:
        return scale, graph.add("Neg", graph.add("Mul", mean, scale))
    scale = graph.add("Mul", scale, graph.number(gain))
    return scale, graph.add("Sub", graph.number(offset), graph.add("Mul", mean, scale))
