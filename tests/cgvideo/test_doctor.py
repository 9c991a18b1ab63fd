"""The doctor: looks at anything, survives it, and says what it means."""

import json
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from commandline import Cli

from cgvideo.cli import main
from cgvideo.cli.doctor import described, doctor
from cgvideo.codec.hardware import MISSING, Trial
from cgvideo.doctor import Diagnosis, Examination, Finding, diagnose, examination, examine
from cgvideo.doctor.examination import Folder, look_at
from engines.survey import runtimes
from engines.survey.driver import Gpu
from engines.survey.machine import Memory, Processor
from engines.survey.probing import Answer, ask
from engines.survey.runtimes import Nvidia, Runtime, Survey

RTX = Gpu("NVIDIA GeForce RTX 4090", (8, 9), 24 << 30)
PASCAL = Gpu("NVIDIA GeForce GTX 1080", (6, 1), 8 << 30)
BLACKWELL = Gpu("NVIDIA GeForce RTX 5090", (12, 0), 32 << 30)
SPEED = Answer({"seconds": 0.1, "identity": {"backend": "openvino", "precision": "fp32"}})
HOPPER = Gpu("NVIDIA H100 80GB HBM3", (9, 0), 80 << 30)
ABSENT = {
    name: Runtime(name)
    for name in ("torch", "onnxruntime", "tensorrt", "tensorrt_rtx", "cuda.core")
}
BINDINGS = {"cuda.core": Runtime("cuda.core", "1.2.2", {"version": "1.2.2"})}
RAN = {"tried": "generator", "device": "cuda:0", "precision": "fp16"}
OPENVINO = Runtime("openvino", "2026.4.1", {"precision": "fp32", "devices": ["CPU"]})
FOLDER = Folder(Path("somewhere"), writable=True, size=0, free=1 << 40)


def _seen(instructions: tuple[str, ...] = ("avx2",), **changed: Any) -> Examination:
    """A machine with AVX2 alone, made up; all that is not `changed` is well."""
    processor = Processor("Old One", "x86_64", instructions, 4, 4, None)
    seen = Examination(
        processor,
        Memory(16 << 30, 12 << 30, None),
        Survey(Nvidia(), {**ABSENT, "openvino": OPENVINO}),
        SPEED,
        Trial(),
        {},
        ("h264", "hevc", "ffv1", "av1"),
        0,
        FOLDER,
        FOLDER,
        FOLDER,
    )
    return replace(seen, **changed)


def _survey(nvidia: Nvidia | None = None, **changed: Runtime) -> Survey:
    return Survey(nvidia or Nvidia(), {**ABSENT, "openvino": OPENVINO, **changed})


def _about(diagnosis: Diagnosis, word: str) -> Finding:
    return next(finding for finding in diagnosis.findings if word in finding.found)


def test_the_command_speaks_of_everything_and_ends_well(cli: Cli) -> None:
    result = cli("doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    sections = ("Processor", "Memory", "NVIDIA GPU", "Runtimes", "Video", "Folders")
    places = [result.stdout.index(f"\n{section}\n") for section in sections]
    assert places == sorted(places)
    for word in ("OpenVINO", "really computes in", "TensorRT", "NVENC", "NVDEC", "cache", "h264"):
        assert word in result.stdout
    assert "On this machine convert uses" in result.stdout
    # As wide as a terminal nobody knows; a path stays whole.
    assert all(len(line) <= 80 for line in result.stdout.splitlines() if "/" not in line)


CRASH_ON_NVIDIA = """
import os, sys, time
from engines.survey import probes
from engines.survey.probing import reply
def nvidia(): NVIDIA
if __name__ == "__main__":
    reply({**probes.QUESTIONS, "nvidia": nvidia})
"""


@pytest.mark.parametrize(
    ("nvidia", "problem"),
    [
        ("os.abort()", "crashes"),
        ("time.sleep(60)", "hangs"),
        ("os.write(1, b'42\\n'); os._exit(0)", "nonsense"),
    ],
)
def test_a_driver_that_misbehaves_is_a_finding_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvidia: str, problem: str
) -> None:
    (tmp_path / "misbehaving.py").write_text(CRASH_ON_NVIDIA.replace("NVIDIA", nvidia))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(runtimes, "PROBES", "misbehaving")
    monkeypatch.setattr(
        runtimes, "ask", lambda module, *words, seconds=30.0: ask(module, *words, seconds=1)
    )
    monkeypatch.setattr(examination, "ask", lambda module, *words: SPEED)
    diagnosis = diagnose(
        replace(_seen(), survey=Survey(runtimes.nvidia(), _survey().runtimes), hardware={})
    )
    finding = _about(diagnosis, "present but broken")
    assert problem in finding.found
    assert finding.mark == "broken"
    assert diagnosis.able  # convert does without it
    assert "is broken that it can do without" in diagnosis.summary


