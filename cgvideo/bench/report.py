"""What was measured, and what it says."""

import platform
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from cgvideo.codec.encode import SOFTWARE
from engines.survey.machine import memory, processor
from engines.survey.runtimes import Survey

PACKAGES = (
    "cgvideo", "openvino", "torch", "tensorrt-rtx", "tensorrt", "cuda-core", "onnxruntime", "numpy",
    "opencv-python-headless",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured."""

    name: str
    seconds: tuple[float, ...] = ()
    """a frame, one figure a round; empty where there is a problem, or nothing to do"""
    eager: bool = False
    """it is what the others are measured by: PyTorch, eager, fp32"""
    psnr: float | None = None
    """dB, to OpenVINO in fp32 on one frame of the clip; None where it was not compared"""
    problem: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured. `size` is (width, height)."""

    model: str
    architecture: str
    size: tuple[int, int]
    frames: int
    """of the clip that was converted"""
    rounds: int
    gmac: float
    """10^9 multiplications with addition for a frame"""
    product: float
    """GMAC/s of a large fp32 matrix product: the limit of the processor's fp32 arithmetic"""
    engine: str
    """what `convert` uses and why, in one line"""
    ways: tuple[Row, ...]
    """from file to file: the plain way, and `convert`"""
    engines: tuple[Row, ...]
    stages: tuple[Row, ...]
    """of a conversion, each alone"""
    notes: tuple[str, ...]
    """what is missing, and the line that would mend it"""
    machine: dict[str, Any]

    def times(self, row: Row) -> float | None:
        """How many times as fast as PyTorch eager in its faster layout, the median over rounds."""
        rows = next((rows for rows in (self.ways, self.engines) if row in rows), ())
        eager = [other.seconds for other in rows if other.eager and other.seconds]
        if not eager or not row.seconds:
            return None
        best: list[float] = [min(each) for each in zip(*eager, strict=True)]
        return statistics.median(plain / own for plain, own in zip(best, row.seconds, strict=True))

    def speed(self, row: Row) -> float | None:
        """GMAC/s."""
        return None if row.median is None else self.gmac / row.median

    @property
    def slowest(self) -> Row:
        """The stage that takes longest."""
        return max(self.stages, key=lambda stage: stage.median or 0)

    def share(self, stage: Row) -> float:
        """What part of the time of all stages one takes, 0 to 1."""
        return (stage.median or 0) / sum(each.median or 0 for each in self.stages)

    def describe(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        tables = {"end_to_end": self.ways, "engines": self.engines, "stages": self.stages}
        plain = {name: [self._plain(row) for row in rows] for name, rows in tables.items()}
        return {
            "model": self.model,
            "architecture": self.architecture,
            "size": list(self.size),
            "frames": self.frames,
            "rounds": self.rounds,
            "gmac_per_frame": self.gmac,
            "engine": self.engine,
            "matrix_product_gmac_per_second": self.product,
            **plain,
            "slowest_stage": self.slowest.name,
            "notes": list(self.notes),
            "machine": self.machine,
        }

    def _plain(self, row: Row) -> dict[str, Any]:
        taken = row.median
        described = {
            "name": row.name,
            "seconds_per_frame": taken,
            "frames_per_second": None if taken is None else 1 / taken,
            "seconds_by_round": list(row.seconds),
            "problem": row.problem,
        }
        if row in self.stages:
            return described
        described |= {"times_eager": self.times(row), "gmac_per_second": self.speed(row)}
        return described | ({"psnr_to_fp32": row.psnr} if row in self.engines else {})


def describe_machine(survey: Survey) -> dict[str, Any]:
    """Hardware, versions and date, ready for JSON."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": asdict(processor()),
        "memory": asdict(memory()),
        "nvidia": asdict(survey.nvidia),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": _versions(PACKAGES),
        "video": SOFTWARE,
    }


def _versions(packages: Iterable[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
