"""Segments as tasks of a Ray cluster: a real one, of two workers on this machine."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clips import make_clip
from generators import SMALL, random_model

from cgvideo.codec.decode import Seam
from cgvideo.interface import convert_video
from cgvideo.pipeline import run
from cgvideo.plan import SEGMENT_FRAMES
from cgvideo.prepare import prepared, remember_choices
from cgvideo.settings import Settings
from cgvideo.workers.hire import hired
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
    with hired(plan, model, chosen) as crew:
        give, given = crew.give, []

        def killing(segment: int, seam: Seam | None) -> None:
            give(segment, seam)
            given.append(segment)
            if len(given) == 2:
                (_, actor) = next(each for each in crew._busy.values() if each[0] == segment)
                os.kill(ray.get(actor.process.remote()), signal.SIGKILL)

        crew.give = killing
        result = run(plan, crew)
    assert len(given) > 4  # one of them twice
    assert result.output.read_bytes() == alone.output.read_bytes()


def test_what_a_worker_cannot_see_is_said(
    source: Path, model: Model, cluster: str, tmp_path: Path
) -> None:
    chosen = settings(tmp_path / "out.mp4", ray=cluster, workers=1)
    with prepared(source, model, chosen) as (plan, _):
        remember_choices(plan)
    hidden = source.rename(tmp_path / "hidden.mp4")
    try:
        with hired(plan, model, chosen) as crew:
            crew.give(0, None)
            with pytest.raises(UserError, match="cannot see"):
                crew.take()
    finally:
        hidden.rename(source)


def test_no_cluster_and_no_room_are_said(
    source: Path, model: Model, cluster: str, tmp_path: Path
) -> None:
    with prepared(source, model, settings(tmp_path / "out.mp4")) as (plan, _):
        pass
    with pytest.raises(UserError, match="has room for 2"):
        hired(plan, model, settings(tmp_path / "out.mp4", ray=cluster, workers=3))
    of_three = replace(plan, engine=(*plan.engine, ("threads", "3")))
    with pytest.raises(UserError, match="room for 0 workers of 3 cores, not for 1"):
        hired(of_three, model, settings(tmp_path / "out.mp4", ray=cluster))
    with pytest.raises(UserError, match="room for 0 workers of 1 cores and a GPU"):
        hired(plan, model, settings(tmp_path / "out.mp4", ray=cluster, device="cuda"))
    with pytest.raises(UserError, match="no Ray cluster"):
        hired(plan, model, settings(tmp_path / "out.mp4", ray="127.0.0.1:1"))
