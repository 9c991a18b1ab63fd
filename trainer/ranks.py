"""Several processes that train as one: what they exchange.

Each works on its slice of every batch. After `backward` gradients are averaged by one `all_reduce` of
them all, laid end to end. PyTorch's DistributedDataParallel does that by hooks in `forward`; here a
generator runs several times before one `backward`, and discriminators are frozen in between, which
those hooks do not take. gloo on CPUs; NCCL on CUDA, where this was never run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process, number `rank` of `count`. The first has number 0; alone, nothing is exchanged."""

    rank: int = 0
    count: int = 1

    def part(self, batch: Tensor) -> Tensor:
        """This process's slice of what all have, `[N, ...]`."""
        return batch.chunk(self.count)[self.rank] if self.count > 1 else batch

    def gathered(self, part: Tensor) -> Tensor:
        """The slices `[n, ...]` of all processes in their order, `[N, ...]`."""
        if self.count == 1:
            return part
        part = part.contiguous()
        # As bytes: not every backend knows every type.
        parts = [torch.empty_like(part) for _ in range(self.count)]
        views = [each.view(torch.uint8) for each in parts]
        torch.distributed.all_gather(views, part.view(torch.uint8))
        return torch.cat(parts)

    def average(self, values: Sequence[Tensor]) -> None:
        """Put the mean over all processes in place of each of these, which are of one dtype."""
        if self.count == 1:
            return
        flat = torch.cat([each.reshape(-1) for each in values])
        torch.distributed.all_reduce(flat)
        flat /= self.count
        parts = torch.split(flat, [each.numel() for each in values])
        for each, part in zip(values, parts, strict=True):
            each.copy_(part.view(each.shape))

    def mean(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of whole batches, from those of the slices."""
        means = {name: loss.float() if self.count > 1 else loss for name, loss in losses.items()}
        self.average(list(means.values()))
        return means

    def agreed(self, values: Sequence[float]) -> list[float]:
        """What the first process says, for all. It crosses by the CPU: nothing waits for a GPU."""
        if self.count == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64)
        torch.distributed.broadcast(told, 0)
        return [float(value) for value in told]


ALONE = Ranks()
