"""Blocks in 8 bits: who asks for them gets them, at a price that is known."""

import numpy as np
import pytest

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.graph import build_graph
from engines.graph.int8 import measure_ranges, quantised
from engines.library import find_model
from engines.openvino_runtime import load_outputs
from engines.spec import GeneratorSpec
from engines.store import EngineStore
from engines.verify import Parity, held_frames


@pytest.mark.parametrize(
    "name", ["summer2winter", pytest.param("winter2summer", marks=pytest.mark.slow)]
)
def test_the_starter_models_hold_their_picture(name, tmp_path):
    model = find_model(name)
    request = EngineRequest("openvino", precision="int8", streams=1)
    with open_engine(model, request, EngineStore(tmp_path)) as engine:  # refuses under 38 dB
        assert engine.identity["precision"] == "int8"
        assert "int8" in engine.description
        frames = next(iter(held_frames(model.spec)))
        translated = engine(frames)
    with open_engine(model, EngineRequest("openvino", precision="fp32", streams=1)) as exact:
        expected = exact(frames)
    assert Parity.between(translated, expected).psnr > 42
    assert (translated != expected).any()  # it really is another arithmetic


def test_only_blocks_are_in_8_bits_and_weights_shrink(small_model):
    graph = build_graph(small_model, batch=1)
    ranges = measure_ranges(graph, load_outputs, held_frames(small_model.spec))
    assert len(ranges) == 2 * small_model.spec.blocks
    assert all(low <= 0 < high or 0 <= low < high for low, high in ranges)
    result = quantised(graph, ranges)
    kinds = [node.op_type for node in result.graph.node]
    assert kinds.count("QuantizeLinear") == 2 * small_model.spec.blocks
    assert kinds.count("Conv") == [node.op_type for node in graph.graph.node].count("Conv")
    kept = {constant.name: constant for constant in result.graph.initializer}
    for node in result.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in kept:
            assert len(kept[node.input[0]].raw_data) == np.prod(kept[node.input[0]].dims)
    assert "QuantizeLinear" not in [node.op_type for node in graph.graph.node]  # a copy


@pytest.mark.parametrize("form", ["statistics", "measure"])
def test_every_form(form):
    model = find_model("summer2winter")
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    given = model.typical_statistics() if form == "statistics" else None
    results = []
    for precision in ("int8", "fp32"):
        request = EngineRequest("openvino", precision=precision, streams=1, form=form)
        with open_engine(model, request) as engine:
            results.append(engine(frames, given).astype(np.float64))
    apart = np.abs(results[0] - results[1])
    assert 0 < apart.mean() < (3 if form == "statistics" else 0.2)


def test_a_generator_without_blocks_says_so(make_model):
    model = make_model(GeneratorSpec(family="unet", base_channels=4, blocks=3), typical=False)
    with pytest.raises(UserError, match="residual blocks"):
        open_engine(model, EngineRequest("openvino", precision="int8", streams=1))


def test_pytorch_says_that_it_does_not(small_model):
    pytest.importorskip("torch")
    with pytest.raises(UserError, match="int8"):
        open_engine(small_model, EngineRequest("torch", precision="int8"))
