"""What TensorRT is given to build: the graph, the bounds of its inputs, and the memory it will take."""

from engines.graph import GraphPrecision, build_graph
from engines.graph.gpu_rewrites import FOR_GPU
from engines.model_file import Model
from engines.profile import Profile
from engines.spec import Form, GeneratorSpec, Pixels
from engines.tensorrt.build import Shape, Shapes

_SCRATCH = 9_000_000  # bytes that convolutions take whatever the size


def graph_for(
    model: Model,
    form: Form,
    precision: GraphPrecision,
    profile: Profile,
    pixels: Pixels = "uint8",
) -> bytes:
    """The graph that TensorRT builds from, as ONNX: fixed where the profile is of one size."""
    size, batch = profile.fixed, profile.batch
    made = build_graph(model, form, pixels, size, batch, precision, rewrites=FOR_GPU)
    return bytes(made.SerializeToString())


def shapes_for(spec: GeneratorSpec, form: Form, profile: Profile) -> Shapes:
    """The bounds of every input whose shape the graph of `graph_for` leaves open."""
    shapes: dict[str, tuple[Shape, Shape, Shape]] = {}
    count = profile.batch
    if profile.fixed is None:
        sizes = (profile.least, profile.usual, profile.most)
        least, usual, most = ((count, *size, 3) for size in sizes)
        shapes["frames"] = (least, usual, most)
    if form == "statistics" and count > 1:
        one, many = ((given, 2, spec.statistics_channels) for given in (1, count))
        shapes["statistics"] = (one, many, many)
    return shapes


def activation_bytes(spec: GeneratorSpec, precision: GraphPrecision, profile: Profile) -> int:
    """About how much memory the activations will take on the GPU, for the profile's largest frames.

    Known from the schedules of plans (docs/engines.md): what is widest is at full size, and there
    are at most two and a half of it at once, plus what an enlargement by pixels adds.
    """
    if spec.family == "unet":
        wide = 1.25 * spec.base_channels
    else:
        wide = (4.3 if spec.upsampling == "resize" else 2.5) * spec.activation_bytes / 4
    values = wide * profile.batch * profile.most[0] * profile.most[1]
    return _SCRATCH + round(values * (2 if precision == "fp16" else 4))
