"""The graph against the PyTorch module, run by OpenVINO in fp32."""

import hashlib
from dataclasses import replace
from typing import get_args

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.graph import GRAPH_VERSION, build_graph
from engines.library import find_model
from engines.profile import Profile
from engines.spec import UPSAMPLINGS, Form, GeneratorSpec, Pixels
from engines.tensorrt.network import graph_for

SIZE = (60, 92)  # multiples of 4 and of nothing more


def _run(model, frames, statistics=None, backend="openvino", **wanted):
    request = EngineRequest(backend=backend, precision="fp32", streams=1, **wanted)
    with open_engine(model, request) as engine:
        return engine(frames, statistics)


def _frames(pixels="uint8", count=1):
    frames = np.random.default_rng(1).integers(0, 256, (count, *SIZE, 3), np.uint8)
    return frames if pixels == "uint8" else (frames / 255).astype(np.float32)


def test_a_changed_graph_counts_its_version_up(make_model):
    """Else engines that were kept, of the graph before, would be run.

    If this fails: count GRAPH_VERSION up where a pixel may change, and put the new digest here.
    """
    digest = hashlib.sha256()
    kinds = (
        ("resnet", "instance"), ("resnet", "batch_picture"), ("unet", "batch"), ("compact", "instance"),
    )  # fmt: skip
    for family, norm in kinds:
        spec = GeneratorSpec(family, base_channels=8, blocks=3, norm=norm)
        for form in get_args(Form) if spec.statistics_channels else ("self",):
            for pixels in get_args(Pixels):
                _add_structure(digest, build_graph(make_model(spec), form, pixels).graph)
            for precision in ("fp32", "fp16"):
                profile = Profile((64, 64), (64, 64), (64, 64))
                for_gpu = onnx.load_from_string(
                    graph_for(make_model(spec), form, precision, profile)
                )
                _add_structure(digest, for_gpu.graph)
    assert (GRAPH_VERSION, digest.hexdigest()[:16]) == (3, "dc84e53765edee60")


def _add_structure(digest, graph):
    """All but the weights: nodes, their attributes, and numbers that are not of the model."""
    for node in graph.node:
        said = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        described = (node.op_type, [*node.input], [*node.output], sorted(said.items()))
        digest.update(repr(described).encode())
    for constant in graph.initializer:
        digest.update(repr((constant.name, constant.data_type, [*constant.dims])).encode())
        if not constant.dims or constant.data_type == TensorProto.INT64:
            digest.update(numpy_helper.to_array(constant).tobytes())


@pytest.mark.parametrize("typical", [True, False])
@pytest.mark.parametrize("size", [None, SIZE])
@pytest.mark.parametrize("pixels", ["uint8", "float32"])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_equals_the_module(make_model, assert_close, upsampling, pixels, size, typical):
    pytest.importorskip("torch")
    spec = GeneratorSpec(base_channels=8, blocks=2, upsampling=upsampling)
    model = make_model(spec, typical=typical)
    frames = _frames(pixels)
    expected = _run(model, frames, backend="torch", pixels=pixels)
    assert_close(_run(model, frames, pixels=pixels, size=size), expected, 1, 55)


FAMILIES = [
    GeneratorSpec("unet", base_channels=4, blocks=3, norm="instance"),
    GeneratorSpec("unet", base_channels=4, blocks=2, norm="batch_picture"),
    GeneratorSpec(base_channels=8, blocks=2, norm="batch_picture", upsampling="resize"),
    GeneratorSpec(base_channels=8, blocks=2, norm="batch_picture", upsampling="subpixel"),
    GeneratorSpec("compact", base_channels=8, blocks=2),
    GeneratorSpec("compact", base_channels=8, blocks=1, norm="batch_picture", reduction=8),
]


@pytest.mark.parametrize("typical", [True, False])
@pytest.mark.parametrize("spec", FAMILIES, ids=lambda spec: f"{spec.name} {spec.norm}")
def test_families_and_norms_equal_the_module(make_model, assert_close, spec, typical):
    """In all forms, on ordinary and on flat frames."""
    pytest.importorskip("torch")
    model = make_model(spec, typical=typical)
    frames = np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), np.uint8)
    frames[1] = frames[1] // 128 + 80
    expected = _run(model, frames, backend="torch")
    assert_close(_run(model, frames), expected, 1, 55)
    measured = _run(model, frames, form="measure")
    assert measured.shape == (2, 2, spec.statistics_channels)
    assert_close(_run(model, frames, measured, form="statistics"), expected, 1, 55)
    assert_close(_run(model, frames, measured, "torch", form="statistics"), expected, 1, 55)


@pytest.mark.parametrize("norm", ["instance", "batch_picture"])
def test_typical_statistics_are_what_a_flat_frame_takes(make_model, norm):
    model = make_model(GeneratorSpec(base_channels=4, blocks=1, norm=norm))
    measured = _run(model, np.full((1, 32, 32, 3), 80, np.uint8), form="measure")
    np.testing.assert_allclose(measured, model.typical_statistics(), rtol=1e-3, atol=1e-3)


def test_a_folded_batch_norm_leaves_no_node(make_model):
    for family in ("resnet", "unet"):
        model = make_model(GeneratorSpec(family, 4, 2, norm="batch"), typical=False)
        nodes = build_graph(model).graph.node
        assert sum("Conv" in node.op_type for node in nodes) == len(model.spec.layers)
        assert not {"ReduceMean", "Sqrt", "BatchNormalization"} & {node.op_type for node in nodes}
        with pytest.raises(ValueError, match="no form 'measure'"):
            build_graph(model, "measure")


