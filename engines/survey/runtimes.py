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

PROBES = "engines.survey.probes"

# Packages to import, and the distributions that may have brought them.
_DISTRIBUTIONS = {
    "openvino": ("openvino",),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
}


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


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was found, by name."""

    nvidia: Nvidia
    runtimes: Mapping[str, Runtime]


def survey() -> Survey:
    """Ask for everything at once; takes as long as the slowest runtime takes to import.

    Those that begin with the driver are asked after it, and where it fails not about GPUs: each would
    hang as it does.
    """
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(nvidia)
        runtimes = {name: pool.submit(runtime, name) for name in ("openvino", "onnxruntime")}
        driver_works = not asked.result().problem
        for name in _DISTRIBUTIONS.keys() - runtimes.keys():
            runtimes[name] = pool.submit(runtime, name, driver_works)
        found = {name: runtimes[name].result() for name in _DISTRIBUTIONS}
        return Survey(asked.result(), found)


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

    Without a driver that works TensorRT is not tried, and PyTorch on the CPU alone.
    """
    try:
        if find_spec(name) is None:
            return Runtime(name)
    except (ImportError, ValueError):
        return Runtime(name)
    version = _version(name)
    questions: tuple[str, ...] = (name,)
    if name.startswith("tensorrt"):
        if not driver_works:
            return Runtime(name, version)
        questions = ("tensorrt", name)
    elif name == "torch" and not driver_works:
        questions = ("torch", "cpu")
    answer = ask(PROBES, *questions)
    return Runtime(name, version, answer.facts, answer.problem)


def _version(name: str) -> str:
    for distribution in _DISTRIBUTIONS[name]:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"
