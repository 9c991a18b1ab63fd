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
    """Ask for everything at once; takes as long as the slowest runtime takes to import."""
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(nvidia)
        runtimes = dict(zip(_DISTRIBUTIONS, pool.map(runtime, _DISTRIBUTIONS), strict=True))
        return Survey(asked.result(), runtimes)


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


def runtime(name: str) -> Runtime:
    """Whether a runtime is installed, which version, and whether it works, by its child."""
    try:
        if find_spec(name) is None:
            return Runtime(name)
    except (ImportError, ValueError):
        return Runtime(name)
    version = _version(name)
    questions = ("tensorrt", name) if name.startswith("tensorrt") else (name,)
    answer = ask(PROBES, *questions)
    return Runtime(name, version, answer.facts, answer.problem)


def _version(name: str) -> str:
    for distribution in _DISTRIBUTIONS[name]:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"
