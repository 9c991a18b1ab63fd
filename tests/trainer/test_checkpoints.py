"""Checkpoints are whole, the newest and the best are kept, and nothing in them is executed."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from tiny_run import CPU, pictures, tiny

from engines.errors import UserError
from trainer.checkpoint import BEST, Checkpoints, TrainState, read_checkpoint
from trainer.cyclegan import CycleGan


@pytest.fixture
def method(domains: dict) -> CycleGan:
    method = CycleGan(tiny(domains), CPU)
    method.step(pictures(1), pictures(2), 0)
    return method


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_everything_is_put_back(domains: dict, method: CycleGan, tmp_path: Path) -> None:
    state = TrainState(7, 1.5, 1, 2, 0.25, 3)
    Checkpoints(tmp_path, 5, method).save(state)
    other = CycleGan(tiny(domains, seed=9), CPU)
    assert Checkpoints(tmp_path, 5, other).load_latest() == state
    one, two = (m.step(pictures(3), pictures(4), 8) for m in (method, other))
    # The seed of the pool's chances is another, but it is not full yet.
    assert {n: v.item() for n, v in one.items()} == {n: v.item() for n, v in two.items()}
    for name, average in method.averages.items():
        assert all(
            torch.equal(a, b)
            for a, b in zip(
                average.network.parameters(), other.averages[name].network.parameters(), strict=True
            )
        )


def test_the_newest_and_the_best_are_kept(method: CycleGan, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2, method)
    for seen in range(1, 6):
        checkpoints.save(TrainState(seen), best=seen == 2)
    assert names(tmp_path) == ["000000004.pt", "000000005.pt", BEST]
    best = read_checkpoint(tmp_path / BEST)
    assert best is not None
    assert best["state"]["images_seen"] == 2
    checkpoints.save(TrainState(6), best=True)
    best = read_checkpoint(tmp_path / BEST)
    assert best is not None
    assert best["state"]["images_seen"] == 6


def test_the_best_is_kept_where_a_file_has_one_name(
    method: CycleGan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    Checkpoints(tmp_path, 2, method).save(TrainState(3), best=True)
    assert (tmp_path / BEST).read_bytes() == (tmp_path / "000000003.pt").read_bytes()


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "flipped"])
def test_a_damaged_one_is_passed_over(method: CycleGan, tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, 5, method)
    checkpoints.save(TrainState(1))
    newest = checkpoints.save(TrainState(2))
    content = newest.read_bytes()
    middle = len(content) // 2
    newest.write_bytes(
        {
            "empty": b"",
            "cut": content[:middle],
            "noise": bytes(range(256)) * 8,
            "flipped": content[:200]
            + bytes(each ^ 255 for each in content[200:400])
            + content[400:],
        }[damage]
    )
    told: list[Path] = []
    state = checkpoints.load_latest(told.append)
    assert [each.name for each in told] == ["000000002.pt"]
    assert state is not None
    assert state.images_seen == 1


def test_a_damaged_one_does_not_push_out_what_is_whole(method: CycleGan, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1, method)
    checkpoints.save(TrainState(1))
    (tmp_path / "000000009.pt").write_bytes(b"")
    checkpoints.save(TrainState(5))
    state = checkpoints.load_latest()
    assert state is not None
    assert state.images_seen == 5


def test_nothing_is_begun_anew_over_what_cannot_be_read(method: CycleGan, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 5, method)
    assert checkpoints.load_latest() is None
    (tmp_path / "000000002.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"No checkpoint in .* can be read"):
        checkpoints.load_latest()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    content = {"state": {}, "networks": Evil(tmp_path / "ran"), "averages": {}}
    torch.save(content, tmp_path / "000000001.pt")
    (tmp_path / "000000002.pt").write_bytes(pickle.dumps(content))
    assert read_checkpoint(tmp_path / "000000001.pt") is None
    assert read_checkpoint(tmp_path / "000000002.pt") is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("room", [0, 100, 20_000])
def test_a_full_disk_is_told_and_leaves_the_last_one(
    method: CycleGan, tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="limits of files are Unix's")
    checkpoints = Checkpoints(tmp_path, 5, method)
    checkpoints.save(TrainState(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(UserError) as raised:
            checkpoints.save(TrainState(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "The checkpoint cannot be written" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert names(tmp_path) == ["000000001.pt"]
    state = checkpoints.load_latest()
    assert state is not None
    assert state.images_seen == 1
