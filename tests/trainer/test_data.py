"""Which pictures are drawn and how they are cut, and what is refused."""

import itertools
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import ORANGE, make_domain, texture, tiny

from engines.errors import UserError
from trainer.data import Batches, Drawing, middle, read_data
from trainer.pictures import PictureSet

CPU = torch.device("cpu")


def drawn(
    count: int, listed: tuple[int, ...], share: float, draws: int, start: int = 0
) -> list[int]:
    drawing = Drawing(7, 0, count, listed, share)
    return [drawing(position) for position in range(start, start + draws)]


def test_each_picture_once_before_any_again() -> None:
    order = drawn(11, tuple(range(11)), 1.0, 110)
    rounds = [tuple(order[start : start + 11]) for start in range(0, 110, 11)]
    assert all(sorted(each) == list(range(11)) for each in rounds)
    assert len(set(rounds)) == 10  # each round in an order of its own


def test_every_order_is_as_likely() -> None:
    order = drawn(3, (0, 1, 2), 1.0, 3 * 6000)
    counts = Counter(tuple(order[start : start + 3]) for start in range(0, len(order), 3))
    assert len(counts) == 6
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in counts.values())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 1 / 3, 0.5, 0.7, 0.9, 0.999, 1.0])
def test_the_share_of_the_list_is_kept_exactly(share: float) -> None:
    listed = (0, 2, 4)
    order = drawn(10, listed, share, 10_000)
    of_list = np.cumsum([index in listed for index in order])
    wanted = share * np.arange(1, 10_001)
    assert np.abs(of_list - wanted).max() < 1 + 1e-6
    # In both groups each picture once before any again.
    for group in (listed, (1, 3, 5, 6, 7, 8, 9)):
        theirs = [index for index in order if index in group]
        for start in range(0, len(theirs) - len(group) + 1, len(group)):
            assert sorted(theirs[start : start + len(group)]) == list(group)


@pytest.mark.parametrize("share", [0.1, 0.29, 0.9, 0.99])
def test_the_share_is_exact_however_long_the_run(share: float) -> None:
    for start in (10**9, 10**12, 3 * 10**15):
        order = drawn(10, (0, 1, 2), share, 100, start)
        assert sum(index < 3 for index in order) == round(share * 100)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_list_of_all_is_no_list(share: float) -> None:
    everything = tuple(range(5))
    assert drawn(5, everything, share, 50) == drawn(5, everything, 1.0, 50)


def test_a_single_picture_is_drawn_for_ever() -> None:
    assert drawn(1, (0,), 1.0, 5) == [0] * 5
    assert drawn(2, (1,), 1.0, 5) == [1] * 5


def stream(config, data, start: int, steps: int) -> list[torch.Tensor]:
    batches = Batches(config, data, CPU).since(start)
    taken = list(itertools.islice(batches, steps))
    batches.close()
    return [torch.cat(pair, 3) for pair in taken]


@pytest.mark.parametrize("batch", [1, 2])
def test_pictures_are_the_same_wherever_one_begins(domains: dict, batch: int) -> None:
    config = tiny(domains, batch=batch)
    data = read_data(config)
    whole = stream(config, data, 0, 12)
    for start in (1, 5, 11):
        later = stream(config, data, start * batch, 12 - start)
        assert all(torch.equal(one, other) for one, other in zip(whole[start:], later, strict=True))


