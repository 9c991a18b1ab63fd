"""What each rewrite of the graph is worth on this machine's CPU by OpenVINO.

    python benchmarks/graph.py [--case NAME ...] [--precision bf16 fp32] [--rounds 8]

For each case and precision, in one process and in turn, so that ratios hold on a machine whose speed
drifts: the plain graph, the graph as it is by default, the default without each of its rewrites, and
with each that is not in it. Figures are the least and the median of all runs. The limit is the
runtime's own matrix product in the same precision, timed in the same rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.graph import build_graph
from engines.graph.draft import Rewrite
from engines.graph.rewrites import (
    FOR_CPU,
    reflection_by_slices,
    rewritten,
    without_zero_bias,
)
from engines.library import find_model
from engines.model_file import Model
from engines.openvino_runtime import core
from engines.spec import Form, GeneratorSpec

PRECISIONS = {"bf16": "bf16", "fp32": "f32"}
OTHERS = (without_zero_bias, reflection_by_slices)
PRODUCT = 2048


@dataclass(frozen=True)
class Case:
    model: str | GeneratorSpec  # a built-in model, or one with random weights
    size: tuple[int, int]
    form: Form = "self"
    typical: bool = True  # whether a model with random weights has typical statistics


CASES = {
    "24x6 at 640x360": Case("summer2winter", (360, 640)),
    "24x6 at 1280x720": Case("summer2winter", (720, 1280)),
    "24x6 at 640x360, measure": Case("summer2winter", (360, 640), "measure"),
    "24x6 at 640x360, statistics": Case("summer2winter", (360, 640), "statistics"),
    "24x6 resize at 640x360": Case(
        GeneratorSpec(base_channels=24, blocks=6, upsampling="resize"), (360, 640)
    ),
    "64x9 at 256x256": Case(GeneratorSpec(), (256, 256)),
    "64x9 at 256x256, no typical statistics": Case(GeneratorSpec(), (256, 256), typical=False),
    "U-Net at 256x256": Case(GeneratorSpec(family="unet", blocks=8, norm="batch"), (256, 256)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--precision", nargs="*", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    for name in options.case:
        for precision in options.precision:
            report(name, CASES[name], precision, options.rounds)


def report(name: str, case: Case, precision: str, rounds: int) -> None:
    """Time one case in all its ways, and print a table."""
    model = (
        find_model(case.model)
        if isinstance(case.model, str)
        else with_noise(case.model, case.typical)
    )
    plain = build_graph(model, case.form, size=case.size, batch=1, rewrites=())
    inputs = [np.random.default_rng(0).integers(0, 256, (1, *case.size, 3), np.uint8)]
    if case.form == "statistics":
        inputs.append(model.typical_statistics())
    runs = {
        label: compiled(rewritten(plain, rewrites), precision, inputs)
        for label, rewrites in ways(plain).items()
    }
    runs["matrix product"] = matrix_product(precision)
    seconds = timed(runs, rounds)
    least = {label: min(times) for label, times in seconds.items()}
    middle = {label: statistics.median(times) for label, times in seconds.items()}
    print(f"\n{name}, {precision}")
    print(f"{'':38} {'least ms':>9} {'median ms':>10} {'plain/it':>9} {'it/default':>11}")
    for label in ways(plain):
        faster = [times["plain"] / times[label] for times in (least, middle)]
        slower = [times[label] / times["default"] for times in (least, middle)]
        print(
            f"{label:38} {least[label] * 1e3:9.2f} {middle[label] * 1e3:10.2f} "
            f"{faster[0]:.2f} {faster[1]:.2f} {slower[0]:6.3f} {slower[1]:.3f}"
        )
    limit = PRODUCT**3 / least["matrix product"] / 1e9
    reached = model.spec.macs(*case.size) / least["default"] / 1e9
    print(f"{reached:.0f} GMAC/s by default; the matrix product makes {limit:.0f}")


def ways(plain: onnx.ModelProto) -> dict[str, Sequence[Rewrite]]:
    """The plain graph, the default, and what differs from it by one rewrite that applies."""
    found: dict[str, Sequence[Rewrite]] = {"plain": (), "default": FOR_CPU}
    for rewrite in FOR_CPU:
        others = tuple(other for other in FOR_CPU if other is not rewrite)
        if rewrite(rewritten(plain, FOR_CPU[: FOR_CPU.index(rewrite)])).applied:
            found[f"without {rewrite.__name__}"] = others
    for rewrite in OTHERS:
        if rewrite(rewritten(plain, FOR_CPU)).applied:
            found[f"with {rewrite.__name__}"] = (*FOR_CPU, rewrite)
    return found


def timed(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of two runs of each in every round, after one that is not counted."""
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for run in runs.values():
        run()
    for number in range(rounds):
        order = list(runs.items())
        for label, run in order if number % 2 else reversed(order):
            for _ in range(2):
                began = time.perf_counter()
                run()
                seconds[label].append(time.perf_counter() - began)
    return seconds


def compiled(model: onnx.ModelProto, precision: str, inputs: Sequence[Any]) -> Callable[[], object]:
    """The model on the CPU with one stream, ready to run on these inputs."""
    options = {"NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": PRECISIONS[precision]}
    network = core().compile_model(core().read_model(model.SerializeToString()), "CPU", options)
    request = network.create_infer_request()
    fed = dict(enumerate(inputs))
    return lambda: request.infer(fed)


def matrix_product(precision: str) -> Callable[[], object]:
    """A square matrix product by the same runtime."""
    values = np.random.default_rng(0).normal(0, 1, (2, PRODUCT, PRODUCT)).astype(np.float32)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [PRODUCT, PRODUCT]) for name in "ac"
    ]
    product = helper.make_node("MatMul", ["a", "b"], ["c"])
    constant = numpy_helper.from_array(values[1], "b")
    graph = helper.make_graph([product], "product", ports[:1], ports[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return compiled(model, precision, values[:1])


def with_noise(spec: GeneratorSpec, typical: bool) -> Model:
    """A model of `spec` with random weights."""
    rng = np.random.default_rng(0)
    weights = {}
    for layer in spec.layers:
        for key, shape in layer.shapes.items():
            spread = (np.prod(shape[1:]) or 1) ** -0.5 if len(shape) > 1 else 0.3
            values = rng.normal(0, spread, shape)
            weights[key] = (abs(values) + 0.1 if "running_var" in key else values).astype(
                np.float32
            )
    if not typical or not spec.statistics_channels:
        return Model("noise", spec, weights)
    mean = np.zeros(spec.statistics_channels, np.float32)
    return Model("noise", spec, weights, mean, mean + np.float32(0.5))


if __name__ == "__main__":
    main()
