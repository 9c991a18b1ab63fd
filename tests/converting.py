"""Small honest engines, and conversions with them."""

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cgvideo.codec.probe import probe
from cgvideo.interface import convert_video
from cgvideo.pipeline import Result, run
from cgvideo.plan import Plan, make_plan
from cgvideo.progress import Progress
from cgvideo.settings import Settings
from engines.engine import Engine
from engines.library import find_model
from engines.model_file import Model
from engines.spec import GeneratorSpec

SPEC = GeneratorSpec(base_channels=1, blocks=1)
MODEL = Model("identity", SPEC, {}, sha256="1" * 64)


class IdentityEngine:
    """Gives every picture back as it came, and counts the calls."""

    description = "identity"
    why = "for tests"
    spec = SPEC
    crossings: Mapping[str, float] = {}

    def __init__(self, batch: int = 4) -> None:
        self.batch = batch
        self.calls = 0

    @property
    def identity(self) -> Mapping[str, str]:
        return {"engine": type(self).__name__}

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        self.calls += 1
        return self.translated(frames)

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        return frames.copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class InvertingEngine(IdentityEngine):
    """Gives the negative."""

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        return 255 - frames


class Misbehaving(IdentityEngine):
    """Works for a few calls; then what a subclass says."""

    def __init__(self, good_calls: int = 3) -> None:
        super().__init__()
        self.good_calls = good_calls

    def translated(self, frames: NDArray[Any]) -> NDArray[Any]:
        return frames.copy() if self.calls <= self.good_calls else self.misbehave(frames)

    def misbehave(self, frames: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError


class CrashingEngine(Misbehaving):
    def misbehave(self, frames: NDArray[Any]) -> NDArray[Any]:
        raise RuntimeError("device lost\nand a long trace that nobody wants to read")


class GreedyEngine(Misbehaving):
    def misbehave(self, frames: NDArray[Any]) -> NDArray[Any]:
        raise MemoryError


class ShrinkingEngine(Misbehaving):
    def misbehave(self, frames: NDArray[Any]) -> NDArray[Any]:
        return frames[:, ::2, ::2]


class RetypingEngine(Misbehaving):
    def misbehave(self, frames: NDArray[Any]) -> NDArray[Any]:
        return frames.astype(np.int16)


class DroppingEngine(Misbehaving):
    def misbehave(self, frames: NDArray[Any]) -> NDArray[Any]:
        return frames[:-1]


class StallingEngine(Misbehaving):
    """Does not come back before `released`."""

    def __init__(self, good_calls: int = 3) -> None:
        super().__init__(good_calls)
        self.released = threading.Event()

    def misbehave(self, frames: NDArray[Any]) -> NDArray[Any]:
        self.released.wait(60)
        return frames


def plan_for(
    source: Path, output: Path | None = None, engine: Engine | None = None, **settings: Any
) -> Plan:
    """A plan that does not smooth and encodes as fast as can be, if `settings` do not say otherwise."""
    settings = {"smooth": "off", **settings}
    if settings.get("codec", "h264") != "ffv1":
        settings = {"preset": "ultrafast", **settings}
    return make_plan(
        probe(source), MODEL, engine or IdentityEngine(), Settings(output=output, **settings)
    )


def convert(
    source: Path,
    output: Path | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Convert with the identity, if `engine` is not another."""
    engine = engine or IdentityEngine()
    return run(plan_for(source, output, engine, **settings), engine, progress)


def convert_by_model(source: Path, output: Path, model: str, **settings: Any) -> Result:
    """Convert as users do, smoothed and with anchors, by an engine for the model at a path."""
    chosen = Settings(output=output, preset="ultrafast", threads=1, precision="fp32", **settings)
    return convert_video(source, find_model(model), chosen)
