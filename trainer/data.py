"""What is trained on: both domains, and which pictures a step sees, cut how.

Nothing here has a state. Which pictures are drawn, where they are cut and whether they are mirrored
follows from the seed and the number of pictures seen so far, so a run goes on where it was by that
number alone, whatever has read ahead.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engines.errors import UserError
from trainer.config import TrainConfig
from trainer.pictures import PictureSet, Scaling, find_pictures, without_copies

AHEAD = 4  # steps that are read while one is computed


class Report(Protocol):
    """Told what is being done."""

    def __call__(self, step: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Data:
    """The pictures of a run. Test pictures are those that stand in no training set."""

    source: PictureSet
    target: PictureSet
    test_source: PictureSet | None
    test_target: PictureSet | None
    listed: tuple[tuple[int, ...], tuple[int, ...]]
    """the pictures that the lists name, by domain; all where there is no list"""
    left_out: int
    """test pictures that are copies of training pictures"""


def read_data(config: TrainConfig, report: Report = lambda step: None) -> Data:
    """Find and read all pictures. Raises UserError, see `PictureSet`."""
    scaling = Scaling(config.preprocess, config.load_size, config.crop, config.spec.multiple_of)
    side_by_side = config.paired and config.source == config.target
    parts = [(0.0, 0.5), (0.5, 1.0)] if side_by_side else [(0.0, 1.0)] * 2
    if config.swap and side_by_side:
        parts.reverse()
    folders = [config.source, config.target]
    if config.swap and not side_by_side:
        folders.reverse()
    found = [find_pictures(folder) for folder in folders]
    if config.paired and not side_by_side:
        found = _pairs(found[0], found[1])
    sets = [
        PictureSet(paths, str(folder), scaling, config.gray, part, report)
        for paths, folder, part in zip(found, folders, parts, strict=True)
    ]
    if config.paired and len(sets[0]) != len(sets[1]):
        raise UserError("Some pictures can be read in one domain alone", "Mend or remove them")
    tests: list[PictureSet | None] = []
    left_out = 0
    for folder, trained, part in zip(
        (config.test_source, config.test_target), sets, parts, strict=True
    ):
        if folder is None:
            tests.append(None)
            continue
        paths = find_pictures(folder)
        fresh = without_copies(paths, trained.paths)
        left_out += len(paths) - len(fresh)
        whole = Scaling("resize_and_crop", config.crop, config.crop)
        tests.append(PictureSet(fresh, str(folder), whole, config.gray, part, report))
    lists = (config.source_list, config.target_list)
    listed = tuple(
        tuple(trained.named(path)) if path else tuple(range(len(trained)))
        for path, trained in zip(lists, sets, strict=True)
    )
    return Data(sets[0], sets[1], tests[0], tests[1], (listed[0], listed[1]), left_out)


def random_at(seed: int, stream: int, position: int) -> np.random.Generator:
    """Random numbers that belong to a place in a run: the same whenever they are asked for."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, position, 0]))


_DRAW, _CUT = 1, 2  # streams; a domain's number is added times ten


class Drawing:
    """Which pictures of a domain are drawn, by the number of those drawn before.

    Every picture once before any comes again, in an order of each round's own. With a list, so many
    of the draws as `share` says are of those that it names.
    """

    def __init__(
        self, seed: int, domain: int, count: int, listed: tuple[int, ...], share: float
    ) -> None:
        self._seed, self._stream = seed, _DRAW + 10 * domain
        others = sorted(set(range(count)) - set(listed))
        self._share = share if others and len(listed) < count else 1.0
        self._groups = [np.array(listed), np.array(others)]
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, position: int) -> int:
        """The index of the picture at a position."""
        # Which of the first `position` draws were of the list has a closed form: no state.
        before = int(np.floor(position * self._share))
        from_list = int(np.floor((position + 1) * self._share)) > before
        group, place = (0, before) if from_list else (1, position - before)
        pictures = self._groups[group]
        turn, index = divmod(place, len(pictures))
        order = self._orders.get((group, turn))
        if order is None:
            random = random_at(self._seed, self._stream + group, turn)
            order = self._orders[group, turn] = random.permutation(len(pictures))
            self._orders.pop((group, turn - 2), None)
        return int(pictures[order[index]])


class Batches:
    """Pictures for each step, `[batch, 3, crop, crop]` of each domain in [-1, 1], on the device.

    They cross to it as bytes. Small pictures in memory are cut by the caller's thread; others are read
    ahead by workers, in order.
    """

    def __init__(self, config: TrainConfig, data: Data, device: torch.device) -> None:
        self._config, self._data, self._device = config, data, device
        self._drawings = [
            Drawing(config.seed, domain, len(pictures), data.listed[domain], config.list_share)
            for domain, pictures in enumerate((data.source, data.target))
        ]

    def since(self, images_seen: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batch after batch, from that many pictures on; endless."""
        with ThreadPoolExecutor(AHEAD) as pool:
            step = self._config.batch
            ahead = [pool.submit(self._cut, images_seen + step * n) for n in range(AHEAD)]
            position = images_seen + step * AHEAD
            try:
                while True:
                    cut = ahead.pop(0).result()
                    ahead.append(pool.submit(self._cut, position))
                    position += step
                    yield self._on_device(cut[0]), self._on_device(cut[1])
            finally:
                for waiting in ahead:
                    waiting.cancel()

    def _cut(self, position: int) -> tuple[Tensor, Tensor]:
        pairs = [self._pair(position + number) for number in range(self._config.batch)]
        source, target = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
        return source, target

    def _pair(self, position: int) -> list[np.ndarray]:
        sets = (self._data.source, self._data.target)
        if self._config.paired:
            index = self._drawings[0](position)
            indices = [index, index]
        else:
            indices = [drawing(position) for drawing in self._drawings]
        cut = []
        for domain, (pictures, index) in enumerate(zip(sets, indices, strict=True)):
            stream = _CUT + (0 if self._config.paired else 10 * domain)
            random = random_at(self._config.seed, stream, position)
            cut.append(self._crop(pictures[index], random))
        return cut

    def _crop(self, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A window of the picture, mirrored by even chances."""
        shares, mirrored = random.random(2), random.random() < 0.5
        if self._config.preprocess != "none":
            side = self._config.crop
            top, left = (
                int(share * (length - side + 1))
                for share, length in zip(shares, pixels.shape[:2], strict=True)
            )
            pixels = pixels[top : top + side, left : left + side]
        return np.ascontiguousarray(pixels[:, ::-1] if mirrored and self._config.flip else pixels)

    def _on_device(self, pixels: Tensor) -> Tensor:
        """`[N, H, W, 3]` bytes to `[N, 3, H, W]` in [-1, 1]."""
        if self._device.type == "cuda":
            pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def as_tensor(pixels: np.ndarray, device: torch.device) -> Tensor:
    """A picture `[H, W, 3]` of bytes as `[1, 3, H, W]` in [-1, 1]."""
    return (
        torch.from_numpy(np.array(pixels)).to(device)[None].permute(0, 3, 1, 2).float() / 127.5 - 1
    )


def _pairs(source: list[Path], target: list[Path]) -> list[list[Path]]:
    """Both lists with those names alone that stand in both."""
    by_name = [{path.stem: path for path in paths} for paths in (source, target)]
    names = sorted(by_name[0].keys() & by_name[1].keys())
    if not names:
        raise UserError(
            "No picture has the same name in both folders",
            "Pairs have equal names, or stand side by side in one folder",
        )
    return [[known[name] for name in names] for known in by_name]
