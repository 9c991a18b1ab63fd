"""What was built once is there the next time, whole or not at all."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_tensorrt import fake_gpu
from PIL import Image

from engines import store as store_module
from engines import verify
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.store import Built, EngineStore
from engines.verify import LEAST_PSNR, Parity

KEY = {"model": "m", "size": "64x64"}
REQUEST = EngineRequest("openvino", precision="fp32", streams=1, size=(64, 96))


class Builder:
    """Builds bytes that tell which build they are of."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self) -> Built:
        self.builds += 1
        return Built(f"build {self.builds}".encode() * 100, {"psnr": 60.0})


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path)


def _only_entry(store: EngineStore) -> Path:
    (folder,) = (path for path in store.folder.iterdir() if path.is_dir())
    return folder


def test_built_once(store: EngineStore) -> None:
    build, told = Builder(), []
    store = EngineStore(store.folder.parent, on_build=told.append)
    first, second = store.get(KEY, build), store.get(KEY, build)
    assert (first.built_now, second.built_now) == (True, False)
    assert first.kept
    assert second.content == first.content
    assert second.facts == {"psnr": 60.0}
    assert told == [KEY]
    assert store.get(KEY | {"size": "any"}, build).built_now


def _cut(entry: Path) -> None:
    os.truncate(entry / "content", 50)


def _flip(entry: Path) -> None:
    content = bytearray((entry / "content").read_bytes())
    content[60] ^= 1
    (entry / "content").write_bytes(content)


def _lose_content(entry: Path) -> None:
    (entry / "content").unlink()


def _lose_manifest(entry: Path) -> None:
    (entry / "manifest.json").unlink()


def _tear_manifest(entry: Path) -> None:
    os.truncate(entry / "manifest.json", 20)


def _nonsense_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text("[1, 2]")


def _flatter(entry: Path) -> None:
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["facts"]["psnr"] = 99.0
    (entry / "manifest.json").write_text(json.dumps(manifest))


def _another_version(entry: Path) -> None:
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["key"]["runtime"] = "older"
    (entry / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "harm",
    [
        _cut, _flip, _lose_content, _lose_manifest, _tear_manifest, _nonsense_manifest, _flatter,
        _another_version,
    ],
)  # fmt: skip
def test_what_is_not_whole_is_built_anew(store: EngineStore, harm) -> None:
    build = Builder()
    store.get(KEY, build)
    harm(_only_entry(store))
    store.entries()  # a list of damaged entries is no error
    again = store.get(KEY, build)
    assert again.built_now
    assert again.content == b"build 2" * 100
    assert not store.get(KEY, build).built_now


def test_a_folder_from_elsewhere_counts_for_nothing(store: EngineStore, tmp_path: Path) -> None:
    """Whoever copies an entry under another's name does not get it run."""
    build = Builder()
    store.get(KEY, build)
    theirs = _only_entry(store)
    other = KEY | {"device_name": "another processor"}
    store.get(other, build)
    (ours,) = (path for path in store.folder.iterdir() if path.is_dir() and path != theirs)
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)
    assert store.get(other, build).built_now


def test_a_build_that_fails_leaves_nothing(store: EngineStore) -> None:
    def fail() -> Built:
        raise UserError("no")

    with pytest.raises(UserError):
        store.get(KEY, fail)
    assert store.entries() == []
    assert store.get(KEY, Builder()).built_now


def test_no_place_to_keep_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file where the folder should be")
    store = EngineStore(tmp_path)
    kept = store.get(KEY, Builder())
    assert kept.built_now
    assert not kept.kept
    assert store.entries() == []


def test_the_longest_unused_is_forgotten(store: EngineStore, monkeypatch) -> None:
    build = Builder()
    keys = [KEY | {"number": str(number)} for number in range(3)]
    for number, key in enumerate(keys):
        store.get(key, build)
        for entry in store.entries():
            if entry.key == key:
                os.utime(entry.folder / "manifest.json", (1000 + number,) * 2)
    store.get(keys[0], build)  # used again, so that keys[1] is the oldest
    each = store.entries()[0].bytes
    monkeypatch.setattr(store_module, "MOST_BYTES", round(3.5 * each))
    store.get(KEY, build)
    builds = build.builds
    for key in (keys[0], keys[2], KEY):
        store.get(key, build)
    assert build.builds == builds
    store.get(keys[1], build)
    assert build.builds == builds + 1


