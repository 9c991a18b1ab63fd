"""Whatever a driver or a runtime does, only the child suffers."""

import sys
import time
from pathlib import Path

import pytest

from engines.survey import runtimes
from engines.survey.probing import ask

MISCHIEF = """
import os, sys, time
from engines.survey.probing import reply

def crash(): os.abort()
def hang(): time.sleep(60)
def fail(): raise ImportError("libnothing.so.1: cannot open shared object file\\nand more")
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
    reply({f.__name__: f for f in (crash, hang, fail, leave, chat, babble, listing, nvidia)})
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
