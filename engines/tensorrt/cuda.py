"""NVIDIA's own Python bindings as an `engines.crossing.Device`: streams, events and memory."""

import ctypes
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from cuda import core
from numpy.typing import DTypeLike, NDArray


@contextmanager
def cuda_errors() -> Iterator[None]:
    """What CUDA fails at within is a RuntimeError: its own error has no public name."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("cuda."):
            raise RuntimeError(str(error)) from error
        raise


@cuda_errors()
def use_device(number: int) -> None:
    """Make a GPU the calling thread's; raises RuntimeError where that fails."""
    core.Device(number).set_current()


class CudaCoreDevice:
    """One GPU. Its calls work in the thread that last called `use`."""

    def __init__(self, number: int = 0) -> None:
        self._device = core.Device(number)
        self._timed = core.EventOptions(timing_enabled=True, blocking_sync=True)
        self.use()
        self._host = core.LegacyPinnedMemoryResource()
        self._stream = self._device.create_stream()

    def use(self) -> None:
        """Make it the calling thread's device."""
        self._device.set_current()

    def locked(self, shape: Sequence[int], dtype: DTypeLike) -> tuple[core.Buffer, NDArray[Any]]:
        """See `engines.crossing.Device`."""
        buffer = self._host.allocate(_bytes(shape, dtype))
        memory = (ctypes.c_uint8 * buffer.size).from_address(int(buffer.handle))
        return buffer, np.ctypeslib.as_array(memory).view(dtype).reshape(tuple(shape))

    def memory(self, shape: Sequence[int], dtype: DTypeLike) -> core.Buffer:
        """See `engines.crossing.Device`. Aligned to 256 bytes at least, as all of CUDA's is."""
        buffer = self._device.allocate(_bytes(shape, dtype), stream=self._stream)
        self._stream.sync()  # it is there for every lane
        return buffer

    def lane(self) -> core.Stream:
        """See `engines.crossing.Device`."""
        return self._device.create_stream()

    def copy(self, source: core.Buffer, target: core.Buffer, lane: core.Stream) -> None:
        """See `engines.crossing.Device`."""
        target.copy_from(source, stream=lane)

    def mark(self, lane: core.Stream) -> core.Event:
        """See `engines.crossing.Device`."""
        return lane.record(options=self._timed)

    def follow(self, lane: core.Stream, mark: core.Event) -> None:
        """See `engines.crossing.Device`."""
        lane.wait(mark)

    def wait(self, mark: core.Event) -> None:
        """See `engines.crossing.Device`."""
        mark.sync()

    def seconds(self, first: core.Event, last: core.Event) -> float:
        """See `engines.crossing.Device`."""
        return float(last - first) / 1000


def _bytes(shape: Sequence[int], dtype: DTypeLike) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize
