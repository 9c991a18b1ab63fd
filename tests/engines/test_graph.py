"""The graph against the PyTorch module, run by OpenVINO in fp32."""

import numpy as np
import onnx
import pytest

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.graph import build_graph
from engines.library import find_model
from engines.spec import UPSAMPLINGS, GeneratorSpec

SIZE = (60, 92)  # multiples of 4 and of nothing more


def _run(model, frames, statistics=None, backend="openvino", **wanted):
    request = EngineRequest(backend=backend, precision="fp32", streams=1, **wanted)
    with open_engine(model, request) as engine:
        return engine(frames, statistics)


def _frames(pixels="uint8", count=1):
    frames = np.random.default_rng(1).integers(0, 256, (count, *SIZE, 3), np.uint8)
    return frames if pixels == "uint8" else (frames / 255).astype(np.float32)


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
def test_onnx_accepts_it(small_model, form, size):
    graph = build_graph(small_model, form, size=size, batch=1 if size else None)
    onnx.checker.check_model(graph, full_check=True)
    operations = [node.op_type for node in graph.graph.node]
    assert operations.index("Cast") < operations.index("Transpose")
    assert form == "measure" or operations[-1] == "Cast"