def test_clear(store: EngineStore) -> None:
    build = Builder()
    store.get(KEY, build)
    assert [entry.key for entry in store.entries()] == [KEY]
    removed, freed = store.clear()
    assert removed == 1
    assert freed > 700
    assert list(store.folder.iterdir()) == []
    assert store.get(KEY, build).built_now


def test_what_is_not_ours_is_left_alone(store: EngineStore, monkeypatch) -> None:
    """`CGVIDEO_CACHE` may be anything, a folder with `engines` of someone's own among it."""
    (store.folder / "graph").mkdir(parents=True)
    (store.folder / "graph" / "nodes.py").write_text("x" * 10_000)
    for name in ("notes.txt", "uv.lock"):
        (store.folder / name).touch()
    monkeypatch.setattr(store_module, "MOST_BYTES", 5_000)
    store.get(KEY, Builder())
    assert [entry.key for entry in store.entries()] == [KEY]
    assert store.clear()[0] == 1
    assert {path.name for path in store.folder.iterdir()} == {"graph", "notes.txt", "uv.lock"}
    assert (store.folder / "graph" / "nodes.py").exists()


def test_what_cannot_be_removed_is_said_and_all_else_goes(store: EngineStore, monkeypatch) -> None:
    real = shutil.rmtree
    store.get(KEY, Builder())
    stuck = _only_entry(store)
    for number in range(3):
        store.get(KEY | {"number": str(number)}, Builder())

    def refuse(folder):
        if folder == stuck:
            raise PermissionError(13, "Permission denied", str(folder))
        real(folder)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(UserError, match=r"Permission denied.*; others removed: 3,") as refused:
        store.clear()
    assert str(stuck) in refused.value.problem
    assert _only_entry(store) == stuck


def test_what_another_process_removes_is_not_counted(store: EngineStore, monkeypatch) -> None:
    real = shutil.rmtree
    store.get(KEY, Builder())

    def too_late(folder):
        real(folder)
        raise FileNotFoundError(2, "No such file or directory", str(folder))

    monkeypatch.setattr(shutil, "rmtree", too_late)
    assert store.clear() == (0, 0)


def test_what_a_killed_build_left_goes_with_the_next(store: EngineStore) -> None:
    build = Builder()
    store.get(KEY, build)
    entry = _only_entry(store)
    (entry / "manifest.json").unlink()
    (entry / ".1234.partial").write_bytes(b"half a build")
    store.get(KEY, build)
    assert {path.name for path in entry.iterdir()} == {"content", "manifest.json"}


TWO_AT_ONCE = """
import sys, time
from pathlib import Path
from engines.store import Built, EngineStore
folder = Path(sys.argv[1])
def build():
    with (folder / "builds").open("a") as file:
        file.write("x")
    time.sleep(1)
    return Built(b"built")
(folder / f"ready{sys.argv[2]}").touch()
while not (folder / "go").exists():
    time.sleep(0.01)
assert EngineStore(folder).get({"a": "b"}, build).content == b"built"
"""


def test_two_processes_build_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", TWO_AT_ONCE, str(tmp_path), str(number)])
        for number in range(2)
    ]
    while not all((tmp_path / f"ready{number}").exists() for number in range(2)):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert (tmp_path / "builds").read_text() == "x"


def test_who_waits_for_anothers_build_is_told_and_gets_it(tmp_path: Path) -> None:
    told: list[object] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Built:
        begun.set()
        assert go_on.wait(20)
        return Built(b"built")

    def wait(key: object) -> None:
        told.append(key)
        go_on.set()

    first = threading.Thread(target=EngineStore(tmp_path).get, args=(KEY, slow))
    first.start()
    assert begun.wait(20)
    kept = EngineStore(tmp_path, on_wait=wait).get(KEY, Builder())
    first.join()
    assert (kept.content, kept.built_now) == (b"built", False)
    assert told == [KEY]
    EngineStore(tmp_path, on_wait=wait).get(KEY | {"size": "any"}, Builder())
    assert told == [KEY]


