from dataclasses import replace
from pathlib import Path

import pytest

from engines.errors import UserError
from engines.library import (
    add_model,
    find_model,
    keep_model,
    list_models,
    models_folder,
    remove_model,
    sane_name,
)
from engines.model_file import write_model


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CGVIDEO_MODELS", str(tmp_path / "models"))


@pytest.fixture
def file(tmp_path, small_model):
    path = tmp_path / "mine.safetensors"
    write_model(path, small_model)
    return path


def test_built_in_models_have_whole_cards():
    assert [entry.name for entry in list_models()] == ["summer2winter", "winter2summer"]
    for entry in list_models():
        model = find_model(entry.name)
        assert entry.built_in
        assert model.name == entry.name
        assert model.std is not None
        wanted = {"does", "data", "terms", "recipe", "images_seen", "hardware", "measured"}
        assert wanted | {"weaknesses"} <= model.card.keys()


def test_add_find_remove(file):
    entry = add_model(file)
    assert (entry.name, entry.built_in) == ("mine", False)
    assert entry.path.parent == models_folder()
    assert find_model("mine").sha256 == find_model(str(file)).sha256
    with pytest.raises(UserError, match="already"):
        add_model(file, "MINE")
    remove_model("mine")
    with pytest.raises(UserError, match="no model named"):
        find_model("mine")


def test_keep_a_model_from_memory(small_model):
    entry = keep_model(replace(small_model, name="mine"))
    assert entry.path.parent == models_folder()
    assert find_model("mine").spec == small_model.spec
    with pytest.raises(UserError, match="already"):
        keep_model(replace(small_model, name="Mine"))
    with pytest.raises(UserError, match="cannot be a model's name"):
        keep_model(replace(small_model, name="../mine"))
    assert [path.name for path in models_folder().iterdir()] == ["mine.safetensors"]


@pytest.mark.parametrize("adopt", [True, False])
def test_a_folder_that_cannot_be_made(file, small_model, monkeypatch, adopt):
    monkeypatch.setenv("CGVIDEO_MODELS", str(file / "models"))  # below a file
    with pytest.raises(UserError, match=r"cannot be written.*CGVIDEO_MODELS"):
        keep_model(replace(small_model, name="x")) if adopt else add_model(file)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("horse2zebra", "horse2zebra"),
        ("my run (2)", "my-run-2"),
        ("..hidden", "hidden"),
        ("été", "t"),
        ("con", "imported"),
        ("夏", "imported"),
        ("", "imported"),
        ("x" * 99, "x" * 80),
    ],
)
def test_any_text_becomes_a_name(text, name):
    assert sane_name(text) == name


def test_a_model_has_the_name_by_which_it_was_found(file, tmp_path, small_model):
    add_model(file, "mywinter")
    assert find_model("mywinter").name == "mywinter"
    assert find_model(str(file)).name == "mine"
    escaping = tmp_path / "escaping.safetensors"
    write_model(escaping, replace(small_model, name="../../up"))
    assert find_model(str(escaping)).name == "escaping"


def test_unknown_name_lists_and_guesses():
    with pytest.raises(
        UserError, match=r"Did you mean summer2winter\? Known: summer2winter, winter2"
    ):
        find_model("sumer2winter")


def test_a_checkpoint_in_place_of_a_model_is_told_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latest_net_G.pth").write_bytes(b"PK\x03\x04 something else")
    for use in (find_model, lambda name: add_model(Path(name))):
        with pytest.raises(UserError, match=r"cgvideo models import latest_net_G\.pth"):
            use("latest_net_G.pth")


def test_unknown_path():
    with pytest.raises(UserError, match="no model file"):
        find_model("folder/none.safetensors")
    with pytest.raises(UserError, match="no model file"):
        find_model("~nobody-of-this-name/none.safetensors")


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "", ".hidden", "-x", "a b", "con", "LPT1.x", "x" * 99]
)
def test_names_that_are_no_file_names(file, name):
    with pytest.raises(UserError, match="cannot be a model's name"):
        add_model(file, name)


def test_built_in_models_stay():
    with pytest.raises(UserError, match="comes with the program"):
        remove_model("summer2winter")


def test_what_may_not_be_removed_is_said(file, monkeypatch):
    add_model(file, "mine")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        remove_model("mine")


def test_add_refuses_other_files(tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("hello")
    with pytest.raises(UserError):
        add_model(path)
    assert not models_folder().exists()
