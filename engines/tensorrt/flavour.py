"""The two flavours of TensorRT: which are installed, and which suits a GPU."""

from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, Literal

from engines.errors import UserError

Package = Literal["tensorrt_rtx", "tensorrt"]
Capability = tuple[int, int]
"""A GPU's compute capability: (8, 9) is what NVIDIA writes as SM89."""

PIP_RTX = "pip install 'cgvideo[tensorrt]'"
PIP_DATA_CENTRE = (
    "pip install tensorrt cuda-core cuda-bindings --extra-index-url https://pypi.nvidia.com"
)

_NAMES: dict[Package, str] = {"tensorrt_rtx": "TensorRT for RTX", "tensorrt": "TensorRT"}
_DISTRIBUTIONS: dict[Package, tuple[str, ...]] = {
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}
LEAST: Capability = (7, 5)
"""The oldest GPUs that a TensorRT runs on: Turing."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """A TensorRT that is installed."""

    package: Package
    version: str

    @property
    def name(self) -> str:
        """As NVIDIA calls it."""
        return _NAMES[self.package]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def builds_anywhere(self) -> bool:
        """Whether it builds without a GPU: for RTX it does, for named capabilities."""
        return self.package == "tensorrt_rtx"

    def suits(self, capability: Capability) -> bool:
        """Whether engines of this flavour run on such a GPU.

        TensorRT for RTX leaves out the GPUs of data centres that came after Ampere (9.0, 10.x), and
        boards with an Orin (8.7) or a Thor (11.0).
        """
        return _suits(self.package, capability)

    def load(self) -> Any:
        """Its module. Asked for without a GPU, data-centre TensorRT may take the process down.

        Raises UserError where it cannot be loaded.
        """
        try:
            return import_module(self.package)
        except (ImportError, OSError) as error:  # OSError: of its libraries, one is missing
            mend = PIP_RTX if self.package == "tensorrt_rtx" else PIP_DATA_CENTRE
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self} does not load ({reason})", f"Install it again: {mend} --force-reinstall"
            ) from error


def installed() -> tuple[Flavour, ...]:
    """The flavours that are installed, TensorRT for RTX first. Nothing of theirs is imported."""
    found = []
    for package, distributions in _DISTRIBUTIONS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:  # a folder of type stubs alone is no package
            continue
        for distribution in distributions:
            try:
                found.append(Flavour(package, metadata.version(distribution)))
                break
            except metadata.PackageNotFoundError:
                continue
    return tuple(found)


def flavour_for(capability: Capability, name: str = "this GPU") -> Flavour:
    """The flavour to use on a GPU; raises UserError where none that suits is installed."""
    there = installed()
    for flavour in there:
        if flavour.suits(capability):
            return flavour
    if capability < LEAST:
        raise UserError(f"{name} is older than any that TensorRT runs on", "Use --backend torch")
    mend = PIP_RTX if _suits("tensorrt_rtx", capability) else PIP_DATA_CENTRE
    if there:
        raise UserError(f"{there[0]} does not run on {name}", mend)
    raise UserError("TensorRT is not installed", mend)


def flavour_to_build() -> Flavour:
    """The flavour that builds without a GPU; raises UserError where it is not installed."""
    for flavour in installed():
        if flavour.builds_anywhere:
            return flavour
    raise UserError("TensorRT for RTX is not installed", PIP_RTX)


def _suits(package: Package, capability: Capability) -> bool:
    if package == "tensorrt":
        return capability >= LEAST
    return capability >= LEAST and capability[0] not in (9, 10, 11) and capability != (8, 7)
