"""Spec and weights to ONNX: the graph that every runtime reads, and exact ways to write it faster."""

from engines.graph.build import GRAPH_VERSION, build_graph
from engines.graph.nodes import OPSET, GraphPrecision

__all__ = ["GRAPH_VERSION", "OPSET", "GraphPrecision", "build_graph"]
