"""What graph variants come to in TensorRT for RTX: launches, memory and traffic of built plans.

No GPU is needed, and nothing is run: `python benchmarks/plans.py`, with the `tensorrt` extra.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from engines.graph import GraphPrecision, build_graph
from engines.graph import rewrites as on_cpu
from engines.graph.draft import Rewrite
from engines.graph.gpu_rewrites import FOR_GPU
from engines.model_file import Model
from engines.profile import Profile
from engines.spec import Form, GeneratorSpec
from engines.tensorrt.build import BuildOptions, build_plan, usual_capabilities
from engines.tensorrt.flavour import flavour_to_build
from engines.tensorrt.network import shapes_for
from engines.tensorrt.schedule import Schedule, read_schedule

SIZE = (1088, 1920)
FORMS: tuple[Form, ...] = ("self", "statistics", "measure")
MODELS = {
    "24x6": GeneratorSpec(base_channels=24, blocks=6),
    "64x9": GeneratorSpec(),
    "64x9 resize": GeneratorSpec(upsampling="resize"),
    "64x9 batch norm": GeneratorSpec(norm="batch"),
    "unet 64x8": GeneratorSpec("unet", 64, 8, norm="batch_picture"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variants", action="store_true", help="Graph variants of 24x6 in fp16.")
    options = parser.parse_args()
    if options.variants:
        variants()
    else:
        models()


def models() -> None:
    """Every model in every form and precision, by default and for single architectures."""
    title("model, form", "for")
    for name, spec in MODELS.items():
        for typical in (True, False) if spec.norm == "instance" else (False,):
            model = with_noise(spec, typical)
            for form in FORMS if spec.statistics_channels else ("self",):
                for precision in ("fp16", "fp32"):
                    label = f"{name}{'' if typical else ' imported'}, {form}, {precision}"
                    line(label, "SM89", schedule(model, form, precision, FOR_GPU, ["SM89"]))
    model = with_noise(MODELS["24x6"], True)
    for names in (["SM75"], ["usual"], ["usual", "any size"]):
        for form in FORMS:
            line(
                f"24x6, {form}, fp16",
                " ".join(names),
                schedule(model, form, "fp16", FOR_GPU, names),
            )


def variants() -> None:
    """24x6 in fp16: the plain graph, ours, ours without each rewrite, and with others."""
    title("graph of 24x6 in fp16", "form")
    for typical, forms in ((True, FORMS), (False, ("self", "measure"))):
        model = with_noise(MODELS["24x6"], typical)
        for form in forms:
            ways: dict[str, Sequence[Rewrite]] = {"plain": (), "ours": FOR_GPU}
            for rewrite in FOR_GPU:
                others = [other for other in FOR_GPU if other is not rewrite]
                ways[f"without {rewrite.__name__}"] = others
            for rewrite in (*on_cpu.FOR_CPU, on_cpu.reflection_by_slices, on_cpu.without_zero_bias):
                ways[f"with {rewrite.__name__}"] = (*FOR_GPU, rewrite)
            for label, rewrites in ways.items():
                what = f"{label}{'' if typical else ' (imported)'}"
                line(what, form, schedule(model, form, "fp16", rewrites, ["SM89"]))


def schedule(
    model: Model,
    form: Form,
    precision: GraphPrecision,
    rewrites: Sequence[Rewrite],
    capabilities: Sequence[str],
) -> Schedule | None:
    """That of a plan for one frame of SIZE."""
    api = flavour_to_build().load()
    height, width = (-(-side // model.spec.multiple_of) * model.spec.multiple_of for side in SIZE)
    least = (256, 256) if "any size" in capabilities else (height, width)
    profile = Profile(least, (height, width), (height, width))
    names = usual_capabilities(api) if "usual" in capabilities else list(capabilities)
    options = BuildOptions(shapes_for(model.spec, form, profile), names, exact=precision == "fp32")
    graph = build_graph(model, form, "uint8", profile.fixed, 1, precision, rewrites)
    return read_schedule(build_plan(api, graph.SerializeToString(), options).content)


def title(what: str, other: str) -> None:
    print(f"{what:56} {other:14} launches  kernels  B/px kept  B/px moved")


def line(what: str, other: str, found: Schedule | None) -> None:
    if found is None:
        print(f"{what:56} {other:14} no schedule")
        return
    pixels = SIZE[0] * SIZE[1]
    # Plans for several architectures, or for any size, do not have sizes in their schedule.
    moved = f"{found.traffic / pixels:.0f}" if found.traffic > found.activations else "not told"
    print(
        f"{what:56} {other:14} {found.launches:8} {len(found.kernels):8} "
        f"{found.activations / pixels:10.0f} {moved:>11}",
        flush=True,
    )


def with_noise(spec: GeneratorSpec, typical: bool) -> Model:
    """A model of `spec` with random weights."""
    rng = np.random.default_rng(0)
    weights = {
        key: rng.normal(0, 0.02, shape).astype(np.float32) ** (2 if "var" in key else 1)
        for key, shape in spec.shapes.items()
    }
    mean = std = None
    if typical:
        mean = np.zeros(spec.statistics_channels, np.float32)
        std = np.ones(spec.statistics_channels, np.float32)
    return Model("noise", spec, weights, mean, std)


if __name__ == "__main__":
    main()
