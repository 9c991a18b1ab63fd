"""Every measure on pictures for which its value is known beforehand."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from textures import SIZE, noisy, panned, passing, texture

from cgvideo.codec.contents import Contents, Sound
from cgvideo.evaluation.agreement import Lag, agreement
from cgvideo.evaluation.detail import (
    coherent_detail,
    decibels,
    low_band_error,
    luma,
    sharpness,
)
from cgvideo.evaluation.film import Measured
from cgvideo.evaluation.ghosting import Ghosts, edges
from cgvideo.evaluation.light import color_drift, mean_color, pumping
from cgvideo.evaluation.pairing import paired
from cgvideo.evaluation.seams import Profile, seams
from cgvideo.evaluation.steadiness import motion_between, warp_error
from cgvideo.evaluation.wording import number

# --- steadiness


def test_noise_on_a_still_clip_has_the_error_of_its_variance_twice():
    still = texture(contrast=20)
    motion = motion_between(still, still)
    assert motion.seen.all()
    before, now = (noisy(still, 6, seed) for seed in (1, 2))
    by_hand = np.square((now.astype(float) - before) / 255).mean()
    assert warp_error(before, now, motion) == pytest.approx(by_hand, rel=1e-6)
    assert by_hand == pytest.approx(2 * (36 + 1 / 12) / 255**2, rel=0.02)


def test_only_what_both_frames_show_counts():
    still = texture(contrast=20)
    motion = motion_between(still, still)
    motion.seen[:, :96] = False
    harmed = still.copy()
    harmed[:, :96] = 0
    assert warp_error(still, harmed, motion) == 0
    motion.seen[:] = False
    assert warp_error(still, harmed, motion) is None


def test_what_moves_with_the_source_is_steady_and_what_stays_is_not():
    motion = motion_between(panned(0), panned(1))
    moving = warp_error(panned(0, seed=5), panned(1, seed=5), motion)
    standing = warp_error(panned(0, seed=5), panned(0, seed=5), motion)
    assert moving < 2e-4
    assert standing > 50 * moving


def test_a_cut_is_no_motion():
    assert motion_between(texture(seed=1), texture(seed=2)).is_cut
    assert not motion_between(panned(0), panned(1)).is_cut


# --- detail


def test_blur_takes_detail_as_its_transfer_function_says():
    across = np.arange(193)  # whole periods: mirroring at the edges goes on with it
    wave = np.float32(128 + 60 * np.cos(2 * np.pi * across / 8)) * np.ones((SIZE[0], 1), np.float32)
    blurred = cv2.GaussianBlur(wave, (0, 0), 1.0)
    made, own = coherent_detail(wave, blurred)
    assert made / own == pytest.approx(np.exp(-((2 * np.pi / 8) ** 2) / 2), rel=0.02)


def test_contrast_counts_as_detail_and_noise_does_not():
    picture = luma(texture())
    made, own = coherent_detail(picture, 128 + 1.5 * (picture - 128))
    assert made / own == pytest.approx(1.5, rel=1e-5)
    dots = picture + np.random.default_rng(0).normal(0, 8, picture.shape).astype(np.float32)
    made, own = coherent_detail(picture, dots)
    assert made / own == pytest.approx(1, abs=0.1)
    assert sharpness(dots) > 2 * sharpness(picture)


def test_the_low_band_forgives_noise_and_sees_a_tint():
    picture = texture()
    tinted = np.clip(picture.astype(int) + 5, 0, 255).astype(np.uint8)
    assert low_band_error(tinted, picture) == pytest.approx(25, rel=0.02)
    assert decibels(25) == pytest.approx(34.15, abs=0.01)
    noise = noisy(picture, 8, 1)
    share = low_band_error(noise, picture) / np.square(noise.astype(float) - picture).mean()
    assert share == pytest.approx(1 / (16 * np.pi), rel=0.2)  # of white noise: 1 / (4 pi sigma^2)
    assert decibels(0) == np.inf


# --- ghosts


def ghost_of(result, frames=5):
    ghosts = Ghosts()
    sources = [passing(n) for n in range(frames)]
    lumas = [luma(source) for source in sources]
    made = [luma(result(n, sources)) for n in range(frames)]
    for n in range(1, frames):
        ghosts.add(
            (edges(lumas[n - 1]), edges(lumas[n])),
            (edges(made[n - 1]), edges(made[n])),
            motion_between(sources[n - 1], sources[n]),
            np.abs(lumas[n] - lumas[n - 1]),
        )
    return ghosts.share


def test_there_is_no_ghost_where_none_was_painted():
    assert ghost_of(lambda n, sources: sources[n]) == pytest.approx(0, abs=1e-6)
    assert ghost_of(lambda n, sources: 40 + 0.7 * sources[n].astype(np.float32)) == pytest.approx(
        0, abs=1e-3
    )
    assert ghost_of(lambda n, sources: noisy(sources[n], 8, n)) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("strength", [0.1, 0.3])
@pytest.mark.parametrize("away", [-1, 1])
def test_a_ghost_is_as_strong_as_it_was_painted(strength, away):
    def haunted(n, sources):
        neighbour = sources[min(max(n + away, 0), 4)]
        return sources[n] * np.float32(1 - strength) + neighbour * np.float32(strength)

    assert ghost_of(haunted) == pytest.approx(strength / (1 - strength), rel=0.1)


def test_a_still_clip_says_nothing_of_ghosts():
    still = texture()
    ghosts = Ghosts()
    view = edges(luma(still))
    ghosts.add((view, view), (view, view), motion_between(still, still), np.zeros(SIZE, np.float32))
    assert ghosts.share is None


# --- seams


def profile_of(*pictures):
    profile = Profile()
    for picture in pictures:
        profile.add(picture)
    return profile


def tiled(picture, tile, step, seed=0):
    """Each tile brighter or darker by up to `step` levels."""
    height, width = picture.shape
    shifts = np.random.default_rng(seed).uniform(
        -step, step, (height // tile + 1, width // tile + 1)
    )
    grid = np.repeat(np.repeat(shifts, tile, 0), tile, 1)[:height, :width]
    return np.float32(picture + grid)


@pytest.fixture(scope="module")
def large():
    return [luma(noisy(texture((360, 640), seed), 3, seed)) for seed in range(3)]


@pytest.mark.parametrize("tile", [128, 100])
def test_seams_are_found_with_their_grid(large, tile):
    plain, marked = profile_of(*large), profile_of(*(tiled(each, tile, 6) for each in large))
    found = seams(plain, marked)
    assert found.found
    assert found.tile == tile
    assert found.score > 2
    assert seams(plain, marked, tile).score == found.score
    assert seams(plain, marked, 148).score < 1.4


def test_no_seams_are_found_where_none_are(large):
    softer = [cv2.GaussianBlur(each, (0, 0), 0.7) for each in large]
    found = seams(profile_of(*large), profile_of(*softer))
    assert not found.found
    assert found.score < 1.4
    # of a codec's blocks, in source and result or in the result alone
    blocks = [tiled(each, 16, 2, seed) for seed, each in enumerate(large)]
    assert not seams(profile_of(*large), profile_of(*blocks)).found


def test_what_the_source_has_on_the_grid_is_no_seam(large):
    windows = [tiled(each, 128, 6) for each in large]
    assert not seams(profile_of(*windows), profile_of(*windows)).found


def test_small_pictures_have_no_grid():
    assert seams(profile_of(luma(texture((60, 80)))), profile_of(luma(texture((60, 80))))) is None


# --- light and colour


def test_pumping_is_that_of_a_sine():
    times = np.arange(104)
    pumped = 120 + 0.2 * times + 4 * np.sin(2 * np.pi * times / 5)
    assert pumping([pumped], 25) == pytest.approx(4 / np.sqrt(2), rel=1e-6)
    assert pumping([120 + 0.2 * times], 25) == pytest.approx(0, abs=1e-9)  # a slow change is none
    dark_then_bright = [np.full(50, 20.0), np.full(50, 200.0)]
    assert pumping(dark_then_bright, 25) == 0  # nor is a cut
    assert pumping([np.zeros(5)], 25) is None


def test_drift_is_how_far_a_colour_wanders_within_a_scene():
    still = np.tile([1.0, 2.0, 3.0], (100, 1))
    assert color_drift([still, still + 40], 25) == pytest.approx(0, abs=1e-9)
    wandering = still + np.linspace(0, 10, 100)[:, None] * [0, 0.6, 0.8]
    assert color_drift([wandering], 25) == pytest.approx(5, rel=1e-6)
    assert color_drift([still[:5]], 25) is None


def test_mean_colours_are_those_of_cie_lab():
    red = np.zeros((400, 500, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    assert mean_color(red) == pytest.approx((53.24, 80.09, 67.20), abs=0.05)


# --- agreement


def test_pairs_are_each_others_nearest():
    def pairs(left, right):
        return list(paired(left, right, Fraction, Fraction))

    assert pairs([0, 1, 2], [0, 1, 2]) == [(0, 0), (1, 1), (2, 2)]
    assert pairs([0, 2, 4], [0, 1, 2, 3, 4]) == [(0, 0), (2, 2), (4, 4)]
    assert pairs([0, 1, 2, 3, 4], [0, 2, 4]) == [(0, 0), (2, 2), (4, 4)]
    assert pairs([0, 10, 20, 30], [1, 19, 21, 32]) == [(0, 1), (20, 19), (30, 32)]
    assert pairs([], [1]) == []


def lag_of(results, sources):
    lag = Lag()
    for source, result in zip(sources, results, strict=True):
        lag.add(luma(source), luma(result))
    return lag.frames


def test_a_result_that_is_a_frame_late_is_noticed():
    sources = [panned(n) for n in range(12)]
    dim = [(0.5 * source).astype(np.uint8) for source in sources]
    assert lag_of(dim, sources) == 0
    assert lag_of([dim[0], *dim[:-1]], sources) == 1
    assert lag_of([*dim[1:], dim[-1]], sources) == -1
    assert lag_of([texture()] * 12, [texture()] * 12) is None  # nothing moves
    assert lag_of([texture(seed=n) for n in range(12)], sources) is None  # nothing matches


def held(count=10, first=0, tick=Fraction(1, 100), sounds=()):
    return Contents(tuple(first + n * 4 * tick for n in range(count)), tick, tuple(sounds))


def test_frames_times_and_sound_are_compared():
    sound = Sound("aac", Fraction(0), Fraction(4), "ab")
    source = held(sounds=[sound])
    assert agreement(source, held(sounds=[sound]), 0).whole
    assert agreement(source, held(first=5, sounds=[sound]), 0).same_times  # from its first on
    assert agreement(source, held(first=5, sounds=[sound]), 0).sound_shift == -5
    assert not agreement(source, held(first=5, sounds=[sound]), 0).whole
    assert agreement(source, held(), 0).sound == "missing"
    shorter = Sound("aac", Fraction(0), Fraction(3), "cd")
    assert agreement(source, held(sounds=[shorter]), 0).sound == "other length"
    again = Sound("opus", Fraction(-1, 100), Fraction(4), "cd")
    assert agreement(source, held(sounds=[again]), 0).sound == "as long"
    assert agreement(source, held(sounds=[again]), 0).whole
    assert not agreement(source, held(9, sounds=[sound]), 0).whole
    slow = held(tick=Fraction(1, 90), sounds=[sound])
    assert agreement(source, slow, 0).worst_time == pytest.approx(0.04)
    assert not agreement(source, slow, 0).whole
    assert not agreement(source, held(sounds=[sound]), 1).whole


def test_a_second_is_counted_by_the_usual_step():
    def second(*seconds):
        return Measured(seconds=list(seconds)).second

    assert second(*(n / 25 for n in range(50))) == 25
    assert second(*(n / 30 for n in range(50)), 9, 20) == 31  # odd; gaps do not count
    assert second(0.0) == second(0.0, 2.0, 4.0) == 5


def test_figures_are_written_with_three_digits():
    values = (None, np.inf, 0.0, 1e-5, 0.0123, 0.5, 9.876, 123.45)
    assert [number(value) for value in values] == [
        "", "same", "0", "0", "0.012", "0.50", "9.88", "123.5",
    ]  # fmt: skip
