"""Measures of a translation that need no download."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.errors import UserError
from trainer.average import Average
from trainer.classifier import domain_classifier
from trainer.config import TrainConfig
from trainer.data import Data, as_tensor
from trainer.hardware import Hardware
from trainer.pictures import PictureSet, spread
from trainer.verdict import way

MOST = 64  # pictures of a domain that are measured
BATCH = 8
HIGHEST_PSNR = 60.0
"""dB of pictures that are the same: a number that JSON has."""


class Evaluator:
    """Measures generators on test pictures, those that stand in no training set.

    Where a domain has none, training pictures are measured, and `on_training_pictures` says so.

    | key | what | range |
    |---|---|---|
    | `taken_for_target` | share of translated source pictures that the classifier takes for the target | 0 to 1 |
    | `taken_for_target_floor` | the same of source pictures as they are | 0 to 1 |
    | `taken_for_target_ceiling` | the same of real target pictures | 0 to 1 |
    | `taken_for_source`, ... | the way back, likewise | 0 to 1 |
    | `edges_to_target`, `edges_to_source` | see `edge_agreement`, between picture and translation | -1 to 1 |
    | `cycle_psnr_source`, `cycle_psnr_target` | dB between a picture and itself, there and back | to 60 |
    | `l1_to_truth` | paired: mean distance to the true picture, in levels of 255 | 0 to 255 |
    | `psnr_to_truth` | paired: dB to the true picture | to 60 |
    | `pictures_measured` | how many of each domain, the fewer of both | |
    | `on_training_pictures` | 1 where they are pictures that were trained on, else 0 | |
    | `score` | what `best` follows, see below; more is better | |

    Paired, there is no way back, and `score` is `psnr_to_truth`. Unpaired it is, as a mean of both
    directions, the way from floor to ceiling (see `trainer.verdict`) times the edge agreement (none below 0).
    The first alone is won by a soup of the target's colours, the second by changing nothing; as a
    product each of these gets 0. The cycle is no part of it: generators learn to hide a picture in
    one that shows nothing of it (Chu et al. 2017, arXiv 1712.02950).
    """

    def __init__(self, config: TrainConfig, data: Data, hardware: Hardware, folder: Path) -> None:
        """The classifier is kept in the run's `folder`; the first time, it is trained here.

        Raises UserError for paired test pictures of which none is a pair.
        """
        self._hardware = hardware
        self._paired = config.paired
        self._sources, self._targets = _samples(config, data)
        self._classifier = domain_classifier(
            folder / "classifier.safetensors", config, data, hardware.device
        )
        self._untouched = [
            _mean([self._for_target(batch) for batch in self._batches(sample)])
            for sample in (self._sources, self._targets)
        ]

    @torch.no_grad()
    def __call__(self, averages: Mapping[str, Average]) -> dict[str, float]:
        """The measures, by name."""
        floor, ceiling = self._untouched
        counts = {
            "pictures_measured": float(min(len(self._sources), len(self._targets))),
            "on_training_pictures": float(self._sources.trained_on or self._targets.trained_on),
        }
        to_target = averages["to_target"].network
        if self._paired:
            there = self._to_truth(to_target) | _between(floor, ceiling, "target")
            return there | counts | {"score": there["psnr_to_truth"]}
        to_source = averages["to_source"].network
        there = self._there_and_back(to_target, to_source, "target", "source", self._sources)
        back = self._there_and_back(to_source, to_target, "source", "target", self._targets)
        back["taken_for_source"] = 1 - back["taken_for_source"]
        there |= _between(floor, ceiling, "target")
        back |= _between(1 - ceiling, 1 - floor, "source")
        scores = [
            way(values, domain) * max(values[f"edges_to_{domain}"], 0.0)
            for values, domain in ((there, "target"), (back, "source"))
        ]
        return there | back | counts | {"score": sum(scores) / 2}

    def _there_and_back(
        self, there: nn.Module, back: nn.Module, domain: str, own: str, sample: "_Sample"
    ) -> dict[str, float]:
        """Measures of one direction; the share is that taken for the target, wherever it leads."""
        taken, edges, psnrs = [], [], []
        for pictures in self._batches(sample):
            translated = self._translate(there, pictures)
            taken.append(self._for_target(translated))
            edges.append(edge_agreement(pictures, translated))
            psnrs.append(psnr(pictures, self._translate(back, translated)))
        return {
            f"taken_for_{domain}": _mean(taken),
            f"edges_to_{domain}": _mean(edges),
            f"cycle_psnr_{own}": _mean(psnrs),
        }

    def _to_truth(self, to_target: nn.Module) -> dict[str, float]:
        taken, edges, psnrs, distances = [], [], [], []
        for pictures, truth in zip(
            self._batches(self._sources), self._batches(self._targets), strict=True
        ):
            translated = self._translate(to_target, pictures)
            taken.append(self._for_target(translated))
            edges.append(edge_agreement(pictures, translated))
            psnrs.append(psnr(truth, translated))
            distances.append((translated - truth).abs().mean((1, 2, 3)) * 127.5)
        return {
            "taken_for_target": _mean(taken),
            "edges_to_target": _mean(edges),
            "psnr_to_truth": _mean(psnrs),
            "l1_to_truth": _mean(distances),
        }

    def _translate(self, network: nn.Module, pictures: Tensor) -> Tensor:
        return _translated(network, pictures, self._hardware)

    @torch.no_grad()
    def _for_target(self, pictures: Tensor) -> Tensor:
        """1 for each picture that the classifier takes for the target, else 0."""
        verdicts: Tensor = self._classifier(pictures)
        return (verdicts > 0).float()

    def _batches(self, sample: "_Sample") -> Iterator[Tensor]:
        return _batches(sample, self._hardware.device)


class Likeness:
    """Measures how like its teacher a student translates, on test pictures if there are any.

    | key | what | range |
    |---|---|---|
    | `psnr_to_teacher` | dB to the teacher's translation, the mean over pictures | to 60 |
    | `worst_psnr_to_teacher` | the same of the worst picture | to 60 |
    | `edges_to_teacher` | see `edge_agreement`, between both translations | -1 to 1 |
    | `pictures_measured`, `on_training_pictures` | see `Evaluator` | |
    | `score` | `psnr_to_teacher` | |
    """

    def __init__(
        self, config: TrainConfig, data: Data, hardware: Hardware, teacher: nn.Module
    ) -> None:
        self._hardware = hardware
        self._teacher = teacher
        self._sources = _samples(config, data)[0]
        self._wanted: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, averages: Mapping[str, Average]) -> dict[str, float]:
        """The measures, by name."""
        student, device = averages["to_target"].network, self._hardware.device
        psnrs, edges = [], []
        for number, pictures in enumerate(_batches(self._sources, device)):
            if number == len(self._wanted):  # a teacher is slow, and says the same every time
                wanted = _translated(self._teacher, pictures, self._hardware)
                self._wanted.append(wanted.half().cpu())
            wanted = self._wanted[number].to(device).float()
            made = _translated(student, pictures, self._hardware)
            psnrs.append(psnr(wanted, made))
            edges.append(edge_agreement(wanted, made))
        mean = _mean(psnrs)
        return {
            "psnr_to_teacher": mean,
            "worst_psnr_to_teacher": float(torch.cat(psnrs).min()),
            "edges_to_teacher": _mean(edges),
            "pictures_measured": float(len(self._sources)),
            "on_training_pictures": float(self._sources.trained_on),
            "score": mean,
        }


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """dB between pictures `[N, 3, H, W]` in [-1, 1], each for itself `[N]`; at most HIGHEST_PSNR."""
    error = (one - other).square().mean((1, 2, 3))
    least = 4 * 10 ** (-HIGHEST_PSNR / 10)
    decibels: Tensor = 10 * torch.log10(4 / error.clamp(min=least))
    return decibels


def edge_agreement(one: Tensor, other: Tensor) -> Tensor:
    """How well edges stand where they stood: 1 in the same places, 0 anywhere, for each picture `[N]`.

    The correlation over the picture of the gradients' magnitudes (Sobel) of luma. It does not go by
    colour, brightness or contrast as a whole. 0 where a picture has no edges at all.
    """
    first, second = (_edges(pictures).flatten(1) for pictures in (one, other))
    first, second = (each - each.mean(1, keepdim=True) for each in (first, second))
    norms = first.norm(dim=1) * second.norm(dim=1)
    agreement: Tensor = (first * second).sum(1) / norms.clamp(min=1e-6)
    return agreement


def _edges(pictures: Tensor) -> Tensor:
    """`[N, 1, H - 2, W - 2]`: how steeply luma rises at each pixel."""
    luma = (pictures * pictures.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, True)
    across = pictures.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    kernels = torch.stack([across, across.T])[:, None]
    with torch.autocast(pictures.device.type, enabled=False):
        steps: Tensor = functional.conv2d(luma, kernels)
    steepness: Tensor = steps.square().sum(1, True).sqrt()
    return steepness


def _translated(network: nn.Module, pictures: Tensor, hardware: Hardware) -> Tensor:
    if hardware.channels_last:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    with hardware.computing():
        translated: Tensor = network(pictures)
    return translated.float()


def _batches(sample: "_Sample", device: torch.device) -> Iterator[Tensor]:
    """Pictures `[N, 3, H, W]` on the device, as many at once as are of one size."""
    waiting: list[Tensor] = []
    for index in sample.indices:
        picture = as_tensor(_cut(sample.pictures[index], sample.side), device)
        if waiting and (len(waiting) == BATCH or picture.shape != waiting[0].shape):
            yield torch.cat(waiting)
            waiting = []
        waiting.append(picture)
    yield torch.cat(waiting)


def _mean(values: Sequence[Tensor]) -> float:
    return float(torch.cat(list(values)).mean())


def _between(floor: float, ceiling: float, domain: str) -> dict[str, float]:
    name = f"taken_for_{domain}"
    return {f"{name}_floor": floor, f"{name}_ceiling": ceiling}


@dataclass(frozen=True, slots=True)
class _Sample:
    """The pictures of a domain that are measured: always the same."""

    pictures: PictureSet
    indices: Sequence[int]
    side: int | None
    """what is cut from their middle; None takes them whole"""
    trained_on: bool

    def __len__(self) -> int:
        return len(self.indices)


def _samples(config: TrainConfig, data: Data) -> list[_Sample]:
    """What is measured of the source and of the target, spread over each set."""
    tests, trained = (data.test_source, data.test_target), (data.source, data.target)
    if config.paired and None in tests:
        tests = (None, None)
    measured = [test or pictures for test, pictures in zip(tests, trained, strict=True)]
    choices: list[Sequence[int]] = [range(len(pictures)) for pictures in measured]
    if config.paired:
        choices = _pairs(measured)
    samples = []
    for test, pictures, choice in zip(tests, measured, choices, strict=True):
        indices = [choice[place] for place in spread(len(choice), MOST)]
        whole = test is not None or config.preprocess == "none"
        samples.append(_Sample(pictures, indices, None if whole else config.crop, test is None))
    return samples


def _pairs(sets: Sequence[PictureSet]) -> list[Sequence[int]]:
    """Where the pictures stand whose names are in both sets, by set."""
    by_name = [
        {path.stem: number for number, path in enumerate(pictures.paths)} for pictures in sets
    ]
    names = sorted(by_name[0].keys() & by_name[1].keys())
    if not names:
        raise UserError(
            "No test picture has the same name in both folders",
            "Pairs have equal names, or stand side by side in one folder",
        )
    return [[known[name] for name in names] for known in by_name]


def _cut(pixels: np.ndarray, side: int | None) -> np.ndarray:
    """The middle of a picture."""
    if side is None:
        return pixels
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
