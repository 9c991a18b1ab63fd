"""The demonstration's near side: the meadow around the lake and the trees standing on it."""

from typing import NamedTuple

import cv2
import numpy as np

from cgvideo.demo import lake
from cgvideo.demo.plants import SUN, Floats, blend, floats, look_up, smoothstep, tree
from cgvideo.demo.stage import EYE, FINE, Layer, Stage, stamp

Planted = tuple[float, float, float, bool]  # x, z, height in metres, conifer or not

_FRAMING: tuple[Planted, ...] = (  # trees that frame the view, set by hand
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
)


class _Turf(NamedTuple):
    """The ground in every pixel of a canvas [h, w]."""

    z: Floats
    inside: Floats  # how far inside the lake, ragged
    land: Floats  # 0 in the lake, 1 on land
    patch: Floats  # where grass grows rich
    shadow: Floats  # of the trees, 0..1
    colour: Floats  # [h, w, 3]


def plan(stage: Stage) -> list[Planted]:
    """Place the trees on this side, far ones first."""
    rng, trees = stage.rng, list(_FRAMING)
    while len(trees) < 58:
        z = float(rng.uniform(75, 200))
        side = 1 if rng.random() < 0.5 else -1
        x = side * float(rng.uniform(0.36, 0.60)) * z
        if lake.inside(stage, floats([x]), floats([z]))[0] > -4:
            continue
        conifer = bool(rng.random() < 0.68)
        tall = float(rng.uniform(10, 26) if conifer else rng.uniform(8, 14))
        trees.append((x, z, tall, conifer))
    return sorted(trees, key=lambda one: -one[1])


def ground(stage: Stage, trees: list[Planted]) -> Layer:
    """The meadow around the lake: soil and grass colours, tree shadows, every blade."""
    top = stage.row(lake.SHORE + 12)
    canvas = stage.blank(stage.height - top + 8 * stage.unit)
    turf = _turf(stage, trees, canvas, top)
    canvas[..., :3], canvas[..., 3] = turf.colour * turf.land[..., None], turf.land
    _grow(stage, turf, canvas)
    return stage.finish(np.clip(canvas, 0, 1), top, 0)


