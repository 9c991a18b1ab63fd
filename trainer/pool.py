"""Past translations, for the discriminators to see again."""

import numpy as np
import torch
from torch import Tensor


class Pool:
    """A replay buffer on the device (Shrivastava et al. 2017, as used by Zhu et al. 2017, section 4).

    Until it is full every picture is kept and given. Then each, by even chances, is given as it is, or
    takes the place of one that was kept, which is given. What happens depends on nothing but
    `random` and what is kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: Tensor | None = None
        self.filled = 0

    def exchange(self, pictures: Tensor, random: np.random.Generator) -> Tensor:
        """Give as many pictures `[N, C, H, W]` as come in; the order of N is kept."""
        if self.size == 0:
            return pictures
        if self.kept is None:
            self.kept = pictures.new_zeros((self.size, *pictures.shape[1:]))
        given = pictures.clone()
        for index in range(len(pictures)):
            if self.filled < self.size:
                self.kept[self.filled] = pictures[index]
                self.filled += 1
            elif random.random() < 0.5:
                place = int(random.integers(self.size))
                given[index] = self.kept[place]
                self.kept[place] = pictures[index]
        return given

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        kept = torch.empty(0) if self.kept is None else self.kept[: self.filled].clone()
        return {"kept": kept}

    def restore(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Go on from `state`."""
        kept = state["kept"]
        self.filled = len(kept)
        self.kept = None
        if self.filled:
            self.kept = kept.new_zeros((self.size, *kept.shape[1:]), device=device)
            self.kept[: self.filled] = kept.to(device)