def test_the_whole_look_survives_runtimes_that_all_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = "import os\nos.abort()\n"
    (tmp_path / "crashing.py").write_text(crash)
    monkeypatch.syspath_prepend(tmp_path)
    for module in (runtimes, examination):
        monkeypatch.setattr(module, "PROBES", "crashing")
    seen = examine()
    diagnosis = diagnose(seen)
    assert not diagnosis.able
    told = json.loads(json.dumps(described(seen, diagnosis)))
    assert told["seen"]["processor"]["cores"] >= 1
    assert "convert does not run on this machine" in diagnosis.summary
    assert _about(diagnosis, "OpenVINO").vital


def test_a_processor_with_avx2_alone_is_told_what_is_right_for_it() -> None:
    finding = _about(diagnose(_seen()), "AVX2")
    assert "fp32" in finding.means
    assert finding.mark == "better"
    assert "--max-size" in finding.mend
    openvino = _about(diagnose(_seen()), "OpenVINO")
    assert "fp32" in openvino.found
    assert "silently ignored" in openvino.means
    assert openvino.mark == "ok"


def test_bf16_that_is_there_and_not_used_is_worth_a_line() -> None:
    seen = _seen(("avx2", "avx512f", "avx512_bf16"))
    assert _about(diagnose(seen), "AVX-512 with bf16").mark == "ok"
    assert _about(diagnose(seen), "OpenVINO").mark == "better"
    used = replace(OPENVINO, facts={"precision": "bf16", "devices": ["CPU"]})
    seen = replace(seen, survey=_survey(openvino=used))
    assert _about(diagnose(seen), "OpenVINO").mark == "ok"


@pytest.mark.parametrize("instructions", [("avx2", "avx512f"), ("avx2",), ("asimd",)])
def test_bf16_that_the_system_does_not_tell_of_is_believed_to_openvino(
    instructions: tuple[str, ...],
) -> None:
    """Windows and macOS do not tell of AVX-512's bf16."""
    used = replace(OPENVINO, facts={"precision": "bf16", "devices": ["CPU"]})
    diagnosis = diagnose(_seen(instructions, survey=_survey(openvino=used)))
    assert not any("without bf16" in finding.found for finding in diagnosis.findings)
    assert not any("fp32;" in finding.means for finding in diagnosis.findings)
    assert _about(diagnosis, "bf16, which OpenVINO uses").mark == "ok"


def test_an_arm_processor_with_bf16_is_not_told_that_it_has_none() -> None:
    means = _about(diagnose(_seen(("asimd", "bf16"))), "OpenVINO").means
    assert "no bf16" not in means


def test_what_is_free_beside_a_containers_limit_is_the_machines() -> None:
    seen = _seen(memory=Memory(64 << 30, 50 << 30, 4 << 30))
    found = _about(diagnose(seen), "GiB").found
    assert found == "4.0 GiB (cgroup limit; the machine has 64.0, 50.0 free)"


