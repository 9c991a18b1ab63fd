"""A long conversion that is killed at random moments until it finishes, against one left alone.

    python benchmarks/overnight.py [--hours 1] [--between 120] [--seed 1] [--folder FOLDER]

Draws a clip by formula (128x72 at 25 frames a second, with sound), converts it once undisturbed, and
once more with SIGKILL at moments drawn at random, `--between` seconds apart on average, each time
followed by the same command. Everything is as `cgvideo convert` does it by itself, smoothing and anchors
too; `--work-size` is small, so that an hour of clip does not take a night. Both files must have one sha256.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgvideo.codec.render import write_clip
from cgvideo.journal import file_sha256, recorded
from cgvideo.places import work_folder_of
from cgvideo.plan import SEGMENT_FRAMES

HEIGHT, WIDTH, RATE = 72, 128, 25
SCENE_FRAMES = 700
SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: after how many seconds, in what, and the frames that it cost."""

    seconds: float
    during: str
    committed: int
    """frames in the journal"""
    lost: int
    """frames that were encoded and not committed: they are done again"""


def draw(path: Path, hours: float) -> None:
    """Write a clip: a window that wanders over hills of colour, with scene cuts, and a tone."""
    frames = round(hours * 3600 * RATE)
    across, down = np.meshgrid(np.arange(4 * WIDTH) / 9, np.arange(4 * HEIGHT) / 7)
    waves = [np.sin(across + channel + 2 * np.cos(down + 2 * channel)) for channel in range(3)]
    hills = (128 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for number in range(frames):
            scene = number // SCENE_FRAMES
            x = (number + 137 * scene) % (3 * WIDTH)
            y = (number // 3 + 71 * scene) % (3 * HEIGHT)
            yield hills[y : y + HEIGHT, x : x + WIDTH]

    seconds = np.arange(frames * SAMPLE_RATE // RATE) / SAMPLE_RATE
    tone = 8000 * np.sin(2 * np.pi * (220 + 5 * np.sin(seconds / 3)) * seconds)
    write_clip(path, pictures(), RATE, tone.astype(np.int16)[None], SAMPLE_RATE)


def command(source: Path, output: Path, model: str, work_size: int) -> list[str]:
    options = ["--model", model, "--work-size", str(work_size), "-o", str(output), "--json"]
    return [sys.executable, "-m", "cgvideo", "convert", str(source), *options]


def cpu_seconds() -> float:
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def undisturbed(wanted: list[str]) -> float:
    """Convert without a disturbance; seconds that it took."""
    began = time.perf_counter()
    subprocess.run(wanted, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def killed_again_and_again(
    wanted: list[str], output: Path, between: float, chance: random.Random
) -> tuple[float, list[Kill]]:
    """Convert with kills until it finishes: the seconds of all runs together, and the kills."""
    kills: list[Kill] = []
    began = time.perf_counter()
    while True:
        patience = chance.expovariate(1 / between)
        log = output.with_suffix(".jsonl")
        with log.open("wb") as file, subprocess.Popen(wanted, stdout=file) as process:
            run_began = time.perf_counter()
            try:
                status = process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
            else:
                if status:
                    raise SystemExit(f"it ended with {status}: see {log}")
                return time.perf_counter() - began, kills
        if output.exists():
            raise SystemExit("it was killed after it had finished: take another --seed")
        kills.append(_told(log, output, time.perf_counter() - run_began))
        print(f"  killed after {kills[-1].seconds:.0f} s: {kills[-1]}", flush=True)


def _told(log: Path, output: Path, seconds: float) -> Kill:
    """What a run had come to when it was killed, by its last events and the journal."""
    lines = log.read_bytes().split(b"\n")[:-1]  # the last is torn, or empty
    events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    journals = work_folder_of(output).glob("*/journal.jsonl")
    committed = sum(len(part.pts) for journal in journals for part in recorded(journal))
    frames = [event["frame"] for event in events if event["event"] in ("resumed", "progress")]
    kinds = [event["event"] for event in events]
    during = "rendering" if "progress" in kinds else "starting"
    if "finishing" in kinds:
        during = "joining"
    return Kill(seconds, during, committed, max(0, max(frames, default=0) - committed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0, help="length of the clip")
    parser.add_argument("--between", type=float, default=120.0, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="summer2winter")
    parser.add_argument("--work-size", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        source = folder / "in.mp4"
        draw(source, asked.hours)
        whole, broken = folder / "whole.mp4", folder / "broken.mp4"
        short = folder / "short.mp4"  # what is measured once and kept is not counted
        draw(short, 10 / 3600)
        undisturbed(command(short, folder / "out.mp4", asked.model, asked.work_size))
        used = [cpu_seconds()]
        alone = undisturbed(command(source, whole, asked.model, asked.work_size))
        used.append(cpu_seconds())
        print(f"undisturbed: {alone:.0f} s", flush=True)
        took, kills = killed_again_and_again(
            command(source, broken, asked.model, asked.work_size),
            broken,
            asked.between,
            random.Random(asked.seed),
        )
        used.append(cpu_seconds())
        same = file_sha256(whole) == file_sha256(broken)
        left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        frames = round(asked.hours * 3600 * RATE)
        during = Counter(kill.during for kill in kills)
        lost = sum(kill.lost for kill in kills)
        print(f"| clip | {frames} frames, {-(-frames // SEGMENT_FRAMES)} segments |")
        print("|---|---|")
        print(f"| undisturbed | {alone:.0f} s, {used[1] - used[0]:.0f} s of CPU |")
        print(f"| killed | {took:.0f} s, {used[2] - used[1]:.0f} s of CPU |")
        print(f"| kills | {', '.join(f'{count} {what}' for what, count in during.items())} |")
        print(f"| seconds from start to kill | {min(k.seconds for k in kills):.0f} to"
              f" {max(k.seconds for k in kills):.0f} |")  # fmt: skip
        print(f"| frames done again | {lost}, at most {max(k.lost for k in kills)} a kill |")
        print(f"| time lost | {took - alone:.0f} s, {(took - alone) / len(kills):.1f} s a kill |")
        print(f"| sha256 | {file_sha256(whole)}, {'the same' if same else 'OTHERS'} |")
        print(f"| left behind | {', '.join(left) or 'nothing'} |")
    if not same or left:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
