from dataclasses import replace

import pytest

from engines.errors import UserError
from engines.library import add_model, find_model, list_models, models_folder, remove_model
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


def test_unknown_path():
    with pytest.raises(UserError, match="no model file"):
        find_model("folder/none.safetensors")


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "", ".hidden", "-x", "a b", "con", "LPT1.x", "x" * 99]
)
def test_names_that_are_no_file_names(file, name):
    with pytest.raises(UserError, match="cannot be a model's name"):
        add_model(file, name)


def test_built_in_models_stay():
    with pytest.raises(UserError, match="comes with the program"):
        remove_model("summer2winter")


def test_add_refuses_other_files(tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("hello")
    with pytest.raises(UserError):
        add_model(path)
    assert not models_folder().exists()
