"""The script for owners of GPUs: a table whatever happens. The GPU is a fake, the children are canned."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from fake_tensorrt import fake_gpu

from cgvideo.bench import Report, Row
from engines.library import ModelEntry
from engines.model_file import write_model
from engines.survey.driver import Driver, Gpu
from engines.survey.probes import tiny_model

SCRIPT = Path(__file__).parents[2] / "benchmarks/nvidia.py"
DRIVER = Driver("580.1", (13, 0), (Gpu("NVIDIA Fake", (8, 9), 8 << 30),))
TORCH = {"problem": "", "facts": {"device": "cuda"}}
DOCTOR = {
    "event": "doctor",
    "summary": "On this machine convert uses TensorRT in fp16.",
    "findings": [{"mark": "broken", "found": "PyTorch is broken", "mend": "pip install torch"}],
    "seen": {"survey": {"runtimes": {"torch": TORCH}}},
}
REPORT = Report(
    "summer2winter", "24x6", (1920, 1080), 8, 1, 174.0, 90.0, "TensorRT: it is there",
    (Row("convert, tensorrt fp16", (0.01,)),),
    (Row("tensorrt fp16", (0.004,), psnr=57.1), Row("openvino fp32", (0.8,), psnr=99.0),
     Row("torch fp16", problem="out | of memory")),
    (Row("decode", (0.002,)), Row("to device", (0.0005,)), Row("engine", (0.004,)),
     Row("back", (0.0005,)), Row("encode", (0.003,))),
    ("onnxruntime is not installed",),
    {"processor": {"name": "AMD EPYC", "cores": 2}, "system": "Linux-6"},
)  # fmt: skip
BENCH = {"event": "bench", **REPORT.describe()}
RESULTS = """<testsuites><testsuite>
<testcase name="test_shape[tensorrt-cuda]"/>
<testcase name="test_parity[tensorrt-cuda]"><failure message="assert 40 &gt; 45&#10;more"/></testcase>
<testcase name="test_deep"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = spec_from_file_location("nvidia", SCRIPT)
    assert spec
    assert spec.loader
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "driver", lambda: DRIVER)
    return script


