"""A run on disk: all that is needed to go on as if nothing had happened, and the models it made."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from engines.atomic import replacing
from engines.errors import UserError
from trainer.average import Average
from trainer.pool import Pool

BEST = "best.pt"


@dataclass(slots=True)
class TrainState:
    """The few numbers by which a run goes on. `seconds` are those spent in training."""

    images_seen: int = 0
    seconds: float = 0.0
    drops: int = 0
    """of the learning rate, by the policy "plateau" """
    since_better: int = 0
    """evaluations since the last one that was better than all before"""
    best: float | None = None
    best_at: int = 0


class Trained(Protocol):
    """What a method of training has; see `trainer.cyclegan` and `trainer.pix2pix`."""

    @property
    def networks(self) -> Mapping[str, nn.Module]: ...

    @property
    def averages(self) -> Mapping[str, Average]: ...

    @property
    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    @property
    def pools(self) -> Mapping[str, Pool]: ...


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints in a run's folder, by the number of pictures seen; the newest `keep`, and the best.

    A file has its name only when it is whole and on the disk.
    """

    folder: Path
    keep: int = 5
    trained: Trained | None = field(default=None, compare=False)

    def save(self, state: TrainState, best: bool = False) -> Path:
        """Keep everything; as the best one too, if it is that."""
        assert self.trained is not None
        trained = self.trained
        content = {
            "state": asdict(state),
            "networks": {name: each.state_dict() for name, each in trained.networks.items()},
            "averages": {
                name: each.network.state_dict() for name, each in trained.averages.items()
            },
            "optimisers": {name: each.state_dict() for name, each in trained.optimisers.items()},
            "pools": {name: pool.state() for name, pool in trained.pools.items()},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{state.images_seen:09}.pt"
        try:
            with replacing(path) as scratch:
                torch.save(content, scratch)
            if best:
                with replacing(self.folder / BEST) as scratch:
                    _link(path, scratch)
        except (OSError, RuntimeError) as error:  # PyTorch's writer raises the second
            reason = error.strerror if isinstance(error, OSError) else str(error).split("\n")[0]
            raise UserError(
                f"The checkpoint cannot be written ({reason})",
                "Make room, then give the same command again: it goes on from the last one",
            ) from error
        # A newer one could not be read when the run went on from an older: it does not count.
        known = [each for each in self.found() if each.name <= path.name]
        for old in known[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def found(self) -> list[Path]:
        """All but the best, the newest last."""
        return sorted(path for path in self.folder.glob("*.pt") if path.stem.isdigit())

    def load_latest(
        self, passed_over: Callable[[Path], None] = lambda path: None
    ) -> TrainState | None:
        """Go on from the newest that can be read; None where there is none.

        `passed_over` is told of each that is damaged.
        Raises UserError where there are some, all damaged: what they were is not written over.
        """
        found = self.found()
        for path in reversed(found):
            content = read_checkpoint(path)
            if content is not None:
                return self.load(content)
            passed_over(path)
        if found:
            raise UserError(
                f"No checkpoint in {self.folder} can be read",
                "Remove the run to begin anew, or give another --name",
            )
        return None

    def load(self, content: Mapping[str, Any]) -> TrainState:
        """Put everything back."""
        assert self.trained is not None
        trained = self.trained
        for name, network in trained.networks.items():
            network.load_state_dict(content["networks"][name])
        for name, average in trained.averages.items():
            average.network.load_state_dict(content["averages"][name])
        for name, optimiser in trained.optimisers.items():
            optimiser.load_state_dict(content["optimisers"][name])
        device = next(iter(trained.networks["to_target"].parameters())).device
        for name, pool in trained.pools.items():
            pool.restore(content["pools"][name], device)
        return TrainState(**content["state"])


def _link(path: Path, other: Path) -> None:
    """The same file by another name, or a copy where the file system has one name a file."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What a checkpoint holds, on the CPU; None for one that is damaged. Nothing in it is executed."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file fails in as many ways as it has bytes
        return None
    whole = isinstance(content, dict) and {"state", "networks", "averages"} <= content.keys()
    return content if whole else None
