"""What every backend promises, checked on each that is installed."""

import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from fake_tensorrt import GENERATIONS, fake_gpu
from generators import SMALL, random_model
from gpus import require_cuda

from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.library import find_model
from engines.verify import Parity, held_frames


@dataclass(frozen=True)
class Kind:
    """A backend on a device, as the suite asks for it."""

    backend: Any
    device: str = "cpu"
    faked: bool = False

    def request(self, **wanted: Any) -> EngineRequest:
        return EngineRequest(self.backend, self.device, **{"streams": 1, **wanted})


def _kind(kind: Kind, *marks: Any) -> Any:
    missing = kind.backend != "tensorrt" and find_spec(kind.backend) is None
    skipped = pytest.mark.skipif(missing, reason=f"{kind.backend} is not installed")
    return pytest.param(kind, marks=[skipped, *marks], id=f"{kind.backend}-{kind.device}")


KINDS = [
    _kind(Kind("openvino")),
    _kind(Kind("torch")),
    _kind(Kind("torch", "cuda"), pytest.mark.gpu),
    _kind(Kind("tensorrt", "cuda"), pytest.mark.gpu),
    *(_kind(Kind("tensorrt", generation)) for generation in GENERATIONS),
]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    kind = request.param
    if kind.device in GENERATIONS:
        # Without a GPU: all of it but TensorRT and CUDA, which are recording fakes.
        with fake_gpu(kind.device), pytest.MonkeyPatch.context() as patch:
            patch.setattr("engines.tensorrt.backend.VERIFY_SECONDS", 0)  # one of eight pictures
            yield Kind(kind.backend, "cuda", faked=True)
        return
    if kind.device == "cuda":
        require_cuda(kind.backend)
    yield kind


@pytest.fixture(scope="module")
def model(kind):
    """A fake is verified with each engine and is no faster than a CPU: a small model will do."""
    return random_model(SMALL) if kind.faked else find_model("summer2winter")


@pytest.fixture(scope="module")
def engine(model, kind):
    with open_engine(model, kind.request(streams=2)) as engine:
        yield engine


def _noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("size", [(8, 8), (8, 36), (68, 44)])
@pytest.mark.parametrize("count", [1, 3])
def test_shape_and_type_stay(engine, size, count):
    frames = _noise(count, *size)
    before = frames.copy()
    result = engine(frames)
    assert result.shape == frames.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(frames, before)


def test_a_frame_depends_on_nothing_else_in_the_batch(engine):
    frames = _noise(5, 32, 48)
    together = engine(frames)
    np.testing.assert_array_equal(together[::-1], engine(frames[::-1].copy()))
    for index in range(len(frames)):
        np.testing.assert_array_equal(together[index], engine(frames[index : index + 1])[0])


