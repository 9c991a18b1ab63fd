"""The ring between host and device, on a device of threads: each lane a thread that takes its time."""

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from engines.crossing import ArraySpec, Crossing

FRAME = ArraySpec((1, 4, 4, 3), "uint8")


class Lane:
    """Does what it is given in order, on a thread of its own."""

    def __init__(self) -> None:
        self.work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (task := self.work.get()) is not None:
            task()


class Mark:
    def __init__(self) -> None:
        self.reached = threading.Event()
        self.when = 0.0

    def reach(self) -> None:
        self.when = time.monotonic()
        self.reached.set()


class ThreadDevice:
    """A device whose copies and work happen later, as on a GPU."""

    def __init__(self, delay: Callable[[], float]) -> None:
        self.delay = delay
        self.lanes: list[Lane] = []

    def locked(self, shape, dtype):
        array = np.zeros(shape, dtype)
        return array, array

    def memory(self, shape, dtype):
        return np.zeros(shape, dtype)

    def lane(self):
        self.lanes.append(Lane())
        return self.lanes[-1]

    def later(self, lane, task):
        def slowly():
            time.sleep(self.delay())
            task()

        lane.work.put(slowly)

    def copy(self, source, target, lane):
        self.later(lane, lambda: np.copyto(target, source))

    def mark(self, lane):
        mark = Mark()
        lane.work.put(mark.reach)
        return mark

    def follow(self, lane, mark):
        lane.work.put(lambda: mark.reached.wait(10))

    def wait(self, mark):
        assert mark.reached.wait(10), "the device hangs"

    def seconds(self, first, last):
        return last.when - first.when


@pytest.fixture
def open_device() -> Iterator[Callable[..., ThreadDevice]]:
    devices = []

    def make(delay: Callable[[], float]) -> ThreadDevice:
        devices.append(ThreadDevice(delay))
        return devices[-1]

    yield make
    for device in devices:
        for lane in device.lanes:
            lane.work.put(None)
            lane.thread.join(10)


def _frames(count):
    return [np.full(FRAME.shape, number, np.uint8) for number in range(count)]


def _inverting(device):
    def compute(inputs, output, lane):
        device.later(lane, lambda: np.copyto(output, 255 - inputs[0]))

    return Crossing(device, [FRAME], FRAME, compute)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 20])
def test_every_frame_comes_back_in_order(open_device, count):
    dice = random.Random(count)
    crossing = _inverting(open_device(lambda: dice.random() * 0.003))
    for _ in range(2):  # a ring that was used works on
        results = [result.copy() for result in crossing([frame] for frame in _frames(count))]
        assert [int(result[0, 0, 0, 0]) for result in results] == [255 - n for n in range(count)]
        assert all((result == result.flat[0]).all() for result in results)


def test_several_arrays_cross_with_a_frame(open_device):
    device = open_device(lambda: 0.0005)
    scale = ArraySpec((1, 2), "float32")

    def compute(inputs, output, lane):
        frame, factors = inputs
        device.later(lane, lambda: np.copyto(output, (frame * factors[0, 1]).astype(np.uint8)))

    crossing = Crossing(device, [FRAME, scale], FRAME, compute)
    work = [[frame, np.array([[0, 2]], np.float32)] for frame in _frames(5)]
    assert [int(result.flat[0]) for result in crossing(work)] == [0, 2, 4, 6, 8]


def test_lanes_run_side_by_side(open_device):
    step, count = 0.02, 12
    crossing = _inverting(open_device(lambda: step))
    began = time.monotonic()
    list(crossing([frame] for frame in _frames(count)))
    taken = time.monotonic() - began
    assert taken < 0.7 * 3 * step * count  # upload, work and download, one after another
    assert crossing.seconds["to device"] > 0.8 * step * count
    assert crossing.seconds["back"] > 0.8 * step * count


def test_an_error_leaves_nothing_under_way(open_device):
    device = open_device(lambda: 0.005)
    calls = 0

    def compute(inputs, output, lane):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("device lost")
        device.later(lane, lambda: np.copyto(output, inputs[0]))

    crossing = Crossing(device, [FRAME], FRAME, compute)
    with pytest.raises(RuntimeError, match="device lost"):
        list(crossing([frame] for frame in _frames(8)))
    assert all(lane.work.empty() for lane in device.lanes)
    results = [int(result.flat[0]) for result in crossing([frame] for frame in _frames(8))]
    assert results == list(range(8))
