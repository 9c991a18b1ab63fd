"""A photograph of 60 megapixels, drawn by formula, translated as on a machine with 8 GiB.

    python benchmarks/large_picture.py [MEGAPIXELS] [FOLDER]

Prints seconds and the peak of memory, and how much the result changes from one pixel to the next
across the tiles' borders, against elsewhere; both pictures stay in FOLDER. docs/tiles.md has figures.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.folders.pictures import prepared_picture, run_picture
from cgvideo.settings import Settings
from cgvideo.stages import tiled_engine
from engines.library import find_model
from engines.store import EngineStore

GIB = 1 << 30
BAND = 256


def landscape(height: int, width: int) -> NDArray[np.uint8]:
    """Sky, hills behind one another and a meadow, with grain; by bands, since floats are large."""
    picture = np.empty((height, width, 3), np.uint8)
    x = np.arange(width, dtype=np.float32)[None] / width
    random = np.random.default_rng(0)
    for top in range(0, height, BAND):
        rows = np.arange(top, min(top + BAND, height), dtype=np.float32)[:, None] / height
        grain = random.normal(0, 6, (*np.broadcast_shapes(rows.shape, x.shape), 1))
        band = np.array([150, 185, 235]) - 60 * rows[..., None] + 0 * x[..., None]
        for number in range(5):
            ridge = 0.3 + 0.12 * number + 0.06 * np.sin(x * (9 + 7 * number) + 2.1 * number)
            ridge += 0.004 * np.sin(x * 900 / (1 + number)) + 0.002 * np.sin(x * 3100)
            leaves = 18 * np.sin(x * 5200) * np.sin(rows * 4100 * (1 + 0.1 * number))
            colour = np.array([70, 105, 60]) + np.array([-10, 6, -8]) * number
            hill = colour + leaves[..., None] * [0.7, 1, 0.5] + 40 * (rows - ridge)[..., None]
            band = np.where((rows > ridge)[..., None], hill, band)
        picture[top : top + BAND] = np.clip(band + grain, 0, 255)
    return picture


def seams(picture: NDArray[np.uint8], borders: list[int], axis: int) -> float:
    """The mean step across these borders, over the mean step 4 and 8 pixels beside them.

    Multiples of 4, since the dot pattern of transposed convolutions repeats itself so.
    """

    def step(places: list[int]) -> float:
        pairs = [picture.take([place - 1, place], axis).astype(np.float32) for place in places]
        return float(np.mean([np.abs(np.diff(pair, axis=axis)).mean() for pair in pairs]))

    beside = [place + side for place in borders for side in (-8, -4, 4, 8)]
    return step(borders) / step(beside) if borders else 1.0


def main() -> None:
    """See above."""
    megapixels = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="cgvideo-"))
    width = round((megapixels * 1e6 * 1.5) ** 0.5)
    source = folder / "large.png"
    if not source.exists():
        picture = landscape(round(width / 1.5), width)
        cv2.imwrite(str(source), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        del picture
    tiled_engine.memory_for = lambda request: 8 * GIB
    settings = Settings(output=folder / "large.winter.jpg", overwrite=True)
    model = find_model("summer2winter")
    began = time.monotonic()
    with prepared_picture(source, model, settings, EngineStore()) as (plan, engine):
        print(f"{plan.size[1]}x{plan.size[0]}, {engine.tiling}, ready in", end=" ")
        print(f"{time.monotonic() - began:.1f} s")
        measure = tiled_engine.TiledEngine.measure

        def timed(self: tiled_engine.TiledEngine, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
            began = time.monotonic()
            statistics = measure(self, frames)
            print(f"measured in {time.monotonic() - began:.1f} s", flush=True)
            return statistics

        tiled_engine.TiledEngine.measure = timed
        grid = engine.tiling.grid
        result = run_picture(plan, engine)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"translated and written in {result.seconds:.1f} s, peak {peak / GIB:.2f} GiB")
    translated = cv2.imread(str(result.output))
    rows = sorted({row.first for row, _ in grid.tiles()} - {0})
    columns = sorted({column.first for _, column in grid.tiles()} - {0})
    print(
        f"steps across borders {seams(translated, rows, 0):.3f} of those beside them (rows),",
        end=" ",
    )
    print(f"{seams(translated, columns, 1):.3f} (columns); borders at {rows} and {columns}")


if __name__ == "__main__":
    main()
