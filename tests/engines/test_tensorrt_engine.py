"""What is asked of TensorRT and CUDA, in which order, by both generations of the interface."""

import numpy as np
import pytest
from fake_tensorrt import GENERATIONS, fake_gpu

from engines.engine import EngineRequest
from engines.errors import UserError
from engines.library import find_model
from engines.openvino_engine import fp32_reference
from engines.spec import GeneratorSpec
from engines.store import Built, EngineStore
from engines.tensorrt.backend import open_tensorrt

SIZE = (32, 48)


@pytest.fixture(params=GENERATIONS)
def generation(request):
    return request.param


@pytest.fixture
def model(make_model):
    return make_model(GeneratorSpec(base_channels=8, blocks=1))


def frames(count=1, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)


def opened(model, store=None, **wanted):
    return open_tensorrt(
        model, EngineRequest("tensorrt", **{"size": SIZE, **wanted}), "asked", store
    )


def test_the_calls_and_their_order(model, generation):
    with fake_gpu(generation) as record, opened(model) as engine:
        built = record.index("built")
        flag = 1 << (0 if generation == "tensorrt_rtx" else 1)
        assert ("create_network", flag) in record[:built]
        assert ("limit", "WORKSPACE", 8 << 30) in record[:built]
        begin = len(record) - record[::-1].index("deserialize")
        calls = record[begin:]
        names = [call[0] if isinstance(call, tuple) else call for call in calls]
        assert ("strategy", "USER_MANAGED") in calls
        for first, second in (
            ("set_input_shape", "infer_shapes"),
            ("infer_shapes", "update_device_memory_size_for_shapes"),
            ("set_device_memory", "execute_async_v3"),
            ("set_tensor_address", "execute_async_v3"),
        ):
            assert names.index(first) < names.index(second)
        assert ("set_input_shape", "frames", (1, *SIZE, 3)) in calls
        assert {call[1] for call in calls if call[0] == "set_tensor_address"} == {
            "frames",
            "translated",
        }
        record.clear()
        engine(frames(3))
        assert record.names().count("set_current") == 1
        if generation == "tensorrt_rtx":
            assert record.names().count("execute_async_v3") == 3
        else:  # captured once, and launched
            assert record.names().count("launch") == 3
            assert "execute_async_v3" not in record.names()


def test_rtx_compiles_for_this_gpu_and_gives_the_same_bytes_each_time(model, tmp_path):
    store = EngineStore(tmp_path)
    with fake_gpu("tensorrt_rtx") as record, opened(model, store):
        assert ("capability", "CURRENT") in record
        assert ("kernels", "NONE") in record
        assert ("graphs", "WHOLE_GRAPH_CAPTURE") in record
        assert record.names().index("cache") > record.names().index("execute_async_v3")
    with fake_gpu("tensorrt_rtx") as record, opened(model, store):
        assert "built" not in record
        assert ("cache", b"compiled") in record


def test_a_data_centre_build_remembers_its_timings(model, tmp_path):
    store = EngineStore(tmp_path)
    with fake_gpu("tensorrt") as record, opened(model, store):
        assert ("timing cache", b"") in record
        assert "capability" not in record.names()
        assert "captured" in record
    with fake_gpu("tensorrt") as record, opened(model, store, form="measure"):
        assert ("timing cache", b"timed") in record


@pytest.mark.parametrize("form", ["self", "statistics", "measure"])
def test_each_form_gives_its_picture(model, generation, form):
    given, measured = frames(2), fp32_reference(model, SIZE)("measure")(frames(2), None)
    with fake_gpu(generation), opened(model, form=form, precision="fp32") as engine:
        result = engine(given, measured if form == "statistics" else None)
    expected = measured if form == "measure" else fp32_reference(model, SIZE)("self")(given, None)
    np.testing.assert_allclose(result, expected, atol=1, rtol=0.01)


def test_an_engine_for_any_size_takes_memory_for_the_size_in_hand(model, generation):
    with fake_gpu(generation) as record, opened(model, size=None) as engine:
        assert record[record.names().index("profile")][2:] == (
            (1, 8, 8, 3),
            (1, 1080, 1920, 3),
            (1, 4096, 4096, 3),
        )
        assert "limit" not in record.names()  # the largest need not fit this GPU
        for size in ((32, 48), (64, 32), (64, 32)):
            record.clear()
            assert engine(frames(1, size)).shape == (1, *size, 3)
        assert "set_input_shape" not in record.names()  # the last size is still at hand
        with pytest.raises(UserError, match="up to 4096"):
            engine(frames(1, (8, 4100)))


