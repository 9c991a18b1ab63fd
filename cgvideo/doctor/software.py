"""What runtimes, codecs and folders mean for a conversion."""

from collections.abc import Mapping

from cgvideo.codec.encode import CODECS
from cgvideo.codec.hardware import MISSING, Trial
from cgvideo.doctor.examination import Examination
from cgvideo.doctor.finding import GB, REINSTALL, TORCH_PIP, Finding, Mark
from cgvideo.doctor.machine import torch_for
from cgvideo.doctor.tensorrt import tensorrt_findings
from engines.survey.runtimes import Runtime

SCARCE_DISK = 1 * GB


def runtime_findings(seen: Examination) -> list[Finding]:
    """What runs generators, and what it really computes in."""
    runtimes, section = seen.survey.runtimes, "Runtimes"
    findings = [_openvino(runtimes["openvino"], seen)]
    devices = runtimes["openvino"].facts.get("devices", ())
    if any(str(device).startswith("GPU") for device in devices):
        findings.append(
            Finding(
                section, "OpenVINO sees an Intel GPU", "may be faster: try convert … --device gpu"
            )
        )
    nvidia = seen.survey.nvidia
    torch, gpu = runtimes["torch"], bool(nvidia.gpus)
    needed = gpu and seen.survey.on_gpu is None
    if torch.problem:
        findings.append(
            Finding(
                section,
                f"PyTorch {torch.version} is present but broken: {torch.problem}",
                "convert needs it for the NVIDIA GPU"
                if needed
                else "convert does not need it here",
                torch_for(nvidia.gpus[0], nvidia) if gpu else f"{REINSTALL} torch",
                "broken",
            )
        )
    elif torch.works:
        where = torch.facts.get("device_name", "")
        findings.append(
            Finding(
                section,
                f"PyTorch {torch.version} runs on {where}",
                "" if needed or torch is seen.survey.on_gpu else "convert does not need it here",
            )
        )
    else:
        findings.append(
            Finding(
                section,
                "PyTorch is not installed",
                "the NVIDIA GPU needs it, or TensorRT"
                if needed
                else "not needed: TensorRT is there"
                if gpu
                else "not needed: it is for NVIDIA GPUs",
                TORCH_PIP if needed else "",
                "better" if needed else "ok",
            )
        )
    return findings + tensorrt_findings(seen.survey)


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
    if "bf16" in seen.processor.instructions:
        return Finding(section, text, "OpenVINO makes no use of this processor's bf16")
    return Finding(section, text, "the processor has no bf16; a hint to use it is silently ignored")


def video_findings(seen: Examination) -> list[Finding]:
    """Codecs, on the processor and in hardware."""
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
    nvidia = seen.survey.nvidia
    if nvidia.problem:
        text = "NVENC (encoding), NVDEC (decoding): not tried with a driver that is broken"
        return [*findings, Finding(section, text, "the processor does it")]
    findings += _in_hardware("NVENC (encoding)", encoders, bool(nvidia.gpus), True)
    findings += _in_hardware("NVDEC (decoding)", decoders, bool(nvidia.gpus), False)
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
        mend = ""
        if problem == MISSING and has_gpu:
            mend = f"{REINSTALL} --only-binary av av: PyPI's has it"
        elif has_gpu:
            mend = "install the newest NVIDIA driver; not every GPU has it"
        mark: Mark = "better" if has_gpu and offered else "ok"
        findings.append(Finding("Video", text, "the processor does it", mend, mark))
    return findings


def folder_findings(seen: Examination) -> list[Finding]:
    """Where things are kept, and whether there is room."""
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
