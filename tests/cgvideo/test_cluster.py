"""Segments and pictures as tasks of a Ray cluster: a real one, of two workers on this machine."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip
from generators import SMALL, random_model
from PIL import Image

from cgvideo.folders.sharing import Sharing
from cgvideo.interface import convert_folder, convert_video
from cgvideo.pipeline import run
from cgvideo.plan import SEGMENT_FRAMES
from cgvideo.prepare import prepared, remember_choices
from cgvideo.settings import Settings
from cgvideo.workers.cluster import Cluster
from cgvideo.workers.hire import hired_for_clip
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model, write_model

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves its log files open, and processes to the system.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
FRAMES = 3 * SEGMENT_FRAMES + 10


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield made.address
    made.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("shared") / "in.mp4", FRAMES, size=(64, 48))


@pytest.fixture(scope="module")
def model(source: Path) -> Model:
    path = source.parent / "small.safetensors"
    write_model(path, random_model(SMALL))
    return find_model(str(path))


def settings(output: Path, **more: object) -> Settings:
    usual = {"preset": "ultrafast", "threads": 1, "precision": "fp32"}
    return Settings(**{**usual, "output": output, **more})  # type: ignore[arg-type]


def test_a_cluster_makes_the_bytes_of_one_process_though_a_worker_is_killed(
    source: Path, model: Model, cluster: str, tmp_path: Path
) -> None:
    alone = convert_video(source, model, settings(tmp_path / "alone.mp4"))
    chosen = settings(tmp_path / "out.mp4", ray=cluster, workers=2)
    with prepared(source, model, chosen) as (plan, _):
        remember_choices(plan)
    with hired_for_clip(plan, model, chosen) as crew:
        given = killing_the_second(crew)
        result = run(plan, crew)
    assert len(given) > 4  # one of them twice
    assert result.output.read_bytes() == alone.output.read_bytes()


def killing_the_second(crew: Cluster[Any, Any]) -> list[Any]:
    """Kill the worker that is given the second errand, at once; all errands that are given."""
    given: list[Any] = []
    give = crew.give
    # Of who is busy one could not ask it.
    processes = {actor: ray.get(actor.process.remote()) for actor in crew._idle}

    def giving(errand: Any) -> None:
        give(errand)
        given.append(errand)
        if len(given) == 2:
            (_, actor) = next(each for each in crew._busy.values() if each[0] == errand)
            os.kill(processes[actor], signal.SIGKILL)

    crew.give = giving  # type: ignore[method-assign]
    return given


def test_a_cluster_makes_the_pictures_of_one_process_though_a_worker_is_killed(
    source: Path, model: Model, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(24):
        size = [(48, 64), (40, 36)][number % 2]
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/{number:02}.jpg")
    alone = convert_folder(tmp_path / "in", model, settings(tmp_path / "alone"))
    given: list[list[Any]] = []
    share_out = Sharing.run

    def killing(whole: Sharing, tasks: Any, count: int) -> None:
        assert isinstance(whole._crew, Cluster)
        given.append(killing_the_second(whole._crew))
        share_out(whole, tasks, count)

    monkeypatch.setattr(Sharing, "run", killing)
    chosen = settings(tmp_path / "out", ray=cluster, workers=2)
    result = convert_folder(tmp_path / "in", model, chosen)
    assert sum(len(errand) for errand in given[0]) > 24
    assert (result.done, result.failed) == (alone.done, 0) == (24, 0)
    for path in (tmp_path / "in").iterdir():
        assert (result.output / path.name).read_bytes() == (alone.output / path.name).read_bytes()
    assert len(list(result.output.iterdir())) == 25


def test_workers_of_a_cluster_are_ended_at_once(
    source: Path, model: Model, cluster: str, tmp_path: Path
) -> None:
    chosen = settings(tmp_path / "out.mp4", ray=cluster, workers=1)
    with prepared(source, model, chosen) as (plan, _):
        remember_choices(plan)
    with hired_for_clip(plan, model, chosen) as crew:
        assert isinstance(crew, Cluster)
        process = ray.get(crew._idle[0].process.remote())
        plan.work_folder.mkdir(parents=True)
        crew.give((0, None))
        crew.end()
        until = time.monotonic() + 5
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert crew.take(10) == ((0, None), None)


def test_a_gpu_of_a_cluster_has_no_number() -> None:
    with pytest.raises(UserError, match="Ray chooses"):
        Settings(ray="auto", device="cuda:1")


def test_what_a_worker_cannot_see_is_said(
    source: Path, model: Model, cluster: str, tmp_path: Path
) -> None:
    chosen = settings(tmp_path / "out.mp4", ray=cluster, workers=1)
    with prepared(source, model, chosen) as (plan, _):
        remember_choices(plan)
    hidden = source.rename(tmp_path / "hidden.mp4")
    try:
        with hired_for_clip(plan, model, chosen) as crew:
            crew.give((0, None))
            with pytest.raises(UserError, match="cannot see"):
                crew.take(60)
    finally:
        hidden.rename(source)


def test_no_cluster_and_no_room_are_said(
    source: Path, model: Model, cluster: str, tmp_path: Path
) -> None:
    with prepared(source, model, settings(tmp_path / "out.mp4")) as (plan, _):
        pass
    with pytest.raises(UserError, match="has room for 2"):
        hired_for_clip(plan, model, settings(tmp_path / "out.mp4", ray=cluster, workers=3))
    of_three = replace(plan, engine=(*plan.engine, ("threads", "3")))
    with pytest.raises(UserError, match="room for 0 workers of 3 cores, not for 1"):
        hired_for_clip(of_three, model, settings(tmp_path / "out.mp4", ray=cluster))
    with pytest.raises(UserError, match="room for 0 workers of 1 cores and a GPU"):
        hired_for_clip(plan, model, settings(tmp_path / "out.mp4", ray=cluster, device="cuda"))
    with pytest.raises(UserError, match="no Ray cluster"):
        hired_for_clip(plan, model, settings(tmp_path / "out.mp4", ray="127.0.0.1:1"))
