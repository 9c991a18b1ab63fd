"""Frames cross to a device and back while their neighbours are computed: for every GPU runtime.

    upload    | 0 | 1 | 2 | 3 |
    compute       | 0 | 1 | 2 | 3 |
    download          | 0 | 1 | 2 | 3 |

Each row is a lane of the device (a CUDA stream): what is on one lane runs in order, lanes run side by
side, marks (CUDA events) tell one lane how far another is. The host copies into and out of
page-locked memory meanwhile; a frame crosses once each way, as integers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Buffer = TypeVar("Buffer")
Lane = TypeVar("Lane")
Mark = TypeVar("Mark")


class Device(Protocol[Buffer, Lane, Mark]):
    """What a runtime must offer for it; nothing here waits but `wait`."""

    def locked(self, shape: Sequence[int], dtype: DTypeLike) -> tuple[Buffer, NDArray[Any]]:
        """Page-locked host memory, and the same as an array."""

    def memory(self, shape: Sequence[int], dtype: DTypeLike) -> Buffer:
        """Memory of the device."""

    def lane(self) -> Lane:
        """A new lane."""

    def copy(self, source: Buffer, target: Buffer, lane: Lane) -> None:
        """Copy between the host and the device, on a lane."""

    def mark(self, lane: Lane) -> Mark:
        """A mark behind all that is on a lane by now."""

    def follow(self, lane: Lane, mark: Mark) -> None:
        """Let a lane go on only when a mark is reached."""

    def wait(self, mark: Mark) -> None:
        """Let the host wait for a mark."""

    def seconds(self, first: Mark, last: Mark) -> float:
        """The time between two marks that were reached."""


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Shape and dtype of an array that crosses."""

    shape: tuple[int, ...]
    dtype: DTypeLike


@dataclass(slots=True)
class _Slot(Generic[Buffer, Mark]):
    """Memory for one frame on its way, and the marks of its last passage."""

    locked: list[tuple[Buffer, NDArray[Any]]]
    inputs: list[Buffer]
    output: Buffer
    result: tuple[Buffer, NDArray[Any]]
    marks: list[Mark]


class Crossing(Generic[Buffer, Lane, Mark]):
    """A ring of slots between a host and a device.

    `inputs` and `output` describe what one frame brings and gives. `compute` puts the work
    for one frame on a lane: it reads the inputs' memory and writes the output's. One caller at a
    time.
    """

    DEPTH = 3  # one frame on each lane
    seconds: dict[str, float]
    """what the last call took for crossing "to device" and "back", in all"""

    def __init__(
        self,
        device: Device[Buffer, Lane, Mark],
        inputs: Sequence[ArraySpec],
        output: ArraySpec,
        compute: Callable[[Sequence[Buffer], Buffer, Lane], None],
    ) -> None:
        self._device = device
        self._compute = compute
        self._up, self._work, self._down = (device.lane() for _ in range(3))
        self._slots: list[_Slot[Buffer, Mark]] = [
            _Slot(
                [device.locked(form.shape, form.dtype) for form in inputs],
                [device.memory(form.shape, form.dtype) for form in inputs],
                device.memory(output.shape, output.dtype),
                device.locked(output.shape, output.dtype),
                [],
            )
            for _ in range(self.DEPTH)
        ]
        self.seconds = {}

    def __call__(self, frames: Iterable[Sequence[NDArray[Any]]]) -> Iterator[NDArray[Any]]:
        """Bring each frame's arrays to the device and its result back, in order.

        A result is overwritten later: copy it before asking for the next. Whatever happens, all
        that is on the way has arrived when this ends.
        """
        self.seconds = {"to device": 0.0, "back": 0.0}
        under_way: deque[_Slot[Buffer, Mark]] = deque()
        free = list(self._slots)
        try:
            for arrays in frames:
                if not free:
                    yield self._arrived(under_way[0])
                    free.append(under_way.popleft())
                slot = free.pop()
                under_way.append(slot)
                self._send(slot, arrays)
            while under_way:
                yield self._arrived(under_way[0])
                under_way.popleft()
        finally:
            for lane in (self._up, self._work, self._down):
                self._device.wait(self._device.mark(lane))

    def _send(self, slot: _Slot[Buffer, Mark], arrays: Sequence[NDArray[Any]]) -> None:
        device = self._device
        for (_, view), array in zip(slot.locked, arrays, strict=True):
            np.copyto(view, array)
        begin = device.mark(self._up)
        for (locked, _), memory in zip(slot.locked, slot.inputs, strict=True):
            device.copy(locked, memory, self._up)
        uploaded = device.mark(self._up)
        device.follow(self._work, uploaded)
        self._compute(slot.inputs, slot.output, self._work)
        device.follow(self._down, device.mark(self._work))
        ready = device.mark(self._down)
        device.copy(slot.output, slot.result[0], self._down)
        slot.marks = [begin, uploaded, ready, device.mark(self._down)]

    def _arrived(self, slot: _Slot[Buffer, Mark]) -> NDArray[Any]:
        begin, uploaded, ready, downloaded = slot.marks
        self._device.wait(downloaded)
        self.seconds["to device"] += self._device.seconds(begin, uploaded)
        self.seconds["back"] += self._device.seconds(ready, downloaded)
        return slot.result[1]
