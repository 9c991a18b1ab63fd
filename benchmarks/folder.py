"""A folder of small pictures: all at once against one by one, in one run.

    python benchmarks/folder.py [--pictures 500] [--model summer2winter] [--rounds 3]

Pictures are drawn by formula in the sizes that folders of small pictures have, as JPEG. Three ways take turns,
each on the same pictures into an empty folder, so that ratios hold on a machine whose speed drifts:

- `folder`: `cgvideo convert DIR`, as `run_folder` does it, with the engines that it opens;
- `one by one`: one engine of any size, opened once and not counted, and each picture read, translated
  and written before the next: what a loop over `cgvideo.folders.pictures.run_picture` does;
- `by itself`: `convert_picture` for each, which opens the engine each time (a tenth of the pictures).

Engines come from the store; a first round that is not counted builds and measures them. Seconds of CPU a
picture say more where others use the machine too: who waits with several threads waits less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cgvideo.folders.folder import plan_folder
from cgvideo.folders.folder_run import run_folder
from cgvideo.folders.pictures import PictureEngine, convert_picture, plan_picture, run_picture
from cgvideo.settings import Settings
from engines.library import find_model
from engines.model_file import Model
from engines.store import EngineStore

SIZES = ((192, 256), (256, 192), (256, 256))  # height, width
SHARES = (0.6, 0.3, 0.1)


def draw(folder: Path, count: int) -> None:
    """Draw `count` JPEGs: smooth hills of colour with fine grain, as photographs have."""
    rng = np.random.default_rng(0)
    sizes = [
        size for size, share in zip(SIZES, SHARES, strict=True) for _ in range(round(share * count))
    ]
    for number, (height, width) in enumerate(sizes[:count]):
        coarse = rng.uniform(0, 255, (5, 6, 3)).astype(np.float32)
        hills = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        pixels = np.clip(hills + rng.normal(0, 6, hills.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=90)


def whole_folder(source: Path, output: Path, model: Model) -> int:
    """Convert by `run_folder`; give the number of pictures."""
    plan = plan_folder(source, model, Settings(output=output))
    return run_folder(plan, model, EngineStore(), lambda path, settings: []).done


def one_by_one(source: Path, output: Path, model: Model) -> tuple[int, float]:
    """Convert with one engine, picture by picture; the number and the seconds without opening it."""
    settings = Settings()
    with PictureEngine(model, settings, False, EngineStore()) as engine:
        engine.of(SIZES[0])
        began = time.perf_counter()
        pictures = sorted(source.iterdir())
        for path in pictures:
            run_picture(plan_picture(path, output / path.name, settings), engine)
        return len(pictures), time.perf_counter() - began


def each_by_itself(source: Path, output: Path, model: Model) -> int:
    """Convert a tenth of the pictures, each with an engine of its own from the store."""
    pictures = sorted(source.iterdir())[::10]
    for path in pictures:
        convert_picture(path, model, replace(Settings(), output=output / path.name))
    return len(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--model", default="summer2winter")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    model = find_model(asked.model)
    ways = {"folder": whole_folder, "one by one": one_by_one, "by itself": each_by_itself}
    told: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}

    def timed(
        work: Callable[[Path, Path, Model], int | tuple[int, float]], source: Path
    ) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            began, cpu_began = time.perf_counter(), time.process_time()
            done = work(source, Path(folder), model)
            count = done[0] if isinstance(done, tuple) else done
            seconds = done[1] if isinstance(done, tuple) else time.perf_counter() - began
            return count / seconds, (time.process_time() - cpu_began) / count

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        draw(source, asked.pictures)
        timed(whole_folder, source)  # builds and measures the engines
        for _ in range(asked.rounds):
            for way, work in ways.items():
                told[way].append(timed(work, source))
    middle = {way: statistics.median(rate for rate, _ in rounds) for way, rounds in told.items()}
    best = {way: max(rate for rate, _ in rounds) for way, rounds in told.items()}
    for way, rounds in told.items():
        cpu = statistics.median(seconds for _, seconds in rounds)
        each = ", ".join(f"{rate:.1f}" for rate, _ in rounds)
        print(
            f"{way:12} median {middle[way]:.1f} pictures/s, {middle[way] / middle['one by one']:.2f} times;"
            f" best {best[way]:.1f}, {best[way] / best['one by one']:.2f} times;"
            f" {1000 * cpu:.0f} ms of CPU a picture ({each})"
        )


if __name__ == "__main__":
    main()
