"""Checkpoints of the reference project: recognised, the same picture, and written back."""

import io
import pickle
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
reference = pytest.importorskip("reference_networks")

from torch import nn  # noqa: E402

from engines.backends import open_engine  # noqa: E402
from engines.checkpoint import export_checkpoint, import_checkpoint  # noqa: E402
from engines.engine import EngineRequest  # noqa: E402
from engines.errors import UserError  # noqa: E402
from engines.model_file import read_model, write_model  # noqa: E402
from engines.network import Generator  # noqa: E402
from engines.spec import GeneratorSpec  # noqa: E402

# How each is made, and a size for it: small, and not square for one of each family.
ARCHITECTURES = {
    "resnet_9blocks": (lambda *options: reference.resnet(4, 9, *options), (60, 92)),
    "resnet_6blocks": (lambda *options: reference.resnet(8, 6, *options), (64, 64)),
    "unet_256": (lambda *options: reference.unet(4, 8, *options), (256, 256)),
    "unet_128": (lambda *options: reference.unet(6, 7, *options), (128, 384)),
}


def _saved(network, path, **options):
    torch.save(network.state_dict(), path, **options)
    return path


@pytest.fixture
def saved(tmp_path):
    """A small resnet in a file, filled."""
    network = reference.resnet(4, 1, "instance")
    reference.fill(network)
    return _saved(network, tmp_path / "latest_net_G.pth")


def _frames(size, count=1):
    return np.random.default_rng(1).integers(0, 256, (count, *size, 3), np.uint8)


def _run(model, frames, statistics=None, backend="openvino", form="self"):
    request = EngineRequest(backend, precision="fp32", streams=1, form=form)
    with open_engine(model, request) as engine:
        return engine(frames, statistics)


WITH_NORM = [("instance", False), ("batch", False), ("batch", True)]
CASES = [(name, *norm, False) for name in ARCHITECTURES for norm in WITH_NORM]
CASES += [
    (name, *norm, True)
    for name in ("resnet_6blocks", "unet_256")
    for norm in [*WITH_NORM, ("none", False)]
]


@pytest.mark.parametrize(("name", "norm", "by_picture", "dropout"), CASES)
def test_the_same_picture(tmp_path, assert_close, name, norm, by_picture, dropout):
    make, size = ARCHITECTURES[name]
    network = make(norm, dropout)
    reference.fill(network)
    path = _saved(network, tmp_path / "latest_net_G.pth")
    model = import_checkpoint(path, norm="picture" if by_picture else "running")
    assert model.spec.norm == ("batch_picture" if by_picture else norm)
    assert name.startswith(model.spec.family)
    frames = _frames(size)
    expected = reference.translate(network, torch.from_numpy(frames), by_picture).numpy()
    assert expected.std() > 10  # a picture, not an even area
    kept = tmp_path / "kept.safetensors"
    write_model(kept, model)
    for backend in ("openvino", "torch"):
        assert_close(_run(read_model(kept), frames, backend=backend), expected, 1, 55)


@pytest.mark.parametrize("name", ["resnet_6blocks", "unet_128"])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_statistics_that_were_measured_give_the_same_picture(tmp_path, assert_close, name, norm):
    make, size = ARCHITECTURES[name]
    network = make(norm)
    reference.fill(network)
    path = _saved(network, tmp_path / "G.pth")
    model = import_checkpoint(path, norm="picture" if norm == "batch" else "running")
    frames = _frames(size, count=2)
    measured = _run(model, frames, form="measure")
    np.testing.assert_allclose(
        measured, _run(model, frames, form="measure", backend="torch"), rtol=2e-3, atol=2e-3
    )
    whole = _run(model, frames)
    assert_close(_run(model, frames, measured, form="statistics"), whole, 1, 60)
    assert_close(_run(model, frames, measured, "torch", "statistics"), whole, 1, 55)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_module_has_the_keys_of_the_project(tmp_path, name, norm):
    network = ARCHITECTURES[name][0](norm)
    model = import_checkpoint(_saved(network, tmp_path / "G.pth"))
    assert Generator.of(model).state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("name", ["resnet_6blocks", "unet_256"])
