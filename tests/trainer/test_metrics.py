"""Measures of a translation: what they say of translations whose worth is known."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from domains import BLUE, ORANGE, tiny, waves, write_domains, write_waves  # noqa: E402
from torch import nn  # noqa: E402

from engines.errors import UserError  # noqa: E402
from trainer import classifier  # noqa: E402
from trainer.classifier import domain_classifier  # noqa: E402
from trainer.data import as_tensor, read_data  # noqa: E402
from trainer.hardware import hardware  # noqa: E402
from trainer.log import read_log  # noqa: E402
from trainer.loop import Watch, train  # noqa: E402
from trainer.metrics import Evaluator, edge_agreement, psnr  # noqa: E402

CPU = torch.device("cpu")


class Painted(nn.Module):
    """Blue waves in orange, or the other way: the perfect translation."""

    def __init__(self, colour, other):
        super().__init__()
        self.register_buffer("change", torch.tensor(other) / torch.tensor(colour))

    def forward(self, pictures):
        return (pictures + 1) * self.change.view(1, 3, 1, 1) - 1


class Soup(nn.Module):
    """The colour of a domain and nothing else."""

    def __init__(self, colour):
        super().__init__()
        self.register_buffer("colour", torch.tensor(colour) * 0.55 * 2 - 1)

    def forward(self, pictures):
        return self.colour.view(1, 3, 1, 1).expand_as(pictures)


def averages(to_target, to_source=None):
    made = {"to_target": SimpleNamespace(network=to_target)}
    return made | ({"to_source": SimpleNamespace(network=to_source)} if to_source else {})


def evaluator(config, folder):
    return Evaluator(config, read_data(config), hardware(config), folder)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small wait longer for a second thread than it saves, most on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    write_domains(folder)
    return folder


@pytest.fixture(scope="module")
def measure(pictures, tmp_path_factory):
    return evaluator(tiny(pictures), tmp_path_factory.mktemp("run"))


def test_classifier_tells_pictures_apart_that_it_never_saw(pictures, tmp_path):
    config = tiny(pictures)
    network = domain_classifier(tmp_path / "c.safetensors", config, read_data(config), CPU)
    random = np.random.default_rng(99)
    for size in ((32, 32), (47, 61), (200, 90)):
        blue, orange = (as_tensor(waves(random, each, size), CPU) for each in (BLUE, ORANGE))
        assert network(blue) < 0 < network(orange)


def test_classifier_is_taught_once_a_run_and_the_same_for_a_seed(pictures, tmp_path, monkeypatch):
    config = tiny(pictures)
    data, path = read_data(config), tmp_path / "run" / "c.safetensors"
    first = domain_classifier(path, config, data, CPU).state_dict()
    kept = path.read_bytes()
    path.write_bytes(kept[:100])  # damaged: it is taught anew
    domain_classifier(path, config, data, CPU)
    assert path.read_bytes() == kept
    monkeypatch.setattr(classifier, "_teach", lambda *given: pytest.fail("taught again"))
    again = domain_classifier(path, config, data, CPU).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_doing_nothing_is_at_the_floor_and_worth_nothing(measure):
    values = measure(averages(nn.Identity(), nn.Identity()))
    for domain in ("target", "source"):
        assert values[f"taken_for_{domain}"] == values[f"taken_for_{domain}_floor"] < 0.1
        assert values[f"taken_for_{domain}_ceiling"] > 0.9
        assert values[f"edges_to_{domain}"] == pytest.approx(1)
        assert values[f"cycle_psnr_{domain}"] == pytest.approx(60)
    assert values["score"] == 0
    assert values["pictures_measured"] == 7  # the fewer of 9 and 7
    assert values["on_training_pictures"] == 0


def test_painting_by_the_formula_is_at_the_ceiling(measure):
    values = measure(averages(Painted(BLUE, ORANGE), Painted(ORANGE, BLUE)))
    assert min(values["taken_for_target"], values["taken_for_source"]) > 0.9
    assert min(values["edges_to_target"], values["edges_to_source"]) > 0.95
    assert values["cycle_psnr_source"] > 50
    assert values["score"] > 0.85
    json.loads(json.dumps(values, allow_nan=False))


def test_the_right_colours_without_a_picture_are_worth_nothing(measure):
    values = measure(averages(Soup(ORANGE), Soup(BLUE)))
    assert abs(values["edges_to_target"]) < 0.05
    assert values["score"] < 0.05


def test_one_good_direction_is_worth_half(measure):
    values = measure(averages(Painted(BLUE, ORANGE), nn.Identity()))
    assert 0.4 < values["score"] <= 0.5


def test_measuring_draws_no_random_numbers(pictures, tmp_path):
    config = tiny(pictures)
    data, where = read_data(config), hardware(config)
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    Evaluator(config, data, where, tmp_path)(averages(nn.Identity(), nn.Identity()))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()


@pytest.mark.parametrize(
    ("preprocess", "seen"),
    [("none", {(40, 52), (24, 64), (48, 48)}), ("resize_and_crop", {(32, 32)})],
)
def test_without_test_pictures_training_pictures_of_any_size_are_measured(
    tmp_path, preprocess, seen
):
    write_domains(tmp_path, sizes=((40, 53), (24, 64), (48, 48)))
    config = tiny(tmp_path, tested=False, preprocess=preprocess)
    same, sizes = nn.Identity(), set()
    same.register_forward_hook(lambda network, given, made: sizes.add(tuple(made.shape[2:])))
    values = evaluator(config, tmp_path)(averages(same, same))
    assert sizes == seen
    assert values["on_training_pictures"] == 1
    assert values["pictures_measured"] == 20
    assert values["cycle_psnr_target"] == pytest.approx(60)


def test_curated_pictures_decide_what_the_domain_is(tmp_path):
    """Half of the target's folder is blue by mistake; the list names the orange half."""
    write_domains(tmp_path)
    for number, path in enumerate(write_waves(tmp_path / "more", BLUE, 20, 7).iterdir()):
        path.rename(tmp_path / "trainB" / f"blue{number}.png")
    (tmp_path / "list.txt").write_text("\n".join(f"{n:03}.png" for n in range(20)))
    config = tiny(tmp_path, target_list=tmp_path / "list.txt", list_share=1.0)
    values = evaluator(config, tmp_path)(averages(nn.Identity(), nn.Identity()))
    assert values["taken_for_target_floor"] < 0.2
    assert values["taken_for_target_ceiling"] > 0.9


