"""What TensorRT means for a conversion: which flavour is there, which suits the GPU, what is missing."""

from cgvideo.doctor.finding import TORCH_PIP, Finding
from engines.survey.driver import Gpu
from engines.survey.runtimes import BINDINGS, TENSORRT, Nvidia, Runtime, Survey
from engines.tensorrt.flavour import PIP_DATA_CENTRE, PIP_RTX, Flavour, Package

SECTION = "Runtimes"
PIP: dict[Package, str] = {"tensorrt_rtx": PIP_RTX, "tensorrt": PIP_DATA_CENTRE}
DRIVER_CUDA = 13  # of the driver, for what those lines install


def tensorrt_findings(found: Survey) -> list[Finding]:
    """Each flavour that is installed, or that none is, and NVIDIA's Python bindings."""
    there = [package for package in TENSORRT if found.runtimes[package].version is not None]
    gpu = found.nvidia.gpus[0] if found.nvidia.gpus else None
    if gpu is None:
        findings = [_without_gpu(package, found) for package in there]
        return findings or [
            Finding(SECTION, "TensorRT is not installed", "not needed: it is for NVIDIA GPUs")
        ]
    findings = [_on_gpu(package, gpu, found) for package in there]
    if found.tensorrt is None:
        return [*findings, _missing(gpu, found.nvidia)]
    return [*findings, _bindings(found.runtimes[BINDINGS], pip_for(gpu, found.nvidia))]


def pip_for(gpu: Gpu, nvidia: Nvidia) -> str:
    """What gets a TensorRT that runs on this GPU by this driver; empty where none does."""
    suited = [package for package in TENSORRT if Flavour(package, "").suits(gpu.capability)]
    return _by_driver(PIP[suited[0]], nvidia) if suited else ""


def mend_idle(gpu: Gpu, nvidia: Nvidia) -> str:
    """What lets `convert` use a GPU that nothing uses."""
    return ", or ".join(line for line in (pip_for(gpu, nvidia), TORCH_PIP) if line)


def _without_gpu(package: Package, found: Survey) -> Finding:
    runtime = found.runtimes[package]
    flavour = Flavour(package, runtime.version or "")
    if found.nvidia.problem:  # whatever is wrong may be the driver's fault
        return Finding(SECTION, f"{flavour} is installed", "of no use before the driver is mended")
    if runtime.problem:
        return _broken(flavour, runtime, "convert does not need it here", PIP[package])
    if flavour.builds_anywhere:
        return Finding(
            SECTION,
            f"{flavour} is installed",
            "there is no GPU to run it on, but it builds plans for other machines:"
            " cgvideo export --target tensorrt",
        )
    return Finding(SECTION, f"{flavour} is installed", "of no use without an NVIDIA GPU")


def _on_gpu(package: Package, gpu: Gpu, found: Survey) -> Finding:
    runtime = found.runtimes[package]
    flavour = Flavour(package, runtime.version or "")
    if not flavour.suits(gpu.capability):
        other = ""
        if flavour.builds_anywhere and runtime.works:
            other = "it builds plans for other machines: cgvideo export --target tensorrt"
        return Finding(SECTION, f"{flavour} does not run on {gpu.name}", other)
    if runtime is not found.tensorrt:
        first = f"convert uses {Flavour(TENSORRT[0], '').name}"
        return Finding(SECTION, f"{flavour} is installed", f"it suits {gpu.name} too; {first}")
    if runtime.problem:
        mend, means = _by_driver(PIP[package], found.nvidia), "convert goes on without it"
        instead = "torch" if found.on_gpu else "openvino"
        if runtime.problem.startswith(("crashes", "hangs")):
            means = "it would take convert down too"
            mend = f"convert … --backend {instead}; or {mend}"
        return _broken(flavour, runtime, means, mend)
    if "precision" not in runtime.facts:
        return Finding(SECTION, f"{flavour} is installed", f"it suits {gpu.name}")
    text = f"{flavour} ran a small generator on {gpu.name} in {runtime.facts['precision']}"
    return Finding(SECTION, text)


def _broken(flavour: Flavour, runtime: Runtime, means: str, mend: str) -> Finding:
    return Finding(
        SECTION,
        f"{flavour} is present but broken: {runtime.problem}",
        means,
        f"{mend} --force-reinstall",
        "broken",
    )


def _missing(gpu: Gpu, nvidia: Nvidia) -> Finding:
    """No flavour is there that suits."""
    pip = pip_for(gpu, nvidia)
    if not pip:
        return Finding(SECTION, f"TensorRT runs on no GPU as old as {gpu.name}", "PyTorch does")
    name = Flavour("tensorrt_rtx" if PIP_RTX in pip else "tensorrt", "").name
    return Finding(
        SECTION,
        f"{name}, the one for {gpu.name}, is not installed",
        "made for such GPUs; convert takes it before PyTorch",
        pip,
        "better",
    )


def _bindings(found: Runtime, mend: str) -> Finding:
    name = "NVIDIA's Python bindings (cuda-core)"
    if found.version is None:
        return Finding(
            SECTION, f"{name} are not installed", "TensorRT is not used before", mend, "better"
        )
    if found.problem:
        text = f"{name} {found.version} are present but broken: {found.problem}"
        means, again = "TensorRT is not used before", f"{mend} --force-reinstall"
        return Finding(SECTION, text, means, again, "broken")
    return Finding(SECTION, f"{name} {found.version} work")


def _by_driver(line: str, nvidia: Nvidia) -> str:
    if int(nvidia.cuda.split(".")[0]) >= DRIVER_CUDA:
        return line
    return f"install NVIDIA's newest driver, then {line}"
