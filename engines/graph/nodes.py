"""Nodes and constants of an ONNX graph as they come."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.model_file import Model
from engines.spec import Form, Pixels

OPSET = 20

GraphPrecision = Literal["fp32", "fp16"]
"""What a graph computes in; see `engines.graph.build_graph`."""


class Nodes:
    """Nodes and constants as they come; each `add` gives the name of what the node computes."""

    def __init__(self, precision: GraphPrecision) -> None:
        self._half = precision == "fp16"
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operation: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        return self.add_many(operation, inputs, [name or f"v{len(self._nodes)}"], **attributes)[0]

    def add_many(
        self, operation: str, inputs: Sequence[str], names: list[str], **attributes: Any
    ) -> list[str]:
        self._nodes.append(helper.make_node(operation, inputs, names, **attributes))
        return names

    @property
    def type(self) -> int:
        """The type of the activations, as ONNX numbers it."""
        return int(TensorProto.FLOAT16 if self._half else TensorProto.FLOAT)

    def narrow(self, values: str) -> str:
        """float32 to the type of the activations; no node where that is float32."""
        return self.add("Cast", values, to=TensorProto.FLOAT16) if self._half else values

    def widen(self, values: str) -> str:
        """The type of the activations to float32; no node where that is float32."""
        return self.add("Cast", values, to=TensorProto.FLOAT) if self._half else values

    def number(self, values: ArrayLike) -> str:
        """A float32 constant."""
        return self._constant(np.asarray(values, np.float32))

    def weights(self, values: NDArray[np.float32]) -> str:
        """A constant in the type of the activations."""
        return self._constant(values.astype(np.float16 if self._half else np.float32))

    def sizes(self, values: ArrayLike) -> str:
        """An int64 constant: axes, pads, lengths."""
        return self._constant(np.asarray(values, np.int64))

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def finish(
        self,
        model: Model,
        form: Form,
        pixels: Pixels,
        size: tuple[int, int] | None,
        batch: int | None,
    ) -> onnx.ModelProto:
        kind = TensorProto.UINT8 if pixels == "uint8" else TensorProto.FLOAT
        shape: list[int | str] = [batch or "N", *(size or ("H", "W")), 3]
        packed: list[int | str] = [batch or "N", 2, model.spec.statistics_channels]
        if form == "statistics" and batch != 1:
            packed[0] = "N or 1"
        frames = helper.make_tensor_value_info("frames", kind, shape)
        translated = helper.make_tensor_value_info("translated", kind, shape)
        statistics = helper.make_tensor_value_info("statistics", TensorProto.FLOAT, packed)
        return self.as_model(
            model,
            [frames, statistics] if form == "statistics" else [frames],
            [statistics] if form == "measure" else [translated],
        )

    def as_model(
        self,
        model: Model,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        made = helper.make_graph(self._nodes, model.spec.name, inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        proto = helper.make_model(made, opset_imports=opsets, producer_name="cgvideo")
        proto.ir_version = 10  # the oldest that has this opset, for runtimes behind onnx itself
        return proto
