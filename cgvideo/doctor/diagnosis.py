"""What was seen, as a friendly expert would put it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cgvideo.codec.encode import CODECS
from cgvideo.codec.hardware import Trial
from cgvideo.doctor.examination import Examination
from cgvideo.estimate import OVERHEAD
from engines.engine import BACKENDS
from engines.machine import Memory, Processor
from engines.probing import Answer
from engines.runtimes import Gpu, Nvidia, Runtime, Survey

Mark = Literal["ok", "better", "broken"]
"""Good as it is; it works, and could be better; it does not work."""

GB = 1e9
GIB = 1 << 30  # as GPUs and memory are sold
SCARCE_MEMORY = 1.5 * GB  # a built-in model takes 0.3 GB at 640x360 and 0.8 at 1080p, as measured
SCARCE_DISK = 1 * GB
NOT_FOR_RTX = ((9, 0), (10, 0), (10, 3))  # GPUs of data centres, which TensorRT for RTX leaves out
REINSTALL = "pip install --force-reinstall"
TORCH_PIP = "pip install 'cgvideo[torch]'"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    `found` says what is there, `means` what that is for a conversion, `mend` what to do. `vital`: a
    conversion does not run before it is mended.
    """

    section: str
    found: str
    means: str = ""
    mend: str = ""
    mark: Mark = "ok"
    vital: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the findings come to, in one sentence; `able`: a conversion runs."""

    findings: tuple[Finding, ...]
    summary: str
    able: bool


def diagnose(seen: Examination) -> Diagnosis:
    """Say what everything that was seen means."""
    findings = [
        *_processor(seen.processor),
        *_memory(seen.memory),
        *_nvidia(seen.survey, seen.speed),
        *_runtimes(seen),
        *_video(seen),
        *_folders(seen),
    ]
    if seen.speed.problem and not any(finding.vital for finding in findings):
        findings.append(
            Finding(
                "Runtimes",
                f"the engine that convert chooses fails: {seen.speed.problem}",
                "no conversion runs as it is",
                "try convert … --device cpu, or --backend openvino",
                "broken",
                vital=True,
            )
        )
    able = not any(finding.vital for finding in findings)
    return Diagnosis(tuple(findings), _summary(seen, findings, able), able)


def _summary(seen: Examination, findings: list[Finding], able: bool) -> str:
    broken = [finding for finding in findings if finding.mark == "broken"]
    if not able:
        first = next(finding for finding in findings if finding.vital)
        return f"As it is, convert does not run on this machine: {first.found}. To mend it: {first.mend}."
    identity = seen.speed.facts["identity"]
    engine = {"openvino": "OpenVINO", "torch": "PyTorch"}.get(
        identity["backend"], identity["backend"]
    )
    speed = 1 / (seen.speed.facts["seconds"] * OVERHEAD)
    better = sum(finding.mark == "better" for finding in findings)
    state = "nothing is broken"
    if broken:
        state = f"{len(broken)} thing{'s are' if len(broken) > 1 else ' is'} broken that it can do without"
    if better:
        state += f", {better} could be better"
    return (
        f"On this machine convert uses {engine} in {identity['precision']}; a 640x360 clip runs at"
        f" about {speed:.{0 if speed >= 10 else 1}f} frames/s with the built-in models; {state}."
        " `cgvideo bench` measures it properly."
    )


def _processor(found: Processor) -> list[Finding]:
    section, has = "Processor", set(found.instructions)
    cores = f"{found.cores} core{'s' if found.cores > 1 else ''}"
    if found.cores < found.cores_in_all:
        cores = f"{found.cores} of its {found.cores_in_all} cores for this process"
    findings = [Finding(section, f"{found.name}, {cores}", "each core counts")]
    if found.quota is not None and found.quota < found.cores:
        findings.append(
            Finding(
                section,
                f"a limit of {found.quota:g} cores' time (cgroup)",
                "more threads than that wait for one another",
                f"convert … --threads {found.threads}, or a higher limit for the container",
                "better",
            )
        )
    if "amx_bf16" in has:
        findings.append(
            Finding(
                section, "AMX and bf16", "matrix units: the fastest way there is on a processor"
            )
        )
    elif "avx512_bf16" in has:
        findings.append(
            Finding(
                section,
                "AVX-512 with bf16, no AMX",
                "bf16 takes about half the time of fp32, at a difference that no eye sees",
            )
        )
    elif "avx512f" in has:
        findings.append(
            Finding(
                section,
                "AVX-512 without bf16",
                "the engine computes in fp32; a processor with bf16 would take half the time",
                "convert … --max-size 480 where a smaller picture will do",
                "better",
            )
        )
    elif "avx2" in has:
        findings.append(
            Finding(
                section,
                "AVX2, without AVX-512 and bf16",
                "the engine computes in fp32, close to all that this processor can do; a bf16 hint"
                " would be ignored",
                "convert … --max-size 480 where a smaller picture will do; much faster only with"
                " AVX-512 and bf16, or a GPU",
                "better",
            )
        )
    elif "bf16" in has:
        findings.append(
            Finding(section, "ARM with bf16", "half the time of fp32, where it is used")
        )
    elif "asimd" in has:
        findings.append(Finding(section, "ARM without bf16", "the engine computes in fp32"))
    else:
        findings.append(
            Finding(
                section,
                "no AVX2",
                "expect a small part of the usual speed",
                "another machine; or convert … --max-size 320",
                "better",
            )
        )
    return findings


def _memory(found: Memory) -> list[Finding]:
    usable = found.usable
    if usable is None:
        return [Finding("Memory", "the system does not say how much there is")]
    text = f"{usable / GIB:.1f} GiB"
    if found.limit is not None and found.total is not None:
        text += f" (cgroup limit; the machine has {found.total / GIB:.1f})"
    if found.available is not None:
        text += f", {min(found.available, usable) / GIB:.1f} free"
    if min(usable, found.available or usable) < SCARCE_MEMORY:
        return [
            Finding(
                "Memory",
                text,
                "a clip of 1080p takes about 0.8 GB with a built-in model, larger models several times that",
                "convert … --max-size 960, or more memory for the container",
                "better",
            )
        ]
    return [
        Finding("Memory", text, "enough, since convert streams: a clip's length does not matter")
    ]


def _nvidia(found: Survey, speed: Answer) -> list[Finding]:
    section, nvidia = "NVIDIA GPU", found.nvidia
    if nvidia.problem:
        stuck = bool(speed.problem)
        return [
            Finding(
                section,
                f"the driver is present but broken: {nvidia.problem}",
                "convert cannot even look for a GPU" if stuck else "convert does without the GPU",
                "install NVIDIA's driver anew and restart"
                + ("; until then convert … --device cpu" if stuck else ""),
                "broken",
                vital=stuck,
            )
        ]
    version = " ".join(word for word in ("driver", nvidia.driver, f"(CUDA {nvidia.cuda})") if word)
    if nvidia.installed and not nvidia.gpus:
        return [
            Finding(
                section,
                f"{version}, but no GPU that it shows",
                "the processor does the work",
                "in a container: start it with --gpus all; else see whether CUDA_VISIBLE_DEVICES is set",
                "better",
            )
        ]
    if nvidia.card and not nvidia.installed:
        return [
            Finding(
                section,
                "there is a card, but not its driver",
                "the processor does the work",
                "install NVIDIA's driver; in a container: start it with --gpus all",
                "better",
            )
        ]
    if not nvidia.gpus:
        return [Finding(section, "none", "the processor does the work")]
    return [
        Finding(
            section, f"{_described(gpu)}, {version}", *_use_of(gpu, nvidia, found.runtimes["torch"])
        )
        for gpu in nvidia.gpus
    ]


def _described(gpu: Gpu) -> str:
    capability = ".".join(map(str, gpu.capability))
    return f"{gpu.name}, {gpu.bytes / GIB:.0f} GiB, compute capability {capability}"


def _use_of(gpu: Gpu, nvidia: Nvidia, torch: Runtime) -> tuple[str, str, Mark]:
    """What a GPU is good for as things are, and the mend."""
    if torch.version is None:
        return (
            "nothing uses it: PyTorch would, and many times as fast as a processor",
            TORCH_PIP,
            "better",
        )
    if torch.problem:
        return "PyTorch does not run, so nothing uses it", "see Runtimes", "better"
    if str(torch.facts.get("device", "")).startswith("cuda"):
        return f"convert uses it by itself, through PyTorch in {torch.facts['precision']}", "", "ok"
    build = "cu130" if nvidia.cuda.split(".")[0] >= "13" else "cu126"
    return (
        f"PyTorch {torch.version} cannot use it, so the processor does the work",
        f"{REINSTALL} torch --index-url https://download.pytorch.org/whl/{build}",
        "better",
    )


def _runtimes(seen: Examination) -> list[Finding]:
    runtimes, section = seen.survey.runtimes, "Runtimes"
    findings = [_openvino(runtimes["openvino"], seen)]
    devices = runtimes["openvino"].facts.get("devices", ())
    if any(str(device).startswith("GPU") for device in devices):
        findings.append(
            Finding(
                section, "OpenVINO sees an Intel GPU", "may be faster: try convert … --device gpu"
            )
        )
    torch, gpu = runtimes["torch"], bool(seen.survey.nvidia.gpus)
    if torch.problem:
        findings.append(
            Finding(
                section,
                f"PyTorch {torch.version} is present but broken: {torch.problem}",
                "convert needs it for the NVIDIA GPU" if gpu else "convert does not need it here",
                f"{REINSTALL} torch",
                "broken",
            )
        )
    elif torch.works:
        where = torch.facts.get("device_name", "")
        findings.append(
            Finding(
                section,
                f"PyTorch {torch.version} runs on {where}",
                "" if gpu else "convert does not need it here",
            )
        )
    else:
        findings.append(
            Finding(
                section,
                "PyTorch is not installed",
                "the NVIDIA GPU needs it" if gpu else "not needed: it is for NVIDIA GPUs",
                TORCH_PIP if gpu else "",
                "better" if gpu else "ok",
            )
        )
    findings += [
        _tensorrt(runtimes[name], seen.survey.nvidia) for name in ("tensorrt", "tensorrt_rtx")
    ]
    return findings


def _openvino(found: Runtime, seen: Examination) -> Finding:
    section = "Runtimes"
    if not found.works:
        state = "not installed" if found.version is None else f"present but broken: {found.problem}"
        return Finding(
            section,
            f"OpenVINO is {state}",
            "convert runs on it wherever there is no NVIDIA GPU",
            f"{REINSTALL} openvino",
            "broken",
            vital=bool(seen.speed.problem),
        )
    precision = found.facts["precision"]
    text = f"OpenVINO {found.version} works, and really computes in {precision}"
    if precision == "bf16":
        return Finding(section, text, "this was read back, not just asked for")
    if {"avx512_bf16", "amx_bf16"} & set(seen.processor.instructions):
        return Finding(
            section,
            text,
            "though the processor has bf16, which would take half the time",
            "pip install --upgrade openvino",
            "better",
        )
    return Finding(section, text, "the processor has no bf16; a hint to use it is silently ignored")


def _tensorrt(found: Runtime, nvidia: Nvidia) -> Finding:
    section = "Runtimes"
    name = "TensorRT for RTX" if found.name == "tensorrt_rtx" else "TensorRT"
    used = "tensorrt" in BACKENDS
    if found.problem:
        return Finding(
            section,
            f"{name} {found.version} is present but broken: {found.problem}",
            "convert goes on without it",
            f"{REINSTALL} {found.name.replace('_', '-')}",
            "broken",
        )
    there = "not installed" if found.version is None else f"{found.version} is installed"
    text = f"{name} {there}" if found.version else f"{name} is {there}"
    if not nvidia.gpus:
        return Finding(section, text, "of no use without an NVIDIA GPU")
    if found.name == "tensorrt_rtx" and all(gpu.capability in NOT_FOR_RTX for gpu in nvidia.gpus):
        return Finding(section, text, "not for GPUs of data centres like this one; TensorRT is")
    if not used:
        return Finding(section, text, "convert does not use it yet")
    if found.version is None:
        return Finding(
            section, text, "the fastest on NVIDIA GPUs", "pip install 'cgvideo[tensorrt]'", "better"
        )
    return Finding(section, text, "the fastest on NVIDIA GPUs")


def _video(seen: Examination) -> list[Finding]:
    section = "Video"
    if seen.encoding.problem:
        findings = [
            Finding(
                section,
                f"{seen.video} does not encode h264: {seen.encoding.problem}",
                "no clip can be written as usual",
                f"{REINSTALL} av",
                "broken",
                vital=True,
            )
        ]
    else:
        findings = [Finding(section, seen.video, "a trial clip was encoded and read back")]
    offered = [name for name in seen.encoders if name in CODECS]
    others = [name for name in seen.encoders if name not in CODECS]
    more = f" ({', '.join(others)} are there too, not offered yet)" if others else ""
    findings.append(Finding(section, f"encodes {', '.join(offered)} on the processor{more}"))
    encoders = {name: trial for name, trial in seen.hardware.items() if name in CODECS}
    decoders = {name: trial for name, trial in seen.hardware.items() if name not in CODECS}
    findings += _in_hardware("NVENC (encoding)", encoders, bool(seen.survey.nvidia.gpus), True)
    findings += _in_hardware("NVDEC (decoding)", decoders, bool(seen.survey.nvidia.gpus), False)
    return findings


def _in_hardware(
    name: str, trials: Mapping[str, Trial], has_gpu: bool, offered: bool
) -> list[Finding]:
    if not trials:
        return [Finding("Video", f"{name}: none", "it comes with NVIDIA GPUs")]
    works = [codec for codec, trial in trials.items() if not trial.problem]
    fails = {codec: trial.problem for codec, trial in trials.items() if trial.problem}
    findings = []
    if works:
        means = "convert decodes on the processor all the same, to the same picture everywhere"
        if offered:
            means = f"--codec {works[0]} takes the encoding off the processor"
        findings.append(Finding("Video", f"{name}: {', '.join(works)} worked when tried", means))
    for codec, problem in fails.items():
        text = f"{name}: {codec} does not work ({problem})"
        mend = "install the newest NVIDIA driver; not every GPU has it" if has_gpu else ""
        mark: Mark = "better" if has_gpu and offered else "ok"
        findings.append(Finding("Video", text, "the processor does it", mend, mark))
    return findings


def _folders(seen: Examination) -> list[Finding]:
    section = "Folders"
    cache, scratch, models = seen.cache, seen.scratch, seen.models_folder
    if cache.writable:
        findings = [Finding(section, f"cache {cache.path}, {cache.size / 1e6:.0f} MB")]
    else:
        findings = [
            Finding(
                section,
                f"cache {cache.path} may not be written",
                "what could be kept is made anew each time",
                "set CGVIDEO_CACHE to a folder of yours",
                "better",
            )
        ]
    findings.append(Finding(section, f"models {models.path}, {seen.models} of your own"))
    if not scratch.writable or scratch.free < SCARCE_DISK:
        findings.append(
            Finding(
                section,
                f"temporary files {scratch.path}, {scratch.free / GB:.1f} GB free",
                "a conversion tries the container there before it begins",
                "make room, or set TMPDIR to another folder",
                "better",
            )
        )
    else:
        findings.append(
            Finding(section, f"temporary files {scratch.path}, {scratch.free / GB:.0f} GB free")
        )
    return findings
