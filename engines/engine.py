"""What every engine promises."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

from engines.spec import Form, GeneratorSpec, Pixels

Backend = Literal["auto", "openvino", "torch", "tensorrt"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]

BACKENDS: tuple[Backend, ...] = get_args(Backend)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What is wanted of an engine; `open_engine` decides what is left open.

    `device` is "auto", "cpu", "gpu" (OpenVINO: Intel's) or "cuda". `threads` None leaves the number
    to the runtime (OpenVINO: within a cgroup's quota). `streams` is how many frames run at once; None measures it for a fixed `size`
    (a few seconds at most) and takes 1 for any size. Who needs the same bytes again asks for what
    `identity` said: backend, device, precision, threads and streams. `size` (height, width) fixes
    the shape, which is faster; None takes any.
    """

    backend: Backend = "auto"
    device: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    streams: int | None = None
    form: Form = "self"
    size: tuple[int, int] | None = None
    pixels: Pixels = "uint8"


class Engine(Protocol):
    """A generator ready to run: pixels in, pixels out.

    Takes one caller at a time, from any thread. Closed by `with`; a call after that raises
    RuntimeError. A frame's result depends neither on its place in the batch nor on its neighbours.
    """

    @property
    def spec(self) -> GeneratorSpec:
        """The generator that runs."""

    @property
    def identity(self) -> Mapping[str, str]:
        """All that decides the bytes of a result; equal identities give equal bytes."""

    @property
    def batch(self) -> int:
        """The number of frames in a call that keeps the device busy; any other works too."""

    @property
    def crossings(self) -> Mapping[str, float]:
        """Seconds that the last call took for bringing frames "to device" and "back".

        They overlap with the work. Empty where the engine reads the caller's memory.
        """

    @property
    def description(self) -> str:
        """What was chosen, in one line."""

    @property
    def why(self) -> str:
        """Why it was chosen, in one line."""

    def __call__(
        self, frames: NDArray[Any], statistics: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        """Translate `frames` `[N, H, W, 3]` (uint8, or float32 in 0 to 1) to the same shape and dtype.

        H and W are multiples of `spec.multiple_of`, at least `spec.minimum_size`, or the request's
        size. The form "statistics" needs `statistics` float32 `[1 or N, 2, C]`; the form "measure"
        gives such `[N, 2, C]` in place of pixels. Frames may be a view of any strides. Raises
        ValueError for anything else.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def check_size(spec: GeneratorSpec, height: int, width: int) -> None:
    """Raise ValueError for a size that the generator does not take."""
    least, multiple = spec.minimum_size, spec.multiple_of
    if min(height, width) < least or height % multiple or width % multiple:
        raise ValueError(
            f"{height}x{width} is not possible: both at least {least} and multiples of {multiple}"
        )


def check_call(
    spec: GeneratorSpec,
    request: EngineRequest,
    frames: NDArray[Any],
    statistics: NDArray[Any] | None,
) -> None:
    """Raise ValueError unless a call keeps to what `Engine.__call__` says."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != request.pixels:
        raise ValueError(
            f"frames must be {request.pixels} [N, H, W, 3], not {frames.dtype} {list(frames.shape)}"
        )
    count, height, width, _ = frames.shape
    check_size(spec, height, width)
    if request.size is not None and (height, width) != tuple(request.size):
        raise ValueError(f"this engine is for {request.size}, not {height}x{width}")
    if (request.form == "statistics") != (statistics is not None):
        raise ValueError(
            f"an engine of the form {request.form!r} was given statistics or lacks them"
        )
    if statistics is not None:
        channels = spec.statistics_channels
        shapes = ((1, 2, channels), (count, 2, channels))
        if statistics.shape not in shapes or statistics.dtype != np.float32:
            raise ValueError(f"statistics must be float32 [1 or {count}, 2, {channels}]")


def empty_results(
    spec: GeneratorSpec, request: EngineRequest, frames: NDArray[Any]
) -> NDArray[Any]:
    """Where the results of a call go: as the frames are, or float32 `[N, 2, C]` for "measure"."""
    if request.form == "measure":
        return np.empty((len(frames), 2, spec.statistics_channels), np.float32)
    return np.empty(frames.shape, frames.dtype)


def frame_by_frame(
    frames: NDArray[Any], statistics: NDArray[np.float32] | None
) -> Iterator[list[NDArray[Any]]]:
    """What goes in for each frame alone: the frame `[1, H, W, 3]`, and its statistics if there are."""
    for index in range(len(frames)):
        given = [frames[index : index + 1]]
        if statistics is not None:
            given.append(statistics[index % len(statistics)][None])
        yield given
