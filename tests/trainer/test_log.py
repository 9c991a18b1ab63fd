"""The log goes on where the run does."""

import sys
from pathlib import Path

import pytest

from trainer.log import Log, read_log


def seen(folder: Path) -> list[float]:
    return [line["images_seen"] for line in read_log(folder / "log.jsonl")]


def test_lines_are_read_back(tmp_path: Path) -> None:
    log = Log(tmp_path / "run", 0)
    log.write(1, {"cycle": 0.1, "score": 1e-9})
    log.close()
    assert read_log(tmp_path / "run" / "log.jsonl") == [
        {"images_seen": 1, "cycle": 0.1, "score": 1e-9}
    ]
    assert read_log(tmp_path / "none.jsonl") == []


def test_lines_of_pictures_that_are_seen_again_are_dropped(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for number in range(1, 6):
        log.write(number, {"cycle": 1.0})
    log.close()
    log = Log(tmp_path, 3)
    assert seen(tmp_path) == [1, 2, 3]
    log.write(4, {"cycle": 2.0})
    log.close()
    assert seen(tmp_path) == [1, 2, 3, 4]


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    whole = b'{"images_seen": 1, "cycle": 1.0}\n'
    for torn in (b'{"images_seen": 2, "cyc', b"\0\0\0\0", b"\xff\xfe", b"[1]\n", b"3\n{}\n"):
        (tmp_path / "log.jsonl").write_bytes(whole + torn)
        assert seen(tmp_path) == [1]
        log = Log(tmp_path, 5)
        log.write(6, {"cycle": 1.0})
        log.close()
        assert seen(tmp_path) == [1, 6]


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Log(tmp_path, 0).close()
    assert not (tmp_path / "tensorboard").exists()  # nothing was said
    log = Log(tmp_path, 7)
    log.write(8, {"cycle": 0.5})
    log.write(9, {"cycle": 0.25})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("cycle")] == [(8, 0.5), (9, 0.25)]


def test_without_tensorboard_there_is_a_log_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = Log(tmp_path, 0)
    log.write(1, {"cycle": 0.5})
    log.close()
    assert seen(tmp_path) == [1]
