"""Which GPUs and runtimes there are and whether they work, as children found out."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engines.survey.driver import Driver, Gpu
from engines.survey.probing import ask
from engines.tensorrt.flavour import Flavour, Package, installed

PROBES = "engines.survey.probes"

TENSORRT: tuple[Package, ...] = ("tensorrt_rtx", "tensorrt")
"""Its flavours, in the order in which a backend would take them."""
BINDINGS = "cuda.core"
"""NVIDIA's Python bindings, by which the tensorrt backend reaches a GPU."""

BUILDING_SECONDS = 180.0
"""Patience with TensorRT on a GPU, where it times its kernels."""

# Packages to import, and the distributions that may have brought them.
_DISTRIBUTIONS = {
    "openvino": ("openvino",),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    BINDINGS: ("cuda-core",),
}
RUNTIMES = (*_DISTRIBUTIONS, *TENSORRT)


@dataclass(frozen=True, slots=True)
class Nvidia:
    """NVIDIA's driver and what it drives.

    `card` says that there is hardware, asked of the system and not of the driver; `driver` and
    `cuda` are versions (the newest CUDA that the driver runs), empty where not known; `problem` says
    how a driver that is there fails.
    """

    card: bool = False
    installed: bool = False
    driver: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A package that can run generators. `version` None: not installed."""

    name: str
    version: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """what its probe found; see `engines.survey.probes`"""
    problem: str = ""
    """how it fails, where it is installed and does not work"""

    @property
    def works(self) -> bool:
        return self.version is not None and not self.problem

    @property
    def on_gpu(self) -> bool:
        """Whether it ran a generator on an NVIDIA GPU."""
        return self.works and str(self.facts.get("device", "")).startswith("cuda")


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was found, by name."""

    nvidia: Nvidia
    runtimes: Mapping[str, Runtime]

    @property
    def tensorrt(self) -> Runtime | None:
        """The TensorRT that a backend takes for the first GPU; None where none is there that suits."""
        for gpu in self.nvidia.gpus[:1]:
            for package in TENSORRT:
                found = self.runtimes[package]
                if found.version is not None and Flavour(package, "").suits(gpu.capability):
                    return found
        return None

    @property
    def on_gpu(self) -> Runtime | None:
        """What ran a generator on the GPU when it was tried, the one that `convert` takes first."""
        for found in (self.tensorrt, self.runtimes["torch"]):
            if found and found.on_gpu:
                return found
        return None


def survey() -> Survey:
    """Ask for everything at once; takes as long as the slowest runtime takes to import.

    Those that begin with the driver are asked after it, and where it fails not about GPUs: each would
    hang as it does.
    """
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(nvidia)
        runtimes = {name: pool.submit(runtime, name) for name in ("openvino", "onnxruntime")}
        driver_works = not asked.result().problem
        for name in RUNTIMES:
            if name not in runtimes:
                runtimes[name] = pool.submit(runtime, name, driver_works)
        return Survey(asked.result(), {name: runtimes[name].result() for name in RUNTIMES})


def nvidia() -> Nvidia:
    """Ask NVIDIA's driver library, in a child. Raises nothing."""
    answer = ask(PROBES, "nvidia", seconds=20)
    card = nvidia_card()
    if answer.problem:
        return Nvidia(card, installed=True, problem=answer.problem)
    facts = answer.facts
    if not facts["installed"]:
        return Nvidia(card)
    found = Driver.of(facts)
    cuda = f"{found.cuda[0]}.{found.cuda[1]}"
    return Nvidia(card, True, found.version, cuda, found.gpus)


def nvidia_card(root: Path = Path("/")) -> bool:
    """Whether Linux sees a display device of NVIDIA's on the PCI bus; False elsewhere."""
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor == "0x10de" and kind.startswith("0x03"):
            return True
    return False


def runtime(name: str, driver_works: bool = True) -> Runtime:
    """Whether a runtime is installed, which version, and whether it works, by its child.

    Without a driver that works TensorRT and NVIDIA's bindings are not tried, and PyTorch on the CPU
    alone.
    """
    version = _version(name)
    if version is None:
        return Runtime(name)
    if not driver_works and (name in TENSORRT or name == BINDINGS):
        return Runtime(name, version)
    if name in TENSORRT:
        answer = ask(PROBES, "tensorrt", name, seconds=BUILDING_SECONDS)
    elif name == "torch" and not driver_works:
        answer = ask(PROBES, "torch", "cpu")
    else:
        answer = ask(PROBES, "bindings" if name == BINDINGS else name)
    return Runtime(name, version, answer.facts, answer.problem)


def _version(name: str) -> str | None:
    if name in TENSORRT:
        return next((each.version for each in installed() if each.package == name), None)
    try:
        if find_spec(name) is None:
            return None
    except (ImportError, ValueError):
        return None
    for distribution in _DISTRIBUTIONS[name]:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"
