"""Trees and noise: the small things the demonstration's landscape is put together from.

A tree is a cloud of some ten thousand leaf points around branches, lit through a shadow map and
splatted far to near: outlines, gaps and dappled light then come by themselves, as they do not
with painted shapes. Sprites are premultiplied RGBA float32 [h, w, 4] in 0..1.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]

# Towards the sun, which stands left, high and behind the camera: x right, y up, z to the camera.
SUN = np.array([-0.64, 0.60, 0.48], np.float32)


def floats(values: object) -> Floats:
    """Return any array-like as float32, same shape."""
    return np.asarray(values, np.float32)


def smoothstep(low: float, high: float, x: Reals) -> Floats:
    """Return the soft step of x, 0 up to low and 1 from high on, same shape.

    With low above high it falls instead.
    """
    t = np.clip((x - low) / (high - low), 0, 1)
    return floats(t * t * (3 - 2 * t))


def blend(a: object, b: object, weight: Reals) -> Floats:
    """Mix colours a and b [..., 3] by weight [...] in 0..1; 1 takes b."""
    w = weight[..., None]
    return floats(floats(a) * (1 - w) + floats(b) * w)


def fractal(rng: np.random.Generator, n: int, cells: int, gain: float, ridged: bool) -> Floats:
    """Return seamless fractal noise [n, n] of about -1..1 with `cells` bumps along a side.

    Ridged noise folds every octave at its zero: sharp crests, as eroded rock has.
    """
    total, weight, reach = np.zeros((n, n), np.float32), 1.0, 0.0
    while cells <= n:
        grid = np.pad(rng.standard_normal((cells, cells), np.float32), 4, mode="wrap")
        side = n * (cells + 8) // cells
        big = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        at = (side - n) // 2
        octave = floats(big[at : at + n, at : at + n])
        total += weight * (1.0 - 1.6 * np.abs(octave) if ridged else octave)
        reach += weight * weight
        weight, cells = weight * gain, cells * 2
    return floats(total / (1.6 * np.sqrt(reach)))


def look_up(tile: Floats, x: Reals, y: Reals) -> Floats:
    """Sample a seamless tile [n, n] at cells x, y (any shape up to 2-D), repeating it."""
    n = tile.shape[0]
    mx, my = np.atleast_2d(floats(x % n)), np.atleast_2d(floats(y % n))
    wide = floats(np.pad(tile, ((0, 1), (0, 1)), mode="wrap"))
    return floats(cv2.remap(wide, mx, my, cv2.INTER_LINEAR)).reshape(np.shape(x))


def _conifer(rng: np.random.Generator, count: int) -> tuple[Floats, Floats, Floats]:
    """Return leaf points [n, 3], twig directions [n, 3] and colours [n, 3], height 1."""
    spread, bare = rng.uniform(0.15, 0.21), rng.uniform(0.03, 0.10)
    whorls = 340
    t = np.sort(bare + (1 - bare) * rng.random(whorls) ** 1.1)
    length = spread * (1.01 - t) ** 0.85 * rng.uniform(0.4, 1.15, whorls) + 0.008
    # A side that grew less, a gap here and there: without them every tree is a cone.
    azimuth = rng.uniform(0, 2 * np.pi, whorls)
    length *= 1 - 0.3 * np.cos(azimuth - rng.uniform(0, 6.28)) * rng.random(whorls)
    which = rng.choice(whorls, count, p=(length**1.2) / (length**1.2).sum())
    s, long, high = rng.random(count) ** 0.7, length[which], t[which]
    turn = azimuth[which] + rng.normal(0, 0.3, count) * (1.1 - s)
    sag = (0.35 - 0.75 * (1 - high)) * s + 0.25 * s * s * (1 - high)
    points = np.stack(
        [
            np.cos(turn) * long * s,
            high + long * sag - np.abs(rng.normal(0, 0.006, count)),
            np.sin(turn) * long * s,
        ],
        1,
    )
    twigs = np.stack([np.cos(turn), -0.5 + 0.3 * rng.standard_normal(count), np.sin(turn)], 1)
    twigs += 0.5 * rng.standard_normal((count, 3))
    tone = rng.normal(1, 0.13, whorls)[which] * (0.55 + 0.6 * s)
    leaf = floats([0.235, 0.275, 0.155]) * rng.uniform([0.82, 0.9, 0.8], [1.12, 1.06, 1.12])
    colour = leaf * tone[:, None] * rng.normal(1, 0.16, (count, 1))
    return floats(points), floats(twigs * 0.008), floats(colour)


def _broadleaf(rng: np.random.Generator, count: int) -> tuple[Floats, Floats, Floats]:
    """Return leaf points [n, 3], twig directions [n, 3] and colours [n, 3], height 1."""
    clumps, wide = 150, rng.uniform(0.27, 0.38)
    out = rng.standard_normal((clumps, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    centre = out * (rng.random((clumps, 1)) ** 0.35) * [wide, 0.43, wide] * rng.uniform(
        0.75, 1.0, (clumps, 1)
    ) + [0, 0.53, 0]
    size = rng.uniform(0.03, 0.10, clumps)
    which = rng.choice(clumps, count, p=size**2 / (size**2).sum())
    way = rng.standard_normal((count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    points = centre[which] + way * (size[which] * rng.uniform(0.5, 1.05, count))[:, None]
    points[:, 1] -= 0.3 * np.abs(way[:, 0]) * size[which]
    leaf = floats([0.315, 0.365, 0.165]) * rng.uniform([0.84, 0.93, 0.8], [1.1, 1.04, 1.1])
    tone = rng.normal(1, 0.09, clumps)[which] * (0.8 + 0.32 * way[:, 1])
    colour = leaf * (tone * rng.normal(1, 0.15, count))[:, None]
    return floats(points), floats(0.006 * rng.standard_normal((count, 3))), floats(colour)


def tree(rng: np.random.Generator, tall: int, conifer: bool) -> Floats:
    """Grow one tree of `tall` pixels, lit by the sun; its foot is at the bottom centre."""
    count = int(np.clip(tall * tall * 0.35, 4000, 70000))
    points, twigs, colour = (_conifer if conifer else _broadleaf)(rng, count)
    up = rng.random(count // 12) ** 1.3 * (0.97 if conifer else 0.6)
    girth = (0.011 if conifer else 0.016) * (1.05 - up)
    around = rng.uniform(0, 2 * np.pi, up.size)
    stem = np.stack([girth * np.cos(around), up, girth * np.sin(around)], 1)
    points = np.concatenate([points, floats(stem)])
    twigs = np.concatenate([twigs, np.tile(floats([0, 0.006, 0]), (up.size, 1))])
    bark = floats([0.33, 0.275, 0.225]) * rng.normal(1, 0.2, (up.size, 1))
    colour = np.concatenate([colour, floats(bark)])

    # Shadow map: in every cell of the plane across the light, only the foremost leaves are lit.
    side = np.cross(SUN, [0, 1, 0])
    side /= np.linalg.norm(side)
    cells = 72 if conifer else 60
    key = ((points @ side + 1) * cells).astype(np.int64) * (3 * cells) + (
        (points @ np.cross(side, SUN) + 1) * cells
    ).astype(np.int64)
    near = points @ SUN
    front = np.full(int(key.max()) + 1, -9.0, np.float32)
    np.maximum.at(front, key, near)
    lit = smoothstep(-0.11 if conifer else -0.10, -0.012, near - front[key])
    radius = np.hypot(points[:, 0], points[:, 2])
    open_sky = np.clip(0.45 + 2.6 * radius, 0.4, 1) * (0.72 + 0.35 * points[:, 1])
    sky = floats([0.52, 0.56, 0.60]) * open_sky[:, None]
    colour = colour * (sky + floats([1.5, 1.38, 1.1]) * lit[:, None])

    reach = float(np.abs(points[:, 0]).max()) + 0.03
    width, height = max(3, int(2 * reach * tall)), int(tall * 1.06)
    canvas = np.zeros((height, width, 4), np.float32)
    order = np.argsort(points[:, 2], kind="stable")
    steps = max(2, int(tall * 0.012))
    shown = points[order, None] + twigs[order, None] * np.linspace(0, 1, steps)[None, :, None]
    x = np.clip((shown[..., 0] + reach) * tall, 0, width - 1).astype(np.int64).ravel()
    y = np.clip(height - 1 - shown[..., 1] * tall, 0, height - 1).astype(np.int64).ravel()
    canvas[y, x, :3] = np.repeat(colour[order], steps, axis=0)
    canvas[y, x, 3] = 1
    return np.clip(canvas, 0, 1)