def test_written_back_the_project_loads_it(tmp_path, name, norm, dropout):
    make = ARCHITECTURES[name][0]
    network = make(norm, dropout)
    reference.fill(network)
    model = import_checkpoint(_saved(network, tmp_path / "G.pth"))
    options = export_checkpoint(model, tmp_path / "back.pth")
    assert f"--netG {name} --ngf {model.spec.base_channels} --norm {norm}" in options
    assert ("--no_dropout" in options) == (name == "resnet_6blocks" and not dropout)
    state = torch.load(tmp_path / "back.pth", weights_only=True)
    make(norm, dropout).load_state_dict(state, strict=True)
    original = network.state_dict()
    assert state.keys() == original.keys()
    assert all(torch.equal(state[key], original[key]) for key in state)
    again = import_checkpoint(tmp_path / "back.pth")
    assert (again.spec, again.card["dropout"]) == (model.spec, model.card["dropout"])


def test_the_card_says_where_it_comes_from_and_what_is_not_known(saved):
    card = import_checkpoint(saved).card
    assert card["does"] == "imported from latest_net_G.pth"
    assert (card["data"], card["terms"], card["dropout"]) == ("not stated", "not stated", "no")
    assert len(card["source_sha256"]) == 64


@pytest.mark.parametrize("kernel", [3, 4])
def test_upsampling_is_told_by_its_kernel(tmp_path, assert_close, kernel):
    network = reference.resnet(4, 2, "instance", False, kernel)
    reference.fill(network)
    model = import_checkpoint(_saved(network, tmp_path / "G.pth"))
    assert model.spec.upsampling == f"transpose{kernel}"
    expected = reference.translate(network, torch.from_numpy(_frames((32, 32)))).numpy()
    assert_close(_run(model, _frames((32, 32))), expected, 1, 55)
    options = export_checkpoint(model, tmp_path / "back.pth")
    assert ("4x4" in options) == (kernel == 4)
    assert "resnet_2blocks" in options.split("knows")[1]


def test_other_wrappings_are_the_same(saved, tmp_path):
    state = torch.load(saved, weights_only=True)
    plain = import_checkpoint(saved)
    old = {f"module.{key}": value for key, value in state.items()}
    for name in ("running_mean", "running_var"):  # as instance norms of PyTorch before 0.4 had
        old[f"module.model.2.{name}"] = torch.ones(4)
    old["module.model.2.num_batches_tracked"] = torch.tensor(7)
    for number, wrapped in enumerate(
        [old, {"state_dict": state, "epoch": 200}, {"model": old}, dict(state)]
    ):
        for new_format in (True, False):
            path = tmp_path / f"{number}{new_format}.pth"
            torch.save(wrapped, path, _use_new_zipfile_serialization=new_format)
            model = import_checkpoint(path)
            assert model.spec == plain.spec
            for key, array in plain.weights.items():
                np.testing.assert_array_equal(model.weights[key], array)


@pytest.mark.parametrize(
    ("kind", "stored"), [("float16", "float16"), ("bfloat16", "float32"), ("float64", "float32")]
)
def test_kinds_of_numbers(saved, tmp_path, kind, stored):
    state = torch.load(saved, weights_only=True)
    state = {key: value.to(getattr(torch, kind)) for key, value in state.items()}
    torch.save(state, tmp_path / "other.pth")
    model = import_checkpoint(tmp_path / "other.pth")
    assert {array.dtype.name for array in model.weights.values()} == {stored}
    np.testing.assert_array_equal(
        model.weights["model.1.weight"], state["model.1.weight"].float().numpy()
    )


def test_a_view_that_numpy_does_not_know(saved, tmp_path):
    state = torch.load(saved, weights_only=True)
    expected = -state["model.1.weight"]
    state["model.1.weight"] = torch._neg_view(state["model.1.weight"])
    torch.save(state, tmp_path / "other.pth")
    weights = import_checkpoint(tmp_path / "other.pth").weights
    np.testing.assert_array_equal(weights["model.1.weight"], expected.numpy())


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


def _shell(path):
    """A pickle that asks for a shell when it is opened."""
    path.write_bytes(b"\x80\x02cos\nsystem\nX\x05\x00\x00\x00falseq\x00\x85q\x01Rq\x02.")


def _hostile_state(path):
    torch.save({"model.1.weight": _Hostile(path.with_name("owned"))}, path)


def _script(path):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(nn.ReLU()), path)


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def _truncated(path):
    content = io.BytesIO()
    torch.save(reference.resnet(4, 1, "instance").state_dict(), content)
    path.write_bytes(content.getvalue()[:9000])


def _state(network):
    return lambda path: _saved(network(), path)


