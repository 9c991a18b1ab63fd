"""The demonstration's distance: the sky, and the ranges of mountains and hills before it.

A range is a relief seen from above first, lit and coloured there, and then looked at from the
camera column by column: of all its land only what nothing nearer hides.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.demo.plants import SUN, Floats, blend, floats, look_up, smoothstep
from cgvideo.demo.stage import CONIFERS, EYE, FINE, HAZE, STOCK, Layer, Stage, stamp


class _Range(NamedTuple):
    near: float
    far: float
    heights: Callable[[Stage, Floats, Floats, float, float], Floats]  # of x, z, from near to far
    bare: float  # how level the ground is where rock gives way to green
    peaks: bool  # is it bare above the tree line, too?
    reach: float  # the distance over which haze takes its colours
    trees: int
    mixed: bool  # broadleaves, too?


class _Land(NamedTuple):
    """A range from above: maps [n, n], rows run away, columns across."""

    heights: Floats
    colour: Floats  # [n, n, 3] lit
    bare: Floats  # 0 under green, 1 on rock
    light: Floats
    half: float  # half the width covered
    across: float  # metres a column
    along: float  # metres a row


class _Sight(NamedTuple):
    """A range from the camera: for every depth and column of a canvas [depths, columns]."""

    depths: Floats  # [depths]
    at_x: Floats  # the place in the maps
    at_z: Floats
    tops: Floats  # the canvas row of the land there
    skyline: Floats  # the uppermost row of all land up to there


def sky(stage: Stage) -> Layer:
    """Blue deepening upwards, and fair-weather clouds on a plane that runs to the horizon."""
    canvas = stage.blank(stage.horizon + 30 * stage.unit)
    up = np.linspace(1, 0, canvas.shape[0], dtype=np.float32)[:, None]
    x = stage.columns(canvas)[None, :] * np.ones_like(up)
    far = 1 / (up + 0.22)
    cx, cy = x * far * 170 + 330, far * 120 + 0 * x
    billow = look_up(stage.soft, cx, cy) + 0.18 * look_up(stage.fine, cx * 0.7, cy * 0.7)
    lee = look_up(stage.soft, cx - 9, cy - 7)
    cover = smoothstep(-0.5, 0.7, floats(billow)) * smoothstep(-0.1, 0.25, up + 0 * x)
    shade = smoothstep(-0.6, 0.7, floats(billow - lee + 0.35 - 0.35 * cover))
    blue = blend((0.73, 0.83, 0.92), (0.30, 0.50, 0.76), floats((up + 0 * x) ** 0.75))
    cloud = blend((0.74, 0.78, 0.85), (1.0, 0.99, 0.97), shade)
    canvas[..., :3] = blend(blue, cloud, floats(cover * 0.93))
    canvas[..., 3] = 1
    return stage.finish(canvas, 0, 1e9)


def ranges(stage: Stage) -> list[Layer]:
    """One layer for each range, far ones first."""
    return [_range(stage, one) for one in _RANGES]


def _peaks(stage: Stage, x: Floats, z: Floats, near: float, far: float) -> Floats:
    """A high range closing the valley."""
    crest = look_up(stage.ridged, x / 26 + 300, z / 26)
    body = smoothstep(near, near + 0.55 * (far - near), z)
    heights = body * (640 + 420 * crest + 160 * look_up(stage.soft, x / 40 + 90, z / 40))
    return floats(heights + 90 * look_up(stage.ridged, x / 6, z / 6) * body)


def _walls(stage: Stage, x: Floats, z: Floats, near: float, far: float) -> Floats:
    """Granite walls left and right."""
    bend = 260 * look_up(stage.soft, z / 11 + 40, 0 * z + 77)
    off = np.where(x < bend, (bend - x) * 1.12, x - bend + 60)
    off = off + 130 * look_up(stage.ridged, x / 5, z / 5)
    wall = 0.72 * smoothstep(330, 620, off) + 0.5 * smoothstep(640, 1300, off)
    rough = look_up(stage.ridged, x / 4 + 60, z / 4)
    wall = wall * smoothstep(near + 60, near + 520, z)
    tall = np.where(x > bend, 235, 300) + 0.045 * z
    heights = wall * (tall + 95 * look_up(stage.soft, x / 9, z / 9))
    heights += (22 + 85 * wall) * rough
    heights += 0.10 * np.clip(off - 120, 0, None) * smoothstep(near, near + 500, z)
    return floats(heights)


def _hills(stage: Stage, x: Floats, z: Floats, near: float, far: float) -> Floats:
    """Wooded hills."""
    heights = np.clip(np.abs(x - 40) - 110, 0, None) * 0.24
    heights += smoothstep(near, far, z) * (7 + 11 * look_up(stage.soft, x / 2, z / 2))
    return floats(heights)


_RANGES = (
    _Range(3800, 9500, _peaks, bare=0.42, peaks=True, reach=8200, trees=900, mixed=False),
    _Range(1000, 3400, _walls, bare=0.52, peaks=False, reach=7000, trees=6500, mixed=False),
    _Range(430, 900, _hills, bare=0.2, peaks=False, reach=4000, trees=3600, mixed=True),
)


def _range(stage: Stage, one: _Range) -> Layer:
    """Render one range: relief, sunlight, cast shadows, trees, haze."""
    land = _survey(stage, one)
    canvas = stage.blank(stage.horizon + 26 * stage.unit)
    sight = _look(stage, one, land, stage.columns(canvas))
    _paint(stage, one, land, sight, canvas)
    _plant(stage, one, land, sight, canvas)
    return stage.finish(canvas, 0, float(np.sqrt(one.near * one.far)))


def _survey(stage: Stage, one: _Range) -> _Land:
    """Shape the relief, light it and colour its rock and green."""
    n, half = 640, one.far * 0.72
    z, x = np.meshgrid(
        np.linspace(one.near, one.far, n, dtype=np.float32),
        np.linspace(-half, half, n, dtype=np.float32),
        indexing="ij",
    )
    relief = floats(np.clip(one.heights(stage, x, z, one.near, one.far), 0, None))
    across, along = 2 * half / n, (one.far - one.near) / n
    slope_z, slope_x = np.gradient(relief, along, across)
    flat = 1 / np.sqrt(1 + slope_x**2 + slope_z**2)
    facing = (-slope_x * SUN[0] + SUN[1] + slope_z * SUN[2]) * flat
    light = np.clip(facing, 0, None) * _sunlit(relief, across, along)
    grain = look_up(stage.fine, *np.meshgrid(np.arange(n) * 1.0, np.arange(n) * 1.0))
    broad = look_up(stage.soft, *np.meshgrid(np.arange(n) * 1.7, np.arange(n) * 1.7))
    rock = blend((0.44, 0.42, 0.40), (0.66, 0.62, 0.565), smoothstep(-0.9, 0.9, grain + broad))
    green = blend((0.145, 0.185, 0.095), (0.27, 0.31, 0.15), smoothstep(-1, 1, grain - broad))
    bare = smoothstep(0.30, -0.10, floats(flat - one.bare + 0.22 * broad))
    if one.peaks:
        bare = floats(np.maximum(bare, smoothstep(420, 620, relief + 120 * broad)))
    sun, shadow = floats([1.22, 1.14, 1.0]), floats([0.34, 0.40, 0.50])
    colour = blend(green, rock, bare) * (shadow + sun * light[..., None])
    return _Land(relief, floats(colour), bare, floats(light), half, across, along)


def _sunlit(relief: Floats, across: float, along: float) -> Floats:
    """Return 1 where the sun reaches the relief, down to 0.2 where the way to it is blocked."""
    n = relief.shape[0]
    lit = np.ones_like(relief)
    for step in np.geomspace(2, 90, 16):
        move = floats([[1, 0, SUN[0] * step], [0, 1, -SUN[2] * step * across / along]])
        seen = cv2.warpAffine(
            relief, move, (n, n), flags=cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        over = floats(seen) - relief - SUN[1] * step * across
        lit *= 1 - 0.8 * smoothstep(0, 4 * across, floats(over))
    return lit


def _look(stage: Stage, one: _Range, land: _Land, ways: Floats) -> _Sight:
    """Look along every column of a canvas, whose x / z are `ways`, through the whole range."""
    depths = floats(np.geomspace(one.near, one.far * 0.999, 420))
    at_x = (depths[:, None] * ways[None] + land.half) / land.across
    at_z = (depths[:, None] - one.near) / land.along + 0 * at_x
    heights = cv2.remap(land.heights, floats(at_x), floats(at_z), cv2.INTER_LINEAR)
    horizon = stage.horizon * FINE
    tops = horizon - stage.focal * FINE * (floats(heights) - EYE) / depths[:, None]
    skyline = np.minimum.accumulate(tops, axis=0)
    return _Sight(depths, floats(at_x), floats(at_z), tops, skyline)


def _surface(sight: _Sight, rows: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the depth seen in every pixel of a canvas of so many rows, and where land is."""
    depths, skyline = sight.depths, sight.skyline
    column = np.arange(skyline.shape[1])[None]
    # How many depths stay below a row is the index of the surface seen in that row.
    first = np.clip(np.ceil(skyline), 0, rows).astype(np.int64)
    count = np.zeros((rows + 1, column.size), np.float32)
    np.add.at(count, (first, column), 1)
    hit = depths.size - np.cumsum(count, axis=0)[:rows]
    k = np.clip(hit, 1, depths.size - 1).astype(np.int64)
    low, high = skyline[k - 1, column], skyline[k, column]
    part = np.clip((low - np.arange(rows)[:, None]) / np.maximum(low - high, 1e-3), 0, 1)
    z = depths[k - 1] + (depths[k] - depths[k - 1]) * part
    return z, hit < depths.size


