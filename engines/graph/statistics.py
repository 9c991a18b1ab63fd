"""Statistics in an ONNX graph: each picture's own, given from outside, or measured."""

import numpy as np
from numpy.typing import NDArray

from engines.graph.nodes import Nodes
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
        std = model.std
        self._typical = None if std is None else std.astype(np.float64)[None, :, None, None]
        self._norms = model.gain_and_offset()[:, None, :, None, None]
        self._own = ""  # share of the frame's own statistics, known after the first norm
        self._moments: list[tuple[str, str]] = []
        self._done = 0  # channels of the norms so far

    @property
    def complete(self) -> bool:
        """Whether all norms have been asked for."""
        return self._done == sum(self._channels)

    def lift(self, layer: Layer) -> NDArray[np.float32]:
        """What to leave out of the bias in front of the next norm, see `_lift`."""
        return self._lift[self._done : self._done + layer.outputs]

    def of(self, layer: Layer, values: str) -> tuple[str, str]:
        """Scale and shift `[N, channels, 1, 1]` of the next norm, in the type of the activations."""
        channels = slice(self._done, self._done + layer.outputs)
        self._done = channels.stop
        if self._given:
            return next(self._given)
        graph = self._graph
        self._moments.append(_moments(graph, graph.widen(values), self._typical is not None))
        scale, shift = self._scale_and_shift(*self._moments[-1], channels)
        return graph.narrow(scale), graph.narrow(shift)

    def pack(self) -> None:
        """The output `statistics`: the inverse of `_unpack`.

        Computed once more, from the moments of all norms: OpenVINO in bf16 keeps in fp32 what an
        output is made of, and would do so with all that shares nodes with it.
        """
        graph = self._graph
        means, moments = (
            graph.add("Concat", *names, axis=1) for names in zip(*self._moments, strict=True)
        )
        scales, shifts = self._scale_and_shift(means, moments, slice(None))
        lifted = graph.add("Mul", scales, graph.number(self._lift[None, :, None, None]))
        shifts = graph.add("Sub", shifts, lifted)
        rows = [
            graph.add(
                "Unsqueeze", graph.add("Squeeze", name, graph.sizes([2, 3])), graph.sizes([1])
            )
            for name in (scales, shifts)
        ]
        graph.add("Concat", *rows, name="statistics", axis=1)

    def _scale_and_shift(self, mean: str, moment: str, channels: slice) -> tuple[str, str]:
        """Scale and shift from what `_moments` gives, for these channels of all norms."""
        graph, variance = self._graph, moment
        if self._typical is not None:
            typical = self._typical[:, channels]
            variance = graph.add("Sub", moment, graph.add("Mul", mean, mean))
            variance = graph.add("Max", variance, graph.number(0))
            # Values are centred, so the typical mean is 0.
            self._own = self._own or _own_share(graph, variance, typical)
            usual = graph.number(typical**2)
            mean = graph.add("Mul", self._own, mean)
            apart = graph.add("Mul", self._own, graph.add("Sub", variance, usual))
            variance = graph.add("Add", usual, apart)
        deviation = graph.add("Sqrt", graph.add("Add", variance, graph.number(EPSILON)))
        scale = graph.add("Reciprocal", deviation)
        gain, offset = self._norms[:, :, channels]
        if (gain == 1).all() and not offset.any():
            return scale, graph.add("Neg", graph.add("Mul", mean, scale))
        scale = graph.add("Mul", scale, graph.number(gain))
        return scale, graph.add("Sub", graph.number(offset), graph.add("Mul", mean, scale))


def _lift(model: Model) -> NDArray[np.float32]:
    """What is left out of the bias in front of each norm, float32 `[statistics_channels]`.

    The norm takes any bias away, so the bias may as well centre the values about their typical mean
    (or be left out). Then moments in one pass are well conditioned and half precision keeps its
    bits. Statistics from outside and to the outside count with the true bias.
    """
    if model.mean is not None:
        return model.mean
    biases = [
        model.bias(layer).reshape(layer.outputs, layer.phases).mean(1)
        for layer in model.spec.layers
        if layer.normalises
    ]
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


def _moments(graph: Nodes, values: str, centred: bool) -> tuple[str, str]:
    """Mean and mean square `[N, channels, 1, 1]` of `values` `[N, channels, H, W]`, in fp32.

    In place of the mean square the variance, if the values are not centred (see `_lift`): then one
    pass would cancel.
    """
    # On CPUs as fast as the fused norm, and it shows its work.
    axes = graph.sizes([2, 3])
    mean = graph.add("ReduceMean", values, axes)
    if not centred:
        values = graph.add("Sub", values, mean)
    return mean, graph.add("ReduceMean", graph.add("Mul", values, values), axes)


def _own_share(graph: Nodes, variance: str, typical: NDArray[np.float64]) -> str:
    """How much a frame's own statistics count, `[N, 1, 1, 1]` in 0 to 1; see `engines.spec.FLAT`."""
    contrast = graph.add("Mul", variance, graph.number(typical**-2.0))
    contrast = graph.add("Min", contrast, graph.number(1))
    contrast = graph.add("ReduceMean", contrast, graph.sizes([1]))
    share = graph.add("Sub", contrast, graph.number(FLAT))
    share = graph.add("Mul", share, graph.number(1 / (ORDINARY - FLAT)))
    share = graph.add("Clip", share, graph.number(0), graph.number(1))
    return graph.add("Mul", share, share)