@pytest.mark.parametrize(
    ("nvidia", "torch", "words"),
    [
        (Nvidia(True, True, "580.1", "13.0", (RTX,)), None, ["pip install 'cgvideo[torch]'"]),
        (
            Nvidia(True, True, "580.1", "13.0", (RTX,)),
            Runtime("torch", "2.13.0+cpu", {"device": "cpu"}),
            ["pip install", "cu130"],
        ),
        (
            Nvidia(True, True, "560.1", "12.6", (RTX,)),
            Runtime("torch", "2.13.0+cpu", {"device": "cpu"}),
            ["cu126"],
        ),
        (
            Nvidia(True, True, "580.1", "13.0", (PASCAL,)),
            Runtime("torch", "2.13.0", {"device": "cpu"}),
            ["pip install", "cu126"],
        ),
        (
            Nvidia(True, True, "390.1", "9.1", (RTX,)),
            Runtime("torch", "2.13.0", {"device": "cpu"}),
            ["install NVIDIA's newest driver, then pip", "cu130"],
        ),
        (
            Nvidia(True, True, "570.1", "12.8", (BLACKWELL,)),
            Runtime("torch", "2.13.0", {"device": "cpu"}),
            ["install NVIDIA's newest driver, then pip", "cu130"],
        ),
        (Nvidia(True), None, ["install NVIDIA's driver", "--gpus all"]),
        (Nvidia(True, True, "580.1", "13.0"), None, ["CUDA_VISIBLE_DEVICES"]),
    ],
    ids=[
        "no torch",
        "torch for CPUs",
        "older driver",
        "older GPU",
        "very old driver",
        "newer GPU",
        "no driver",
        "hidden",
    ],
)
def test_a_gpu_that_lies_idle_gets_the_line_that_wakes_it(
    nvidia: Nvidia, torch: Runtime | None, words: list[str]
) -> None:
    survey = _survey(nvidia, **({"torch": torch} if torch else {}))
    diagnosis = diagnose(_seen(survey=survey))
    finding = next(each for each in diagnosis.findings if each.section == "NVIDIA GPU")
    assert finding.mark == "better"
    for word in words:
        assert word in finding.mend


def test_a_pytorch_that_fails_on_a_gpu_gets_the_build_for_it() -> None:
    nvidia = Nvidia(True, True, "580.1", "13.0", (PASCAL,))
    torch = Runtime("torch", "2.13.0", {}, "no kernel image is available")
    finding = _about(diagnose(_seen(survey=_survey(nvidia, torch=torch))), "no kernel image")
    assert "whl/cu126" in finding.mend


def test_a_broken_driver_is_blamed_once() -> None:
    nvidia = Nvidia(True, True, problem="crashes (SIGSEGV)")
    rtx = Runtime("tensorrt_rtx", "1.7", {}, "crashes (SIGSEGV)")
    diagnosis = diagnose(_seen(survey=_survey(nvidia, tensorrt_rtx=rtx)))
    broken = [each.section for each in diagnosis.findings if each.mark == "broken"]
    assert broken == ["NVIDIA GPU"]
    assert "not tried" in _about(diagnosis, "NVENC").found


def _on(gpu: Gpu, **runtimes: Runtime) -> Diagnosis:
    nvidia = Nvidia(True, True, "580.1", "13.0", (gpu,))
    return diagnose(_seen(survey=_survey(nvidia, **runtimes)))


def test_tensorrt_that_ran_is_what_convert_uses() -> None:
    rtx = Runtime("tensorrt_rtx", "1.7.1", RAN)
    torch = Runtime("torch", "2.13.0", {"device": "cuda", "precision": "fp16"})
    diagnosis = _on(RTX, tensorrt_rtx=rtx, torch=torch, **BINDINGS)
    assert "through TensorRT in fp16" in _about(diagnosis, "RTX 4090, 24 GiB").means
    assert "ran a small generator" in _about(diagnosis, "TensorRT for RTX 1.7.1").found
    assert _about(diagnosis, "cuda-core").mark == "ok"
    assert not any(each.mark == "better" for each in diagnosis.findings if "GPU" in each.found)
    alone = _on(RTX, tensorrt_rtx=rtx, **BINDINGS)
    assert _about(alone, "PyTorch is not installed").mark == "ok"


