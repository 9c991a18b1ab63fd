"""All that the project wants to know of an NVIDIA GPU, in one go: a table to send back.

    python benchmarks/nvidia.py [-o nvidia.md] [--seconds 40]

The doctor, the contract suite on the GPU, parity of the built-in models through TensorRT, and
`cgvideo bench` at 1920x1080. Each runs in a process of its own: one that fails, crashes or hangs is a
line in the table, and the rest goes on. See docs/nvidia.md.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from shutil import which
from typing import Any, get_args
from xml.etree import ElementTree

from cgvideo.bench.measure import IDENTICAL
from cgvideo.bench.report import PACKAGES
from engines.backends import open_engine
from engines.engine import EngineRequest, Precision
from engines.errors import UserError
from engines.library import list_models
from engines.model_file import read_model, write_model
from engines.openvino_engine import fp32_reference
from engines.spec import Form, GeneratorSpec
from engines.store import EngineStore
from engines.survey.driver import Driver, driver
from engines.survey.probes import random_model
from engines.tensorrt.flavour import flavour_for
from engines.verify import check_parity, held_frames

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
SIZE = "1920x1080"
PICTURES = (192, 256)  # of the held pictures, each a frame
PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32")
LARGE = GeneratorSpec(base_channels=64, blocks=9)
MINUTES = {"doctor": 10, "tests": 60, "parity": 30, "bench": 60}

Row = tuple[str, str]


class PartError(Exception):
    """A part that gave nothing; the reason in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write it; 1 where there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("nvidia.md"))
    parser.add_argument("--seconds", type=float, default=40.0, help="for each bench")
    parser.add_argument("--parity", action="store_true", help=argparse.SUPPRESS)  # the child's part
    asked = parser.parse_args(arguments)
    if asked.parity:
        for row in parity_rows():
            say(json.dumps(row))
        return 0
    try:
        there = driver()
    except OSError as error:
        return refused(
            f"NVIDIA's driver fails ({error}): install it anew, and see `cgvideo doctor`"
        )
    if there is None or not there.gpus:
        return refused("there is no NVIDIA GPU with a driver here, so there is nothing to measure")
    rows = [*machine_rows(there)]
    try:
        for row in measured(there, asked.seconds):
            say(f"  {row[0]}: {row[1]}")
            rows.append(row)
    except KeyboardInterrupt:
        rows.append(("the rest", "stopped by Ctrl-C"))
    text = table(rows)
    say(f"\n{text}")
    try:
        asked.output.write_text(text, encoding="utf-8")
    except OSError as error:
        return refused(f"{asked.output} cannot be written ({error.strerror}): copy the table above")
    say(f"It is in {asked.output} too. docs/nvidia.md says where to send it. Thank you!")
    return 0


def measured(there: Driver, seconds: float) -> Iterator[Row]:
    """Every part in turn; one that fails gives a row that says so."""
    gpu = there.gpus[0]
    without = ""
    try:
        flavour_for(gpu.capability, gpu.name)
        if not installed("cuda.core"):
            without = "not run: cuda-core is not installed (docs/nvidia.md)"
    except UserError as error:
        without = f"not run: {error}"
    told: Mapping[str, Any] = {}

    def look() -> Iterator[Row]:
        nonlocal told
        told = answer(["doctor", "--json"], MINUTES["doctor"])
        yield "doctor", told["summary"]
        for finding in told["findings"]:
            if finding["mark"] == "broken":
                yield "broken", f"{finding['found']}. {finding['mend']}"

    yield from part("cgvideo doctor", look)
    backends = [] if without else ["tensorrt"]
    if installed("torch") and (not told or on_gpu(told["seen"]["survey"]["runtimes"]["torch"])):
        backends.append("torch")
    yield from part("contract tests", lambda: contract_rows(backends))
    if without:
        yield "parity", without
    else:
        yield from part("parity", lambda: child_rows(MINUTES["parity"]))
    yield from part("bench of summer2winter", lambda: bench_rows("summer2winter", "all", seconds))
    # A frame takes a processor many seconds: nothing but the yardsticks has to run there.
    yield from part("bench of a 64x9", lambda: large_rows((*backends, "all")[0], seconds))