def _paint(stage: Stage, one: _Range, land: _Land, sight: _Sight, canvas: Floats) -> None:
    """Draw the land onto an empty canvas."""
    rows, ways = canvas.shape[0], stage.columns(canvas)
    z, solid = _surface(sight, rows)
    mx, mz = floats((z * ways + land.half) / land.across), floats((z - one.near) / land.along)
    picture = floats(cv2.remap(land.colour, mx, mz, cv2.INTER_LINEAR))
    # Steep faces show few cells of the relief: detail of their own, cracked downwards.
    cracks = look_up(stage.fine, mx * 5, np.arange(rows)[:, None] * 0.9 + mz * 3)
    picture *= 1 + 0.20 * np.clip(cracks, -1.5, 1.5)[..., None]
    veil = 1 - np.exp(-z / one.reach)
    canvas[..., :3] = blend(picture, HAZE, floats(veil)) * solid[..., None]
    canvas[..., 3] = solid


def _plant(stage: Stage, one: _Range, land: _Land, sight: _Sight, canvas: Floats) -> None:
    """Stand trees wherever land is green and in view, far ones first."""
    rng, depths = stage.rng, sight.depths
    tries = one.trees * 3
    slots = rng.integers(0, depths.size, tries), rng.integers(0, canvas.shape[1], tries)
    at_x, at_z, tops = sight.at_x, sight.at_z, sight.tops
    wood = cv2.remap(land.bare, at_x, at_z, cv2.INTER_LINEAR)[slots]
    wood = wood + 0.35 * look_up(stage.fine, at_x[slots], at_z[slots])
    open_view = tops[slots] < sight.skyline[slots] + 3
    sunny = cv2.remap(land.light, at_x, at_z, cv2.INTER_LINEAR)[slots]
    stand = np.clip(look_up(stage.soft, at_x[slots] * 3, at_z[slots] * 2), -1, 1)
    feet = tops[slots] + 1.5 * FINE
    chosen = np.flatnonzero((wood < 0.55) & open_view)[: one.trees]
    for i in chosen[np.argsort(-slots[0][chosen])]:
        d = float(depths[slots[0][i]])
        conifer = rng.random() < 0.72 or not one.mixed
        which = int(rng.integers(0, CONIFERS if conifer else STOCK))
        tall = stage.focal * FINE / d * rng.uniform(9, 26 if which < CONIFERS else 16)
        tall *= 1 + 0.35 * float(stand[i])
        stamp(
            canvas,
            stage.sprite(which, tall),
            (float(slots[1][i]), float(feet[i])),
            rng.uniform(0.75, 1.15) * (0.5 + 0.6 * float(sunny[i])),
            1 - float(np.exp(-d / one.reach)),
        )