@pytest.mark.parametrize(
    ("gpu", "mend"),
    [
        (RTX, "pip install 'cgvideo[tensorrt]'"),
        (BLACKWELL, "pip install 'cgvideo[tensorrt]'"),
        (HOPPER, "pip install tensorrt cuda-core"),
        (PASCAL, ""),
    ],
)
def test_each_gpu_gets_the_line_of_the_tensorrt_that_suits(gpu: Gpu, mend: str) -> None:
    diagnosis = _on(gpu)
    findings = [each for each in diagnosis.findings if each.found.startswith("TensorRT")]
    assert len(findings) == 1
    assert findings[0].mend.startswith(mend)
    assert findings[0].mark == ("better" if mend else "ok")
    assert mend in _about(diagnosis, "compute capability").mend
    assert "cgvideo[torch]" in _about(diagnosis, "compute capability").mend


def test_a_tensorrt_that_does_not_suit_is_told_with_the_one_that_does() -> None:
    built = Runtime("tensorrt_rtx", "1.7.1", {"tried": "builder"})
    torch = Runtime("torch", "2.13.0", {"device": "cuda", "precision": "fp16"})
    diagnosis = _on(HOPPER, tensorrt_rtx=built, torch=torch, **BINDINGS)
    unsuited = _about(diagnosis, "does not run on NVIDIA H100")
    assert unsuited.mark == "ok"
    assert "export --target tensorrt" in unsuited.means
    assert "pypi.nvidia.com" in _about(diagnosis, "is not installed").mend
    assert "through PyTorch" in _about(diagnosis, "compute capability").means
    both = _on(HOPPER, tensorrt_rtx=built, tensorrt=Runtime("tensorrt", "11.4", RAN), **BINDINGS)
    assert "through TensorRT" in _about(both, "compute capability").means


def test_tensorrt_without_its_bindings_is_not_used() -> None:
    rtx = Runtime("tensorrt_rtx", "1.7.1", {"tried": "builder"})
    diagnosis = _on(RTX, tensorrt_rtx=rtx)
    finding = _about(diagnosis, "cuda-core")
    assert finding.mark == "better"
    assert "cgvideo[tensorrt]" in finding.mend
    assert "nothing uses it" in _about(diagnosis, "compute capability").means


def test_tensorrt_that_fails_says_why_and_what_convert_does() -> None:
    torch = Runtime("torch", "2.13.0", {"device": "cuda", "precision": "fp16"})
    failing = Runtime("tensorrt_rtx", "1.7.1", {}, "TensorRT fails on cuda:0 (no memory)")
    diagnosis = _on(RTX, tensorrt_rtx=failing, torch=torch, **BINDINGS)
    finding = _about(diagnosis, "no memory")
    assert (finding.mark, finding.means) == ("broken", "convert goes on without it")
    assert "through PyTorch" in _about(diagnosis, "compute capability").means
    crashing = Runtime("tensorrt_rtx", "1.7.1", {}, "crashes (SIGSEGV)")
    finding = _about(_on(RTX, tensorrt_rtx=crashing, torch=torch, **BINDINGS), "SIGSEGV")
    assert "--backend torch" in finding.mend  # no other process would catch it
    old = Nvidia(True, True, "560.1", "12.6", (RTX,))
    seen = _seen(survey=_survey(old, tensorrt_rtx=failing, **BINDINGS))
    assert "newest driver" in _about(diagnose(seen), "no memory").mend


