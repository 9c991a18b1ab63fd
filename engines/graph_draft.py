"""An ONNX graph on the way to another one: its nodes and constants, and who makes and reads what."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper


class Draft:
    """A graph whose nodes can be replaced; the model it was made from stays as it is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self._constants = {constant.name: constant for constant in model.graph.initializer}

    def maker(self, name: str, *operations: str) -> NodeProto | None:
        """The node that makes `name`, if it is one of `operations`."""
        makers = (node for node in self.nodes if name in node.output)
        return next((node for node in makers if node.op_type in operations), None)

    def readers(self, name: str) -> list[NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def constant(self, name: str) -> NDArray[Any] | None:
        """The constant of this name, in float64 if it is floating, or None if it is none."""
        if name not in self._constants:
            return None
        values = numpy_helper.to_array(self._constants[name])
        return values.astype(np.float64) if values.dtype.kind == "f" else values

    def replace(self, node: NodeProto, *by: NodeProto) -> None:
        """Put other nodes where `node` is; they must make all that is read of it."""
        place = next(number for number, other in enumerate(self.nodes) if other is node)
        self.nodes[place : place + 1] = by

    def keep(self, name: str, values: NDArray[Any], like: str = "") -> str:
        """A new constant; `like` names an old one whose type it gets."""
        if like:
            dtype = helper.tensor_dtype_to_np_dtype(self._constants[like].data_type)
            values = values.astype(dtype)
        self._constants[name] = numpy_helper.from_array(values, name)
        return name

    def finish(self) -> onnx.ModelProto:
        """The graph as a model, without constants that nothing reads."""
        old = self._model.graph
        read = {name for node in self.nodes for name in node.input}
        constants = [constant for name, constant in self._constants.items() if name in read]
        made = helper.make_graph(self.nodes, old.name, old.input, old.output, constants)
        model = helper.make_model(
            made,
            opset_imports=self._model.opset_import,
            producer_name=self._model.producer_name,
        )
        model.ir_version = self._model.ir_version
        return model


def node(operation: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    """A node with one output."""
    return helper.make_node(operation, inputs, [output], **attributes)


def attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes of a node, by name."""
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
