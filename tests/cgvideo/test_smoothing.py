"""Steadiness without its price: on clips whose true translation is known, and on real ones."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import RGB
from textures import noisy, panned, texture

from cgvideo.codec.decode import VideoSource
from cgvideo.codec.probe import probe
from cgvideo.evaluation.detail import coherent_detail, decibels, luma
from cgvideo.evaluation.evaluate import Measuring
from cgvideo.evaluation.pairing import Moment
from cgvideo.evaluation.steadiness import motion_between, warp_error
from cgvideo.frame import Frame, TranslatedFrame
from cgvideo.stages.scenes import marked
from cgvideo.stages.smoothing import REACH, smoothed
from cgvideo.stages.translate import translate
from engines.backends import open_engine
from engines.engine import EngineRequest
from engines.library import find_model
from engines.store import EngineStore

CLIPS = Path(__file__).parents[3] / "shared" / "clips"
REAL = ("landscape/lofoten.mp4", "road/solidWhiteRight.mp4", "landscape/kohlipe2.mp4")
MEASURED_FRAMES = 26
GRAIN = 8.0  # levels: what a young generator's dots amount to


def frames_of(
    sources: Sequence[RGB], results: Sequence[RGB], cuts: Sequence[int] = (), first: int = 0
) -> Iterator[TranslatedFrame]:
    for number, (source, result) in enumerate(zip(sources, results, strict=True), first):
        yield TranslatedFrame(Frame(number, number, 1, source, number in cuts), result)


def smooth(
    sources: Sequence[RGB], results: Sequence[RGB], cuts: Sequence[int] = (), strength: float = 1
) -> list[RGB]:
    return [frame.pixels for frame in smoothed(frames_of(sources, results, cuts), strength)]


def translation(source: RGB) -> RGB:
    """A look of its own: other colours, more contrast."""
    turned = source[..., ::-1].astype(np.float32)
    return np.clip(1.2 * turned - 20, 0, 255).astype(np.uint8)


def error(picture: RGB, truth: RGB, where: np.ndarray | None = None) -> float:
    squared = (picture.astype(np.float32) - truth) ** 2
    return float(squared.mean() if where is None else squared[where].mean())


@cache
def panning() -> tuple[list[RGB], list[RGB], list[RGB]]:
    """(sources, clean translations, translations with grain) of a camera that turns."""
    sources = [panned(n, 2) for n in range(12)]
    clean = [translation(source) for source in sources]
    return sources, clean, [noisy(picture, GRAIN, n) for n, picture in enumerate(clean)]


def test_noise_on_a_still_clip_comes_down_by_more_than_six_decibels() -> None:
    still = texture(contrast=35)
    clean = translation(still)
    results = [noisy(clean, GRAIN, n) for n in range(12)]
    out = smooth([still] * 12, results)
    gains = [
        10 * np.log10(error(a, clean) / error(b, clean)) for a, b in zip(results, out, strict=True)
    ]
    assert min(gains[REACH:-REACH]) > 7.5
    assert min(gains) > 5  # at the ends there is half a window


def test_noise_comes_down_where_the_source_has_noise_as_well() -> None:
    still = texture(contrast=35)
    clean = translation(still)
    sources = [noisy(still, 3, 100 + n) for n in range(10)]
    results = [noisy(clean, GRAIN, n) for n in range(10)]
    out = smooth(sources, results)
    assert error(out[5], clean) < error(results[5], clean) / 4


def test_a_moving_picture_is_steadier_and_as_sharp() -> None:
    sources, clean, results = panning()
    out = smooth(sources, results)
    errors = []
    for pictures in (results, out):
        pairs = zip(pairwise(sources), pairwise(pictures), strict=True)
        errors.append(
            np.mean([warp_error(*made, motion_between(*seen)) or 0 for seen, made in pairs])
        )
    assert errors[1] < 0.3 * errors[0]
    kept = []
    for pictures in (clean, out):
        sums = np.sum(
            [coherent_detail(luma(s), luma(p)) for s, p in zip(sources, pictures, strict=True)], 0
        )
        kept.append(sums[0] / sums[1])
    assert kept[1] > 0.99 * kept[0]
    inner = (slice(8, -8), slice(16, -16))
    assert error(out[6][inner], clean[6][inner]) < error(results[6][inner], clean[6][inner]) / 3


def test_a_fast_thing_over_still_ground_leaves_no_ghost_and_no_trail() -> None:
    ground, thing = texture((144, 320), contrast=30), texture((50, 40), seed=3, contrast=60)

    def at(number: int) -> tuple[RGB, np.ndarray]:
        frame, held = ground.copy(), np.zeros(ground.shape[:2], bool)
        left = 10 + 20 * number
        frame[40:90, left : left + 40], held[40:90, left : left + 40] = thing, True
        return frame, held

    count = 12
    pairs = [at(n) for n in range(count)]
    sources = [frame for frame, _ in pairs]
    clean = [translation(source) for source in sources]
    grainy = [noisy(picture, GRAIN, n) for n, picture in enumerate(clean)]
    steady, of_clean = smooth(sources, grainy), smooth(sources, clean)
    for number in range(REACH, count - REACH):
        near = [pairs[number + k][1] for k in range(-REACH, REACH + 1) if k]
        held = pairs[number][1]
        passed = np.logical_or.reduce(near) & ~held  # uncovered, or yet to be covered
        truth = clean[number]
        assert error(steady[number], truth, passed) < 0.5 * error(grainy[number], truth, passed)
        assert error(steady[number], truth, held) < 1.05 * error(grainy[number], truth, held)
        assert (
            error(of_clean[number], truth, passed | held) < 2
        )  # not two levels of anything at all


def test_nothing_crosses_a_cut() -> None:
    sources, _, results = panning()
    other = [texture(seed=9)] * 6
    made = [translation(picture) for picture in other]
    joined = smooth([*sources[:6], *other], [*results[:6], *made], cuts=[6])
    parts = [*smooth(sources[:6], results[:6]), *smooth(other, made)]
    assert all(np.array_equal(a, b) for a, b in zip(joined, parts, strict=True))


def test_a_flash_stays_where_it_is() -> None:
    still = texture(contrast=30)
    bright = np.clip(still.astype(int) + 110, 0, 255).astype(np.uint8)
    sources = [bright if n == 5 else still for n in range(11)]
    results = [translation(source) for source in sources]
    out = smooth(sources, results)
    for number in range(11):
        assert abs(float(out[number].mean()) - float(results[number].mean())) < 0.3
        assert error(out[number], results[number]) < 1


def test_a_fade_does_not_pump_and_brings_no_noise() -> None:
    still = texture(contrast=30).astype(np.float32)
    levels = [1, 1, *np.linspace(1, 0, 14), 0, 0, 0, *np.linspace(0, 1, 14), 1]
    sources = [(still * level).astype(np.uint8) for level in levels]
    results = [translation(source) for source in sources]
    out = smooth(sources, results)
    for made, result in zip(out, results, strict=True):
        assert abs(float(made.mean()) - float(result.mean())) < 1.5  # where the fade sets in
        assert error(made, result) < 4


def test_strength_blends() -> None:
    sources, _, results = panning()
    none, half, all_of_it = (smooth(sources, results, strength=s) for s in (0, 0.5, 1))
    assert all(np.array_equal(a, b) for a, b in zip(none, results, strict=True))
    between = (all_of_it[5].astype(int) + results[5]) / 2
    assert np.abs(half[5] - between).max() <= 1


def test_a_frame_is_made_of_its_window_alone_whatever_the_threads() -> None:
    sources, _, results = panning()
    whole = smooth(sources, results)
    first, after = 5 - REACH, 5 + REACH + 1
    alone = list(smoothed(frames_of(sources[first:after], results[first:after], first=first), 1, 3))
    assert np.array_equal(alone[REACH].pixels, whole[5])
    threads = [frame.pixels for frame in smoothed(frames_of(sources, results), 1, 1)]
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        single = smooth(sources, results)
    finally:
        cv2.setNumThreads(before)
    for made, one, other in zip(whole, threads, single, strict=True):
        assert np.array_equal(made, one)
        assert np.array_equal(made, other)


def test_every_frame_comes_out_once_in_order_with_its_source() -> None:
    for count in (0, 1, 2, REACH, 9):
        sources = [panned(n) for n in range(count)]
        out = list(smoothed(frames_of(sources, sources)))
        assert [frame.source.number for frame in out] == list(range(count))
        assert all(a.source.pixels is b for a, b in zip(out, sources, strict=True))
        assert all(frame.pixels.dtype == np.uint8 for frame in out)


def test_detail_is_kept_where_a_look_exchanges_dark_and_bright() -> None:
    sources, clean, results = panning()
    negative = [255 - picture for picture in results]
    out = smooth(sources, negative)
    upright = smooth(sources, results)
    assert np.abs(255 - out[5].astype(int) - upright[5]).max() <= 1
    assert error(out[5], 255 - clean[5]) < error(negative[5], 255 - clean[5]) / 3


@pytest.mark.parametrize("size", [(17, 16), (33, 71), (96, 131)])
def test_any_size(size: tuple[int, int]) -> None:
    picture = texture(size)
    out = smooth([picture] * 4, [picture] * 4)
    assert all(np.abs(made.astype(int) - picture).max() <= 1 for made in out)


def test_deep_pixels_stay_deep() -> None:
    sources, _, results = panning()
    deep = [
        TranslatedFrame(
            Frame(n, n, 1, (source / 255).astype(np.float32)), (result / 255).astype(np.float32)
        )
        for n, (source, result) in enumerate(zip(sources, results, strict=True))
    ]
    out = [frame.pixels for frame in smoothed(iter(deep))]
    assert out[5].dtype == np.float32
    assert np.abs(out[5] * 255 - smooth(sources, results)[5]).mean() < 0.5


def test_an_error_before_it_comes_through() -> None:
    sources, _, results = panning()

    def failing() -> Iterator[TranslatedFrame]:
        yield from frames_of(sources[:5], results[:5])
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        list(smoothed(failing()))


# --- real clips, with the built-in model


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[float, float, float]]:
    """For each clip: E_warp and coherent detail as shares of frame by frame, low-band PSNR in dB."""
    if not CLIPS.is_dir():
        pytest.skip(f"there are no real clips at {CLIPS}")
    model = find_model("summer2winter")
    request = EngineRequest(size=(360, 640), streams=1)
    found = {}
    with open_engine(model, request, EngineStore()) as engine:
        for name in REAL:
            source = VideoSource(probe(CLIPS / name), (360, 640))
            frames = islice(marked(source.frames()), MEASURED_FRAMES + REACH)
            translated = list(translate(frames, engine, engine.batch))
            plain, steady = Measuring(), Measuring()
            pairs = zip(translated, smoothed(iter(translated)), strict=True)
            for before, after in islice(pairs, MEASURED_FRAMES):
                seconds = before.source.number / 25
                seen = before.source.pixels
                plain.add(Moment(seconds, seen, before.pixels))
                steady.add(Moment(seconds, seen, after.pixels, before.pixels))
            was, now = plain.measured.result, steady.measured.result
            found[name] = (
                (now.warp_error or 0) / (was.warp_error or 1),
                (now.coherent_detail or 0) / (was.coherent_detail or 1),
                decibels(float(np.mean(steady.measured.low_band))),
            )
    return found


@pytest.mark.slow
def test_real_clips_are_five_times_as_steady(measured: dict[str, tuple[float, ...]]) -> None:
    shares = [warp for warp, _, _ in measured.values()]
    assert np.mean(shares) <= 0.20
    assert max(shares) <= 0.30


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_clips_keep_their_detail_their_light_and_their_colour(
    measured: dict[str, tuple[float, ...]], name: str
) -> None:
    _, detail, low_band = measured[name]
    assert detail >= 1
    assert low_band >= 45