def test_without_a_gpu_rtx_builds_for_others() -> None:
    rtx = Runtime("tensorrt_rtx", "1.7.1", {"tried": "builder"})
    finding = _about(diagnose(_seen(survey=_survey(tensorrt_rtx=rtx))), "TensorRT for RTX")
    assert finding.mark == "ok"
    assert "cgvideo export --target tensorrt" in finding.means
    centre = Runtime("tensorrt", "11.4", {"tried": ""})
    finding = _about(diagnose(_seen(survey=_survey(tensorrt=centre))), "TensorRT 11.4")
    assert "of no use without" in finding.means
    broken = Runtime("tensorrt_rtx", "1.7.1", {}, "does not load (libnvinfer)")
    finding = _about(diagnose(_seen(survey=_survey(tensorrt_rtx=broken))), "libnvinfer")
    assert (finding.mark, finding.vital) == ("broken", False)


def test_a_second_gpu_is_told_how_to_ask_for_it() -> None:
    rtx = Runtime("tensorrt_rtx", "1.7.1", RAN)
    nvidia = Nvidia(True, True, "580.1", "13.0", (RTX, BLACKWELL))
    diagnosis = diagnose(_seen(survey=_survey(nvidia, tensorrt_rtx=rtx, **BINDINGS)))
    assert "--device cuda:1" in _about(diagnosis, "RTX 5090").means


