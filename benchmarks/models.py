"""Models side by side: how fast, how like a teacher, what a classifier takes them for; and a sheet to look at.

    python benchmarks/models.py PICTURES MODEL… [--teacher MODEL] [--classifier RUN/classifier.safetensors]
                                [--size 640x360] [--clip CLIP] [--rounds 5] [--sheet sheet.png]

PICTURES is a folder of photographs to translate. Speeds are seconds a frame: of the engine alone at `--size`, all
models in turn, the best of the rounds; and of `cgvideo convert` from file to file on `--clip`, as a user gives it.
PSNR is to the teacher's translation of the pictures (both as `convert` makes them, in the precision that it chooses);
the verdict is the share that the classifier of a training run takes for the target.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import cgvideo
from cgvideo.folders.pictures import PictureEngine
from cgvideo.settings import Settings
from cgvideo.stages.translate import translate_picture
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.library import find_model
from engines.model_file import Model

Picture = NDArray[np.uint8]
SHEET_ROWS, SHEET_WIDTH = 6, 256


def read_pictures(folder: Path, most: int) -> list[Picture]:
    """Photographs of a folder, evenly spread over its names."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    places = np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)
    return [np.asarray(Image.open(paths[place]).convert("RGB")) for place in places]


def translated(model: Model, pictures: list[Picture]) -> list[Picture]:
    """What `cgvideo convert` makes of them."""
    with PictureEngine(model, Settings(), deep=False) as engines:
        return [translate_picture(each, engines.of(each.shape[:2])) for each in pictures]


def engine_seconds(models: list[Model], size: tuple[int, int], rounds: int) -> list[float]:
    """Of each model, the best of so many rounds in which all take turns."""
    frame = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    best = [float("inf")] * len(models)
    with ExitStack() as stack:
        engines = [
            stack.enter_context(open_engine(model, EngineRequest(size=size))) for model in models
        ]
        for number in range(-1, rounds):
            for place, engine in enumerate(engines):
                frames = np.repeat(frame, engine.batch, axis=0)
                began = time.perf_counter()
                engine(frames)
                if number >= 0:
                    taken = (time.perf_counter() - began) / engine.batch
                    best[place] = min(best[place], taken)
    return best


def convert_seconds(models: list[Model], clip: Path, frames: int, rounds: int = 2) -> list[float]:
    """Of each model, seconds a frame from file to file; the engine is made before."""
    best = [float("inf")] * len(models)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mp4"
        for number in range(-1, rounds):
            for place, model in enumerate(models):
                began = time.perf_counter()
                cgvideo.convert(clip, model=str(model.path), output=output, overwrite=True)
                if number >= 0:
                    best[place] = min(best[place], (time.perf_counter() - began) / frames)
    return best


def psnr(one: Picture, other: Picture) -> float:
    """dB between two pictures."""
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return 60.0 if error == 0 else float(min(60.0, 10 * np.log10(255**2 / error)))


def verdict(classifier: Path, pictures: list[Picture]) -> float:
    """The share that the classifier of a training run takes for the target."""
    import torch
    from safetensors.torch import load_file

    from trainer.classifier import DomainClassifier

    judge = DomainClassifier()
    judge.load_state_dict(load_file(classifier))
    judge.eval()
    with torch.no_grad():
        tensors = (torch.tensor(each)[None].permute(0, 3, 1, 2) / 127.5 - 1 for each in pictures)
        return float(np.mean([bool(judge(each) > 0) for each in tensors]))


def sheet(path: Path, columns: list[list[Picture]]) -> None:
    """A row for each picture: the source, then what each model makes of it."""
    rows = [
        np.concatenate([
            np.asarray(ImageOps.contain(Image.fromarray(each), (SHEET_WIDTH, SHEET_WIDTH)))
            for each in row
        ], axis=1)
        for row in list(zip(*columns, strict=True))[:SHEET_ROWS]
    ]  # fmt: skip
    Image.fromarray(np.concatenate(rows)).save(path)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--teacher")
    parser.add_argument("--classifier", type=Path)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=48, help="pictures that are measured")
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    models = [find_model(name) for name in given.models]
    pictures = read_pictures(given.pictures, given.most)
    results = [translated(model, pictures) for model in models]
    wanted = translated(find_model(given.teacher), pictures) if given.teacher else None
    seconds = engine_seconds(models, (height, width), given.rounds)
    whole = [float("nan")] * len(models)
    if given.clip:
        import av

        with av.open(str(given.clip)) as container:
            count = sum(1 for _ in container.decode(video=0))
        whole = convert_seconds(models, given.clip, count)
    if given.classifier:
        print(f"untouched: {100 * verdict(given.classifier, pictures):.0f} % taken for the target")
    print(
        "| model | generator | GMAC | engine, s | convert, s | dB to the teacher (worst) | verdict |"
    )
    print("|---|---|---|---|---|---|---|")
    for place, model in enumerate(models):
        near = [psnr(*pair) for pair in zip(results[place], wanted, strict=True)] if wanted else []
        like = f"{np.mean(near):.1f} ({min(near):.1f})" if near else ""
        taken = (
            f"{100 * verdict(given.classifier, results[place]):.0f} %" if given.classifier else ""
        )
        print(
            f"| {model.name} | {model.spec.name} | {model.spec.macs(height, width) / 1e9:.1f} |"
            f" {seconds[place]:.4f} | {whole[place]:.4f} | {like} | {taken} |"
        )
    if given.sheet:
        sheet(given.sheet, [pictures, *results])


if __name__ == "__main__":
    main()
