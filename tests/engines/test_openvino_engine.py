import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines import openvino_engine
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.errors import UserError
from engines.library import find_model
from engines.openvino_engine import StreamTimings, measure_streams
from engines.openvino_runtime import usual_threads
from engines.spec import GeneratorSpec
from engines.store import EngineStore
from engines.survey.machine import processor

SPY = """
import sys
def watch(event, details):
    if event.startswith("socket.") or event.startswith("urllib"):
        print("network:", event, details, flush=True)
sys.addaudithook(watch)
import numpy as np
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.library import find_model
request = EngineRequest("openvino", size=(64, 64), streams=1)
with open_engine(find_model("summer2winter"), request) as engine:
    engine(np.zeros((1, 64, 64, 3), np.uint8))
assert "torch" not in sys.modules
print("done")
"""


def test_nothing_is_sent_and_nothing_left_at_home(tmp_path):
    environment = dict(os.environ) | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    environment.pop("XDG_CACHE_HOME", None)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [sys.executable, "-c", SPY],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["done"]
    assert not list(tmp_path.iterdir())


def test_half_precision_keeps_the_picture(check_picture, check_results, assert_close):
    for name, expected in check_results.items():
        request = EngineRequest("openvino", streams=1)
        with open_engine(find_model(name), request) as engine:
            assert_close(engine(check_picture[None])[0], expected, 8, 40)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_the_cpu_lacks_is_said(small_model, precision):
    request = EngineRequest("openvino", precision=precision)
    if precision.upper() in _capabilities(small_model):
        with open_engine(small_model, request) as engine:
            assert engine.identity["precision"] == precision
    else:
        with pytest.raises(UserError, match=f"does not compute in {precision}"):
            open_engine(small_model, request)


@pytest.mark.parametrize(
    ("kept", "refusal"),
    [(True, RuntimeError("places\nno primitive")), (False, UserError("no primitive"))],
)
def test_bf16_that_does_not_compile_gives_way_to_fp32(
    small_model, tmp_path, monkeypatch, kept, refusal
):
    """As where ONEDNN_MAX_CPU_ISA forbids what the processor has, and OpenVINO says bf16 all the same."""
    compiled = openvino_engine._compile

    def refuse(model, request):
        if request.precision == "bf16":
            raise refusal
        return compiled(model, request)

    monkeypatch.setattr(openvino_engine, "_compile", refuse)
    monkeypatch.setattr(openvino_engine, "best_precision", lambda device, pixels: "bf16")
    store = EngineStore(tmp_path) if kept else None
    with open_engine(small_model, EngineRequest("openvino", size=(64, 64)), store) as engine:
        assert engine.identity["precision"] == "fp32"
        assert "bf16 fails here (no primitive)" in engine.why
    with pytest.raises(UserError, match="no primitive"):
        open_engine(small_model, EngineRequest("openvino", precision="bf16", streams=1), store)


def _capabilities(model):
    with open_engine(model, EngineRequest("openvino")) as engine:
        return engine.identity["capabilities"].split()


def test_streams_are_measured_and_can_be_asked_for_again(small_model):
    request = EngineRequest("openvino", size=(64, 64))
    timings = measure_streams(small_model, request, most_seconds=0.2)
    assert 1 in timings.seconds
    assert timings.best in timings.seconds
    with open_engine(small_model, request) as engine:
        assert "s a frame" in engine.why
        assert int(engine.identity["streams"]) >= 1


def test_more_streams_must_earn_it():
    assert StreamTimings({1: 0.100, 2: 0.098}).best == 1
    assert StreamTimings({1: 0.100, 2: 0.070, 4: 0.069}).best == 2


def test_threads_are_respected(small_model):
    with open_engine(small_model, EngineRequest("openvino", threads=1, streams=1)) as engine:
        assert engine.identity["threads"] == "1"


def test_no_more_threads_than_the_quota_feeds(small_model, monkeypatch):
    """By itself OpenVINO goes by the cores that it may run on."""
    for quota, expected in ((0.5, "1"), (None, str(usual_threads()))):
        limited = replace(processor(), quota=quota)
        monkeypatch.setattr(openvino_engine, "processor", lambda limited=limited: limited)
        with open_engine(small_model, EngineRequest("openvino", streams=1)) as engine:
            assert engine.identity["threads"] == expected


@pytest.mark.parametrize("device", ["npu7", ""])
def test_unknown_device(small_model, device):
    with pytest.raises(UserError, match="no device"):
        open_engine(small_model, EngineRequest("openvino", device=device))


def test_other_threads_are_another_engine(small_model, tmp_path, monkeypatch):
    """By those that this process may use: a container has fewer than its machine."""
    request = EngineRequest("openvino", precision="fp32", streams=1, size=(64, 64))
    why = []
    for usable in (1, 1, 3):
        few = replace(processor(), cores=usable)
        monkeypatch.setattr("engines.openvino_engine.processor", lambda few=few: few)
        with open_engine(small_model, request, EngineStore(tmp_path)) as engine:
            why.append("built now" in engine.why)
    assert why == [True, False, True]


class FailingRequest:
    """Fails when it is waited for, but only after it was started."""

    def __init__(self, number, waited):
        self.number, self.waited, self.started = number, waited, False

    def set_input_tensor(self, number, tensor):
        pass

    def set_output_tensor(self, number, tensor):
        pass

    def start_async(self):
        self.started = True

    def wait(self):
        if self.started:
            self.waited.append(self.number)
            raise RuntimeError(f"device lost, request {self.number}")


def test_all_requests_are_waited_for_when_one_fails(small_model):
    """They write into memory that is freed when the call ends."""
    request = EngineRequest("openvino", "cpu", "fp32", streams=3)
    with open_engine(small_model, request) as engine:
        waited = []
        engine._requests = [FailingRequest(number, waited) for number in range(3)]
        with pytest.raises(RuntimeError, match="device lost"):
            engine(np.zeros((3, 32, 32, 3), np.uint8))
    assert sorted(waited) == [0, 1, 2]


def test_same_bytes_again_after_reopening(check_picture):
    model = find_model("summer2winter")
    frames = np.stack([check_picture, check_picture[::-1]])
    results = []
    for _ in range(2):
        with open_engine(model, EngineRequest("openvino", size=(64, 96), streams=2)) as engine:
            results += [engine(frames), engine(frames)]
            identity = dict(engine.identity)
    assert all(np.array_equal(results[0], result) for result in results)
    assert identity["model"] == model.sha256


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads are bound on Linux alone")
def test_few_threads_are_bound_to_no_core(make_model):
    """Else the engines of several processes, a thread each, would share the first core."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) == 1:
        pytest.skip("there is one core only")
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())
    seen = []
    request = EngineRequest("openvino", "cpu", "fp32", streams=1, threads=1)
    with (
        open_engine(make_model(GeneratorSpec(base_channels=8, blocks=1)), request) as engine,
        ThreadPoolExecutor(1) as beside,
    ):
        working = beside.submit(engine, np.zeros((1, 480, 640, 3), np.uint8))
        while not working.done():
            for task in set(tasks.iterdir()) - before:
                with suppress(ProcessLookupError):
                    seen.append(os.sched_getaffinity(int(task.name)))
    assert seen
    assert all(cores == allowed for cores in seen)
