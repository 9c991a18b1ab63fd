"""What is trained on: both domains, and which pictures a step sees, cut how.

Nothing here has a state. Which pictures are drawn, where they are cut and whether they are mirrored
follows from the seed and the number of pictures seen so far, so a run goes on where it was by that
number alone, whatever has read ahead.
"""

import math
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engines.errors import UserError
from trainer.config import TrainConfig
from trainer.pictures import PictureSet, Scaling, find_pictures, without_copies
from trainer.ranks import ALONE, Ranks

AHEAD = 4  # steps that are read while one is computed


class Report(Protocol):
    """Told what is being done."""

    def __call__(self, step: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Data:
    """The pictures of a run. Test pictures are those that stand in no training set.

    Where there is a source alone ("distill"), it is the target as well.
    """

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
    scaling = Scaling(
        config.preprocess,
        config.load_size,
        config.crop,
        config.spec.multiple_of,
        config.least_size,
    )
    side_by_side = config.paired and config.source == config.target
    parts = [(0.0, 0.5), (0.5, 1.0)] if side_by_side else [(0.0, 1.0)] * 2
    folders = [config.source, config.target]
    test_folders = [config.test_source, config.test_target]
    lists = [config.source_list, config.target_list]
    if side_by_side:
        test_folders = [test_folders[0] or test_folders[1]] * 2
    if config.method == "distill":
        for each in (parts, folders, test_folders, lists):
            del each[1:]
    if config.swap:
        for each in (parts, folders, test_folders, lists):
            each.reverse()
    found = [find_pictures(folder) for folder in folders]
    if config.paired and not side_by_side:
        found = _pairs(found, folders)
    sets = [
        PictureSet(paths, str(folder), scaling, config.gray, part, report)
        for paths, folder, part in zip(found, folders, parts, strict=True)
    ]
    if config.paired:
        _keep_pairs(sets, found)
    _check_sizes(config, sets[0], sets[-1])
    tests, left_out = _read_tests(config, test_folders, sets, parts, report)
    listed = tuple(
        tuple(trained.named(path)) if path else tuple(range(len(trained)))
        for path, trained in zip(lists, sets, strict=True)
    )
    return Data(sets[0], sets[-1], tests[0], tests[-1], (listed[0], listed[-1]), left_out)


def _read_tests(
    config: TrainConfig,
    folders: list[Path | None],
    trained: list[PictureSet],
    parts: list[tuple[float, float]],
    report: Report,
) -> tuple[list[PictureSet | None], int]:
    """The test pictures that stand in no training set, and how many others there are."""
    found = [find_pictures(folder) if folder else [] for folder in folders]
    fresh = [
        without_copies(paths, known.paths) for paths, known in zip(found, trained, strict=True)
    ]
    left_out = sum(len(paths) for paths in found) - sum(len(paths) for paths in fresh)
    if config.paired and folders[0] and folders[1] and folders[0] != folders[1]:
        fresh = _pairs(fresh, [folders[0], folders[1]]) if all(fresh) else [[], []]
    whole = Scaling("resize_and_crop", config.crop, config.crop)
    sets: list[PictureSet | None] = [
        # Where all of them are copies there is nothing to test with.
        PictureSet(new, str(folder), whole, config.gray, part, report)
        if folder and (new or not paths)
        else None
        for new, paths, folder, part in zip(fresh, found, folders, parts, strict=True)
    ]
    if config.paired and None in sets:
        sets = [None, None]
    elif config.paired:
        _keep_pairs([each for each in sets if each], fresh)
    return sets, left_out


def _keep_pairs(sets: list[PictureSet], found: list[list[Path]]) -> None:
    """Leave out the pairs of which one half cannot be read."""
    broken = {
        number
        for pictures, paths in zip(sets, found, strict=True)
        for number, path in enumerate(paths)
        if path in pictures.unreadable
    }
    for pictures, paths in zip(sets, found, strict=True):
        pictures.leave_out({paths[number] for number in broken})


def _check_sizes(config: TrainConfig, source: PictureSet, target: PictureSet) -> None:
    """Raise UserError where what is cut from the pictures does not fit together."""
    if config.paired:
        for one, other, path in zip(source.sizes, target.sizes, target.paths, strict=True):
            if one != other:
                raise UserError(
                    f"{path} is {other[1]}x{other[0]} where its counterpart is {one[1]}x{one[0]}",
                    "Make them equal, or give --preprocess resize_and_crop",
                )
    # The gradient penalty stands between a real picture and a translation of the other domain.
    between = config.adversarial == "wgangp" and not config.paired
    if config.preprocess != "none" or not (config.batch > 1 or between):
        return
    for group in [[source, target]] if between else [[source], [target]]:
        first = group[0].sizes[0]
        for pictures in group:
            for path, size in zip(pictures.paths, pictures.sizes, strict=True):
                if size != first:
                    raise UserError(
                        f"{path} is {size[1]}x{size[0]}, others are {first[1]}x{first[0]}: as they"
                        " are they cannot be computed at once",
                        "Give another --preprocess, or --batch 1 without wgangp",
                    )


def random_at(seed: int, stream: int, position: int) -> np.random.Generator:
    """Random numbers that belong to a place in a run: the same whenever they are asked for."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, position, 0]))


_DRAW, _CUT = 1, 4  # streams; _DRAW takes two, a domain's number is added times ten


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
        # The decimal number that was written: its products are exact, however long the run.
        self._share = Fraction(str(share)) if others else Fraction(1)
        self._groups = [np.array(listed), np.array(others)]
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, position: int) -> int:
        """The index of the picture at a position."""
        # Which of the first `position` draws were of the list has a closed form: no state.
        before = math.floor(position * self._share)
        from_list = math.floor((position + 1) * self._share) > before
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

    They cross to it as bytes. Workers read ahead, in order. Of a source alone both are the same, of
    several processes each has its slice.
    """

    def __init__(
        self, config: TrainConfig, data: Data, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        self._config, self._device = config, device
        alone = config.method == "distill"
        self._sets = [data.source] if alone else [data.source, data.target]
        own = config.batch // ranks.count
        self._own = range(own * ranks.rank, own * (ranks.rank + 1))
        self._drawings = [
            Drawing(config.seed, domain, len(pictures), data.listed[domain], config.list_share)
            for domain, pictures in enumerate(self._sets)
        ]

    def since(self, images_seen: int) -> Generator[tuple[Tensor, Tensor], None, None]:
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
                    pictures = [self._on_device(each) for each in cut]
                    yield pictures[0], pictures[-1]
            finally:
                for waiting in ahead:
                    waiting.cancel()

    def _cut(self, position: int) -> list[Tensor]:
        pairs = [self._pair(position + number) for number in self._own]
        return [torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True)]

    def _pair(self, position: int) -> list[np.ndarray]:
        if self._config.paired:
            index = self._drawings[0](position)
            indices = [index, index]
        else:
            indices = [drawing(position) for drawing in self._drawings]
        cut = []
        for domain, (pictures, index) in enumerate(zip(self._sets, indices, strict=True)):
            stream = _CUT + (0 if self._config.paired else 10 * domain)
            random = random_at(self._config.seed, stream, position)
            cut.append(self._crop(pictures[index], random))
        return cut

    def _crop(self, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A window of the picture, mirrored by even chances."""
        shares, mirrored = random.random(2), random.random() < 0.5
        if self._config.preprocess == "zoom":
            longest = min(pixels.shape[:2])
            side = self._config.crop + random.random() * (longest - self._config.crop)
            pixels = _zoomed(pixels, side, shares, self._config.crop)
        elif self._config.preprocess != "none":
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


def _zoomed(
    pixels: np.ndarray, side: float, shares: Sequence[float] | np.ndarray, size: int
) -> np.ndarray:
    """A square window of `side` pixels, scaled to `size`; `shares` say how far down and right it is."""
    top, left = (
        share * (length - side) for share, length in zip(shares, pixels.shape[:2], strict=True)
    )
    window = (left, top, left + side, top + side)
    bicubic = Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize((size, size), bicubic, window))


def middle(config: TrainConfig, pixels: np.ndarray) -> np.ndarray:
    """The window in the middle of a picture, of a size that the networks take; zoomed, the largest."""
    if config.preprocess == "none":
        return pixels
    if config.preprocess == "zoom":
        return _zoomed(pixels, min(pixels.shape[:2]), (0.5, 0.5), config.crop)
    top, left = ((length - config.crop) // 2 for length in pixels.shape[:2])
    return pixels[top : top + config.crop, left : left + config.crop]


def as_tensor(pixels: np.ndarray, device: torch.device) -> Tensor:
    """A picture `[H, W, 3]` of bytes as `[1, 3, H, W]` in [-1, 1]."""
    return (
        torch.from_numpy(np.array(pixels)).to(device)[None].permute(0, 3, 1, 2).float() / 127.5 - 1
    )


def _pairs(found: list[list[Path]], folders: list[Path]) -> list[list[Path]]:
    """Both lists with those alone that stand in both folders, at the same place but for the suffix."""
    by_name = [
        {path.relative_to(folder).with_suffix(""): path for path in paths}
        for paths, folder in zip(found, folders, strict=True)
    ]
    names = sorted(by_name[0].keys() & by_name[1].keys())
    if not names:
        raise UserError(
            "No picture has the same name in both folders",
            "Pairs have equal names, or stand side by side in one folder",
        )
    return [[known[name] for name in names] for known in by_name]
