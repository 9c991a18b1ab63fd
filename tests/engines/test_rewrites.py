"""Each rewrite against the plain graph, run by OpenVINO in fp32."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from engines.graph import build_graph
from engines.graph.gpu_rewrites import (
    FOR_GPU,
    channels_last_at_once,
    moments_in_one_pass,
    pixels_as_four_channels,
)
from engines.graph.packed_columns import columns_in_pairs
from engines.graph.rewrites import (
    FOR_CPU,
    few_outputs_at_stride_2,
    few_outputs_by_phase,
    means_of_means,
    reflection_by_slices,
    resized_as_transposed,
    rewritten,
    transposed_as_four,
    without_zero_bias,
)
from engines.library import find_model
from engines.openvino_runtime import core
from engines.spec import GeneratorSpec

ALL = (*FOR_CPU, reflection_by_slices, without_zero_bias)
SETS = {"cpu": ALL, "gpu": (*FOR_GPU, reflection_by_slices)}
SIZE = (60, 92)  # multiples of 4 and of nothing more
RESNET = GeneratorSpec(base_channels=8, blocks=1)
UNET = GeneratorSpec("unet", base_channels=4, blocks=2, norm="batch_picture")


def run(model, inputs, precision="f32", **options):
    """The first output, and the request, of an ONNX model on the CPU."""
    options["INFERENCE_PRECISION_HINT"] = precision
    compiled = core().compile_model(core().read_model(model.SerializeToString()), "CPU", options)
    request = compiled.create_infer_request()
    return request.infer(dict(enumerate(inputs)))[0], request


def frames(pixels="uint8", count=1):
    """Waves and a little noise: neither flat nor random."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] / 10
    waves = np.stack([np.sin(rows + columns), np.cos(rows), np.sin(columns * 2)], -1)
    noise = np.random.default_rng(2).normal(0, 10, (count, *SIZE, 3))
    made = np.clip(128 + 80 * waves + noise, 0, 255).astype(np.uint8)
    return made if pixels == "uint8" else (made / 255).astype(np.float32)


def operations(model):
    return [node.op_type for node in model.graph.node]


@pytest.fixture
def _many_inputs(monkeypatch):
    monkeypatch.setattr("engines.graph.rewrites._MANY_INPUTS", 1)


@pytest.mark.usefixtures("_many_inputs")
@pytest.mark.parametrize(
    ("rewrite", "spec", "typical", "places"),
    [
        (few_outputs_at_stride_2, RESNET, True, 1),
        (few_outputs_at_stride_2, replace(RESNET, norm="none"), False, 1),
        (few_outputs_at_stride_2, replace(RESNET, norm="batch"), False, 1),
        (few_outputs_by_phase, UNET, True, 2),
        (few_outputs_by_phase, replace(UNET, norm="batch"), False, 2),
        (transposed_as_four, RESNET, True, 2),
        (transposed_as_four, replace(RESNET, upsampling="transpose4"), True, 2),
        (transposed_as_four, UNET, True, 2),
        (resized_as_transposed, replace(RESNET, upsampling="resize"), True, 2),
        (columns_in_pairs, RESNET, True, 1),
        (columns_in_pairs, RESNET, False, 1),
        (columns_in_pairs, replace(RESNET, norm="batch_picture"), True, 1),
        (columns_in_pairs, replace(RESNET, norm="none"), False, 1),
        (means_of_means, RESNET, True, 4),
        (means_of_means, RESNET, False, 4),
        (means_of_means, UNET, True, 2),
        (moments_in_one_pass, RESNET, True, 7),
        (moments_in_one_pass, RESNET, False, 7),
        (moments_in_one_pass, UNET, False, 1),
        (pixels_as_four_channels, RESNET, True, 1),
        (pixels_as_four_channels, UNET, True, 1),
        (channels_last_at_once, RESNET, True, 1),
        (channels_last_at_once, UNET, False, 1),
        (reflection_by_slices, RESNET, True, 4),
        (without_zero_bias, RESNET, False, 7),
    ],
    ids=lambda value: getattr(value, "__name__", str(getattr(value, "name", value))),
)
def test_a_rewrite_keeps_the_picture(make_model, assert_close, rewrite, spec, typical, places):
    model = make_model(spec, typical=typical)
    for size in (SIZE, None):
        plain = build_graph(model, size=size, rewrites=())
        changed = rewrite(plain)
        assert (changed.applied, changed.why_not) == (places, "")
        assert operations(changed.model) != operations(plain) or rewrite is without_zero_bias
        onnx.checker.check_model(changed.model, full_check=True)
        expected, actual = (run(each, [frames()])[0] for each in (plain, changed.model))
        assert_close(actual, expected, 1, 65)