def test_fp32_is_not_tf32(model, generation):
    with fake_gpu(generation) as record, opened(model, precision="fp32"):
        assert ("clear_flag", "TF32") in record
    with fake_gpu(generation) as record, opened(model) as engine:
        assert "clear_flag" not in record.names()
        assert engine.identity["precision"] == "fp16"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("plan", "does not take the plan: Rebuild the engine with the same version"),
        ("context", "makes no context"),
        ("shape", "does not take frames"),
        ("address", "does not take an address"),
        ("run", "does not run"),
    ],
)
def test_each_failure_is_one_line(model, generation, trouble, said):
    with fake_gpu(generation, {trouble}), pytest.raises(RuntimeError) as caught:
        opened(model)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_plan_is_built_on_the_gpu_that_runs_it(model, generation):
    with fake_gpu(generation, gpus=2) as record, opened(model, device="cuda:1") as engine:
        assert ("built on", 1) in record
        assert engine.identity["device"] == "cuda:1"


def test_memory_is_freed_with_the_device_of_the_engine(model, generation):
    with fake_gpu(generation) as record:
        with opened(model) as engine:
            record.clear()
        assert record.names() == ["set_current"]  # who closes it may be another thread
        with pytest.raises(RuntimeError, match="closed"):
            engine(frames())


def test_a_driver_that_is_too_old_is_told(model):
    said = "TensorRT does not start: NVIDIA's driver is missing, or older.*Update the driver"
    with fake_gpu("tensorrt", {"driver"}), pytest.raises(UserError, match=said):
        opened(model)


def test_memory_that_is_not_there_is_told_in_a_call_too(model, generation):
    troubles: set[str] = set()
    with fake_gpu(generation, troubles), opened(model, size=None) as engine:
        troubles.add("memory")
        with pytest.raises(RuntimeError, match="CUDA_ERROR_OUT_OF_MEMORY"):
            engine(frames())
        troubles.clear()
        assert engine(frames()).shape == (1, *SIZE, 3)


def test_for_want_of_memory_nothing_is_built_again(model, generation, tmp_path):
    store = EngineStore(tmp_path)
    with fake_gpu(generation), opened(model, store):
        pass
    with fake_gpu(generation, {"memory"}) as record:
        with pytest.raises(RuntimeError, match="CUDA_ERROR_OUT_OF_MEMORY"):
            opened(model, store)
        assert "built" not in record


def test_a_runtime_cache_that_is_not_taken_is_replaced(model, tmp_path):
    store = EngineStore(tmp_path)
    with fake_gpu("tensorrt_rtx"), opened(model, store):
        pass
    (entry,) = (entry for entry in store.entries() if entry.key.get("what") == "runtime cache")
    store.put(entry.key, Built(b"of another time"))
    with fake_gpu("tensorrt_rtx") as record, opened(model, store):
        assert "cache reset" in record
    assert store.find(entry.key).content == b"compiled"


@pytest.mark.slow
def test_what_cannot_be_captured_runs_as_it_is(model):
    with fake_gpu("tensorrt", {"capture"}) as record, opened(model) as engine:
        record.clear()
        engine(frames(2))
        assert record.names().count("execute_async_v3") == 2


def test_a_plan_that_is_not_taken_is_built_again(model, tmp_path, generation):
    store = EngineStore(tmp_path)
    with fake_gpu(generation), opened(model, store) as engine:
        expected = engine(frames())
    for entry in store.entries():
        if entry.facts:
            store.put(entry.key, Built(b"from elsewhere", entry.facts))
    with fake_gpu(generation) as record, opened(model, store) as engine:
        assert "built" in record
        np.testing.assert_array_equal(engine(frames()), expected)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"precision": "bf16"}, "transposed convolutions in bf16"),
        ({"precision": "int8"}, "does not compute in int8"),
        ({"device": "cpu"}, "does not run on 'cpu'"),
        ({"device": "cuda:1"}, "There is no GPU 1"),
    ],
)
def test_what_cannot_be_asked_for(model, wanted, said):
    with fake_gpu("tensorrt_rtx"), pytest.raises(UserError, match=said):
        opened(model, **wanted)


def test_no_gpu_is_said(model, monkeypatch):
    monkeypatch.setattr("engines.tensorrt.backend.driver", lambda: None)
    with pytest.raises(UserError, match="there is none with a driver here"):
        opened(model)


def test_identity_tells_plans_apart(model, generation):
    with fake_gpu(generation), opened(model) as one, opened(model, form="measure") as other:
        assert one.identity["backend"] == "tensorrt"
        assert one.identity["plan"] != other.identity["plan"]
        assert one.identity["device_name"] == "NVIDIA Fake"


def test_a_built_in_model_is_verified(generation):
    with fake_gpu(generation), opened(find_model("summer2winter")) as engine:
        assert "fp16" in engine.description
