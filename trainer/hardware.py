"""Where and how a run computes: what the device has decides."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import torch
from torch import nn

from engines.errors import UserError, first_line
from engines.survey.machine import processor
from trainer.config import TrainConfig
from trainer.ranks import ALONE, Ranks

P = ParamSpec("P")
T = TypeVar("T")
_BF16 = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Hardware:
    """`bf16`: autocast to bfloat16, weights stay float32. `channels_last` is the memory layout.

    `ranks` is this process among those that train together. CUDA was never run.
    """

    device: torch.device
    bf16: bool
    channels_last: bool
    compiled: bool
    ranks: Ranks = ALONE

    def place(self, network: nn.Module) -> None:
        """Bring a network to the device, in this layout."""
        network.to(self.device)
        if self.channels_last:
            # PyTorch's stubs lack the form of `to` that changes the layout alone.
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @contextmanager
    def computing(self) -> Iterator[None]:
        """The precision of networks; losses are computed outside of it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            yield

    def fast(self, function: Callable[P, T]) -> Callable[P, T]:
        """`function` by torch.compile where that is wanted; as it is where that fails at first.

        A failure is a warning. Failures in `backward` are not seen here.
        """
        if not self.compiled:
            return function
        chosen: Callable[P, T] | None = None
        quick = torch.compile(function, dynamic=False)

        def call(*arguments: P.args, **options: P.kwargs) -> T:
            nonlocal chosen
            if chosen is not None:
                return chosen(*arguments, **options)
            try:
                made = quick(*arguments, **options)
                chosen = quick
            except Exception as error:  # of a compiler, of as many kinds as it has parts
                reason = first_line(error)
                warnings.warn(f"Training is not compiled, so it is slower ({reason})", stacklevel=2)
                chosen = function
                made = function(*arguments, **options)
            return made

        return call

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        layout = "channels last" if self.channels_last else "contiguous"
        several = f"{self.ranks.count} processes, " if self.ranks.count > 1 else ""
        precision = "bf16" if self.bf16 else "fp32"
        return f"{name}, {several}{precision}, {layout}, PyTorch {torch.__version__}"


def hardware(config: TrainConfig) -> Hardware:
    """Decide it. On CPUs bf16 only where they have it: elsewhere it is emulated, several times slower.

    On CPUs without it contiguous fp32 is the fastest, a third ahead of channels last.

    Raises UserError for a device that PyTorch cannot use.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"PyTorch cannot use the device {name!r}", "Give --device cpu") from error
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        torch.set_flush_denormal(True)  # else a run becomes several times slower on the way
        fast = any(each in processor().instructions for each in _BF16)
    bf16 = fast if config.precision == "auto" else config.precision == "bf16"
    # Gradients of gradients are not compiled.
    compiled = device.type == "cuda" and config.adversarial != "wgangp"
    return Hardware(device, bf16, bf16 or device.type == "cuda", compiled)


def of_rank(hardware: Hardware, ranks: Ranks) -> Hardware:
    """The same for one of several processes: each has a GPU of its own. Raises UserError for too few."""
    device = hardware.device
    if device.type == "cuda" and ranks.count > 1:
        if torch.cuda.device_count() < ranks.count:
            raise UserError(
                f"There are {torch.cuda.device_count()} GPUs for {ranks.count} processes",
                "Give fewer --devices",
            )
        device = torch.device("cuda", ranks.rank)
        torch.cuda.set_device(device)
    return replace(hardware, device=device, ranks=ranks)
