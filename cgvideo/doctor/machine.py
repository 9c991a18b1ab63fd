"""What processor, memory and GPU mean for a conversion."""

from cgvideo.doctor.finding import REINSTALL, Finding, Mark
from cgvideo.doctor.tensorrt import mend_idle, pip_for
from engines.survey.driver import Gpu
from engines.survey.machine import Memory, Processor
from engines.survey.probing import Answer
from engines.survey.runtimes import Nvidia, Runtime, Survey

GIB = 1 << 30  # as memory is sold
SCARCE_MEMORY = 1.5 * GIB  # a built-in model takes 0.3 GB at 640x360 and 0.8 at 1080p, as measured
TURING, BLACKWELL = (7, 5), (10, 0)


def processor_findings(found: Processor, openvino: Runtime) -> list[Finding]:
    """Cores, and the instruction sets that decide the precision.

    Not every system tells them all: what OpenVINO computes in is the better proof of bf16.
    """
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
                f"convert takes {found.threads} thread{'s' if found.threads > 1 else ''}, since more"
                " would wait for one another",
                "a higher limit for the container",
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
    elif openvino.facts.get("precision") == "bf16":
        findings.append(
            Finding(
                section,
                "bf16, which OpenVINO uses",
                "it takes about half the time of fp32, at a difference that no eye sees",
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


def memory_findings(found: Memory) -> list[Finding]:
    """What a conversion may have, against what it takes."""
    usable = found.usable
    if usable is None:
        return [Finding("Memory", "the system does not say how much there is")]
    text = f"{usable / GIB:.1f} GiB"
    # What is free is the machine's: how much of its limit a container has used is not asked.
    free = "" if found.available is None else f", {found.available / GIB:.1f} free"
    if found.limit is not None and found.total is not None:
        text += f" (cgroup limit; the machine has {found.total / GIB:.1f}{free})"
    else:
        text += free
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


def nvidia_findings(found: Survey, speed: Answer) -> list[Finding]:
    """Driver and GPUs, and whether anything uses them."""
    section, nvidia = "NVIDIA GPU", found.nvidia
    if nvidia.problem:
        stuck = bool(speed.problem) and found.runtimes["openvino"].works
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
    first, *others = nvidia.gpus
    use, mend, mark = _use_of(first, found)
    by_name = "convert uses the first, and this one when asked to: --device cuda:"
    return [
        Finding(section, f"{_described(first)}, {version}", use, mend, mark),
        *(
            Finding(section, _described(gpu), f"{by_name}{number}")
            for number, gpu in enumerate(others, 1)
        ),
    ]


def _described(gpu: Gpu) -> str:
    capability = ".".join(map(str, gpu.capability))
    return f"{gpu.name}, {gpu.bytes / GIB:.0f} GiB, compute capability {capability}"


def _use_of(gpu: Gpu, found: Survey) -> tuple[str, str, Mark]:
    """What a GPU is good for as things are, and the mend."""
    used, torch, tensorrt = found.on_gpu, found.runtimes["torch"], found.tensorrt
    if used is not None:
        name = "PyTorch" if used is torch else "TensorRT"
        return f"convert uses it by itself, through {name} in {used.facts['precision']}", "", "ok"
    if torch.problem or (tensorrt is not None and tensorrt.problem):
        name = "PyTorch" if torch.problem else "TensorRT"
        return f"{name} does not run, so nothing uses it", "see Runtimes", "better"
    if torch.version is None:
        would = "TensorRT and PyTorch" if pip_for(gpu, found.nvidia) else "PyTorch"
        return (
            f"nothing uses it: {would} would, and many times as fast as a processor",
            mend_idle(gpu, found.nvidia),
            "better",
        )
    return (
        f"PyTorch {torch.version} cannot use it, so the processor does the work",
        torch_for(gpu, found.nvidia),
        "better",
    )


def torch_for(gpu: Gpu, nvidia: Nvidia) -> str:
    """What gets a PyTorch that runs on this GPU by this driver.

    Builds for CUDA 13 need a driver for it and Turing or newer; those for 12.6 end before Blackwell.
    """
    driver = int(nvidia.cuda.split(".")[0])
    if gpu.capability < TURING or (driver == 12 and gpu.capability < BLACKWELL):
        build, needed = "cu126", 12
    else:
        build, needed = "cu130", 13
    line = f"{REINSTALL} torch --index-url https://download.pytorch.org/whl/{build}"
    return line if driver >= needed else f"install NVIDIA's newest driver, then {line}"
