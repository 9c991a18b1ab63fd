import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engines.errors import UserError
from engines.model_file import read_model, write_model
from engines.spec import FAMILIES, NORMS, GeneratorSpec


@pytest.fixture
def written(tmp_path, small_model):
    path = tmp_path / "small.safetensors"
    write_model(path, small_model)
    return path


def test_round_trip(written, small_model):
    model = read_model(written)
    assert (model.spec, model.name, model.card) == (
        small_model.spec,
        small_model.name,
        small_model.card,
    )
    assert len(model.sha256) == 64
    assert model.path == written
    for key, array in small_model.weights.items():
        assert model.weights[key].dtype == np.float16
        np.testing.assert_array_equal(model.weights[key], array)
    np.testing.assert_array_equal(model.std, small_model.std)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_norm(tmp_path, make_model, family, norm):
    model = make_model(GeneratorSpec(family, 4, 2, norm=norm), typical=False)
    path = tmp_path / "any.safetensors"
    write_model(path, model)
    again = read_model(path)
    assert again.spec == model.spec
    assert again.weights.keys() == model.weights.keys() == model.spec.shapes.keys()


def test_typical_statistics_of_batch_norms_have_weight_and_bias(make_model):
    model = make_model(GeneratorSpec(base_channels=4, blocks=1, norm="batch_picture"))
    scale, shift = model.typical_statistics()[0]
    weight, bias = (model.weight(f"model.2.{name}") for name in ("weight", "bias"))
    np.testing.assert_allclose(scale[:4], weight / model.std[:4], rtol=1e-3)
    np.testing.assert_allclose(shift[:4], bias - model.mean[:4] * scale[:4], rtol=1e-3)


def test_negative_variances_are_refused(tmp_path, make_model):
    model = make_model(GeneratorSpec(base_channels=4, blocks=1, norm="batch"), typical=False)
    model.weights["model.2.running_var"][1] = -1
    with pytest.raises(UserError, match=r"variances in model\.2\.running_var that are negative"):
        write_model(tmp_path / "bad.safetensors", model)


@pytest.mark.parametrize("name", ["../up", "a\\b", "/etc/x", "", "a\nb"])
def test_a_name_that_is_a_path_gives_way_to_the_files_own(tmp_path, small_model, name):
    path = tmp_path / "mine.safetensors"
    write_model(path, replace(small_model, name=name))
    assert read_model(path).name == "mine"


def test_same_model_same_bytes(written, small_model, tmp_path):
    again = tmp_path / "again.safetensors"
    backwards = dict(reversed(small_model.weights.items()))
    write_model(again, replace(small_model, weights=backwards))
    assert again.read_bytes() == written.read_bytes()


def test_no_half_files_stay(written, small_model):
    write_model(written, small_model)
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_typical_statistics_are_scale_and_shift(small_model):
    packed = small_model.typical_statistics()
    assert packed.shape == (1, 2, small_model.spec.statistics_channels)
    np.testing.assert_allclose(packed[0, 0], 1 / small_model.std, rtol=1e-3)
    np.testing.assert_allclose(packed[0, 1], -small_model.mean / small_model.std, rtol=1e-3)


def test_hash_and_weights_are_of_one_file(written, small_model, make_model, monkeypatch):
    """Though it is replaced in the moment when it is read."""
    other = written.with_name("other.safetensors")
    write_model(other, make_model(small_model.spec, seed=5))
    sha256 = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (written, other)}
    first, second = read_model(written), read_model(other)
    real = Path.open

    def replaced(path, *arguments):
        if path == written and other.exists():
            other.replace(written)
        return real(path, *arguments)

    monkeypatch.setattr(Path, "open", replaced)
    model = read_model(written)
    expected = first if model.sha256 == sha256[written] else second
    assert model.sha256 in sha256.values()
    np.testing.assert_array_equal(
        model.weights["model.1.weight"], expected.weights["model.1.weight"]
    )


def test_a_film_is_not_read_into_memory(tmp_path):
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x18ftypmp42")
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="not a model file"):
        read_model(path)


@pytest.mark.parametrize("kept", [0, 4, 100, 3000])
def test_truncated(written, kept):
    written.write_bytes(written.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"damaged|not a model"):
        read_model(written)


def test_pickle_is_not_opened(tmp_path):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(UserError):
        read_model(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="no model file"):
        read_model(tmp_path / "none.safetensors")
    with pytest.raises(UserError):
        read_model(tmp_path)


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(UserError, match="does not describe") as refused:
        read_model(path)
    assert "`cgvideo models`" in refused.value.mend
    assert not re.search("train|import", refused.value.mend)  # commands that there are not


def _without(arrays, key):
    return {name: array for name, array in arrays.items() if name != key}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: _without(a, "model.4.bias"), "lacks model.4.bias"),
        (lambda a: a | {"extra": np.zeros(1, np.float32)}, "holds extra"),
        (lambda a: a | {"model.4.bias": np.zeros(7, np.float32)}, "shape"),
        (lambda a: a | {"model.4.bias": np.zeros(16, np.int32)}, "int32"),
        (lambda a: a | {"model.4.bias": np.full(16, np.nan, np.float32)}, "finite"),
        (lambda a: _without(a, "statistics.std"), "lacks statistics.std"),
        (lambda a: a | {"statistics.std": a["statistics.std"] * 0}, "not positive"),
    ],
)
def test_wrong_arrays(tmp_path, small_model, spoil, message):
    arrays = dict(small_model.weights)
    arrays |= {"statistics.mean": small_model.mean, "statistics.std": small_model.std}
    path = tmp_path / "spoilt.safetensors"
    save_file(spoil(arrays), path, small_model.spec.to_metadata())
    with pytest.raises(UserError, match=message):
        read_model(path)


def test_write_refuses_what_read_would(tmp_path, small_model):
    with pytest.raises(UserError):
        write_model(tmp_path / "bad.safetensors", replace(small_model, weights={}))
    assert not list(tmp_path.iterdir())
