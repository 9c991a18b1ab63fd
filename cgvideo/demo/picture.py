"""The demonstration's picture: a summer valley with a lake, under a camera on a slow dolly.

Everything with detail is rendered once, into layers by distance; a frame only moves the layers as
the camera's move demands, mirrors what stands behind the lake into moving ripples and stacks all
of it. Distances are metres: x right, z away from the camera, the camera EYE above the meadow.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cgvideo.demo.plants import (
    SUN,
    Floats,
    Reals,
    blend,
    floats,
    fractal,
    look_up,
    smoothstep,
    tree,
)

SIZE = (640, 360)  # width, height in pixels
FRAME_RATE = 24
SECONDS = 4

EYE = 8.0
SHORE = 215.0  # the far end of the lake
DOLLY, FORWARD = 3.2, 2.4  # the way of the camera over the whole shot
HAZE = (0.70, 0.79, 0.89)
FINE = 2  # layers are drawn this much finer and averaged: edges without stairs


class _Layer(NamedTuple):
    pixels: NDArray[np.uint8]  # [h, w, 4] premultiplied
    left: float  # where the pixels' corner lies in the frame, with the camera in the middle
    top: float
    depth: float
    sway: float  # how far wind moves the upper end, in pixels


class _Scene:
    """All layers for frames of one size, and how to look at them at one moment of the shot."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.unit = height / 360
        self.focal = 620 * self.unit
        self.middle, self.horizon = width / 2, 150 * self.unit
        self.margin = round(64 * self.unit)
        self.rng = np.random.default_rng(1868)
        rng = self.rng
        self.soft = fractal(rng, 512, 4, 0.55, ridged=False)
        self.fine = fractal(rng, 512, 32, 0.8, ridged=False)
        self.ridged = fractal(rng, 512, 4, 0.55, ridged=True)
        tall = max(8, round(130 * FINE * self.unit))
        self.sprites = [tree(rng, tall, kind) for kind in (True,) * 7 + (False,) * 4]
        self.cut: dict[tuple[int, int], Floats] = {}
        self.sky = self._sky()
        self.back = [
            self._range(3800, 9500, 0, 900),
            self._range(1000, 3400, 1, 6500),
            self._range(430, 900, 2, 3600),
            self._far_shore(),
        ]
        self.trees = self._plan_trees()
        self.ground = self._ground()
        self.front = self._near_trees()
        curve = np.arange(256) / 255.0
        curve = 0.03 + 0.97 * curve**0.84  # the veil of light that every lens adds
        curve = curve + 0.12 * (curve - 0.5) * 4 * curve * (1 - curve)
        self.grade = np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8)

    # -- drawing the layers -------------------------------------------------------------------

    def _blank(self, rows: float) -> Floats:
        """Return an empty RGBA canvas, margins on both sides, fine pixels."""
        wide = (self.width + 2 * self.margin) * FINE
        return np.zeros((int(rows) * FINE, wide, 4), np.float32)

    def _finish(self, canvas: Floats, top: float, depth: float, sway: float = 0) -> _Layer:
        """Average a fine canvas down to a layer whose first row is `top` in the frame."""
        h, w = canvas.shape[0] // FINE, canvas.shape[1] // FINE
        small = cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA)
        pixels = np.clip(floats(small) * 255 + 0.5, 0, 255).astype(np.uint8)
        return _Layer(pixels, -self.margin, top, depth, sway)

    def _columns(self, canvas: Floats) -> Floats:
        """Return x / z of every column of a canvas."""
        at = (np.arange(canvas.shape[1]) + 0.5) / FINE - self.margin - self.middle
        return floats(at / self.focal)

    def _stamp(
        self, canvas: Floats, sprite: Floats, foot: tuple[float, float], light: float, haze: float
    ) -> None:
        """Draw a sprite with its foot at canvas x, y, dimmed by light and veiled by haze."""
        h, w = sprite.shape[:2]
        x0, y0 = round(foot[0] - w / 2), round(foot[1] - h)
        a, t = max(0, -x0), max(0, -y0)
        r, b = min(w, canvas.shape[1] - x0), min(h, canvas.shape[0] - y0)
        if r <= a or b <= t:
            return
        piece, under = sprite[t:b, a:r], canvas[y0 + t : y0 + b, x0 + a : x0 + r]
        alpha = piece[..., 3:]
        under *= 1 - alpha
        under[..., :3] += piece[..., :3] * (light * (1 - haze)) + alpha * (floats(HAZE) * haze)
        under[..., 3:] += alpha

    def _sprite(self, which: int, tall: float) -> Floats:
        """Return a stock tree scaled to `tall` fine pixels."""
        key = (which, max(3, round(tall)))
        if key not in self.cut:
            stock = self.sprites[which]
            w = max(2, round(stock.shape[1] * key[1] / stock.shape[0]))
            scaled = cv2.resize(stock, (w, key[1]), interpolation=cv2.INTER_AREA)
            self.cut[key] = floats(scaled)
        return self.cut[key]

    def _sky(self) -> _Layer:
        """Blue deepening upwards, and fair-weather clouds on a plane that runs to the horizon."""
        canvas = self._blank(self.horizon + 30 * self.unit)
        up = np.linspace(1, 0, canvas.shape[0], dtype=np.float32)[:, None]
        x = self._columns(canvas)[None, :] * np.ones_like(up)
        far = 1 / (up + 0.22)
        cx, cy = x * far * 170 + 330, far * 120 + 0 * x
        billow = look_up(self.soft, cx, cy) + 0.18 * look_up(self.fine, cx * 0.7, cy * 0.7)
        lee = look_up(self.soft, cx - 9, cy - 7)
        cover = smoothstep(-0.5, 0.7, floats(billow)) * smoothstep(-0.1, 0.25, up + 0 * x)
        shade = smoothstep(-0.6, 0.7, floats(billow - lee + 0.35 - 0.35 * cover))
        blue = blend((0.73, 0.83, 0.92), (0.30, 0.50, 0.76), floats((up + 0 * x) ** 0.75))
        cloud = blend((0.74, 0.78, 0.85), (1.0, 0.99, 0.97), shade)
        canvas[..., :3] = blend(blue, cloud, floats(cover * 0.93))
        canvas[..., 3] = 1
        return self._finish(canvas, 0, 1e9)

    def _relief(self, near: float, far: float, kind: int) -> tuple[Floats, float]:
        """Return heights [n, n] (rows run away, columns across) and half the width covered."""
        n, half = 640, far * 0.72
        z, x = np.meshgrid(
            np.linspace(near, far, n, dtype=np.float32),
            np.linspace(-half, half, n, dtype=np.float32),
            indexing="ij",
        )
        if kind == 0:  # a high range closing the valley
            crest = look_up(self.ridged, x / 26 + 300, z / 26)
            body = smoothstep(near, near + 0.55 * (far - near), z)
            heights = body * (640 + 420 * crest + 160 * look_up(self.soft, x / 40 + 90, z / 40))
            heights += 90 * look_up(self.ridged, x / 6, z / 6) * body
        elif kind == 1:  # granite walls left and right
            bend = 260 * look_up(self.soft, z / 11 + 40, 0 * z + 77)
            off = np.where(x < bend, (bend - x) * 1.12, x - bend + 60)
            off = off + 130 * look_up(self.ridged, x / 5, z / 5)
            wall = 0.72 * smoothstep(330, 620, off) + 0.5 * smoothstep(640, 1300, off)
            rough = look_up(self.ridged, x / 4 + 60, z / 4)
            wall = wall * smoothstep(near + 60, near + 520, z)
            tall = np.where(x > bend, 235, 300) + 0.045 * z
            heights = wall * (tall + 95 * look_up(self.soft, x / 9, z / 9))
            heights += (22 + 85 * wall) * rough
            heights += 0.10 * np.clip(off - 120, 0, None) * smoothstep(near, near + 500, z)
        else:  # wooded hills
            heights = np.clip(np.abs(x - 40) - 110, 0, None) * 0.24
            heights += smoothstep(near, far, z) * (7 + 11 * look_up(self.soft, x / 2, z / 2))
        return floats(np.clip(heights, 0, None)), half

    def _range(self, near: float, far: float, kind: int, trees: int) -> _Layer:
        """Render one range of hills or mountains: relief, sunlight, cast shadows, trees, haze."""
        rng = self.rng
        relief, half = self._relief(near, far, kind)
        n = relief.shape[0]
        across, along = 2 * half / n, (far - near) / n
        slope_z, slope_x = np.gradient(relief, along, across)
        flat = 1 / np.sqrt(1 + slope_x**2 + slope_z**2)
        facing = (-slope_x * SUN[0] + SUN[1] + slope_z * SUN[2]) * flat
        lit = np.ones_like(relief)
        for step in np.geomspace(2, 90, 16):  # is the way to the sun blocked?
            move = floats([[1, 0, SUN[0] * step], [0, 1, -SUN[2] * step * across / along]])
            seen = cv2.warpAffine(
                relief, move, (n, n), flags=cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
            )
            over = floats(seen) - relief - SUN[1] * step * across
            lit *= 1 - 0.8 * smoothstep(0, 4 * across, floats(over))
        grain = look_up(self.fine, *np.meshgrid(np.arange(n) * 1.0, np.arange(n) * 1.0))
        broad = look_up(self.soft, *np.meshgrid(np.arange(n) * 1.7, np.arange(n) * 1.7))
        rock = blend((0.44, 0.42, 0.40), (0.66, 0.62, 0.565), smoothstep(-0.9, 0.9, grain + broad))
        green = blend((0.145, 0.185, 0.095), (0.27, 0.31, 0.15), smoothstep(-1, 1, grain - broad))
        bare = smoothstep(0.30, -0.10, floats(flat - (0.42, 0.52, 0.2)[kind] + 0.22 * broad))
        if kind == 0:
            bare = floats(np.maximum(bare, smoothstep(420, 620, relief + 120 * broad)))
        light = np.clip(facing, 0, None) * lit
        sun, shadow = floats([1.22, 1.14, 1.0]), floats([0.34, 0.40, 0.50])
        colour = blend(green, rock, bare) * (shadow + sun * light[..., None])

        canvas = self._blank(self.horizon + 26 * self.unit)
        rows = canvas.shape[0]
        ways = self._columns(canvas)
        depths = floats(np.geomspace(near, far * 0.999, 420))
        at_x = (depths[:, None] * ways[None] + half) / across
        at_z = (depths[:, None] - near) / along + 0 * at_x
        heights = cv2.remap(relief, floats(at_x), floats(at_z), cv2.INTER_LINEAR)
        horizon = self.horizon * FINE
        tops = horizon - self.focal * FINE * (floats(heights) - EYE) / depths[:, None]
        skyline = np.minimum.accumulate(tops, axis=0)
        # How many depths stay below a row is the index of the surface seen in that row.
        first = np.clip(np.ceil(skyline), 0, rows).astype(np.int64)
        count = np.zeros((rows + 1, ways.size), np.float32)
        np.add.at(count, (first, np.arange(ways.size)[None]), 1)
        hit = depths.size - np.cumsum(count, axis=0)[:rows]
        solid = hit < depths.size
        k = np.clip(hit, 1, depths.size - 1).astype(np.int64)
        column = np.arange(ways.size)[None]
        low, high = skyline[k - 1, column], skyline[k, column]
        part = np.clip((low - np.arange(rows)[:, None]) / np.maximum(low - high, 1e-3), 0, 1)
        z = depths[k - 1] + (depths[k] - depths[k - 1]) * part
        mx, mz = floats((z * ways + half) / across), floats((z - near) / along)
        picture = floats(cv2.remap(colour, mx, mz, cv2.INTER_LINEAR))
        # Steep faces show few cells of the relief: detail of their own, cracked downwards.
        cracks = look_up(self.fine, mx * 5, np.arange(rows)[:, None] * 0.9 + mz * 3)
        picture *= 1 + 0.20 * np.clip(cracks, -1.5, 1.5)[..., None]
        reach = (8200, 7000, 4000)[kind]
        veil = 1 - np.exp(-z / reach)
        canvas[..., :3] = blend(picture, HAZE, floats(veil)) * solid[..., None]
        canvas[..., 3] = solid

        slots = rng.integers(0, depths.size, trees * 3), rng.integers(0, ways.size, trees * 3)
        wood = cv2.remap(bare, floats(at_x), floats(at_z), cv2.INTER_LINEAR)[slots]
        wood = wood + 0.35 * look_up(self.fine, floats(at_x[slots]), floats(at_z[slots]))
        feet = tops[slots] + 1.5 * FINE
        open_view = tops[slots] < skyline[slots] + 3
        sunny = cv2.remap(floats(light), floats(at_x), floats(at_z), cv2.INTER_LINEAR)[slots]
        stand = np.clip(look_up(self.soft, floats(at_x[slots] * 3), floats(at_z[slots] * 2)), -1, 1)
        chosen = np.flatnonzero((wood < 0.55) & open_view)[:trees]
        for i in chosen[np.argsort(-slots[0][chosen])]:
            d = float(depths[slots[0][i]])
            which = int(rng.integers(0, 7 if rng.random() < 0.72 or kind < 2 else 11))
            tall = self.focal * FINE / d * rng.uniform(9, 26 if which < 7 else 16)
            tall *= 1 + 0.35 * float(stand[i])
            foot = float(slots[1][i]), float(feet[i])
            self._stamp(
                canvas,
                self._sprite(which, tall),
                foot,
                rng.uniform(0.75, 1.15) * (0.5 + 0.6 * float(sunny[i])),
                1 - float(np.exp(-d / reach)),
            )
        return self._finish(canvas, 0, float(np.sqrt(near * far)))

    def _far_shore(self) -> _Layer:
        """The strip of meadow behind the lake, and the edge of the wood standing on it."""
        rng = self.rng
        canvas = self._blank(self.horizon + 40 * self.unit)
        shore = (self.horizon + self.focal * EYE / SHORE) * FINE
        edge = int(shore)
        top = int((self.horizon + self.focal * EYE / 600) * FINE)
        strip = look_up(
            self.fine, *np.meshgrid(np.arange(canvas.shape[1]) * 0.8, np.arange(edge - top) * 6.0)
        )
        canvas[top:edge, :, :3] = blend((0.30, 0.36, 0.15), (0.47, 0.50, 0.24), floats(strip + 0.5))
        canvas[edge - FINE : edge, :, :3] *= 0.5
        canvas[top:edge, :, 3] = 1
        for d in np.sort(rng.uniform(SHORE + 6, 400, 620))[::-1]:
            x = rng.uniform(0, canvas.shape[1])
            side = abs(x / canvas.shape[1] - 0.52)
            gap = look_up(self.soft, floats([x * 0.16 / self.unit]), floats([d * 0.3]))[0]
            if gap > 0.5 * side + 0.35:
                continue
            which = int(rng.integers(0, 7) if rng.random() < 0.72 else rng.integers(7, 11))
            tall = rng.uniform(6, 21 if which < 7 else 13) * (0.7 + 0.9 * side)
            foot = self.horizon * FINE + self.focal * FINE * EYE / d
            self._stamp(
                canvas,
                self._sprite(which, tall * self.focal * FINE / d),
                (x, foot + 1),
                rng.uniform(0.8, 1.1),
                1 - float(np.exp(-d / 5200)),
            )
        for x in rng.uniform(0, canvas.shape[1], 500):  # bushes down to the water
            which, tall = int(rng.integers(7, 11)), rng.uniform(1.0, 3.6)
            tall *= self.focal * FINE / SHORE
            self._stamp(canvas, self._sprite(which, tall), (x, edge), rng.uniform(0.6, 1.1), 0.04)
        return self._finish(canvas, 0, 260)

    def _plan_trees(self) -> list[tuple[float, float, float, bool]]:
        """Place the trees on this side: x, z, height in metres, conifer or not; far ones first."""
        rng = self.rng
        plan = [
            (22.5, 44.0, 27.0, True),
            (17.2, 50.0, 15.0, True),
            (31.0, 60.0, 30.0, True),
            (26.0, 66.0, 19.0, True),
            (-24.5, 52.0, 13.5, False),
            (-33.0, 66.0, 24.0, True),
            (-29.0, 72.0, 17.0, True),
            (-41.0, 84.0, 15.0, False),
            (40.0, 88.0, 14.0, False),
            (-11.5, 47.0, 2.6, True),
            (-14.0, 49.5, 4.6, True),
            (9.5, 45.0, 1.9, True),
            (12.8, 50.5, 3.8, True),
            (-16.5, 38.0, 1.5, False),
            (13.5, 40.0, 1.3, False),
            (-17.8, 39.5, 1.9, False),
            (15.0, 38.5, 1.7, False),
            (3.5, 42.5, 1.0, False),
        ]
        while len(plan) < 58:
            z = float(rng.uniform(75, 200))
            side = 1 if rng.random() < 0.5 else -1
            x = side * float(rng.uniform(0.36, 0.60)) * z
            if self._lake(floats([x]), floats([z]))[0] > -4:
                continue
            conifer = bool(rng.random() < 0.68)
            tall = float(rng.uniform(10, 26) if conifer else rng.uniform(8, 14))
            plan.append((x, z, tall, conifer))
        return sorted(plan, key=lambda one: -one[1])

    def _lake(self, x: Reals, z: Reals) -> Floats:
        """Return how far inside the lake a place is, metres, negative on land."""
        half = 6 + 60 * smoothstep(50, 190, z) + 14 * smoothstep(95, 75, z)
        half = half - 90 * smoothstep(66, 46, z)
        wave = 9 * look_up(self.soft, x * 1.1 + 30, z * 1.1) * smoothstep(40, 120, z)
        return floats(half + wave - np.abs(x + 4 - 0.06 * z))

    def _ground(self) -> _Layer:
        """The meadow around the lake: soil and grass colours, tree shadows, every blade."""
        rng, unit = self.rng, self.unit
        top = self.horizon + self.focal * EYE / (SHORE + 12)
        canvas = self._blank(self.height - top + 8 * unit)
        rows, wide = canvas.shape[:2]
        down = (np.arange(rows)[:, None] + 0.5) / FINE + top - self.horizon
        z = floats(self.focal * EYE / down + np.zeros((1, wide)))
        x = floats(z * self._columns(canvas))
        inside = self._lake(x, z) + 0.9 * look_up(self.fine, x * 4, z * 4)
        land = smoothstep(0.3, -0.3, inside)
        patch = look_up(self.soft, x * 9, z * 6) + 0.4 * look_up(self.soft, x * 31, z * 31)
        dry = look_up(self.soft, x * 5 + 200, z * 3.5 + 70) + 0.45 * patch
        colour = blend((0.25, 0.295, 0.135), (0.405, 0.43, 0.215), smoothstep(-0.9, 0.9, patch))
        colour = blend(colour, (0.57, 0.53, 0.34), floats(0.9 * smoothstep(-0.1, 1.2, dry)))
        colour = blend(colour, (0.20, 0.27, 0.11), smoothstep(-9, -1, floats(inside)) * floats(0.8))
        colour = blend(colour, (0.25, 0.225, 0.17), smoothstep(-0.9, -0.2, floats(inside)))

        shadow = np.zeros((rows, wide), np.float32)
        for tx, tz, tall, conifer in self.trees:
            away = np.linspace(0, 1, 14)
            span = (0.15 if conifer else 0.27) * tall
            shape = 1.02 - away if conifer else np.sqrt(np.clip(1 - (away * 2 - 1.1) ** 2, 0, 1))
            lane = tall * away * 1.05
            cx, cz = tx - lane * SUN[0] / SUN[1], tz + lane * SUN[2] / SUN[1]
            across = np.concatenate([-shape, shape[::-1]]) * span
            px = np.concatenate([cx, cx[::-1]]) + 0.6 * across
            pz = np.concatenate([cz, cz[::-1]]) - 0.8 * across
            sx = (self.middle + self.focal * px / pz + self.margin) * FINE
            sy = (self.horizon + self.focal * EYE / pz - top) * FINE
            cv2.fillPoly(shadow, [np.stack([sx, sy], 1).astype(np.int32)], 1.0)
        ragged = look_up(self.fine, x * 9, z * 9)
        shadow = floats(cv2.GaussianBlur(shadow, (0, 0), 2.2 * unit * FINE))
        shadow = smoothstep(0.25, 0.75, floats(shadow + 0.22 * ragged))
        colour *= (1 + 0.16 * np.clip(ragged, -2, 2))[..., None]
        colour *= blend((1, 1, 1), (0.42, 0.50, 0.60), shadow)
        colour *= 1.22

        canvas[..., :3], canvas[..., 3] = colour * land[..., None], land
        blades = int(wide * rows * 0.26)
        root_y = np.sort(rng.integers(0, rows, blades)).astype(np.int64)
        root_x = rng.integers(0, wide, blades)
        keep = land[root_y, root_x] > 0.6
        root_y, root_x = root_y[keep], root_x[keep]
        depth, near_water = z[root_y, root_x], inside[root_y, root_x]
        reach = rng.uniform(0.15, 0.55, root_y.size) * (0.75 + 0.5 * (patch[root_y, root_x] > 0.2))
        reach *= 1 + 1.6 * smoothstep(-2.6, -0.6, near_water) * rng.random(root_y.size)
        reach *= self.focal * FINE / depth
        steps = np.clip(reach, 1, 30 * unit * FINE).astype(np.int64)
        lean = rng.normal(0.12, 0.38, root_y.size)
        tone = rng.normal(1, 0.17, root_y.size)
        flower = rng.random(root_y.size) < 0.022 * smoothstep(0.1, 0.9, patch[root_y, root_x])
        owner = np.repeat(np.arange(root_y.size), steps)
        up = np.arange(owner.size) - np.repeat(np.cumsum(steps) - steps, steps)
        part = up / steps[owner]
        by = np.clip(root_y[owner] - up, 0, rows - 1)
        bx = np.clip(root_x[owner] + lean[owner] * up * (0.4 + 0.6 * part), 0, wide - 1)
        shade = tone[owner] * (0.60 + 0.62 * part)
        blade = colour[root_y, root_x][owner] * shade[:, None]
        bloom = floats([[0.95, 0.94, 0.88], [0.93, 0.80, 0.25]])[rng.integers(0, 2, root_y.size)]
        dim = 1 - 0.5 * shadow[root_y, root_x]
        tip = flower[owner] & (part > 0.72)
        blade[tip] = (bloom * dim[:, None])[owner[tip]]
        canvas[by, bx.astype(np.int64), :3] = blade
        canvas[by, bx.astype(np.int64), 3] = 1
        return self._finish(np.clip(canvas, 0, 1), top, 0)

    def _near_trees(self) -> list[_Layer]:
        """One layer for each tree on this side, far ones first."""
        layers = []
        for x, z, tall, conifer in self.trees:
            scale = self.focal / z
            sprite = tree(self.rng, max(6, round(tall * scale * FINE)), conifer)
            if tall < 2.5 and not conifer:  # a bush: a crown that sits on the ground
                sprite = sprite[: int(sprite.shape[0] * 0.74)]
                wide = (int(sprite.shape[1] * 1.7), sprite.shape[0])
                sprite = floats(cv2.resize(sprite, wide, interpolation=cv2.INTER_LINEAR))
            veil = 1 - float(np.exp(-z / 5200))
            h, w = (-(-side // FINE) * FINE for side in sprite.shape[:2])
            canvas = np.zeros((h, w, 4), np.float32)
            self._stamp(canvas, sprite, (w / 2, h), float(self.rng.uniform(0.9, 1.08)), veil)
            foot = self.horizon + self.focal * EYE / z
            layer = self._finish(canvas, 0, z, 0.004 * tall * scale)
            left = self.middle + x * scale - w / FINE / 2
            layers.append(layer._replace(left=left, top=foot - h / FINE + 1))
        return layers

    # -- one frame ----------------------------------------------------------------------------

    def _lay(self, frame: NDArray[np.uint8], layer: _Layer, move: NDArray[np.float64]) -> None:
        """Stack a layer onto frame [h, w, 3] in place; move [3, 3] takes its pixels there."""
        h, w = layer.pixels.shape[:2]
        corners = move @ np.array([[0, w, 0, w], [0, 0, h, h], [1, 1, 1, 1]], np.float64)
        spots = corners[:2] / corners[2]
        x0, y0 = np.maximum(np.floor(spots.min(1)).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(spots.max(1)).astype(int) + 1, frame.shape[1::-1])
        if x1 <= x0 or y1 <= y0:
            return
        shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
        size = (int(x1 - x0), int(y1 - y0))
        if layer.depth:
            seen = cv2.warpAffine(layer.pixels, (shift @ move)[:2], size, flags=cv2.INTER_CUBIC)
        else:
            seen = cv2.warpPerspective(layer.pixels, shift @ move, size, flags=cv2.INTER_CUBIC)
        part = frame[y0:y1, x0:x1]
        rest = cv2.cvtColor(255 - seen[..., 3], cv2.COLOR_GRAY2RGB)
        under = cv2.multiply(part, rest, scale=1 / 255)
        part[:] = cv2.add(under, cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB))

    def _move(self, layer: _Layer, t: float, seconds: float) -> NDArray[np.float64]:
        """Return the [3, 3] move of a layer's pixels at t (0..1 of the shot)."""
        dx, dz = DOLLY * (t - 0.5), FORWARD * t
        pan = self.focal * dx / 150
        f, d = self.focal, layer.depth
        to_axis = np.array(
            [[1, 0, layer.left - self.middle], [0, 1, layer.top - self.horizon], [0, 0, 1]]
        )
        if d:
            zoom = d / (d - dz)
            blow = layer.sway * np.sin(1.9 * seconds + d) / max(layer.pixels.shape[0], 1)
            go = np.array([[zoom, 0, -f * dx / (d - dz)], [0, zoom, 0], [0, 0, 1]])
            lean = np.array([[1, -blow, blow * layer.pixels.shape[0]], [0, 1, 0], [0, 0, 1]])
            to_axis = to_axis @ lean
        else:  # a plane seen from its side: exact for every row at once
            go = np.array([[1, -dx / EYE, 0], [0, 1, 0], [0, -dz / (f * EYE), 1]])
        home = np.array([[1, 0, self.middle + pan], [0, 1, self.horizon], [0, 0, 1]])
        return np.asarray(home @ go @ to_axis, np.float64)

    def _water(self, frame: NDArray[np.uint8], t: float, seconds: float) -> None:
        """Fill the rows below the far shore with its mirror image, broken by ripples."""
        shore = self.horizon + self.focal * EYE / (SHORE - FORWARD * t)
        y0, y1 = int(shore), int(min(self.height, self.horizon + 125 * self.unit))
        y, x = np.mgrid[y0:y1, 0 : self.width].astype(np.float32)
        z = self.focal * EYE / (y - self.horizon)
        wx = z * (x - self.middle) / self.focal + DOLLY * (t - 0.5) * (1 - z / 150)
        wz = z + FORWARD * t
        calm = smoothstep(240, 50, floats(z))
        small = look_up(self.soft, wx * 16 + 22 * seconds, wz * 9 - 14 * seconds)
        swell = look_up(self.soft, wx * 5 - 9 * seconds, wz * 3 - 8 * seconds)
        slope = floats((0.55 * small + 0.6 * swell) * (0.25 + calm))
        my = np.clip(2 * shore - y + slope * 5.5 * self.unit, 0, shore - 1)
        mirror = cv2.remap(
            frame,
            floats(x + slope * 1.6 * self.unit),
            floats(my),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        deep = floats(0.16 + 0.34 * calm + 0.10 * slope)
        water = blend(mirror, (38, 62, 58), np.clip(deep, 0, 1))
        water += (np.clip(slope - 0.55, 0, 1) * 60)[..., None]
        frame[y0:y1] = np.clip(water, 0, 255).astype(np.uint8)

    def frame(self, t: float, seconds: float) -> NDArray[np.uint8]:
        """Render the moment t (0..1 of the camera's way), `seconds` after the start."""
        frame = np.zeros((self.height, self.width, 3), np.uint8)
        drift = self.sky._replace(left=self.sky.left + (2.2 * seconds - 5) * self.unit)
        for layer in (drift, *self.back):
            self._lay(frame, layer, self._move(layer, t, seconds))
        self._water(frame, t, seconds)
        for layer in (self.ground, *self.front):
            self._lay(frame, layer, self._move(layer, t, seconds))
        return np.asarray(cv2.LUT(frame, self.grade), np.uint8)


@lru_cache(maxsize=2)
def _scene(width: int, height: int) -> _Scene:
    return _Scene(width, height)


def frames(
    size: tuple[int, int] = SIZE, count: int = FRAME_RATE * SECONDS
) -> Iterator[NDArray[np.uint8]]:
    """Yield `count` RGB frames uint8 [height, width, 3]; size is (width, height) in pixels.

    The camera's way is spread over the count; wind, water and clouds run at FRAME_RATE. The same
    arguments give the same pictures every time.
    """
    scene = _scene(*size)
    for index in range(count):
        at = index / max(count - 1, 1)
        # Gently into motion and out of it, never at rest: the first frame already moves.
        eased = 0.35 * at + 0.65 * (at * at * (3 - 2 * at))
        yield scene.frame(eased, index / FRAME_RATE)
