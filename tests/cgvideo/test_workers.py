"""Several processes make the file that one makes, whatever becomes of some of them."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from clips import make_clip, read_pictures
from commandline import running
from generators import SMALL, random_model

from cgvideo.estimate import estimate
from cgvideo.interface import convert_video
from cgvideo.pipeline import Result, run
from cgvideo.plan import SEGMENT_FRAMES, make_plan
from cgvideo.prepare import prepared, remember_choices
from cgvideo.progress import Silent, StageTimes, Stopped, StopRequest
from cgvideo.requests import CLUSTER_CORES, engine_request, of_one_worker
from cgvideo.settings import Settings
from cgvideo.workers.crew import TRIES, Crew, shared_out
from cgvideo.workers.hire import hired_for_clip
from cgvideo.workers.processes import Processes
from cgvideo.workers.worker import Errand, Rendered
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model, write_model

FRAMES = 2 * SEGMENT_FRAMES + 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def source(folder: Path) -> Path:
    return make_clip(folder / "in.mp4", FRAMES, size=(64, 48), audio="aac")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    path = folder / "small.safetensors"
    write_model(path, random_model(SMALL))
    return find_model(str(path))


def settings(output: Path, **more: object) -> Settings:
    usual = {
        "preset": "ultrafast",
        "threads": 1,
        "precision": "fp32",
        "smooth": "off",
        "norm": "frame",
    }
    chosen = {**usual, "output": output, **more}
    return Settings(**chosen)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def alone(source: Path, model: Model, folder: Path) -> bytes:
    """What one process makes."""
    return convert_video(source, model, settings(folder / "alone.mp4")).output.read_bytes()


def test_two_processes_make_the_bytes_of_one(
    source: Path, model: Model, alone: bytes, tmp_path: Path
) -> None:
    result = convert_video(source, model, settings(tmp_path / "out.mp4", workers=2))
    assert result.output.read_bytes() == alone
    assert result.frames_rendered == FRAMES
    assert list(tmp_path.iterdir()) == [result.output]


@pytest.mark.slow
def test_with_smoothing_and_anchors_too(source: Path, model: Model, tmp_path: Path) -> None:
    on = {"smooth": "auto", "norm": "anchors"}
    one = convert_video(source, model, settings(tmp_path / "one.mp4", **on))
    two = convert_video(source, model, settings(tmp_path / "two.mp4", workers=2, **on))
    assert two.output.read_bytes() == one.output.read_bytes()


class Dying(Processes):
    """A crew of which one worker is killed while it renders."""

    given = 0
    killed = 0

    def give(self, errand: Errand) -> None:
        self.given += 1
        super().give(errand)
        if self.given == 2:
            hand = next(hand for hand in self._hired if hand.errand == errand)
            time.sleep(0.05)
            os.kill(hand.process.pid, signal.SIGKILL)
            self.killed = hand.process.pid


def with_crew(source: Path, model: Model, chosen: Settings, kind: type[Dying]) -> Result:
    with prepared(source, model, chosen) as (plan, _):
        remember_choices(plan)
    with hired_for_clip(plan, model, chosen) as crew:
        assert isinstance(crew, Processes)
        crew.__class__ = kind
        return run(plan, crew)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_segment_only(
    source: Path, model: Model, alone: bytes, tmp_path: Path
) -> None:
    result = with_crew(source, model, settings(tmp_path / "out.mp4", workers=2), Dying)
    assert result.output.read_bytes() == alone


class Imagined(Crew[Errand, Rendered]):
    """Workers that only say what they would."""

    def __init__(self, *answers: Rendered | Exception | None) -> None:
        self.answers = list(answers)
        self.given: list[Errand] = []

    @property
    def idle(self) -> int:
        return 1 - len(self.given)

    def give(self, errand: Errand) -> None:
        self.given.append(errand)

    def take(self, seconds: float) -> tuple[Errand, Rendered | None]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return self.given.pop(), answer

    def end(self) -> None: ...

    def close(self) -> None: ...


def test_a_segment_that_kills_every_worker_is_named(
    source: Path, model: Model, tmp_path: Path
) -> None:
    with (
        prepared(source, model, settings(tmp_path / "out.mp4")) as (plan, _),
        pytest.raises(UserError, match="workers died of frames 0 to 95"),
    ):
        run(plan, Imagined(*[None] * TRIES))


def test_what_a_worker_raises_is_raised(source: Path, model: Model, tmp_path: Path) -> None:
    with (
        prepared(source, model, settings(tmp_path / "out.mp4")) as (plan, _),
        pytest.raises(UserError, match="no memory"),
    ):
        run(plan, Imagined(UserError("no memory")))


@pytest.mark.slow
def test_a_worker_that_would_make_other_bytes_is_refused_or_admitted(
    source: Path, model: Model, alone: bytes, tmp_path: Path
) -> None:
    """Of another backend, here."""
    pytest.importorskip("torch")
    with prepared(source, model, settings(tmp_path / "out.mp4", workers=2)) as (plan, _):
        remember_choices(plan)
    other = settings(tmp_path / "out.mp4", workers=2, backend="torch")
    with (
        hired_for_clip(plan, model, other) as crew,
        pytest.raises(UserError, match=r"bytes .*engine"),
    ):
        run(plan, crew)
    with hired_for_clip(plan, model, replace(other, mixed=True)) as crew:
        result = run(plan, crew)
    (tmp_path / "alone.mp4").write_bytes(alone)
    pairs = zip(read_pictures(result.output), read_pictures(tmp_path / "alone.mp4"), strict=True)
    for (_, one), (_, two) in pairs:
        assert np.abs(one.astype(int) - two).mean() < 1


@pytest.mark.slow
def test_stopping_keeps_what_is_in_hand(
    source: Path, model: Model, alone: bytes, tmp_path: Path
) -> None:
    chosen = settings(tmp_path / "out.mp4", workers=2)

    class Stopping(Silent):
        def frame_done(self, number: int, stages: StageTimes) -> None:
            stop.wanted = True

    stop = StopRequest()
    with pytest.raises(Stopped) as stopped:
        convert_video(source, model, chosen, Stopping(), stop)
    assert stopped.value.frames_done in (96, 192, FRAMES)
    result = convert_video(source, model, chosen)
    assert result.output.read_bytes() == alone
    assert result.frames_rendered == FRAMES - stopped.value.frames_done


def test_who_wants_to_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgvideo.workers.crew.PATIENCE_SECONDS", 0.1)
    stop, ended = StopRequest(), []

    class Dumb(Imagined):
        """A worker that does not answer, least of all when one wants to stop."""

        def take(self, seconds: float) -> None:  # type: ignore[override]
            stop.wanted = True
            stop.end_others()
            time.sleep(0.01)

        def end(self) -> None:
            ended.append(True)

    crew = Dumb()
    errands: Iterator[Errand] = iter([(0, None), (1, None)])
    assert list(shared_out(crew, errands, lambda errand: [errand], stop)) == []
    assert crew.given == [(0, None)]
    asked = len(ended)
    stop.end_others()
    assert len(ended) == asked > 0  # afterwards it is the crew's no longer


def children(process: int) -> set[int]:
    """Processes that a process has begun."""
    found = Path(f"/proc/{process}/task").glob("*/children")
    return {int(number) for path in found for number in path.read_text().split()}


def is_there(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found in /proc")
def test_a_second_ctrl_c_ends_workers_at_once(
    source: Path, model: Model, tmp_path: Path, environment: dict[str, str]
) -> None:
    options = ("-m", str(model.path), "-o", str(tmp_path / "out.mp4"), *LONG)
    with running(source, environment, *options) as (process, wait_for):
        wait_for("plan")
        until = time.monotonic() + 60
        while not list(tmp_path.glob(".out.mp4.cgvideo/*/.*.partial*")):  # they are at work
            assert time.monotonic() < until
            time.sleep(0.02)
        workers = children(process.pid)
        assert len(workers) >= 2
        process.send_signal(signal.SIGINT)
        wait_for("stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        until = time.monotonic() + 3
        while any(map(is_there, workers)):
            assert time.monotonic() < until
            time.sleep(0.02)


LONG = (
    "--workers",
    "2",
    "--threads",
    "1",
    "--precision",
    "fp32",
    "--codec",
    "av1",
    "--preset",
    "0",
)


def test_an_estimate_knows_that_workers_share_the_cores(
    source: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgvideo.estimate._timed", lambda call: (call(), 1.0))
    monkeypatch.setattr("cgvideo.estimate._smoothing_seconds", lambda size: 10.0)
    with prepared(source, model, settings(tmp_path / "out.mp4")) as (plan, engine):

        def seconds(smooth: float, **more: object) -> float:
            chosen = settings(tmp_path / "out.mp4", **more)
            cost = estimate(replace(plan, smooth=smooth, batch=1), engine, chosen)
            assert cost.seconds is not None
            return (
                cost.seconds
                / FRAMES
                / (1 + (6 / SEGMENT_FRAMES if chosen.by_several and smooth else 0))
            )

        one = seconds(0)
        # Of three segments two workers make two and one, so they take two thirds of the time.
        assert seconds(0, workers=2) == pytest.approx(one * 2 / 3)
        assert seconds(0, workers=9) == pytest.approx(one / 3)
        assert seconds(1, workers=3) == pytest.approx(one / 3 + 10)
        assert seconds(1, workers=3, ray="auto") == pytest.approx((one + 10) / 3)
        assert seconds(1, ray="auto") == pytest.approx(one + 10)


def test_a_plan_that_cannot_be_made_here_says_so(
    source: Path, model: Model, tmp_path: Path
) -> None:
    chosen = settings(tmp_path / "out.mp4", ray="auto", backend="tensorrt", device="cuda")
    with pytest.raises(UserError, match="plan for the cluster is made here"):
        prepared(source, model, chosen).__enter__()


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(UserError, match="contradict"):
        Settings(workers=2, devices=("cuda:0", "cuda:1", "cuda:2"))
    with pytest.raises(UserError, match="too few"):
        Settings(workers=0)


def test_devices_of_this_machine_and_a_cluster_contradict() -> None:
    with pytest.raises(UserError, match="--ray is a cluster's"):
        Settings(devices=("cuda:0", "cuda:1"), ray="auto")


def test_the_first_of_devices_is_the_one_that_is_planned_for() -> None:
    assert engine_request(Settings(devices=("cuda:1", "cuda:0")), None).device == "cuda:1"
    assert engine_request(Settings(devices=("cuda:1",)), None).device == "cuda:1"


def test_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cgvideo.requests.processor", lambda: SimpleNamespace(threads=8))
    for chosen, share in [
        (Settings(workers=2), 4),
        (Settings(devices=("cpu", "cpu")), 4),
        (Settings(ray="auto", workers=10), CLUSTER_CORES),
        (Settings(workers=2, threads=3), 3),
        (Settings(), None),
    ]:
        assert engine_request(chosen, None).threads == share
        assert of_one_worker(chosen, "cpu").threads == share


def test_gpus_that_are_alike_make_one_plan(
    source: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with prepared(source, model, settings(tmp_path / "out.mp4")) as (plan, engine):
        identity = dict(engine.identity)
        plans = []
        for device in ("cuda:0", "cuda:1"):
            monkeypatch.setattr(
                type(engine), "identity", property(lambda _, d=device: identity | {"device": d})
            )
            chosen = settings(tmp_path / "out.mp4")
            plans.append(make_plan(plan.clip, model, engine, chosen, plan.output))
        assert plans[0].fingerprint == plans[1].fingerprint