def _patch_gan(path):
    _saved(reference.discriminator(), path)


def _changed(change):
    def write(path):
        state = dict(reference.resnet(4, 1, "instance").state_dict())
        change(state)
        torch.save(state, path)

    return write


def _gray(state):
    state["model.1.weight"] = torch.zeros(4, 1, 7, 7)
    state["model.18.weight"] = torch.zeros(1, 4, 7, 7)
    state["model.18.bias"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: None, "no file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_text("hello, world\n" * 100), "not a checkpoint"),
        (lambda path: path.write_bytes(b""), "not a checkpoint"),
        (_zip, "not a checkpoint"),
        (_truncated, "not a checkpoint"),
        (_shell, "holds code .*not run"),
        (_hostile_state, "holds code .*not run"),
        (lambda path: torch.save(nn.ReLU(), path), "holds code .*state_dict"),
        (_script, "TorchScript"),
        (lambda path: torch.save([1, 2], path), "no tensors by name"),
        (lambda path: torch.save({3: torch.ones(1)}, path), "no tensors by name"),
        (lambda path: torch.save({"lr": 0.1}, path), "lr, which is not an ordinary tensor"),
        (lambda path: torch.save({"w": torch.ones(2).to_sparse()}, path), "not an ordinary tensor"),
        (lambda path: torch.save({"w": torch.ones(2, device="meta")}, path), "ordinary tensor"),
        (lambda path: torch.save({}, path), "no generator that is known here"),
        (_state(lambda: nn.Linear(3, 3)), r"no generator .*it holds bias"),
        (_patch_gan, "discriminator.*net_G"),
        (_changed(_gray), "1 channels into 1"),
        (_changed(lambda state: state.pop("model.4.bias")), "lacks model.4.bias"),
        (_changed(lambda state: state.update(extra=torch.ones(1))), "holds extra"),
        (_changed(lambda s: s.update({"model.4.weight": torch.ones(8, 4, 4, 4)})), "of shape"),
        (_changed(lambda s: s.update({"model.4.weight": torch.ones(3)})), "of shape"),
        (_changed(lambda s: s.update({"model.4.bias": torch.full((8,), torch.nan)})), "not finite"),
        (
            _changed(lambda s: s.update({"model.4.bias": torch.ones(8, dtype=torch.int32)})),
            "no real number",
        ),
        (
            _changed(lambda s: s.update({"model.10.conv_block.0.weight": torch.ones(1)})),
            "pads with zeros",
        ),
        (
            _changed(lambda s: s.update({"model.13.weight": s.pop("model.11.weight")})),
            "enlarges by resizing",
        ),
    ],
)
def test_what_is_no_generator_is_said_in_one_line(tmp_path, write, words):
    path = tmp_path / "latest_net_G.pth"
    write(path)
    with pytest.raises(UserError, match=words) as refused:
        import_checkpoint(path)
    assert "\n" not in str(refused.value)
    assert str(path) in refused.value.problem
    assert refused.value.mend
    assert not (tmp_path / "owned").exists()


def test_the_hostile_file_would_have_worked(tmp_path):
    pickle.loads(pickle.dumps(_Hostile(tmp_path / "owned")))
    assert (tmp_path / "owned").exists()


def test_an_odd_pickle_is_one_line_without_a_warning(tmp_path):
    path = tmp_path / "odd.pth"
    path.write_bytes(pickle.dumps({"weight": print}, protocol=4))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(UserError):
            import_checkpoint(path)
    assert not said


def test_only_batch_norms_can_go_by_the_picture(saved):
    with pytest.raises(UserError, match=r"always goes by the picture\. Leave --norm out"):
        import_checkpoint(saved, norm="picture")


def test_what_the_project_cannot_have_is_not_written(make_model, tmp_path):
    for spec in (
        GeneratorSpec(base_channels=4, blocks=1, upsampling="resize"),
        GeneratorSpec(base_channels=4, blocks=1, norm="none"),
        GeneratorSpec("compact", base_channels=4, blocks=1),
    ):
        with pytest.raises(UserError, match="which the reference project cannot"):
            export_checkpoint(make_model(spec, typical=False), tmp_path / "G.pth")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(saved, tmp_path):
    model = replace(import_checkpoint(saved), name="mine")
    with pytest.raises(UserError, match="cannot be written"):
        export_checkpoint(model, tmp_path / "nowhere" / "G.pth")
