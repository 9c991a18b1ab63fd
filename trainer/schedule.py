"""How far a run is, and what the learning rate is there."""

import math
from typing import assert_never

from trainer.config import Policy


def factor(policy: Policy, progress: float, decay_from: float, drops: int = 0) -> float:
    """The learning rate at `progress` (0 to 1 of the run) as a share of the one at its start.

    linear: 1 until `decay_from`, then straight to 0 (Zhu et al. 2017: 100 epochs and 100).
    cosine: 1 until `decay_from`, then half a cosine to 0. step: a tenth after each quarter.
    plateau: a fifth for each of the `drops` that the run has had so far. constant: 1.
    """
    fallen = 0.0 if progress <= decay_from else (progress - decay_from) / (1 - decay_from)
    match policy:
        case "linear":
            return max(0.0, 1 - fallen)
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(fallen, 1)))
        case "step":
            return 0.1 ** int(4 * min(progress, 0.999))
        case "plateau":
            return 0.2**drops
        case "constant":
            return 1.0
        case _:
            assert_never(policy)
