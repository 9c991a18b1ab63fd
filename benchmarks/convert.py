"""How fast `cgvideo convert` is beside the plain way, the engine alone and the machine's limit.

    python benchmarks/convert.py [--model summer2winter] [--frames 96] [--rounds 3] [--json FILE]

All in one process, in turn, so that ratios hold on a machine whose speed drifts:

- the plain way: decode with OpenCV, PyTorch eager fp32, write with OpenCV;
- `cgvideo convert`, end to end, in the precision it chooses and in fp32;
- the engine alone on the same frames;
- a 2048x2048 fp32 matrix product, the limit of the machine's fp32 arithmetic.

Needs the `torch` extra.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from cgvideo.codec.render import write_clip
from cgvideo.convert import convert_video, prepared
from cgvideo.demo import FRAME_RATE, SIZE, frames, sound
from cgvideo.settings import Settings
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.library import find_model
from engines.model_file import Model
from engines.network import Generator

SAMPLE_RATE = 48_000
GEMM = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="summer2winter")
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    model = find_model(options.model)
    with tempfile.TemporaryDirectory(prefix="cgvideo-benchmark-") as folder:
        clip = Path(folder) / "valley.mp4"
        seconds = options.frames / FRAME_RATE
        write_clip(
            clip, frames(SIZE, options.frames), FRAME_RATE, sound(seconds, SAMPLE_RATE), SAMPLE_RATE
        )
        rows = measure(clip, model, options.frames, options.rounds)
    report(rows, model)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


def measure(clip: Path, model: Model, count: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a frame of each way, a figure a round; the product's in GMAC/s."""
    contiguous, channels_last = (plain_network(model, layout) for layout in (False, True))
    auto, fp32 = Settings(overwrite=True), Settings(overwrite=True, precision="fp32")
    ways: dict[str, Callable[[], float]] = {
        "plain way": lambda: plain_way(clip, contiguous) / count,
        "plain way, channels_last": lambda: plain_way(clip, channels_last) / count,
        "convert": lambda: convert_video(clip, model, auto).seconds / count,
        "engine alone": lambda: engine_alone(clip, model, auto, count) / count,
        "convert, fp32": lambda: convert_video(clip, model, fp32).seconds / count,
        "engine alone, fp32": lambda: engine_alone(clip, model, fp32, count) / count,
        "matrix product, GMAC/s": matrix_product,
    }
    rows: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rows[name].append(way())
    return rows


def plain_network(model: Model, channels_last: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The generator in PyTorch, eager, fp32: RGB uint8 picture in and out."""
    network = Generator.of(model).eval()
    layout: Any = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)

    def translate(picture: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            values = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
            result = network(values.contiguous(memory_format=layout))[0]
            scaled = ((result + 1) * 127.5).round().clamp(0, 255).byte()
            return scaled.permute(1, 2, 0).contiguous().numpy()

    return translate


def plain_way(clip: Path, translate: Callable[[np.ndarray], np.ndarray]) -> float:
    """Decode with OpenCV, translate, write with OpenCV; seconds."""
    began = time.perf_counter()
    reader = cv2.VideoCapture(str(clip))
    output = clip.with_suffix(".plain.mp4")
    writer = cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), FRAME_RATE, SIZE)
    while True:
        good, picture = reader.read()
        if not good:
            break
        translated = translate(np.ascontiguousarray(picture[..., ::-1]))
        writer.write(np.ascontiguousarray(translated[..., ::-1]))
    writer.release()
    return time.perf_counter() - began


def engine_alone(clip: Path, model: Model, settings: Settings, count: int) -> float:
    """The same engine as `convert` uses, fed from memory; seconds for `count` frames."""
    pictures = np.stack(list(frames(SIZE, 8)))
    with prepared(clip, model, settings) as (plan, _):
        streams = int(dict(plan.engine)["streams"])
        precision: Any = settings.precision
    request = EngineRequest(precision=precision, streams=streams, size=SIZE[::-1])
    with open_engine(model, request) as engine:
        batch = pictures[: engine.batch]
        engine(batch)
        began = time.perf_counter()
        for _ in range(count // engine.batch):
            engine(batch)
        return (time.perf_counter() - began) * count / (count // engine.batch * engine.batch)


def matrix_product() -> float:
    """GMAC/s of a large fp32 matrix product, the best of several."""
    a, b = (torch.rand(GEMM, GEMM) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return GEMM**3 / best / 1e9


def report(rows: dict[str, list[float]], model: Model) -> None:
    """Print the table, medians and ratios round by round."""
    macs = model.spec.macs(SIZE[1], SIZE[0]) / 1e9
    plain = rows["plain way"]
    print(f"{processor()}, {os.cpu_count()} cores; {model.name} ({model.spec.name}) at 640x360")
    print(f"{'':28} {'s a frame':>10} {'times the plain way':>20} {'GMAC/s':>8}")
    for name, values in rows.items():
        if name.startswith("matrix"):
            print(f"{name:28} {'':>10} {'':>20} {statistics.median(values):8.1f}")
            continue
        middle = statistics.median(values)
        faster = statistics.median(p / v for p, v in zip(plain, values, strict=True))
        print(f"{name:28} {middle:10.4f} {faster:20.2f} {macs / middle:8.1f}")
    for kind in ("", ", fp32"):
        pairs = zip(rows[f"engine alone{kind}"], rows[f"convert{kind}"], strict=True)
        share = statistics.median(engine / whole for engine, whole in pairs)
        print(f"convert{kind} reaches {share:.2f} of the engine alone")
    limit = zip(rows["engine alone, fp32"], rows["matrix product, GMAC/s"], strict=True)
    share = statistics.median(macs / seconds / product for seconds, product in limit)
    print(f"the fp32 engine reaches {share:.2f} of the matrix product")


def processor() -> str:
    """The processor's name and what of it matters here."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [line.split(":")[1].strip() for line in text.split("\n") if "model name" in line]
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in text]
    return f"{names[0] if names else platform.processor()} ({' '.join(flags)})"


if __name__ == "__main__":
    main()