def test_pairs_are_found_by_name_and_compared_with_the_truth(tmp_path):
    for name in ("train", "test"):
        write_waves(tmp_path / f"{name}A", BLUE, 8, 5 + len(name))
        write_waves(tmp_path / f"{name}B", ORANGE, 8, 5 + len(name))  # the same waves
    (tmp_path / "testA" / "000.png").unlink()  # so that places in the list no longer agree
    measure = evaluator(tiny(tmp_path, method="pix2pix"), tmp_path)
    true = measure(averages(Painted(BLUE, ORANGE)))
    assert true["l1_to_truth"] < 2  # rounding, magnified by the blue picture's dark red
    assert true["score"] == true["psnr_to_truth"] > 35
    assert true["taken_for_target"] > 0.9
    assert true["pictures_measured"] == 7
    assert not any("source" in key or "cycle" in key for key in true)
    brighter = nn.Sequential(Painted(BLUE, ORANGE), Brighter(0.2))
    assert measure(averages(brighter))["l1_to_truth"] == pytest.approx(25.5, abs=2)
    assert measure(averages(brighter))["psnr_to_truth"] == pytest.approx(20, abs=1)


def test_test_folders_that_hold_no_pair_are_named(tmp_path):
    write_domains(tmp_path)
    for path in (tmp_path / "testB").iterdir():
        path.rename(path.with_stem(f"other{path.stem}"))
    with pytest.raises(UserError, match="same name"):
        evaluator(tiny(tmp_path, method="pix2pix"), tmp_path)


class Brighter(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, pictures):
        return pictures + self.by


def test_edges_go_by_places_alone():
    random = np.random.default_rng(3)
    picture = as_tensor(waves(random, BLUE, (40, 56)), CPU)
    order = torch.from_numpy(random.permutation(40 * 56))
    scrambled = picture.flatten(2)[:, :, order].view_as(picture)
    others = as_tensor(waves(random, BLUE, (40, 56)), CPU)
    assert edge_agreement(picture, picture).item() == pytest.approx(1)
    assert edge_agreement(picture, -0.5 * picture + 0.2).item() == pytest.approx(1, abs=1e-4)
    assert edge_agreement(picture, picture.roll(1, 3)).item() > 0.7
    assert abs(edge_agreement(picture, scrambled).item()) < 0.15
    assert edge_agreement(picture, others).item() < 0.6
    assert edge_agreement(picture, torch.zeros_like(picture)).item() == 0
    both = edge_agreement(torch.cat([picture, picture]), torch.cat([picture, scrambled]))
    assert both[0] > 0.99 > both[1] + 0.8


def test_psnr_is_that_of_a_range_of_two():
    zero = torch.zeros(2, 3, 4, 4)
    assert psnr(zero, zero + 0.2).tolist() == pytest.approx([20, 20], abs=1e-4)
    assert psnr(zero, zero).tolist() == [60, 60]


def test_a_run_that_went_on_has_the_measures_of_one_that_did_not_stop(pictures, tmp_path):
    config = tiny(pictures, evaluate_every=4, save_every=100)
    data, where = read_data(config), hardware(config)
    train(config, data, where, tmp_path / "whole", Watch())
    steps = itertools.count()
    stopping = Watch(stop=lambda: next(steps) >= 6)
    train(config, data, where, tmp_path / "halved", stopping)
    train(config, data, where, tmp_path / "halved", Watch())
    whole, halved = (
        [line for line in read_log(tmp_path / name / "log.jsonl") if "score" in line]
        for name in ("whole", "halved")
    )
    assert [line["images_seen"] for line in whole] == [4, 8, 12]
    assert halved == whole