def test_without_norm(make_model, assert_close):
    pytest.importorskip("torch")
    model = make_model(GeneratorSpec(base_channels=8, blocks=1, norm="none"))
    model = make_model(model.spec, typical=False)
    assert_close(_run(model, _frames()), _run(model, _frames(), backend="torch"), 1, 55)
    with pytest.raises(ValueError, match="no norms"):
        build_graph(model, "measure")


@pytest.mark.parametrize("name", ["summer2winter", "winter2summer"])
def test_built_in_models(name, check_picture, check_results, assert_close):
    result = _run(find_model(name), check_picture[None])
    assert_close(result[0], check_results[name], 1, 60)


@pytest.mark.parametrize("typical", [True, False])
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_measured_statistics_give_the_same_picture(make_model, assert_close, backend, typical):
    if backend == "torch":
        pytest.importorskip("torch")
    spec = GeneratorSpec(base_channels=8, blocks=2, upsampling="transpose4")
    model = make_model(spec, typical=typical)
    frames = _frames(count=2)
    measured = _run(model, frames, form="measure", backend=backend)
    assert measured.shape == (2, 2, spec.statistics_channels)
    translated = _run(model, frames, measured, form="statistics", backend=backend)
    assert_close(translated, _run(model, frames, backend=backend), 1, 60)
    # One for all frames works too.
    alone = _run(model, frames, measured[:1], form="statistics", backend=backend)
    assert_close(alone[0], translated[0], 0, 90)


def test_backends_agree_on_statistics(make_model):
    pytest.importorskip("torch")
    for typical in (True, False):
        spec = GeneratorSpec(base_channels=8, blocks=2)
        model = make_model(spec, typical=typical)
        ours, theirs = (
            _run(model, _frames(), form="measure", backend=backend)
            for backend in ("openvino", "torch")
        )
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)


def test_tile_with_halo_is_exact(check_picture, assert_close):
    model = find_model("summer2winter")
    frame = np.tile(check_picture, (4, 3, 1))[None]  # 256x288
    halo = model.spec.halo
    statistics = _run(model, frame, form="measure")
    whole = _run(model, frame, statistics, form="statistics")
    top, bottom = 100 - halo, 140 + halo
    tile = _run(model, frame[:, top:bottom], statistics, form="statistics")
    assert_close(tile[:, halo:-halo], whole[:, 100:140], 1, 70)


@pytest.mark.parametrize("form", ["self", "statistics", "measure"])
@pytest.mark.parametrize("size", [None, SIZE])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_accepts_it(small_model, form, size, precision):
    graph = build_graph(small_model, form, "uint8", size, 1 if size else None, precision)
    onnx.checker.check_model(graph, full_check=True)
    operations = [node.op_type for node in graph.graph.node]
    pixels = next(node for node in graph.graph.node if "frames" in node.input)
    assert pixels.op_type == "Cast"
    assert operations.index("Cast") < operations.index("Transpose")
    assert form == "measure" or operations[-1] == "Cast"


def _types(graph):
    """The element type of every value, by its name."""
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {constant.name: constant.data_type for constant in inferred.initializer}


@pytest.mark.parametrize("spec", [FAMILIES[0], FAMILIES[2]], ids=lambda spec: spec.name)
def test_half_precision_keeps_moments_and_tanh_in_fp32(make_model, spec):
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for form in ("self", "statistics", "measure"):
        graph = build_graph(make_model(spec), form, precision="fp16")
        types = _types(graph)
        nodes = graph.graph.node
        convolutions = [
            [types[name] for name in node.input] for node in nodes if "Conv" in node.op_type
        ]
        assert {kind for kinds in convolutions for kind in kinds} == {half}
        in_fp32 = {"ReduceMean", "ReduceSumSquare", "Sqrt", "Reciprocal", "Tanh", "Round", "Clip"}
        for node in nodes:
            if node.op_type in in_fp32:
                assert types[node.input[0]] == single
            elif node.op_type in ("Relu", "LeakyRelu"):
                assert types[node.input[0]] == half
        if form != "self":
            assert types["statistics"] == single


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("name", "typical"),
    [("summer2winter", True), ("summer2winter", False), ("winter2summer", True)],
)
def test_half_precision_keeps_the_picture(
    name, typical, runtime, check_picture, check_results, assert_close
):
    """Of that runtime's 65 to 74 dB."""
    pytest.importorskip(runtime)
    model = find_model(name)
    if not typical:
        model = replace(model, mean=None, std=None)
    frames = check_picture[None]
    given = _run(model, frames, form="measure")
    for form, inputs in (("self", [frames]), ("statistics", [frames, given])):
        graph = build_graph(model, form, precision="fp16").SerializeToString()
        assert_close(RUNTIMES[runtime](graph, inputs)[0], check_results[name], 2, 60)
    graph = build_graph(model, "measure", precision="fp16").SerializeToString()
    measured = RUNTIMES[runtime](graph, [frames])
    assert measured.dtype == np.float32
    np.testing.assert_allclose(measured, given, rtol=5e-3, atol=5e-3)


def _openvino(graph, inputs):
    import openvino

    core = openvino.Core()
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(core.read_model(graph), "CPU", hint)(inputs)[0]


def _onnxruntime(graph, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


RUNTIMES = {"openvino": _openvino, "onnxruntime": _onnxruntime}