def near_trees(stage: Stage, trees: list[Planted]) -> list[Layer]:
    """One layer for each tree on this side, in their order."""
    layers = []
    for x, z, tall, conifer in trees:
        scale = stage.focal / z
        sprite = tree(stage.rng, max(6, round(tall * scale * FINE)), conifer)
        if tall < 2.5 and not conifer:  # a bush: a crown that sits on the ground
            sprite = sprite[: int(sprite.shape[0] * 0.74)]
            wide = (int(sprite.shape[1] * 1.7), sprite.shape[0])
            sprite = floats(cv2.resize(sprite, wide, interpolation=cv2.INTER_LINEAR))
        veil = 1 - float(np.exp(-z / 5200))
        h, w = (-(-side // FINE) * FINE for side in sprite.shape[:2])
        canvas = np.zeros((h, w, 4), np.float32)
        stamp(canvas, sprite, (w / 2, h), float(stage.rng.uniform(0.9, 1.08)), veil)
        layer = stage.finish(canvas, 0, z, 0.004 * tall * scale)
        left = stage.middle + x * scale - w / FINE / 2
        layers.append(layer._replace(left=left, top=stage.row(z) - h / FINE + 1))
    return layers


def _turf(stage: Stage, trees: list[Planted], canvas: Floats, top: float) -> _Turf:
    """Survey and colour the ground under a canvas whose first row is `top` in the frame."""
    rows, wide = canvas.shape[:2]
    down = (np.arange(rows)[:, None] + 0.5) / FINE + top - stage.horizon
    z = floats(stage.focal * EYE / down + np.zeros((1, wide)))
    x = floats(z * stage.columns(canvas))
    inside = floats(lake.inside(stage, x, z) + 0.9 * look_up(stage.fine, x * 4, z * 4))
    patch = look_up(stage.soft, x * 9, z * 6) + 0.4 * look_up(stage.soft, x * 31, z * 31)
    dry = look_up(stage.soft, x * 5 + 200, z * 3.5 + 70) + 0.45 * patch
    colour = blend((0.25, 0.295, 0.135), (0.405, 0.43, 0.215), smoothstep(-0.9, 0.9, patch))
    colour = blend(colour, (0.57, 0.53, 0.34), floats(0.9 * smoothstep(-0.1, 1.2, dry)))
    colour = blend(colour, (0.20, 0.27, 0.11), smoothstep(-9, -1, inside) * floats(0.8))
    colour = blend(colour, (0.25, 0.225, 0.17), smoothstep(-0.9, -0.2, inside))
    ragged = look_up(stage.fine, x * 9, z * 9)
    shadow = cv2.GaussianBlur(
        _shadows(stage, trees, (rows, wide), top), (0, 0), 2.2 * stage.unit * FINE
    )
    shadow = smoothstep(0.25, 0.75, floats(floats(shadow) + 0.22 * ragged))
    colour *= (1 + 0.16 * np.clip(ragged, -2, 2))[..., None]
    colour *= blend((1, 1, 1), (0.42, 0.50, 0.60), shadow)
    colour *= 1.22
    return _Turf(z, inside, smoothstep(0.3, -0.3, inside), floats(patch), shadow, colour)


def _shadows(stage: Stage, trees: list[Planted], shape: tuple[int, int], top: float) -> Floats:
    """Return the trees' shadows on the ground as sharp outlines, 0 or 1 [h, w]."""
    shadow = np.zeros(shape, np.float32)
    for tx, tz, tall, conifer in trees:
        away = np.linspace(0, 1, 14)
        span = (0.15 if conifer else 0.27) * tall
        crown = 1.02 - away if conifer else np.sqrt(np.clip(1 - (away * 2 - 1.1) ** 2, 0, 1))
        lane = tall * away * 1.05
        cx, cz = tx - lane * SUN[0] / SUN[1], tz + lane * SUN[2] / SUN[1]
        across = np.concatenate([-crown, crown[::-1]]) * span
        px = np.concatenate([cx, cx[::-1]]) + 0.6 * across
        pz = np.concatenate([cz, cz[::-1]]) - 0.8 * across
        sx = (stage.middle + stage.focal * px / pz + stage.margin) * FINE
        sy = (stage.horizon + stage.focal * EYE / pz - top) * FINE
        cv2.fillPoly(shadow, [np.stack([sx, sy], 1).astype(np.int32)], 1.0)
    return shadow


def _grow(stage: Stage, turf: _Turf, canvas: Floats) -> None:
    """Draw every blade of grass and some flowers, far ones first."""
    rng = stage.rng
    rows, wide = canvas.shape[:2]
    blades = int(wide * rows * 0.26)
    root_y = np.sort(rng.integers(0, rows, blades)).astype(np.int64)
    root_x = rng.integers(0, wide, blades)
    keep = turf.land[root_y, root_x] > 0.6
    root = root_y[keep], root_x[keep]
    root_y, root_x = root
    patch = turf.patch[root]
    reach = rng.uniform(0.15, 0.55, root_y.size) * (0.75 + 0.5 * (patch > 0.2))
    reach *= 1 + 1.6 * smoothstep(-2.6, -0.6, turf.inside[root]) * rng.random(root_y.size)
    reach *= stage.focal * FINE / turf.z[root]
    steps = np.clip(reach, 1, 30 * stage.unit * FINE).astype(np.int64)
    lean = rng.normal(0.12, 0.38, root_y.size)
    tone = rng.normal(1, 0.17, root_y.size)
    flower = rng.random(root_y.size) < 0.022 * smoothstep(0.1, 0.9, patch)
    # From here on one entry is one pixel of a blade: `up` above the root of its owner.
    owner = np.repeat(np.arange(root_y.size), steps)
    up = np.arange(owner.size) - np.repeat(np.cumsum(steps) - steps, steps)
    part = up / steps[owner]
    by = np.clip(root_y[owner] - up, 0, rows - 1)
    bx = np.clip(root_x[owner] + lean[owner] * up * (0.4 + 0.6 * part), 0, wide - 1)
    shade = tone[owner] * (0.60 + 0.62 * part)
    blade = turf.colour[root][owner] * shade[:, None]
    bloom = floats([[0.95, 0.94, 0.88], [0.93, 0.80, 0.25]])[rng.integers(0, 2, root_y.size)]
    dim = 1 - 0.5 * turf.shadow[root]
    tip = flower[owner] & (part > 0.72)
    blade[tip] = (bloom * dim[:, None])[owner[tip]]
    canvas[by, bx.astype(np.int64), :3] = blade
    canvas[by, bx.astype(np.int64), 3] = 1
