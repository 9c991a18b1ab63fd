"""Whatever a driver or a runtime does, only the child suffers."""

import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fake_tensorrt import GENERATIONS, fake_gpu

from engines.errors import UserError
from engines.survey import probes, runtimes
from engines.survey.probing import ask
from engines.tensorrt.flavour import installed

MISCHIEF = """
import os, sys, time
from engines.survey.probing import reply

def crash(): os.abort()
def hang(): time.sleep(60)
def fail(): raise ImportError("libnothing.so.1: cannot open shared object file\\nand more")
def hush(): raise AssertionError
def leave(): os._exit(7)
def chat():
    print("loading the plugin", flush=True)
    return {"answer": 42}
def babble():
    print("no answer at all", flush=True)
    os._exit(0)
def listing():
    print([1, 2], flush=True)
    os._exit(0)
def nvidia(): MISCHIEF()

if __name__ == "__main__":
    reply({f.__name__: f for f in (crash, hang, fail, hush, leave, chat, babble, listing, nvidia)})
"""


@pytest.fixture
def mischief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module of probes that misbehave; give it what its `nvidia` does."""

    def write(nvidia: str = "crash") -> str:
        (tmp_path / "mischief.py").write_text(MISCHIEF.replace("MISCHIEF", nvidia))
        monkeypatch.syspath_prepend(tmp_path)
        return "mischief"

    return write


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        pytest.param(
            "crash",
            "crashes (SIGABRT)",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals"),
        ),
        ("fail", "ImportError: libnothing.so.1: cannot open shared object file"),
        ("hush", "AssertionError"),
        ("leave", "fails (exit code 7)"),
        ("babble", "answers nonsense"),
        ("listing", "answers nonsense"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(mischief, question, problem):
    answer = ask(mischief(), question)
    assert answer.problem == problem
    assert not answer.facts


def test_a_child_that_hangs_is_ended(mischief):
    began = time.monotonic()
    assert "hangs" in ask(mischief(), "hang", seconds=0.5).problem
    assert time.monotonic() - began < 5


STUCK = """
import ctypes, os
from pathlib import Path
from engines.survey.probing import reply

def stuck(file):
    Path(file).write_text(str(os.getpid()))
    lock, driver = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    driver.pthread_mutex_lock(lock)
    driver.pthread_mutex_lock(lock)  # never comes back, and no signal handler of Python's runs

if __name__ == "__main__":
    reply({"stuck": stuck})
"""


ASKING = """
import sys
from concurrent.futures import ThreadPoolExecutor
from engines.survey.probing import ask

with ThreadPoolExecutor() as pool:  # as a survey does
    pool.submit(ask, "stuck", "stuck", sys.argv[1], seconds=float(sys.argv[2])).result()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the lock that never comes is Linux's")
@pytest.mark.parametrize("how", ["Ctrl-C", "killed"])
def test_no_child_outlives_the_program_that_asked(tmp_path, how):
    (tmp_path / "stuck.py").write_text(STUCK)
    file = tmp_path / "child"
    seconds = 60 if how == "Ctrl-C" else 3
    path = os.pathsep.join([str(tmp_path), *sys.path])
    program = subprocess.Popen(
        [sys.executable, "-c", ASKING, str(file), str(seconds)],
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    child = 0
    try:
        child = _until(lambda: int(file.read_text() or 0))
        if how == "Ctrl-C":
            os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        else:
            program.kill()
        program.wait(10)
        assert _until(lambda: not _lives(child))
    finally:
        program.kill()
        with suppress(ProcessLookupError):
            os.kill(child or program.pid, signal.SIGKILL)


def _until(look):
    """What `look` finds, once it finds something; 20 seconds at most."""
    end = time.monotonic() + 20
    found = None
    while not found and time.monotonic() < end:
        with suppress(OSError):
            found = look()
        time.sleep(0.05)
    return found


def _lives(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_pytorch_is_tried_without_compiling_anything(monkeypatch):
    asked = []

    def note(model, request):
        asked.append(request)
        raise RuntimeError("seen")

    monkeypatch.setattr(probes, "open_engine", note)
    with pytest.raises(RuntimeError, match="seen"):
        probes.torch("cuda")
    assert asked[0].device == "cuda"
    assert asked[0].size is None  # a fixed size is compiled, longer than a child may take


@pytest.mark.parametrize("generation", GENERATIONS)
def test_tensorrt_is_tried_by_running_a_generator(generation):
    with fake_gpu(generation) as record:
        facts = probes.tensorrt(generation)
    assert facts["tried"] == "generator"
    assert facts["device"] == "cuda:0"
    assert facts["precision"] in ("fp16", "fp32")
    assert "deserialize" in record
    with fake_gpu(generation, {"run"}), pytest.raises(UserError, match="does not run") as caught:
        probes.tensorrt(generation)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "gone", "tried"),
    [
        ("tensorrt_rtx", "driver", "builder"),
        ("tensorrt", "driver", ""),  # to load it would crash
        ("tensorrt_rtx", "bindings", "builder"),
    ],
)
def test_tensorrt_that_cannot_run_here_is_asked_for_less(package, gone, tried):
    with fake_gpu(package) as record, pytest.MonkeyPatch.context() as patch:
        if gone == "driver":
            patch.setattr(probes, "driver", lambda: None)
        else:
            patch.setitem(sys.modules, "cuda.core", None)  # its import fails
        if not tried:
            patch.setitem(sys.modules, package, None)
        assert probes.tensorrt(package) == {"tried": tried}
        assert "deserialize" not in record


