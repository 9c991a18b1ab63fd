"""What smoothing is worth on clips of yours, by `cgvideo eval`, and what it costs.

    python benchmarks/steadiness.py CLIP ... [--seconds 1.1] [--max-size 640] [--model summer2winter]

Each clip is converted without loss frame by frame and smoothed, statistics of each frame in both;
E_warp and coherent detail of the smoothed one are shares of what frame by frame has.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    asked.add_argument("clips", nargs="+", type=Path)
    asked.add_argument("--seconds", type=float, default=1.1)
    asked.add_argument("--max-size", type=int, default=640)
    asked.add_argument("--model", default="summer2winter")
    options = asked.parse_args()
    for clip in options.clips:
        with tempfile.TemporaryDirectory() as folder:
            line = "  ".join(
                f"{name} {value:.3g}"
                for name, value in measure(clip, options, Path(folder)).items()
            )
        print(f"{clip.name}: {line}")


def measure(clip: Path, options: Any, folder: Path) -> dict[str, float]:
    """Shares of frame by frame, and how many times as long it took."""
    usual = ("--model", options.model, "--max-size", options.max_size, "--duration", options.seconds,
             "--norm", "frame", "--codec", "ffv1", "--no-audio", "--json")  # fmt: skip
    took = {}
    for way, smooth in (("warm", "off"), ("plain", "off"), ("smooth", "1")):
        began = time.perf_counter()
        cgvideo("convert", clip, *usual, "--smooth", smooth, "-o", folder / f"{way}.mkv")
        took[way] = time.perf_counter() - began
    told = cgvideo(
        "eval", clip, folder / "smooth.mkv", "--reference", folder / "plain.mkv", "--json"
    )
    figures = {each["name"]: each for each in json.loads(told.splitlines()[-1])["figures"]}
    shares = {
        name: figure["result"] / figure["reference"]
        for name, figure in figures.items()
        if figure.get("result") and figure.get("reference")
    }
    return {**shares, "time": took["smooth"] / took["plain"]}


def cgvideo(*arguments: object) -> str:
    command = [sys.executable, "-m", "cgvideo", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
