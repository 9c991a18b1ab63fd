"""Statistics over time: steady, never across a cut, the same wherever a run begins."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgvideo.frame import Frame, Pixels
from cgvideo.stages.statistics import anchor_reach, anchored, interpolated
from cgvideo.stages.tiled_engine import TiledEngine, decide_tiling, open_tiled
from cgvideo.stages.translate import measuring, translate
from engines.engine import EngineRequest
from engines.library import find_model
from engines.verify import held_frames

INTERVAL = 6
TYPICAL = np.array([[0.5], [9.0]], np.float32)


def pictures(levels: list[float], contrast: float = 1.0) -> list[Pixels]:
    """A fixed pattern around each of these brightnesses, so that the mean tells them apart."""
    pattern = np.random.default_rng(0).normal(0, 30 * contrast, (16, 16, 1))
    pattern -= pattern.mean()
    return [np.clip(level + pattern, 0, 255).astype(np.uint8).repeat(3, 2) for level in levels]


def measure(pixels: Pixels) -> NDArray[np.float32]:
    """Mean and deviation of a picture, packed."""
    values = pixels.astype(np.float64)
    scale = 1 / (values.std() + 1e-3)
    return np.array([[scale], [-values.mean() * scale]], np.float32)


def mean_of(frame: Frame) -> float:
    """The mean that a frame is translated with."""
    assert frame.statistics is not None
    return float(-frame.statistics[1, 0] / frame.statistics[0, 0])


def frames(pixels: list[Pixels], cuts: tuple[int, ...] = (), begin: int = 0) -> Iterator[Frame]:
    for number in range(begin, len(pixels)):
        yield Frame(number, number, 1, pixels[number], number in cuts)


def means(levels: list[float], cuts: tuple[int, ...] = ()) -> NDArray[np.float64]:
    given = anchored(frames(pictures(levels), cuts), measure, INTERVAL, TYPICAL)
    return np.array([mean_of(frame) for frame in given])


def test_frames_come_out_whole_and_in_order() -> None:
    given = list(anchored(frames(pictures([100.0] * 20)), measure, INTERVAL))
    assert [frame.number for frame in given] == list(range(20))
    assert all(frame.statistics is not None for frame in given)


def test_a_cloud_that_passes_is_smoothed_and_a_trend_is_followed() -> None:
    assert np.ptp(means([100 + (20 if n % 6 == 3 else 0) for n in range(25)])) < 1
    trend = means([80 + 2 * n for n in range(25)])
    assert np.abs(trend - [80 + 2 * n for n in range(25)])[2:-2].max() < 4
    assert (np.diff(trend) >= -1e-3).all()


def test_nothing_crosses_a_cut() -> None:
    levels = [80.0] * 9 + [160.0] * 11
    found = means(levels, cuts=(9,))
    np.testing.assert_allclose(found, [80] * 9 + [160] * 11, atol=1)


@pytest.mark.parametrize("cuts", [(3,), (3, 4, 5), (1, 2, 3), (6, 12), (5, 7, 13)])
def test_the_shortest_scenes_have_their_own(cuts: tuple[int, ...]) -> None:
    scene = np.cumsum([number in cuts for number in range(16)])
    found = means([60.0 + 20 * part for part in scene], cuts)
    np.testing.assert_allclose(found, 60 + 20 * scene, atol=1)


def test_a_fade_to_black_and_back_keeps_the_statistics_of_the_picture() -> None:
    light = np.concatenate(
        [np.ones(14), np.linspace(1, 0, 6), np.zeros(5), np.linspace(0, 1, 6), np.ones(14)]
    )
    bright = pictures([120.0])[0].astype(np.float64)
    faded = [(bright * share).astype(np.uint8) for share in light]
    given = list(anchored(frames(faded), measure, INTERVAL, TYPICAL))
    deviations = [1 / frame.statistics[0, 0] for frame in given if frame.statistics is not None]
    assert min(deviations) > 8  # black has none: it would be divided by nothing
    assert np.abs(np.diff(np.log(deviations))).max() < 0.35


@pytest.mark.parametrize("at", [11, 12, 13, 15])
@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_leaves_no_trace(at: int, length: int) -> None:
    levels = [100.0] * 30
    calm = means(levels)
    levels[at : at + length] = [200.0] * length
    np.testing.assert_allclose(means(levels), calm, atol=0.1)


def test_a_black_scene_takes_the_typical_statistics_or_its_own() -> None:
    black = [np.zeros((16, 16, 3), np.uint8)] * 12
    for frame in anchored(frames(black), measure, INTERVAL, TYPICAL):
        np.testing.assert_array_equal(frame.statistics, TYPICAL)
    (first, *_) = anchored(frames(black), measure, INTERVAL)
    np.testing.assert_array_equal(first.statistics, measure(black[0]))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_statistics_do_not_depend_on_where_a_run_begins(data: st.DataObject) -> None:
    count = data.draw(st.integers(30, 70))
    levels = data.draw(
        st.lists(st.sampled_from([0.0, 90.0, 150.0]), min_size=count, max_size=count)
    )
    black = pictures([0.0], contrast=0)[0]
    pixels = [pictures([level])[0] if level else black for level in levels]
    cuts = tuple(data.draw(st.lists(st.integers(1, count - 1), max_size=4)))
    whole = list(anchored(frames(pixels, cuts), measure, INTERVAL, TYPICAL))
    first = data.draw(st.integers(1, count - 1))
    begin = max(0, first - anchor_reach(INTERVAL))
    part = list(anchored(frames(pixels, cuts, begin), measure, INTERVAL, TYPICAL, first))
    assert [frame.number for frame in part] == list(range(first, count))
    for frame in part:
        np.testing.assert_array_equal(frame.statistics, whole[frame.number].statistics)
    # Nor on what comes later than the reach.
    end = min(count, first + anchor_reach(INTERVAL) + 1)
    cut_short = list(anchored(frames(pixels[:end], cuts), measure, INTERVAL, TYPICAL))
    if end < count:
        np.testing.assert_array_equal(cut_short[first].statistics, whole[first].statistics)


def test_few_frames_are_held() -> None:
    taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for frame in frames(pictures([100.0] * 60)):
            taken += 1
            yield frame

    for given_number, _ in enumerate(anchored(counted(), measure, INTERVAL)):
        assert taken - given_number <= INTERVAL + 4


def test_between_two_mean_and_logarithm_of_the_deviation_go_straight() -> None:
    one = np.array([[1.0, 0.5, 0.0], [-2.0, -2.0, 1.0]], np.float32)
    other = np.array([[0.25, 0.5, 0.0], [0.0, -3.0, 3.0]], np.float32)
    middle = interpolated(one, other, 0.5)
    np.testing.assert_allclose(middle, [[0.5, 0.5, 0], [-0.5, -2.5, 2]])
    np.testing.assert_array_equal(interpolated(one, other, 0), one)
    np.testing.assert_array_equal(interpolated(one, other, 1), other)


@pytest.fixture(scope="module")
def winter() -> Iterator[TiledEngine]:
    model, size = find_model("summer2winter"), (72, 96)
    request = EngineRequest("openvino", "cpu", "fp32", streams=1, size=size)
    with open_tiled(model, decide_tiling(model, size, request, "anchors"), request) as engine:
        yield engine


def _translated(engine: TiledEngine, pixels: list[Pixels]) -> NDArray[np.float64]:
    """What becomes of a clip with anchors every 10 frames."""
    with measuring(engine, None) as measured:
        steady = anchored(frames(pixels), measured, 10, engine.typical)
        results = [result.pixels for result in translate(steady, engine, 1)]
    return np.stack(results).astype(np.float64)


def test_a_fade_to_black_and_back_is_dark_and_calm(winter: TiledEngine) -> None:
    picture = next(iter(held_frames(winter.spec, (72, 96))))[0].astype(np.float64)
    fall = np.linspace(1, 0, 10)
    light = np.concatenate([np.ones(12), fall, np.zeros(9), fall[::-1], np.ones(12)])
    rng = np.random.default_rng(0)
    clip = [
        np.clip(picture * share + rng.integers(-1, 2, picture.shape), 0, 255).astype(np.uint8)
        for share in light
    ]
    found = _translated(winter, clip)
    black = found[24:29, 16:-16, 16:-16]
    assert black.mean() < 60
    assert black.std(axis=0).mean() < 3  # grain of one level is not blown up
    means = found.mean(axis=(1, 2, 3))
    assert np.diff(means[11:22]).max() < 2  # it falls …
    assert np.diff(means[31:42]).min() > -2  # … and rises, and does not pump
    assert np.ptp(means[:12]) < 2
    assert abs(means[-12:] - means[0]).max() < 2


@pytest.mark.slow
def test_a_flash_is_bright_and_leaves_the_rest_alone(winter: TiledEngine) -> None:
    picture = next(iter(held_frames(winter.spec, (72, 96))))[0]
    flash = np.clip(picture.astype(int) + 90, 0, 255).astype(np.uint8)
    calm = _translated(winter, [picture] * 31)
    for at in (20, 24):
        clip = [picture] * 31
        clip[at] = flash
        found = _translated(winter, clip)
        others = [number for number in range(31) if number != at]
        np.testing.assert_array_equal(found[others], calm[others])
        assert found[at].mean() > calm[at].mean() + 20
