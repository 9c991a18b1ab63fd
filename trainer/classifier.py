"""A small network that tells the two domains apart, taught by the training pictures alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from engines.atomic import replacing
from trainer.config import TrainConfig
from trainer.data import Data, as_tensor, random_at
from trainer.networks import begin
from trainer.pictures import PictureSet

SIDE = 96
"""What it looks at, in pixels: small enough that it goes by looks, not by a camera's compression."""
MOST = 1500  # pictures of a domain that it learns from
CUT = 0.75  # of its side, what a lesson shows
BATCH = 32
ROUND = 25  # steps between two exams
ROUNDS = 24
PATIENCE = 8  # rounds without a better exam
GOOD = 0.995
RATE = 2e-3
SURENESS = 0.95
"""What it is taught to answer for a picture of the target: no outcry over a doubtful one."""
_PICTURES, _TEACHING = 4, 5  # streams of random numbers, beside those of `trainer.data`


class DomainClassifier(nn.Module):
    """Four convolutions and a mean: above 0 for the target, below for the source.

    Takes pictures of any size, `[N, 3, H, W]` in [-1, 1], and gives `[N]`. Larger pictures are made
    `side` pixels small first, so each is seen as a whole.
    """

    def __init__(self, side: int = SIDE, channels: int = 24) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        widths = (3, channels, 2 * channels, 3 * channels, 4 * channels)
        for before, width in pairwise(widths):
            modules += [
                nn.Conv2d(before, width, 3, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        modules += [nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[-1], 1, 1), nn.Flatten(0)]
        self.layers = nn.Sequential(*modules)
        self.side = side

    def forward(self, pictures: Tensor) -> Tensor:
        """The verdict on each."""
        return self.judge(look(pictures, self.side))

    def judge(self, pictures: Tensor) -> Tensor:
        """The verdict on pictures that are small already, or parts of them."""
        verdicts: Tensor = self.layers(pictures)
        return verdicts


def look(pictures: Tensor, side: int) -> Tensor:
    """Pictures as the classifier sees them: `side` pixels square, each a mean over its area."""
    if min(pictures.shape[2:]) < side:
        return functional.interpolate(pictures, (side, side), mode="bilinear", align_corners=False)
    return functional.interpolate(pictures, (side, side), mode="area")


def domain_classifier(
    path: Path, config: TrainConfig, data: Data, device: torch.device
) -> DomainClassifier:
    """The classifier that is kept at `path`, or a new one, which is then kept there.

    All of a run's measures, also those after it went on, are by the same classifier.
    """
    # Made without memory first: what PyTorch fills layers with is drawn from its global random state.
    with torch.device("meta"):
        network = DomainClassifier(min(SIDE, config.crop))
    network.to_empty(device="cpu")
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):  # not there, damaged, of an earlier layout
        _teach(network, config, data, device)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch:
            save_file({key: each.cpu() for key, each in network.state_dict().items()}, scratch)
    return network.to(device).eval().requires_grad_(False)


def _teach(
    network: DomainClassifier, config: TrainConfig, data: Data, device: torch.device
) -> None:
    """Train from new weights until every exam picture is told right, or it gets no better."""
    begin(network, "kaiming", 0.02, torch.Generator().manual_seed(config.seed))
    for key, buffer in network.named_buffers():
        buffer.fill_(1 if key.endswith("running_var") else 0)
    network.to(device)
    schools = [
        _School.of(config, domain, pictures, data.listed[domain], network.side, device)
        for domain, pictures in enumerate((data.source, data.target))
    ]
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    best, best_exam, rounds_since = network.state_dict(), -1.0, 0
    batches = _batches(config.seed, schools, int(network.side * CUT), device)
    for number in range(ROUNDS):
        network.train()
        for step in range(ROUND):
            share = (number * ROUND + step) / (ROUNDS * ROUND)
            optimiser.param_groups[0]["lr"] = RATE * (1 + np.cos(np.pi * share)) / 2
            pictures, answers = next(batches)
            verdicts = network.judge(pictures)
            loss = functional.binary_cross_entropy_with_logits(verdicts, answers)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        passed = _exam(network.eval(), schools)
        rounds_since += 1
        if passed > best_exam:
            best = {key: each.clone() for key, each in network.state_dict().items()}
            best_exam, rounds_since = passed, 0
        if best_exam >= GOOD or rounds_since >= PATIENCE:
            break
    network.load_state_dict(best)


@dataclass(frozen=True, slots=True)
class _School:
    """A domain's pictures, bytes `[N, 3, side, side]`, and how much each is worth (sum 1)."""

    lessons: Tensor
    lesson_weights: np.ndarray
    exams: Tensor
    exam_weights: Tensor

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        domain: int,
        pictures: PictureSet,
        listed: Sequence[int],
        side: int,
        device: torch.device,
    ) -> "_School":
        """Every eighth picture is kept for exams. Pictures count as often as training draws them."""
        order = random_at(config.seed, _PICTURES, domain).permutation(len(pictures))[:MOST]
        share = config.list_share if len(listed) < len(pictures) else 1.0
        named = np.isin(order, listed)
        weights = np.where(named, share / max(named.sum(), 1), (1 - share) / max((~named).sum(), 1))
        if not weights.any():  # none of those that are drawn is among them
            weights[:] = 1
        seen = torch.cat(
            [
                ((look(as_tensor(pictures[int(index)], device), side) + 1) * 127.5).round().byte()
                for index in order
            ]
        )
        exam = np.arange(len(order)) % 8 == 7
        lesson = ~exam
        if not weights[exam].any():  # too few pictures: the exam asks what was taught
            exam = lesson
        return cls(
            seen[torch.from_numpy(lesson)],
            weights[lesson] / weights[lesson].sum(),
            seen[torch.from_numpy(exam)],
            torch.from_numpy(weights[exam] / weights[exam].sum()).float().to(device),
        )


def _batches(
    seed: int, schools: Sequence[_School], crop: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures, half of them of each domain, cut at random and mirrored, and what they are."""
    answers = torch.tensor([1 - SURENESS, SURENESS], device=device).repeat_interleave(BATCH // 2)
    for step in range(ROUNDS * ROUND):
        random = random_at(seed, _TEACHING, step)
        sides = []
        for school in schools:
            count, room = len(school.lessons), school.lessons.shape[-1] - crop + 1
            drawn = random.choice(count, BATCH // 2, p=school.lesson_weights)
            top, left = random.integers(room, size=2)
            cut = school.lessons[torch.from_numpy(drawn), :, top : top + crop, left : left + crop]
            mirrored = torch.from_numpy(random.random(BATCH // 2) < 0.5).to(device)
            sides.append(torch.where(mirrored[:, None, None, None], cut.flip(3), cut))
        yield torch.cat(sides).float() / 127.5 - 1, answers


@torch.no_grad()
def _exam(network: DomainClassifier, schools: Sequence[_School]) -> float:
    """The share of exam pictures told right, both domains counting the same."""
    shares = []
    for is_target, school in enumerate(schools):
        for_target = torch.cat(
            [
                network.judge(part.float() / 127.5 - 1) > 0
                for part in torch.split(school.exams, BATCH)
            ]
        )
        shares.append((for_target == bool(is_target)).float() @ school.exam_weights)
    return float(sum(shares) / 2)