@pytest.mark.parametrize(
    ("rewrite", "spec", "why_not"),
    [
        (few_outputs_at_stride_2, UNET, "it has a stride"),
        (few_outputs_by_phase, RESNET, "16 outputs fill the lanes; 8 outputs fill the lanes"),
        (few_outputs_by_phase, replace(RESNET, upsampling="resize"), "there is no ConvTranspose"),
        (transposed_as_four, RESNET, "32 inputs are too few to win; 16 inputs"),
        (resized_as_transposed, RESNET, "it does not read enlarged and reflected pixels"),
        (columns_in_pairs, UNET, "it does not read reflected pixels"),
        (columns_in_pairs, GeneratorSpec(base_channels=16, blocks=1), "16 outputs fill the lanes"),
        (means_of_means, GeneratorSpec(base_channels=16, blocks=1), "16 channels fill the lanes"),
        (means_of_means, replace(RESNET, norm="batch"), "there is no ReduceMean"),
        (reflection_by_slices, UNET, "there is no Pad"),
        (without_zero_bias, replace(RESNET, norm="none"), "its bias is not zero"),
    ],
    ids=lambda value: getattr(value, "__name__", str(getattr(value, "name", value))),
)
def test_a_rewrite_says_why_it_did_not_apply(make_model, rewrite, spec, why_not):
    model = make_model(spec, typical=spec.norm == "instance")
    plain = build_graph(model, rewrites=())
    result = rewrite(plain)
    assert result.applied == 0
    assert why_not in result.why_not
    assert result.model is plain


@pytest.mark.parametrize("spec", [RESNET, replace(RESNET, upsampling="resize"), UNET], ids=str)
@pytest.mark.parametrize("typical", [True, False])
@pytest.mark.parametrize("rewrites", SETS.values(), ids=SETS)
def test_all_together_in_every_form(make_model, assert_close, spec, typical, rewrites):
    model = make_model(spec, typical=typical)
    given = run(build_graph(model, "measure", rewrites=()), [frames(count=2)])[0]
    for form, inputs in {"self": (), "statistics": (given,)}.items():
        plain = build_graph(model, form, "float32", rewrites=())
        expected, actual = (
            run(each, [frames("float32", 2), *inputs])[0]
            for each in (plain, rewritten(plain, rewrites))
        )
        assert_close(actual, expected, 1, 65)
    plain = build_graph(model, "measure", rewrites=())
    measured = run(rewritten(plain, rewrites), [frames(count=2)])[0]
    np.testing.assert_allclose(measured, given, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["summer2winter", "winter2summer"])
def test_the_default_keeps_the_picture_of_built_in_models(name, check_picture, assert_close):
    model, picture = find_model(name), np.tile(check_picture, (2, 2, 1))[None]
    plain, default = (
        run(build_graph(model, size=picture.shape[1:3], **wanted), [picture])[0]
        for wanted in ({"rewrites": ()}, {})
    )
    assert_close(default, plain, 1, 70)


def test_fp32_is_for_cpus_and_fp16_for_gpus(make_model):
    model = make_model(RESNET)
    for precision, default in (("fp32", FOR_CPU), ("fp16", FOR_GPU)):
        wanted = build_graph(model, precision=precision, rewrites=default)
        assert build_graph(model, precision=precision) == wanted
    assert rewritten(build_graph(model, rewrites=()), FOR_CPU) == build_graph(model)


@pytest.mark.parametrize("spec", [RESNET, replace(RESNET, upsampling="resize"), UNET], ids=str)
@pytest.mark.parametrize("rewrites", SETS.values(), ids=SETS)
def test_half_precision_can_be_rewritten(make_model, assert_close, spec, rewrites):
    for form in ("self", "measure"):
        plain = build_graph(make_model(spec), form, precision="fp16", rewrites=())
        changed = rewritten(plain, rewrites)
        onnx.checker.check_model(changed, full_check=True)
        expected, actual = (run(each, [frames()])[0] for each in (plain, changed))
        if form == "self":
            assert_close(actual, expected, 2, 55)
        else:
            np.testing.assert_allclose(actual, expected, rtol=5e-3, atol=5e-3)


def test_measuring_in_bf16_has_its_convolutions_in_bf16(make_model):
    """OpenVINO keeps in fp32 what an output is made of, back to the last plain convolution."""
    if "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    model = make_model(GeneratorSpec(base_channels=16, blocks=2, upsampling="transpose4"))
    _, request = run(
        build_graph(model, "measure", size=(64, 64), batch=1),
        [np.zeros((1, 64, 64, 3), np.uint8)],
        "bf16",
        PERF_COUNT=True,
    )
    kernels = [
        node.exec_type
        for node in request.get_profiling_info()
        if node.node_type in ("Convolution", "ConvolutionBackpropData")
    ]
    assert len(kernels) == len(model.spec.layers) - 1  # the last makes pixels
    assert {kernel.rsplit("_", 1)[1] for kernel in kernels} == {"bf16"}