@pytest.fixture
def children(nvidia: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each child prints, or how it fails; "asked" collects the commands."""
    said: dict[str, Any] = {"doctor": DOCTOR, "bench": BENCH, "pytest": RESULTS, "asked": []}
    said["nvidia.py"] = ["parity, summer2winter, self, fp16", "57.1 dB, at most 3 of 255 levels"]

    def run(command: list[str], minutes: float, output: Any, environment: Any = None) -> None:
        said["asked"].append((command, environment))
        told = said[command[1] if command[0] == "cgvideo" else Path(command[0]).name]
        if isinstance(told, Exception):
            raise told
        if command[0] == "pytest":
            option = next(word for word in command if word.startswith("--junitxml="))
            Path(option.partition("=")[2]).write_text(told)
        else:
            output.write(f"some library says hello\n{json.dumps(told)}\n")

    monkeypatch.setattr(nvidia, "run", run)
    return said


@pytest.fixture
def gpu() -> Iterator[Any]:
    with fake_gpu("tensorrt_rtx") as record:
        yield record


def _table(nvidia: Any, path: Path) -> dict[str, str]:
    assert nvidia.main(["-o", str(path), "--seconds", "1"]) == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["| what | found |", "|---|---|"]
    assert all(line.count("|") == 3 for line in lines)
    return dict(line.strip("| ").split(" | ", 1) for line in lines[2:])


def test_without_a_gpu_it_says_so_in_one_line(
    nvidia: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    def fail() -> None:
        raise OSError("cuInit says CUDA_ERROR_UNKNOWN (999)")

    for there, word in ((lambda: None, "no NVIDIA GPU"), (fail, "CUDA_ERROR_UNKNOWN")):
        monkeypatch.setattr(nvidia, "driver", there)
        assert nvidia.main(["-o", str(tmp_path / "table.md")]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert word in said.err
    assert not (tmp_path / "table.md").exists()


@pytest.mark.usefixtures("gpu")
def test_one_table_holds_everything_and_is_printed_too(
    nvidia: Any, children: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    table = _table(nvidia, tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out
    assert table["GPU"] == "NVIDIA Fake, compute capability 8.9, 8 GiB"
    assert table["driver"] == "580.1 (CUDA 13.0)"
    assert "openvino" in table["versions"]
    assert table["date"].startswith("20")
    assert table["doctor"] == DOCTOR["summary"]
    assert table["broken"] == "PyTorch is broken. pip install torch"
    assert table["contract tests, tensorrt"] == (
        "1 passed, 1 skipped, **1 failed** (test_parity[tensorrt-cuda]); the first: assert 40 > 45 more"
    )
    assert "contract tests, torch" in table
    assert table["parity, summer2winter, self, fp16"].startswith("57.1 dB")
    name = "1920x1080, summer2winter (24x6)"
    alone = f"{name}, engine alone"
    fast = table[f"{alone}: tensorrt fp16"]
    assert fast == "0.00400 s/frame, 250.0 frames/s, 57.1 dB to fp32"
    assert table[f"{alone}: openvino fp32"].endswith("same as fp32")
    assert table[f"{alone}: torch fp16"] == "**failed**: out / of memory"
    assert f"{name}, from file to file: convert, tensorrt fp16" in table
    stages = table[f"{name}, stages in s/frame"]
    for stage in ("decode 0.00200", "to device 0.00050", "back 0.00050", "slowest: engine"):
        assert stage in stages
    commands = {" ".join(command): environment for command, environment in children["asked"]}
    assert sum("1920x1080" in command for command in commands) == 2
    assert any("random.safetensors --backend tensorrt" in command for command in commands)
    tests = [environment for command, environment in commands.items() if "pytest" in command]
    assert tests == [{"CGVIDEO_REQUIRE_CUDA": "1"}] * 2


@pytest.mark.usefixtures("gpu")
def test_a_part_that_fails_is_a_row_and_the_rest_goes_on(
    nvidia: Any, children: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children["doctor"] = nvidia.PartError("crashes (SIGSEGV)")
    children["bench"] = {"event": "error", "problem": "No memory", "mend": "Buy some"}
    children["pytest"] = nvidia.PartError("not done in 60 minutes")
    table = _table(nvidia, tmp_path / "table.md")
    assert table["cgvideo doctor"] == "**failed**: crashes (SIGSEGV)"
    assert table["contract tests, tensorrt"] == "**failed**: not done in 60 minutes"
    assert table["parity, summer2winter, self, fp16"].startswith("57.1 dB")
    for bench in ("bench of summer2winter", "bench of a 64x9"):
        assert table[bench] == "**failed**: No memory. Buy some"
    there = nvidia.installed
    monkeypatch.setattr(nvidia, "installed", lambda name: name != "pytest" and there(name))
    table = _table(nvidia, tmp_path / "table.md")
    assert table["contract tests"] == "**failed**: pytest is missing: pip install pytest"


def test_without_a_tensorrt_for_it_the_line_is_given_and_torch_measured(
    nvidia: Any, children: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hopper = replace(DRIVER, gpus=(Gpu("NVIDIA H100", (9, 0), 80 << 30),))
    monkeypatch.setattr(nvidia, "driver", lambda: hopper)
    monkeypatch.setattr("engines.tensorrt.flavour.installed", lambda: ())
    monkeypatch.setattr(nvidia, "installed", lambda name: True)
    table = _table(nvidia, tmp_path / "table.md")
    assert "pypi.nvidia.com" in table["parity"]
    assert "contract tests, torch" in table
    assert "contract tests, tensorrt" not in table
    commands = [" ".join(command) for command, _ in children["asked"]]
    assert any("random.safetensors --backend torch" in command for command in commands)


@pytest.mark.slow
def test_parity_is_measured_in_every_form_and_precision(
    nvidia: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.safetensors"
    write_model(file, tiny_model())
    entries = [ModelEntry("tiny", file, True), ModelEntry("mine", tmp_path / "no", False)]
    monkeypatch.setattr(nvidia, "list_models", lambda: entries)
    with fake_gpu("tensorrt"):
        rows = dict(nvidia.parity_rows())
    forms = ("self", "statistics", "measure")
    assert list(rows) == [f"parity, tiny, {form}, {p}" for form in forms for p in ("fp16", "fp32")]
    for text in rows.values():
        assert float(text.split(" dB")[0]) > 45, text
        assert "**" not in text
    with fake_gpu("tensorrt", {"run"}):
        rows = dict(nvidia.parity_rows())
    assert all("**failed**: TensorRT fails on cuda" in text for text in rows.values())


def test_a_child_that_crashes_or_hangs_is_told_from_one_that_answers(
    nvidia: Any, tmp_path: Path
) -> None:
    crash = tmp_path / "crash.py"
    crash.write_text('import os\nprint(\'["parity, a", "50 dB"]\', flush=True)\nos.abort()')
    lines, problem = nvidia.said_by([str(crash)], 1)
    assert lines == ['["parity, a", "50 dB"]']
    assert "SIGABRT" in str(problem) or sys.platform == "win32"
    hang = tmp_path / "hang.py"
    hang.write_text("import time\ntime.sleep(60)")
    assert "not done in" in str(nvidia.said_by([str(hang)], 0.3 / 60)[1])
    with pytest.raises(nvidia.PartError, match="abacus"):  # the real command, and its JSON
        nvidia.answer(["bench", "--json", "--backend", "abacus"], 1)
