"""What a plan of TensorRT for RTX will launch and how much memory it takes, read without a GPU.

The schedule stands in the plan as text. That is nowhere documented: use it to compare graphs and to
tell people, never to decide.
"""

import re
from dataclasses import dataclass

_LAUNCH = re.compile(
    rb"^ +(function|runtime_fusion|convolution|deconvolution|corrltn|inorm)=\{ name=(\S+)", re.M
)
_REGION = re.compile(rb"^ +region = \{ name=(\S+) size=(\d+) .*place=accelerator (.*)\}", re.M)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`convolutions` with what is fused into them, the other `kernels` by name, in order of execution.

    `activations` and `constants` are bytes on the device.
    """

    convolutions: tuple[str, ...]
    kernels: tuple[str, ...]
    activations: int
    constants: int

    @property
    def launches(self) -> int:
        """All that is launched for one run."""
        return len(self.convolutions) + len(self.kernels)


def read_schedule(plan: bytes) -> Schedule | None:
    """The schedule of a plan, or None where there is none to be read.

    A plan for several capabilities holds one for each: the first is read.
    """
    convolutions: list[str] = []
    kernels: list[str] = []
    for part in plan.split(b"\nmain {")[1:2]:
        body = part.split(b"\n}", 1)[0]
        for kind, name in _LAUNCH.findall(body):
            (kernels if kind == b"function" else convolutions).append(name.decode().strip('"'))
    if not convolutions:
        return None
    head = plan.split(b"\nmain {", 1)[0]
    regions = [(int(size), b"constant=true" in rest) for _, size, rest in _REGION.findall(head)]
    return Schedule(
        tuple(convolutions),
        tuple(kernels),
        sum(size for size, constant in regions if not constant),
        sum(size for size, constant in regions if constant),
    )