def test_a_stored_engine_gives_the_same_bytes(store: EngineStore, small_model) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    results = []
    for _ in range(2):
        with open_engine(small_model, REQUEST, store) as engine:
            results.append((engine(frames), dict(engine.identity)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    with open_engine(small_model, REQUEST) as engine:  # compiled on the spot
        np.testing.assert_array_equal(engine(frames), results[0][0])


def test_models_of_no_file_are_not_mixed_up(store: EngineStore, make_model, small_model) -> None:
    """Without a hash nothing tells one set of weights from another."""
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    results = []
    for seed in (1, 2):
        model = replace(make_model(small_model.spec, seed=seed), sha256="")
        with open_engine(model, REQUEST, store) as engine:
            results.append(engine(frames))
    assert (results[0] != results[1]).any()


def test_a_damaged_engine_is_never_run(store: EngineStore, small_model) -> None:
    with open_engine(small_model, REQUEST, store) as engine:
        assert "built now and kept" in engine.why
    content = _only_entry(store) / "content"
    content.write_bytes(os.urandom(content.stat().st_size))
    with open_engine(small_model, REQUEST, store) as engine:
        assert "built now" in engine.why
    with open_engine(small_model, REQUEST, store) as engine:
        assert "built now" not in engine.why


def test_streams_are_measured_once(store: EngineStore, small_model, monkeypatch) -> None:
    from engines import openvino_engine

    request = EngineRequest("openvino", size=(64, 64))
    with open_engine(small_model, request, store) as engine:
        streams = engine.identity["streams"]
    monkeypatch.setattr(openvino_engine, "measure_streams", None)  # a second call would fail
    with open_engine(small_model, request, store) as engine:
        assert engine.identity["streams"] == streams
        assert "s a frame" in engine.why


def test_an_engine_that_harms_the_picture_is_not_used(
    store: EngineStore, small_model, monkeypatch
) -> None:
    """In "auto" fp32 takes its place; who insists is refused."""
    from engines import openvino_engine

    real = openvino_engine.check_parity

    def harsh(run, *arguments):
        precision = run.identity["precision"]
        return real(run, *arguments) if precision == "fp32" else Parity(31.0, 40)

    monkeypatch.setattr(openvino_engine, "check_parity", harsh)
    asked = EngineRequest("openvino", streams=1, size=(64, 96))
    with open_engine(small_model, asked) as engine:
        half = engine.identity["precision"]
    if half == "fp32":
        pytest.skip("this CPU computes in fp32 only")
    for _ in range(2):  # the verdict is kept, too
        with open_engine(small_model, asked, store) as engine:
            assert engine.identity["precision"] == "fp32"
            assert "would harm the picture (31.0 dB" in engine.why
    insisting = EngineRequest("openvino", precision=half, streams=1, size=(64, 96))
    with pytest.raises(UserError, match="suffers"):
        open_engine(small_model, insisting, store)


def test_pytorch_in_less_than_fp32_is_verified_once(
    store: EngineStore, small_model, monkeypatch
) -> None:
    torch_engine = pytest.importorskip("engines.torch_engine", exc_type=ImportError)
    request = EngineRequest("torch", precision="bf16")
    with open_engine(small_model, request, store) as engine:
        assert engine.identity["precision"] == "bf16"
    monkeypatch.setattr(torch_engine, "check_parity", None)  # a second call would fail
    monkeypatch.setitem(LEAST_PSNR, "bf16", 98.0)
    with pytest.raises(UserError, match="the picture suffers"):
        open_engine(small_model, request, store)


@pytest.mark.parametrize("backend", ["openvino", "torch", "tensorrt"])
def test_a_parity_counts_for_the_pictures_that_it_was_measured_on(
    store: EngineStore, small_model, monkeypatch, tmp_path: Path, backend
) -> None:
    if backend == "torch":
        pytest.importorskip("engines.torch_engine", exc_type=ImportError)
    precision = {"torch": "bf16", "tensorrt": "fp16"}.get(backend, "fp32")
    request = EngineRequest(backend, precision=precision, streams=1, size=(64, 96))
    told: list[object] = []
    store = EngineStore(tmp_path, on_build=told.append)

    def builds() -> int:
        told.clear()
        verify.pictures_digest.cache_clear()
        with open_engine(small_model, request, store):
            return len(told)

    others = tmp_path / "pictures"
    shutil.copytree(verify._FOLDER, others)
    with fake_gpu("tensorrt") if backend == "tensorrt" else nullcontext():
        assert [builds(), builds()] == [1, 0]
        monkeypatch.setattr(verify, "_FOLDER", others)
        assert builds() == 0  # wherever they lie
        first = min(others.iterdir())
        Image.open(first).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(first)
        assert builds() == 1
    verify.pictures_digest.cache_clear()
