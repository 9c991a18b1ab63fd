"""The demonstration's sound: wind in the trees, water at the shore, birds; all by formula."""

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]

PEAK = 0.4  # about -8 dBFS: leaves an encoder room to overshoot
FADE = 0.35  # seconds, at either end


def _noise(rng: np.random.Generator, n: int, rate: int, low: float, high: float) -> Signal:
    """Return noise [n] of power 1 between about low and high Hz, falling by 1/sqrt(f) like wind."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / rate) + 1e-6
    spectrum *= 1 / np.sqrt(
        (1 + (low / hertz) ** 4) * (1 + (hertz / high) ** 4) * (1 + hertz / low)
    )
    signal = np.fft.irfft(spectrum, n)
    return np.asarray(signal / (np.sqrt(np.mean(signal**2)) + 1e-12))


def _gusts(rng: np.random.Generator, n: int, rate: int, pace: float) -> Signal:
    """Return a slow smooth rise and fall [n] within 0.35..1, about `pace` times a second."""
    knots = rng.uniform(0.35, 1, int(n / rate * pace) + 4)
    at = np.arange(n) / rate * pace
    k, part = at.astype(np.int64), at % 1
    part = part * part * (3 - 2 * part)
    return np.asarray(knots[k] * (1 - part) + knots[k + 1] * part)


def _drops(rng: np.random.Generator, n: int, rate: int) -> Signal:
    """Return lapping water [n]: short tones of closing bubbles, each rising a little in pitch."""
    out = np.zeros(n)
    length = int(0.05 * rate)
    t = np.arange(length) / rate
    for _ in range(int(n / rate * 16)):
        start, pitch = int(rng.integers(0, max(n, 1))), rng.uniform(420, 1500)
        tone = np.sin(2 * np.pi * pitch * (t + 4 * t * t)) * np.exp(-t * rng.uniform(70, 160))
        tone *= np.minimum(t / 0.002, 1) * rng.uniform(0.1, 1) ** 2
        out[start : start + length] += tone[: n - start]
    return out


def _song(rng: np.random.Generator, rate: int) -> Signal:
    """Return one bird's phrase: a few sliding whistles with a weak overtone."""
    base, parts = rng.uniform(2600, 4300), []
    for _ in range(int(rng.integers(2, 6))):
        t = np.linspace(0, 1, int(rng.uniform(0.06, 0.15) * rate))
        pitch = base * (1 + rng.uniform(-0.22, 0.22) * t + rng.uniform(0, 0.10) * np.sin(np.pi * t))
        pitch *= 1 + 0.025 * np.sin(2 * np.pi * rng.uniform(2, 5) * t)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        whistle = (np.sin(phase) + 0.12 * np.sin(2 * phase)) * np.sin(np.pi * t) ** 1.5
        parts += [whistle * rng.uniform(0.6, 1), np.zeros(int(rng.uniform(0.03, 0.09) * rate))]
    return np.concatenate(parts)


def sound(seconds: float, sample_rate: int = 48000) -> NDArray[np.int16]:
    """Return the valley's sound, stereo int16 [2, samples] (left, right), peak under -6 dBFS.

    seconds >= 0; sample_rate in Hz, 16000 or more to carry the birds. It fades in and out, and
    the same arguments give the same samples every time.
    """
    n = round(seconds * sample_rate)
    if n < 2:
        return np.zeros((2, max(n, 0)), np.int16)
    rng = np.random.default_rng(1868)
    # Low wind comes from everywhere; leaves and water differ between the ears, which gives width.
    body = _noise(rng, n, sample_rate, 90, 420) * _gusts(rng, n, sample_rate, 0.5)
    mix = np.zeros((2, n))
    for ear in mix:
        leaves = _noise(rng, n, sample_rate, 500, 3600) * _gusts(rng, n, sample_rate, 0.8) ** 2
        shore = _noise(rng, n, sample_rate, 500, 1700) * _gusts(rng, n, sample_rate, 1.3) ** 2
        ear += 0.055 * body + 0.030 * leaves + 0.016 * shore
        ear += 0.07 * _drops(rng, n, sample_rate)
    at = 0.35
    while at < seconds - 0.6:
        song = _song(rng, sample_rate) * rng.uniform(0.05, 0.16)
        side, begin = rng.uniform(0.12, 0.88) * np.pi / 2, round(at * sample_rate)
        # One soft echo from the far wood puts the bird into the valley.
        for delay, level in ((0.0, 1.0), (0.19, 0.16)):
            start = begin + round(delay * sample_rate)
            piece = song[: max(n - start, 0)] * level
            mix[0, start : start + piece.size] += np.cos(side) * piece
            mix[1, start : start + piece.size] += np.sin(side) * piece
        at += rng.uniform(0.45, 1.2)
    edge = np.arange(n) / (min(FADE, seconds / 3) * sample_rate)
    fade = np.sin(np.pi / 2 * np.clip(np.minimum(edge, edge[::-1]), 0, 1)) ** 2
    mix *= fade
    mix *= PEAK / max(PEAK, float(np.abs(mix).max()))
    return np.asarray(np.round(mix * 32767), np.int16)