def test_rtx_makes_a_builder_without_a_gpu():
    if not any(flavour.builds_anywhere for flavour in installed()):
        pytest.skip("TensorRT for RTX is not installed")
    found = runtimes.runtime("tensorrt_rtx")
    assert found.works, found.problem
    assert found.version


def test_the_speed_is_the_usual_not_the_best(monkeypatch):
    class Uneven:
        identity, description, why = {}, "", ""

        def __init__(self):
            self.naps = itertools.chain([0.2, 0.01], itertools.repeat(0.05))

        def __call__(self, frames):
            time.sleep(next(self.naps))

        def __enter__(self):
            return self

        def __exit__(self, *error): ...

    monkeypatch.setattr(probes, "open_engine", lambda model, request: Uneven())
    monkeypatch.setattr(probes, "SPEED_SECONDS", 0.6)
    assert probes.speed()["seconds"] >= 0.05


def test_what_a_library_prints_does_not_matter(mischief):
    assert ask(mischief(), "chat").facts == {"answer": 42}


def test_a_folder_that_happens_to_be_here_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "__init__.py").write_text("raise SystemExit('taken in')")
    (tmp_path / "json.py").write_text("raise SystemExit('taken in')")
    monkeypatch.chdir(tmp_path)
    answer = ask("engines.survey.probes", "nvidia")
    assert "installed" in answer.facts or answer.problem  # answered, whatever the driver says
    assert "taken in" not in answer.problem


@pytest.mark.parametrize(
    ("nvidia", "problem"), [("crash", "crashes"), ("fail", "ImportError"), ("babble", "nonsense")]
)
def test_a_broken_driver_is_a_finding(mischief, monkeypatch, nvidia, problem):
    monkeypatch.setattr(runtimes, "PROBES", mischief(nvidia))
    found = runtimes.nvidia()
    assert found.installed
    assert problem in found.problem
    assert not found.gpus


def test_a_runtime_that_is_not_installed_is_not_asked(monkeypatch):
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    found = runtimes.runtime("torch")
    assert found.version is None
    assert not found.works


def test_a_runtime_that_crashes_is_present_but_broken(mischief, monkeypatch):
    module = mischief()
    monkeypatch.setattr(runtimes, "ask", lambda probes, *questions: ask(module, "crash"))
    found = runtimes.runtime("openvino")
    assert found.version
    assert not found.works
    assert found.problem


def test_openvino_says_what_it_really_computes_in():
    found = runtimes.runtime("openvino")
    assert found.works, found.problem
    assert found.facts["precision"] in ("fp32", "bf16", "fp16")
    assert "CPU" in found.facts["devices"]


def test_a_card_is_seen_without_its_driver(tmp_path):
    for number, (vendor, kind) in enumerate([("0x8086", "0x030000"), ("0x10de", "0x040300")]):
        folder = tmp_path / f"sys/bus/pci/devices/{number}"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    assert not runtimes.nvidia_card(tmp_path)  # another maker's, and the sound of one of NVIDIA's
    (folder / "class").write_text("0x030200\n")
    assert runtimes.nvidia_card(tmp_path)