def part(name: str, rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows of a part, and one more where it fails on the way."""
    say(f"{name} …")
    began = time.monotonic()
    try:
        yield from rows()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        kind = "" if isinstance(error, PartError | UserError) else f"{type(error).__name__}: "
        yield name, f"**failed**: {kind}{reason}"
    say(f"  {time.monotonic() - began:.0f} s")


def machine_rows(there: Driver) -> Iterator[Row]:
    """Date, GPUs, driver and versions."""
    yield "date", datetime.now(UTC).date().isoformat()
    for gpu in there.gpus:
        capability = ".".join(map(str, gpu.capability))
        yield "GPU", f"{gpu.name}, compute capability {capability}, {gpu.bytes / (1 << 30):.0f} GiB"
    yield (
        "driver",
        f"{there.version or 'of unknown version'} (CUDA {there.cuda[0]}.{there.cuda[1]})",
    )
    known = {}
    for package in PACKAGES:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    yield "versions", ", ".join(f"{name} {version}" for name, version in known.items())
    if git := which("git"):
        asked = [git, "-C", str(ROOT), "describe", "--always", "--dirty"]
        commit = subprocess.run(asked, capture_output=True, text=True, check=False)
        if commit.returncode == 0:
            yield "commit", commit.stdout.strip()


def on_gpu(torch: Mapping[str, Any]) -> bool:
    """Whether PyTorch is a backend of the GPU: one for processors is not, one that fails on it is."""
    return bool(torch["problem"]) or str(torch["facts"].get("device")).startswith("cuda")


def contract_rows(backends: Sequence[str]) -> Iterator[Row]:
    """The contract suite on the GPU for each backend."""
    if not backends:
        raise PartError("neither TensorRT nor PyTorch is there for this GPU (docs/nvidia.md)")
    if not installed("pytest"):
        raise PartError("pytest is missing: pip install pytest")
    with tempfile.TemporaryDirectory(prefix="cgvideo-nvidia-") as folder:
        # The project's own settings ask for plugins that are not needed here.
        settings, results = Path(folder) / "pytest.ini", Path(folder) / "results.xml"
        settings.write_text("[pytest]\nmarkers =\n    gpu:\n    slow:\n", encoding="utf-8")
        for backend in backends:
            results.unlink(missing_ok=True)
            command = ["pytest", "-c", str(settings), "--rootdir", str(ROOT), "-q", "-m", "gpu"]
            command += ["-k", f"{backend}-cuda", "-p", "no:cacheprovider", "--tb", "short"]
            command += [f"--junitxml={results}", str(ROOT / "tests/contracts/test_engines.py")]
            try:
                run(command, MINUTES["tests"], sys.stderr, {"CGVIDEO_REQUIRE_CUDA": "1"})
                yield f"contract tests, {backend}", outcome(results)
            except PartError as failed:
                yield f"contract tests, {backend}", f"**failed**: {failed}"


def outcome(results: Path) -> str:
    """How many tests passed, and which did not, from pytest's own report."""
    if not results.exists():
        raise PartError("pytest ended without a report")
    # It was written here just now, by pytest.
    cases = list(ElementTree.parse(results).iter("testcase"))
    bad = {}
    for case in cases:
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                bad[case.get("name", "")] = " ".join(found.get("message", "").split())[:300]
    skipped = sum(case.find("skipped") is not None for case in cases)
    text = f"{len(cases) - len(bad) - skipped} passed"
    if skipped:
        text += f", {skipped} skipped"
    if not bad:
        return text
    names = ", ".join([*bad][:5]) + (", …" if len(bad) > 5 else "")
    return f"{text}, **{len(bad)} failed** ({names}); the first: {next(iter(bad.values()))}"


def parity_rows() -> Iterator[Row]:
    """The built-in models in every form and precision, held to the CPU's fp32."""
    with tempfile.TemporaryDirectory(prefix="cgvideo-nvidia-") as folder:
        store = EngineStore(Path(folder))  # for the timings of the kernels, from one to the next
        models = [read_model(entry.path) for entry in list_models() if entry.built_in]
        for model, form, precision in product(models, get_args(Form), PRECISIONS):
            request = EngineRequest("tensorrt", "cuda", precision, form=form, size=PICTURES)
            name = f"parity, {model.name}, {form}, {precision}"
            sys.stderr.write(f"  {name}\n")
            try:
                with open_engine(model, request, store) as engine:
                    frames = held_frames(model.spec, PICTURES)
                    parity = check_parity(engine, form, fp32_reference(model, PICTURES), frames)
            except (UserError, RuntimeError) as error:
                yield name, f"**failed**: {' '.join(str(error).split())}"
                continue
            good = "" if parity.reaches(precision) else ", **too far**"
            yield name, f"{parity}{good}"


def child_rows(minutes: float) -> Iterator[Row]:
    """The rows of `parity_rows`, as a child tells them; those before a crash count."""
    lines, problem = said_by([str(HERE), "--parity"], minutes)
    for line in lines:
        if line.startswith("["):  # libraries may have printed before
            name, text = json.loads(line)
            yield name, text
    if problem:
        raise problem


def large_rows(backend: str, seconds: float) -> Iterator[Row]:
    """`bench_rows` of a model of the reference's usual size, with random weights."""
    with tempfile.TemporaryDirectory(prefix="cgvideo-nvidia-") as folder:
        file = Path(folder) / "random.safetensors"
        write_model(file, random_model("random", LARGE))
        yield from bench_rows(str(file), backend, seconds)


def bench_rows(model: str, backend: str, seconds: float) -> Iterator[Row]:
    """`cgvideo bench` at 1080p: each engine, the whole, and the stages of the first."""
    options = ["--model", model, "--backend", backend, "--seconds", f"{seconds:g}"]
    told = answer(["bench", "--json", "--size", SIZE, *options], MINUTES["bench"])
    name = f"{told['size'][0]}x{told['size'][1]}, {told['model']} ({told['architecture']})"
    processor = told["machine"]["processor"]
    yield (
        f"{name}, beside",
        f"{processor['name']}, {processor['cores']} cores; {told['machine']['system']}",
    )
    for title, rows in (
        ("engine alone", told["engines"]),
        ("from file to file", told["end_to_end"]),
    ):
        for row in rows:
            yield f"{name}, {title}: {row['name']}", figures(row)
    stages = [
        f"{stage['name']} {stage['seconds_per_frame']:.5f}"
        for stage in told["stages"]
        if stage["seconds_per_frame"] is not None
    ]
    yield f"{name}, stages in s/frame", f"{', '.join(stages)}; slowest: {told['slowest_stage']}"
    for note in told["notes"]:
        yield f"{name}, note", note


def figures(row: Mapping[str, Any]) -> str:
    """Of a row of the bench."""
    if row["problem"] or not row["seconds_per_frame"]:
        return f"**failed**: {row['problem'] or 'no figure'}"
    text = f"{row['seconds_per_frame']:.5f} s/frame, {row['frames_per_second']:.1f} frames/s"
    decibels = row.get("psnr_to_fp32")
    if decibels is None:
        return text
    return f"{text}, {'same as' if decibels >= IDENTICAL else f'{decibels:.1f} dB to'} fp32"


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| what | found |", "|---|---|"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def answer(command: Sequence[str], minutes: float) -> dict[str, Any]:
    """What `cgvideo COMMAND --json` tells last; its progress goes to the terminal."""
    lines, problem = said_by(["cgvideo", *command], minutes)
    try:
        told = json.loads(lines[-1] if lines else "")
    except ValueError:
        raise problem or PartError("it told nothing") from None
    if told["event"] == "error":
        raise PartError(f"{told['problem']}. {told['mend']}")
    return dict(told)  # the doctor tells all, and fails where a conversion would


def said_by(command: Sequence[str], minutes: float) -> tuple[list[str], PartError | None]:
    """The lines that a child prints, and how it failed if it did."""
    problem = None
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        try:
            run(command, minutes, file)
        except PartError as failed:
            problem = failed
        file.seek(0)
        return file.read().strip().splitlines(), problem


def run(
    command: Sequence[str],
    minutes: float,
    output: Any,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a module, or a program of Python, in the repository's folder; raises PartError."""
    program = [command[0]] if command[0].endswith(".py") else ["-m", command[0]]
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    try:
        ended = subprocess.run(
            [sys.executable, *program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": search, **(environment or {})},
            timeout=60 * minutes,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PartError(f"not done in {minutes:g} minutes") from None
    if ended.returncode < 0:
        raise PartError(f"crashes ({signal.Signals(-ended.returncode).name})")
    if ended.returncode > 1 or (ended.returncode == 1 and command[0] != "pytest"):
        raise PartError(
            f"ends with exit code {ended.returncode}; its last words are on the terminal"
        )


def installed(package: str) -> bool:
    """Whether a package is there; nothing of it is run, but what it is in."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def refused(reason: str) -> int:
    """Say in one line why nothing was done."""
    sys.stderr.write(f"nvidia.py: {reason}\n")
    return 1


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