def test_what_stops_a_conversion_is_not_the_driver_where_openvino_fails() -> None:
    nvidia = Nvidia(True, True, problem="crashes (SIGSEGV)")
    seen = _seen(
        survey=_survey(nvidia, openvino=Runtime("openvino")), speed=Answer(problem="not installed")
    )
    diagnosis = diagnose(seen)
    assert "openvino" in diagnosis.summary
    assert "--device cpu" not in diagnosis.summary


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_network_that_is_compiled_first_gets_the_time_for_it(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    waits: list[float] = []

    def note(module: str, *words: str, seconds: float) -> Answer:
        waits.append(seconds)
        return SPEED

    torch = Runtime("torch", "2.13.0", {"device": device, "precision": "fp16"})
    monkeypatch.setattr(examination, "survey", lambda: _survey(torch=torch))
    monkeypatch.setattr(examination, "try_encoder", lambda codec: Trial())
    monkeypatch.setattr(examination, "ask", note)
    examine()
    assert (waits[0] >= 180) is (device == "cuda")


def test_a_broken_driver_is_not_asked_for_its_encoders_nor_its_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []
    timed: list[tuple[str, ...]] = []

    def note(codec: str) -> Trial:
        tried.append(codec)
        return Trial()

    def time(module: str, *words: str, seconds: float) -> Answer:
        timed.append(words)
        return SPEED

    nvidia = Nvidia(True, True, problem="hangs")
    monkeypatch.setattr(examination, "survey", lambda: _survey(nvidia))
    monkeypatch.setattr(examination, "try_encoder", note)
    monkeypatch.setattr(examination, "ask", time)
    assert examine().hardware == {}
    assert tried == ["h264"]
    assert timed == [("speed", "cpu")]


def test_a_driver_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever begins with the driver would hang as it does."""
    asked: list[tuple[str, ...]] = []

    def note(module: str, *words: str, seconds: float = 0) -> Answer:
        asked.append(words)
        return Answer(problem="hangs") if words == ("nvidia",) else Answer()

    monkeypatch.setattr(runtimes, "ask", note)
    monkeypatch.setattr(runtimes, "_version", lambda name: "1")
    found = runtimes.survey()
    assert sorted(asked) == [("nvidia",), ("onnxruntime",), ("openvino",), ("torch", "cpu")]
    assert found.runtimes["tensorrt"].version == "1"


def test_a_gpu_in_use_is_well_and_named() -> None:
    torch = Runtime("torch", "2.13.0", {"device": "cuda", "precision": "fp16"})
    nvidia = Nvidia(True, True, "580.1", "13.0", (RTX,))
    trials = {"h264_nvenc": Trial(hardware="x"), "hevc_nvenc": Trial("too old")}
    diagnosis = diagnose(_seen(survey=_survey(nvidia, torch=torch), hardware=trials))
    finding = _about(diagnosis, "RTX 4090")
    assert finding.mark == "ok"
    for word in ("24 GiB", "8.9", "580.1", "13.0"):
        assert word in finding.found
    assert "--codec h264_nvenc" in _about(diagnosis, "h264_nvenc worked").means
    assert "too old" in _about(diagnosis, "hevc_nvenc does not work").found


@pytest.mark.parametrize(
    ("changed", "word", "mark", "vital"),
    [
        ({"speed": Answer(problem="crashes (SIGILL)")}, "crashes (SIGILL)", "broken", True),
        ({"encoding": Trial("no such encoder")}, "does not encode h264", "broken", True),
        (
            {"survey": _survey(torch=Runtime("torch", "2.1", {}, "ImportError: libc10.so"))},
            "libc10",
            "broken",
            False,
        ),
        ({"memory": Memory(32 << 30, 20 << 30, 1 << 30)}, "cgroup limit", "better", False),
        (
            {"processor": Processor("One", "x86_64", ("avx2",), 8, 8, 1.5)},
            "limit of 1.5 cores",
            "better",
            False,
        ),
        ({"cache": replace(FOLDER, writable=False)}, "may not be written", "better", False),
        ({"scratch": replace(FOLDER, free=1000)}, "0.0 GB free", "better", False),
    ],
    ids=["engine", "encoder", "torch", "memory", "quota", "cache", "disk"],
)
def test_what_is_wrong_is_marked_with_its_mend(
    changed: dict[str, Any], word: str, mark: str, vital: bool
) -> None:
    diagnosis = diagnose(_seen(**changed))
    finding = _about(diagnosis, word)
    assert (finding.mark, finding.vital) == (mark, vital)
    assert finding.mend
    assert diagnosis.able is not vital


def test_an_encoder_that_this_pyav_lacks_is_not_the_drivers_fault() -> None:
    nvidia = Nvidia(True, True, "580.1", "13.0", (RTX,))
    trials = {"h264_nvenc": Trial(MISSING), "hevc_nvenc": Trial("too old")}
    diagnosis = diagnose(_seen(survey=_survey(nvidia), hardware=trials))
    lacking, failing = (_about(diagnosis, f"{name} does not work") for name in trials)
    assert "driver" not in lacking.mend
    assert "av" in lacking.mend.split()
    assert "driver" in failing.mend


def test_folders_are_looked_at_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGVIDEO_CACHE", str(tmp_path / "cache" / "deep"))
    found = look_at(examination.cache_folder())
    assert (found.writable, found.size) == (True, 0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cache" / "deep").mkdir(parents=True)
    (tmp_path / "cache" / "deep" / "engine.bin").write_bytes(bytes(1000))
    assert look_at(examination.cache_folder()).size == 1000
    (tmp_path / "file").write_text("")
    assert not look_at(tmp_path / "file" / "below").writable
    assert look_at(tmp_path / ("x" * 300) / "below").size == 0  # the system refuses to look at it


def test_a_package_that_does_not_load_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cgvideo", "doctor"])
    monkeypatch.setitem(sys.modules, "cgvideo.doctor", None)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert "does not load" in said
    assert "bug" not in said


def test_no_folder_for_temporary_files_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(sys, "argv", ["cgvideo", "doctor"])
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "TMPDIR" in said
    assert "bug" not in said


def test_it_fails_only_where_a_conversion_would(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:

    for problem in ("", "hangs"):
        seen = _seen(speed=Answer(problem=problem) if problem else SPEED)
        monkeypatch.setattr("cgvideo.doctor.examine", lambda seen=seen: seen)
        with pytest.raises(typer.Exit) if problem else nullcontext() as left:
            doctor(as_json=True, debug=False)
        assert left is None or left.value.exit_code == 1
        told = json.loads(capsys.readouterr().out)
        assert told["event"] == "doctor"
        assert told["able"] is not bool(problem)
        keys = {"section", "found", "means", "mend", "mark", "vital"}
        assert keys == told["findings"][0].keys()
