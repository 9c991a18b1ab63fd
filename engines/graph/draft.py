"""An ONNX graph on the way to another one: what rewrites are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper


@dataclass(frozen=True, slots=True, eq=False)
class Rewritten:
    """A rewritten model, in how many places it changed, and why in none ("" if in some)."""

    model: onnx.ModelProto
    applied: int
    why_not: str


Rewrite = Callable[[onnx.ModelProto], Rewritten]


class Draft:
    """A graph whose nodes can be replaced; the model that it was made from stays as it is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.outputs = [output.name for output in model.graph.output]
        self._constants = {constant.name: constant for constant in model.graph.initializer}

    def maker(self, name: str, operation: str = "") -> NodeProto | None:
        """The node that makes `name`; None if it is not of this operation, or if there is none."""
        made = next((made for made in self.nodes if name in made.output), None)
        return made if made and operation in ("", made.op_type) else None

    def readers(self, name: str) -> int:
        """How many nodes read `name`."""
        return sum(name in made.input for made in self.nodes)

    def constant(self, name: str) -> NDArray[Any]:
        """The values of a constant, floating ones in float64; empty if it is none."""
        if name not in self._constants:
            return np.empty(0)
        values = numpy_helper.to_array(self._constants[name])
        return values.astype(np.float64) if values.dtype.kind == "f" else values

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a constant."""
        return tuple(self._constants[name].dims)

    def kernel(self, convolution: NodeProto) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weight and bias (zeros if it has none) of a convolution, plain or transposed."""
        weight = self.constant(convolution.input[1])
        if len(convolution.input) > 2:
            return weight, self.constant(convolution.input[2])
        return weight, np.zeros(weight.shape[convolution.op_type == "ConvTranspose"])

    def keep(self, name: str, values: NDArray[Any]) -> str:
        """A new constant; gives its name."""
        self._constants[name] = numpy_helper.from_array(values, name)
        return name

    def convolution(
        self,
        old: NodeProto,
        weight: NDArray[Any],
        bias: NDArray[Any],
        output: str,
        source: str = "",
        operation: str = "Conv",
        **said: Any,
    ) -> NodeProto:
        """A convolution in the place of `old`: its input (or `source`), its types, a bias if it has."""
        names = [source or old.input[0]]
        for old_name, label, values in zip(
            old.input[1:], ("weight", "bias"), (weight, bias), strict=False
        ):
            dtype = helper.tensor_dtype_to_np_dtype(self._constants[old_name].data_type)
            names.append(self.keep(f"{output}.{label}", values.astype(dtype)))
        return node(operation, names, output, kernel_shape=weight.shape[2:], **said)

    def replace(self, old: NodeProto, *by: NodeProto) -> None:
        """Put other nodes where `old` is; they must make all that is still read of it."""
        place = next(number for number, other in enumerate(self.nodes) if other is old)
        self.nodes[place : place + 1] = by

    def finish(self) -> onnx.ModelProto:
        """The graph as a model, without constants that nothing reads."""
        old = self._model.graph
        read = {name for made in self.nodes for name in made.input}
        constants = [constant for name, constant in self._constants.items() if name in read]
        made = helper.make_graph(self.nodes, old.name, old.input, old.output, constants)
        opsets, producer = self._model.opset_import, self._model.producer_name
        model = helper.make_model(made, opset_imports=opsets, producer_name=producer)
        model.ir_version = self._model.ir_version
        return model


def node(operation: str, inputs: Sequence[str], output: str, **said: Any) -> NodeProto:
    """A node with one output."""
    return helper.make_node(operation, inputs, [output], **said)


def attributes(made: NodeProto) -> dict[str, Any]:
    """The attributes of a node, by name."""
    return {entry.name: helper.get_attribute_value(entry) for entry in made.attribute}


def at_each(*operations: str) -> Callable[[Callable[[Draft, NodeProto], str]], Rewrite]:
    """Make a rewrite of a function that tries one node, to be tried on all of these operations.

    That function changes the draft and returns "", or returns why it does not apply.
    """

    def decorate(attempt: Callable[[Draft, NodeProto], str]) -> Rewrite:
        def rewrite(model: onnx.ModelProto) -> Rewritten:
            draft = Draft(model)
            candidates = [made for made in draft.nodes if made.op_type in operations]
            answers = [attempt(draft, candidate) for candidate in candidates]
            if applied := answers.count(""):
                return Rewritten(draft.finish(), applied, "")
            reasons = "; ".join(dict.fromkeys(answers)) or f"there is no {' or '.join(operations)}"
            return Rewritten(model, 0, reasons)

        rewrite.__name__, rewrite.__doc__ = attempt.__name__, attempt.__doc__
        return rewrite

    return decorate
