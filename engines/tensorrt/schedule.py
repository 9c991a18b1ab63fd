"""What a plan of TensorRT for RTX launches, keeps and moves, read without a GPU.

The schedule stands in the plan as text. That is documented nowhere: use it to compare graphs and to
tell people, never to decide.
"""

import math
import re
from dataclasses import dataclass

_LAUNCH = re.compile(
    rb"^ +(function|runtime_fusion|convolution|deconvolution|corrltn|inorm)=\{ (.*)", re.MULTILINE
)
_NAME = re.compile(rb'name="?([^"\s]+)')
_REGION = re.compile(
    rb"^ +region = \{ name=\S+ size=(\d+) .*place=accelerator (.*)\}", re.MULTILINE
)
_TENSOR = re.compile(
    rb'^ +tensor=\{.* dims=\{ ([\d ]+)\}.* name="([^"]+)".* region="([^"]*)".* type=(\w+) \}',
    re.MULTILINE,
)
_ARGUMENTS = re.compile(rb'(?:input_args|output_args|input|output)=\{ ?((?:"[^"]+" ?)*)\}')
_SIZES = {b"half": 2, b"float": 4, b"uint8": 1, b"int8": 1, b"int32": 4}


@dataclass(frozen=True, slots=True)
class Schedule:
    """`convolutions` with what is fused into them, the other `kernels` by name, in order of execution.

    `activations` and `constants` are bytes on the device; `traffic` is the bytes of activations that
    all launches read and write, once for each that a launch names.
    """

    convolutions: tuple[str, ...]
    kernels: tuple[str, ...]
    activations: int
    constants: int
    traffic: int

    @property
    def launches(self) -> int:
        """All that is launched for one run."""
        return len(self.convolutions) + len(self.kernels)


def read_schedule(plan: bytes) -> Schedule | None:
    """The schedule of a plan, or None where there is none to be read.

    A plan for several capabilities holds one for each: the first is read.
    """
    head, _, rest = plan.partition(b"\nmain {")
    sizes = {
        name: math.prod(map(int, dims.split())) * _SIZES.get(kind, 0)
        for dims, name, region, kind in _TENSOR.findall(head)
        if region in (b"devmem", b"") and b"scratch" not in name
    }
    convolutions: list[str] = []
    kernels: list[str] = []
    traffic = 0
    for kind, line in _LAUNCH.findall(rest.partition(b"\n}")[0]):
        name = _NAME.search(line)
        launched = kernels if kind in (b"function", b"inorm") else convolutions
        launched.append(name.group(1).decode() if name else "")
        for arguments in _ARGUMENTS.findall(line):
            traffic += sum(sizes.get(each, 0) for each in set(re.findall(rb'"([^"]+)"', arguments)))
    if not convolutions:
        return None
    regions = [(int(size), b"constant=true" in rest) for size, rest in _REGION.findall(head)]
    kept, constant = (
        sum(size for size, fixed in regions if fixed is want) for want in (False, True)
    )
    return Schedule(tuple(convolutions), tuple(kernels), kept, constant, traffic)