def test_another_seed_is_another_stream(domains: dict) -> None:
    config, other = tiny(domains), tiny(domains, seed=1)
    data = read_data(config)
    one, two = stream(config, data, 0, 4), stream(other, data, 0, 4)
    assert not any(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def coordinates(folder: Path, name: str, height: int, width: int) -> Path:
    """A picture in which each pixel tells where it stands."""
    folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([y, x, 0 * x], 2).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def places(batch: torch.Tensor) -> tuple[int, int, bool]:
    """Where a window of `coordinates` was cut: top, left, mirrored."""
    pixels = ((batch[0] + 1) * 127.5).round().int()
    rows, columns = pixels[0], pixels[1]
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    assert torch.equal(columns, columns[:1].expand_as(columns))
    assert set(rows[:, 0].diff().tolist()) == {1}
    steps = set(columns[0].diff().tolist())
    assert steps in ({1}, {-1})
    return int(rows[0, 0]), int(columns[0].min()), steps == {-1}


def test_windows_are_everywhere_and_mirrored_by_even_chances(tmp_path: Path) -> None:
    coordinates(tmp_path / "a", "1", 35, 34)
    domains = {"source": str(tmp_path / "a"), "target": str(tmp_path / "a")}
    config = tiny(domains, preprocess="crop")
    data = read_data(config)
    batches = Batches(config, data, CPU).since(0)
    cuts = [[places(side) for side in pair] for pair in itertools.islice(batches, 600)]
    batches.close()
    for cut in zip(*cuts, strict=True):
        counts = Counter((top, left) for top, left, _ in cut)
        assert set(counts) == {(top, left) for top in range(4) for left in range(3)}
        assert all(20 < count < 85 for count in counts.values())
        assert 240 < sum(mirrored for *_, mirrored in cut) < 360
    # The two domains are cut independently.
    assert sum(one == other for one, other in cuts) < 60


def test_without_flip_nothing_is_mirrored(tmp_path: Path) -> None:
    folder = str(coordinates(tmp_path / "a", "1", 36, 36))
    config = tiny({"source": folder, "target": folder}, flip=False)
    batches = Batches(config, read_data(config), CPU).since(0)
    assert not any(places(pair[0])[2] for pair in itertools.islice(batches, 30))
    batches.close()


def side_by_side(folder: Path, count: int = 4, width: int = 80) -> Path:
    """Blue on the left, the same picture in orange on the right."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        left = texture(number, (0.5, 0.5, 0.5), (40, width // 2))
        pair = np.concatenate([left, 255 - left], 1)
        Image.fromarray(np.pad(pair, ((0, 0), (0, width % 2), (0, 0)))).save(
            folder / f"{number}.png"
        )
    return folder


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "none"])
@pytest.mark.parametrize("width", [80, 81])
def test_pairs_side_by_side_are_cut_alike(
    tmp_path: Path, preprocess: str, swap: bool, width: int
) -> None:
    folder = str(side_by_side(tmp_path / "pairs", width=width))
    config = tiny(
        {"source": folder, "target": folder}, method="pix2pix", preprocess=preprocess, swap=swap,
        load_size=40,
    )  # fmt: skip
    batches = Batches(config, read_data(config), CPU).since(0)
    for source, target in itertools.islice(batches, 12):
        if width == 80:  # of an odd width the right half begins a column later
            assert torch.allclose(source, -target, atol=1e-6)
        assert (source.mean() > target.mean()) == swap or source.mean().abs() < 0.1
    batches.close()


@pytest.mark.parametrize("swap", [False, True])
def test_pairs_of_two_folders_go_by_their_names(tmp_path: Path, swap: bool) -> None:
    names = ["a/1", "a/2", "b/1"]  # 1 stands in two folders
    for number, name in enumerate(names):
        picture = texture(number, (0.5, 0.5, 0.5))
        for side, pixels, suffix in (("A", picture, ".png"), ("B", 255 - picture, ".bmp")):
            path = tmp_path / side / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    Image.fromarray(picture).save(tmp_path / "A" / "alone.png")
    config = tiny(
        {"source": str(tmp_path / "A"), "target": str(tmp_path / "B")}, method="pix2pix", swap=swap
    )
    data = read_data(config)
    assert len(data.source) == len(data.target) == 3
    assert {path.suffix for path in data.source.paths} == {".bmp" if swap else ".png"}
    for source, target in zip(stream(config, data, 0, 6), range(6), strict=True):
        left, right = source.chunk(2, 3)
        assert torch.allclose(left, -right, atol=0.02), target


def test_a_pair_of_which_one_half_is_damaged_is_left_out(tmp_path: Path) -> None:
    for side in "AB":
        make_domain(tmp_path / side, 40)
    (tmp_path / "A" / "003.png").write_bytes(b"no picture")
    (tmp_path / "B" / "017.png").write_bytes(b"no picture")
    config = tiny({"source": str(tmp_path / "A"), "target": str(tmp_path / "B")}, method="pix2pix")
    data = read_data(config)
    names = [[path.name for path in each.paths] for each in (data.source, data.target)]
    assert names[0] == names[1]
    assert len(names[0]) == len(data.source) == 38
    assert np.array_equal(data.source[10], data.target[10])
    assert data.source.unreadable[0].name == "003.png"


def test_pairs_of_unequal_sizes_are_refused(tmp_path: Path) -> None:
    make_domain(tmp_path / "A", 2, size=(40, 60))
    make_domain(tmp_path / "B", 2, size=(40, 40))
    domains = {"source": str(tmp_path / "A"), "target": str(tmp_path / "B")}
    for preprocess in ("crop", "none", "scale_width_and_crop"):
        with pytest.raises(UserError, match=r"000\.png is .* where its counterpart is"):
            read_data(tiny(domains, method="pix2pix", preprocess=preprocess))
    read_data(tiny(domains, method="pix2pix"))


def test_test_pairs_belong_together(tmp_path: Path) -> None:
    side_by_side(tmp_path / "train")
    side_by_side(tmp_path / "test", 6)  # the first four are training pictures
    folder = {"source": str(tmp_path / "train"), "target": str(tmp_path / "train")}
    config = tiny(folder, method="pix2pix", test_source=str(tmp_path / "test"))
    data = read_data(config)
    assert data.test_source is not None
    assert data.test_target is not None
    assert len(data.test_source) == len(data.test_target) == 2
    assert data.left_out == 8
    assert np.abs(data.test_source[0].astype(int) + data.test_target[0] - 255).max() <= 2


def test_swapped_folders_have_swapped_tests(domains: dict) -> None:
    data = read_data(tiny(domains, swap=True))
    assert data.test_source is not None
    assert data.source.paths[0].parent.name == "trainB"
    assert data.test_source.paths[0].parent.name == "testB"


def test_copies_of_training_pictures_are_left_out_of_the_tests(
    domains: dict, tmp_path: Path
) -> None:
    tests = make_domain(tmp_path / "tests", 2, first=20)
    shutil.copy(Path(domains["source"]) / "000.png", tests / "copy.png")
    data = read_data(tiny(domains, test_source=str(tests)))
    assert data.left_out == 1
    assert data.test_source is not None
    assert [path.name for path in data.test_source.paths] == ["020.png", "021.png"]
    data = read_data(tiny(domains, test_source=domains["source"]))
    assert data.test_source is None
    assert data.left_out == 6


def test_a_list_takes_its_share(domains: dict, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("002.png\r\nsome/where/004.png\n\n")
    config = tiny(domains, source_list=str(tmp_path / "list.txt"), list_share=0.75)
    data = read_data(config)
    assert data.listed == ((2, 4), (0, 1, 2, 3, 4))
    (tmp_path / "list.txt").write_text("none.png\n")
    with pytest.raises(UserError, match="names no picture"):
        read_data(config)


def odd(folder: Path) -> dict[str, str]:
    """Domains in which one picture has another size."""
    make_domain(folder / "A", 3, size=(40, 48))
    make_domain(folder / "A", 1, size=(48, 40), first=3)
    make_domain(folder / "B", 3, ORANGE, size=(40, 48))
    return {"source": str(folder / "A"), "target": str(folder / "B")}


def test_odd_sizes_make_no_batch(tmp_path: Path) -> None:
    domains = odd(tmp_path)
    read_data(tiny(domains, preprocess="none"))
    for changes in ({"batch": 2}, {"adversarial": "wgangp"}):
        with pytest.raises(UserError, match=r"A/003\.png is 40x48, others are 48x40"):
            read_data(tiny(domains, preprocess="none", **changes))
    read_data(tiny(domains, batch=2))
    (tmp_path / "A" / "003.png").unlink()
    read_data(tiny(domains, preprocess="none", batch=2, adversarial="wgangp"))


def test_none_leaves_pictures_as_they_are(tmp_path: Path) -> None:
    config = tiny(odd(tmp_path), preprocess="none")
    data = read_data(config)
    batches = Batches(config, data, CPU).since(0)
    sizes = {tuple(source.shape[2:]) for source, _ in itertools.islice(batches, 4)}
    batches.close()
    assert sizes == {(40, 48), (48, 40)}


def test_pictures_that_are_too_small_are_refused(tmp_path: Path) -> None:
    make_domain(tmp_path / "A", 2)
    make_domain(tmp_path / "A", 1, size=(7, 40), first=5)
    make_domain(tmp_path / "B", 2)
    domains = {"source": str(tmp_path / "A"), "target": str(tmp_path / "B")}
    with pytest.raises(UserError, match=r"005\.png is too small: 40x4 of at least 12x12"):
        read_data(tiny(domains, preprocess="none"))
    assert read_data(tiny(domains, preprocess="crop")).source[2].shape[0] == 32


def test_sets_beyond_the_memory_are_read_again(
    domains: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(domains)
    kept = read_data(config)
    monkeypatch.setattr("trainer.pictures.MEMORY_BYTES", 3 * 36 * 36 * 3)
    streamed = read_data(config)
    assert kept.source.in_memory
    assert not streamed.source.in_memory
    one, other = stream(config, kept, 0, 10), stream(config, streamed, 0, 10)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_picture_that_vanishes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.pictures.MEMORY_BYTES", 0)
    folder = make_domain(tmp_path / "A", 2)
    config = tiny({"source": str(folder), "target": str(folder)})
    data = read_data(config)
    assert isinstance(data.source, PictureSet)
    (folder / "000.png").unlink()
    with pytest.raises(UserError, match=r"000\.png has changed"):
        stream(config, data, 0, 4)


def ramps(folder: Path) -> str:
    """A picture whose red and green say how far right and down a pixel is, 80 by 60."""
    y, x = np.mgrid[:60, :80]
    folder.mkdir()
    Image.fromarray(np.stack([3 * x, 4 * y, 0 * x], 2).astype(np.uint8)).save(folder / "a.png")
    return str(folder)


def test_zoomed_windows_are_of_all_sizes_at_all_places(tmp_path: Path) -> None:
    """Seen by the ramps: how much of the picture is in a crop, square, and where it begins."""
    config = tiny(
        {"source": ramps(tmp_path / "A"), "target": ramps(tmp_path / "B")},
        preprocess="zoom", batch=300, flip=False,
    )  # fmt: skip
    source, _ = next(Batches(config, read_data(config), CPU).since(0))
    assert source.shape == (300, 3, 32, 32)
    levels = ((source + 1) * 127.5).numpy()
    wide = (levels[:, 0, :, -4] - levels[:, 0, :, 3]).mean(1) / 3 * 32 / 25
    high = (levels[:, 1, -4] - levels[:, 1, 3]).mean(1) / 4 * 32 / 25
    assert np.abs(wide - high).max() < 1.5  # square
    assert wide.min() < 34
    assert wide.max() > 57
    assert wide.mean() == pytest.approx(46, abs=2)
    left = levels[:, 0, :, 0].mean(1) / 3
    assert left.min() < 3
    assert (left + wide).max() > 76


def test_the_middle_of_a_zoomed_picture_is_all_of_its_shorter_side(tmp_path: Path) -> None:
    folders = {"source": ramps(tmp_path / "A"), "target": ramps(tmp_path / "B")}
    config = tiny(folders, preprocess="zoom")
    cut = middle(config, read_data(config).source[0])
    assert cut.shape == (32, 32, 3)
    assert cut[0, 0] == pytest.approx([3 * 10.5, 3, 0], abs=6)
    assert cut[-1, -1] == pytest.approx([3 * 68.5, 4 * 58.5, 0], abs=6)


def test_pictures_smaller_than_a_crop_are_enlarged_to_zoom(tmp_path: Path) -> None:
    folders = {
        name: str(make_domain(tmp_path / name, 2, size=(20, 30))) for name in ("source", "target")
    }
    config = tiny(folders, preprocess="zoom")
    assert next(Batches(config, read_data(config), CPU).since(0))[0].shape == (1, 3, 32, 32)
