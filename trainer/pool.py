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
        self.kept: list[Tensor] = []

    def exchange(self, pictures: Tensor, random: np.random.Generator) -> Tensor:
        """Give as many pictures `[N, C, H, W]` as come in; the order of N is kept.

        A picture of another size (N is 1 then) may be given for one that comes in.
        """
        if self.size == 0:
            return pictures
        given = []
        for picture in pictures.chunk(len(pictures)):
            if len(self.kept) < self.size:
                self.kept.append(picture.clone())
            elif random.random() < 0.5:
                place = int(random.integers(self.size))
                picture, self.kept[place] = self.kept[place], picture.clone()
            given.append(picture)
        return torch.cat(given)

    def state(self) -> dict[str, list[Tensor]]:
        """What a checkpoint keeps."""
        return {"kept": list(self.kept)}

    def restore(self, state: dict[str, list[Tensor]], device: torch.device) -> None:
        """Go on from `state`."""
        self.kept = [picture.to(device) for picture in state["kept"]]