def test_strides_and_read_only_memory_do_not_matter(engine):
    wide = _noise(2, 40, 64)
    for view in (wide[:, ::2, ::2][:, :, :32], wide[:, :, ::-1], wide[..., ::-1]):
        view = view[:, : view.shape[1] // 4 * 4]
        copy = np.ascontiguousarray(view)
        expected = engine(copy)
        np.testing.assert_array_equal(engine(view), expected)
        copy.flags.writeable = False
        np.testing.assert_array_equal(engine(copy), expected)


def test_results_are_the_callers(engine):
    frames = _noise(1, 32, 32)
    first = engine(frames)
    kept = first.copy()
    engine(255 - frames)
    np.testing.assert_array_equal(first, kept)


def test_any_thread_may_call(engine):
    frames = _noise(2, 32, 32)
    results = []
    worker = threading.Thread(target=lambda: results.append(engine(frames)))
    worker.start()
    worker.join()
    np.testing.assert_array_equal(results[0], engine(frames))


@pytest.mark.parametrize(
    "frames",
    [
        _noise(1, 32, 30),
        _noise(1, 4, 32),
        _noise(32, 32),
        _noise(1, 32, 32).astype(np.float32),
        _noise(1, 32, 32)[..., :2],
    ],
    ids=["not a multiple", "too small", "no batch", "wrong type", "two channels"],
)
def test_wrong_calls_are_refused_and_it_works_on(engine, frames):
    with pytest.raises(ValueError):  # noqa: PT011
        engine(frames)
    assert engine(_noise(1, 32, 32)).shape == (1, 32, 32, 3)


def test_statistics_only_where_they_belong(model, kind, engine):
    frames = _noise(2, 32, 32)
    given = model.typical_statistics()
    with pytest.raises(ValueError, match="statistics"):
        engine(frames, given)
    with open_engine(model, kind.request(form="statistics")) as other:
        assert other(frames, given).shape == frames.shape
        with pytest.raises(ValueError, match="statistics"):
            other(frames)
        with pytest.raises(ValueError, match="statistics"):
            other(frames, given[:, :, :-1])
        with pytest.raises(ValueError, match="float32"):
            other(frames, given.astype(np.float64))


def test_a_fixed_size_takes_no_other(model, kind):
    with open_engine(model, kind.request(size=(32, 48))) as engine:
        engine(_noise(2, 32, 48))
        with pytest.raises(ValueError, match="is for"):
            engine(_noise(1, 48, 32))


def test_a_fixed_size_gives_frames_that_depend_on_nothing_else(model, kind):
    frames = _noise(9, 32, 48)
    with open_engine(model, kind.request(size=(32, 48))) as engine:
        together = engine(frames)
        np.testing.assert_array_equal(engine(frames), together)
        for index in (0, 8):
            np.testing.assert_array_equal(together[index], engine(frames[index : index + 1])[0])


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
@pytest.mark.parametrize("size", [None, (32, 48)], ids=["any size", "one size"])
def test_three_forms_of_one_picture(model, kind, pixels, size):
    frames = _noise(2, 32, 48)
    if pixels == "float32":
        frames = (frames / 255).astype(np.float32)
    wanted = {"pixels": pixels, "size": size}
    with open_engine(model, kind.request(form="measure", **wanted)) as measuring:
        measured = measuring(frames)
    assert measured.dtype == np.float32
    assert measured.shape == (2, 2, model.spec.statistics_channels)
    with open_engine(model, kind.request(form="statistics", **wanted)) as given:
        translated = given(frames, measured)
        alone = given(frames[1:], measured[1:])
    with open_engine(model, kind.request(**wanted)) as whole:
        expected = whole(frames)
        precision = whole.identity["precision"]
    assert translated.dtype == frames.dtype
    np.testing.assert_array_equal(translated[1:], alone)
    apart = (translated.astype(np.float64) - expected) * (255 if pixels == "float32" else 1)
    assert np.sqrt(np.mean(apart**2)) < (0.3 if precision == "fp32" else 2)


def test_deep_pixels(model, kind, engine):
    """More than 8 bits go in, come through, and come out."""
    frames = _noise(1, 32, 32)
    deep_frames = (frames / 255).astype(np.float32)
    with open_engine(model, kind.request(pixels="float32")) as deep:
        result = deep(deep_frames)
        deep_frames[:, ::2] *= 1 - 1 / 1024  # a quarter of an 8-bit level at most
        between = deep(deep_frames)
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1
    assert len(np.unique(result)) > 1000
    assert (between != result).mean() > 0.8
    apart = result * 255 - engine(frames)
    assert np.sqrt(np.mean(apart**2)) < 3  # the other engine may be in half precision


def test_parity(model, kind):
    """What its precision promises, against another runtime's fp32."""
    other = Kind("torch" if kind.backend == "openvino" else "openvino")
    if find_spec(other.backend) is None:
        pytest.skip(f"{other.backend} is not installed")
    frames = np.concatenate(list(held_frames(model.spec))[::5])
    with open_engine(model, other.request(precision="fp32")) as reference:
        expected = reference(frames)
    for precision in ("auto", "fp32"):
        with open_engine(model, kind.request(precision=precision)) as engine:
            parity = Parity.between(engine(frames), expected)
            assert parity.reaches(engine.identity["precision"]), parity


def test_closed_is_closed(model, kind):
    with open_engine(model, kind.request()) as engine:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        engine(_noise(1, 32, 32))


def test_it_says_what_it_is(engine, model, kind):
    assert engine.spec == model.spec
    assert engine.batch >= 1
    assert engine.description
    assert engine.why == "as asked"
    wanted = {"backend", "runtime", "device", "precision", "threads", "streams", "form", "model"}
    assert wanted <= engine.identity.keys()
    assert engine.identity["backend"] == kind.backend
    assert engine.identity["model"] == model.sha256


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"backend": "abacus"}, "Known: auto, openvino, torch"),
        ({"precision": "fp13"}, "Known: auto, fp32"),
        ({"threads": 0}, "0 threads"),
        ({"streams": -1}, "-1 streams"),
    ],
)
def test_nonsense_is_the_users_error(wanted, message):
    with pytest.raises(UserError, match=message):
        open_engine(random_model(SMALL), EngineRequest(**wanted))


def test_a_missing_package_names_the_install_line(monkeypatch):
    monkeypatch.setattr("engines.backends.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'cgvideo\[torch\]'"):
        open_engine(random_model(SMALL), EngineRequest("torch"))
