"""Missing paper: lost corners and edges, a third of a print, strips, wide rips, holes.

In a whole scan its sheets are torn and show what lies behind. Each kind is drawn by a function of its own:
(canvas, rng).
"""

from itertools import pairwise
from math import cos, exp, hypot, sin

import numpy as np
from PIL import Image

from data.synthesis.canvas import edge_point, fractal, outline, polygon
from data.synthesis.textures import blur, clouds, enlarge, grain


def _behind(canvas, rng, sheet=None):
    """What shows where paper is missing, (H, W) float32: the sheet's ground, else the scanner's lid or a
    page.
    """
    if sheet is not None:
        return sheet.behind
    tone = rng.choice([canvas.light, rng.uniform(0.9, 1), rng.uniform(0.3, 0.9), rng.uniform(0, 0.12)])
    field = np.full(canvas.shape, tone, np.float32)
    field += np.linspace(0, rng.normal(0, 0.02), canvas.width, dtype=np.float32)
    return field + np.float32(rng.choice([0, rng.uniform(0, 0.03)])) * grain(
        canvas.shape, rng, rng.integers(4)
    )


def _sheet(canvas, rng):
    """A sheet of the scan to tear, and its corners (4, 2); for a plain photograph the square itself."""
    if canvas.sheets:
        sheet = canvas.sheets[rng.integers(len(canvas.sheets))]
        return sheet, sheet.corners
    width, height = canvas.width, canvas.height
    return None, np.array([(0, 0), (width, 0), (width, height), (0, height)], float)


def _fibers(canvas, layer, rng, width, sheet):
    """The rim of torn paper around a layer, at most `width` px: white, ragged, fibrous, of varying width. It
    counts as lost.
    """
    pitch = 8
    height, wide = (-(-length // pitch) for length in canvas.shape)
    near = np.asarray(layer.resize((wide, height), Image.Resampling.BOX), np.float32) / 255
    near = enlarge(near, canvas.shape)
    near = near + np.float32(0.25) * clouds(canvas.shape, rng, canvas.side / rng.uniform(10, 50))
    near += np.float32(0.07) * grain(canvas.shape, rng, 3)
    alpha = np.clip(6 * (near - np.float32(np.clip(0.5 - width / 16, 0.02, 0.6))), 0, 1)
    around = np.asarray(layer.reduce(2).resize((wide, height), Image.Resampling.BOX), np.float32)
    alpha *= np.clip(enlarge(around, canvas.shape) / 12, 0, 1)  # only beside the tear
    if sheet is not None:
        alpha *= np.clip(0.5 - sheet.distance, 0, 1)
    tone = canvas.light + 0.03 * grain(canvas.shape, rng, 1) + 0.05 * grain(canvas.shape, rng, 3)
    canvas.replace(alpha, tone)


def remove(canvas, layer, rng, behind, fiber=0.0, sheet=None):
    """Removes the paper of one sheet or all where a layer is white: fibers at the rim, a thin shadow, the
    background.
    """
    if layer.getbbox() is None:
        return
    if fiber > 0.5:
        _fibers(canvas, layer, rng, fiber, sheet)
    here, alpha = canvas.box(layer)
    if sheet is not None:
        alpha = alpha * np.clip(0.5 - sheet.distance[here], 0, 1)
    under, depth = canvas.picture[here], behind[here]
    if rng.random() < 0.7:  # the sheet casts a shadow on the background
        dx, dy = round(3 * cos(canvas.angle)), round(3 * sin(canvas.angle))
        rows, columns = alpha.shape
        cover = 1 - np.pad(alpha, 3, mode="edge")[3 - dy : 3 - dy + rows, 3 - dx : 3 - dx + columns]
        blur(blur(cover, 0.24), 0.24)
        depth = depth * (1 - np.float32(rng.uniform(0.1, 0.5)) * cover)
    under += alpha * (depth - under)
    canvas.lose(here, alpha)


def _fiber(canvas, rng):
    """The width of the white rim: 0 if scissors or age made the edge."""
    return 0.0 if rng.random() < 0.35 else canvas.pen * rng.uniform(0.8, 7)


def _cut(canvas, rng, points, away):
    """A layer that is white beyond the ragged line through points, on the side of `away`."""
    rough = rng.uniform(0.035, 0.12)  # not straight, since a straight cut looks like a border
    path = np.concatenate([fractal(rng, *pair, rough, 6) for pair in pairwise(points)])
    layer, draw = canvas.layer()
    far = 8 * canvas.side * (np.asarray(away) / max(1e-6, hypot(*away)))
    polygon(draw, np.concatenate([path, [path[-1] + far, path[0] + far]]))
    return layer


def torn_corners(canvas, rng):
    """One to three missing corners, each up to two fifths of a side."""
    sheet, corners = _sheet(canvas, rng)
    behind, fiber = _behind(canvas, rng, sheet), _fiber(canvas, rng)
    seen = [
        n
        for n in range(4)
        if -9 < corners[n][0] < canvas.width + 9 and -9 < corners[n][1] < canvas.height + 9
    ]
    number = 1 + (rng.random() < 0.4 * canvas.amount) + (rng.random() < 0.2)
    for at in rng.permutation(seen or 4)[:number]:
        corner, reach = corners[at], canvas.side * np.exp(rng.uniform(-3.0, np.log(0.4), 2))
        ends = [corners[(at + way) % 4] - corner for way in (-1, 1)]
        ways = [end / max(1e-6, hypot(*end)) for end in ends]
        start, end = (corner + length * way for length, way in zip(reach, ways))
        overshoot = 0.05 * (start - end)
        points = [start + overshoot, end - overshoot]
        if rng.random() < 0.35:  # bitten rather than broken off
            points.insert(1, (start + end + rng.uniform(-0.4, 0.5) * (corner - start + corner - end)) / 2)
        remove(canvas, _cut(canvas, rng, points, -ways[0] - ways[1]), rng, behind, fiber, sheet)


def _across(canvas, rng, corners, deep):
    """A line along a side of a sheet, `deep` px (two values) from it, and the direction outwards."""
    side = rng.integers(4)
    if canvas.sheets:  # a visible side, if any
        middles = (corners + np.roll(corners, -1, 0)) / 2
        inside = [
            n
            for n in range(4)
            if abs(_offset(corners, n, (canvas.width / 2, canvas.height / 2))) < 0.55 * canvas.side
        ]
        side = inside[rng.integers(len(inside))] if inside else int(np.argmin(np.abs(middles).sum(1)))
    start, end = corners[side], corners[(side + 1) % 4]
    along = (end - start) / max(1e-6, hypot(*(end - start)))
    out = np.array([along[1], -along[0]])
    middle = start + along * ((np.array([canvas.width, canvas.height]) / 2 - start) @ along)
    reach = 0.8 * canvas.side
    return [middle - reach * along - deep[0] * out, middle + reach * along - deep[1] * out], along, out


def _offset(corners, side, point):
    start, end = corners[side], corners[(side + 1) % 4]
    along = (end - start) / max(1e-6, hypot(*(end - start)))
    return (np.asarray(point) - start) @ (along[1], -along[0])


def torn_edges(canvas, rng):
    """A missing strip along a whole side, or a bite out of it."""
    for _ in range(1 + (rng.random() < 0.4)):
        sheet, corners = _sheet(canvas, rng)
        deep = canvas.side * np.exp(rng.uniform(-4.5, -1.7, 2))
        points, along, out = _across(canvas, rng, corners, deep)
        if rng.random() < 0.45:
            middle = (points[0] + points[1]) / 2 + along * rng.uniform(-0.45, 0.45) * canvas.side
            depth, half = canvas.side * exp(rng.uniform(-3.5, -1.2)), canvas.side * exp(rng.uniform(-3, -1))
            middle += out * deep.mean()
            points = [middle - half * along + 4 * out, middle - depth * out, middle + half * along + 4 * out]
        layer = _cut(canvas, rng, points, out)
        remove(canvas, layer, rng, _behind(canvas, rng, sheet), _fiber(canvas, rng), sheet)


def part_gone(canvas, rng):
    """A missing third of the print, torn off along a side or obliquely, or with only white paper left."""
    sheet, corners = _sheet(canvas, rng)
    points, _, out = _across(canvas, rng, corners, canvas.side * rng.uniform(0.12, 0.5, 2))
    behind = _behind(canvas, rng, sheet)
    if rng.random() < 0.35:
        behind = canvas.light + 0.02 * clouds(canvas.shape, rng, 6) + 0.015 * grain(canvas.shape, rng, 3)
    remove(canvas, _cut(canvas, rng, points, out), rng, behind, _fiber(canvas, rng), sheet)


def worn_edges(canvas, rng):
    """Edges and corners rubbed to the bare paper: crumbs along the rim of a sheet, most at its corners."""
    sheet, corners = _sheet(canvas, rng)
    x, y = (
        np.arange(canvas.width, dtype=np.float32)[None],
        np.arange(canvas.height, dtype=np.float32)[:, None],
    )
    if sheet is None:
        inside = np.minimum(np.minimum(x, canvas.width - 1 - x), np.minimum(y, canvas.height - 1 - y))
    else:
        inside = -sheet.distance
    reach = np.full(canvas.shape, canvas.pen * rng.uniform(0.5, 3), np.float32)
    for left, top in corners:
        size, spread = canvas.pen * rng.uniform(0, 9), np.float32(canvas.side * rng.uniform(0.02, 0.07))
        reach += np.float32(size) * np.exp(-np.hypot(x - np.float32(left), y - np.float32(top)) / spread)
    rough = 0.7 * clouds(canvas.shape, rng, canvas.side / rng.uniform(5, 30)) + 0.3 * grain(
        canvas.shape, rng, 3
    )
    alpha = np.clip(2.5 * (np.float32(rng.uniform(0.5, 1.1)) + rough - inside / reach), 0, 1) * (
        inside > -0.5
    )
    tone = canvas.tone(rng, 0.8) + np.float32(0.04) * grain(canvas.shape, rng, 3)
    canvas.picture += np.float32(rng.uniform(0.5, 1)) * alpha * (tone - canvas.picture)


def torn_strips(canvas, rng):
    """A print in two badly aligned pieces with a gap across, or with a strip of the surface peeled off."""
    sheet, _ = _sheet(canvas, rng)
    start, angle = edge_point(canvas, rng)
    way = np.array([cos(angle), sin(angle)])
    end, start = start + 1.7 * canvas.side * way, start - 0.2 * canvas.side * way
    wide = 2 + canvas.side * np.exp(rng.uniform(np.log(0.012), np.log(0.14), 2))
    normal, rough = np.array([-way[1], way[0]]), rng.uniform(0.005, 0.03)
    near = fractal(rng, start, end, rough, 7)
    far = fractal(rng, start + wide[0] * normal, end + wide[1] * normal, rough, 7)
    layer, draw = canvas.layer()
    polygon(draw, np.concatenate([near, far[::-1]]))
    behind = _behind(canvas, rng, sheet)
    if rng.random() < 0.5:
        behind = canvas.light + 0.02 * clouds(canvas.shape, rng, 9) + 0.02 * grain(canvas.shape, rng, 3)
    remove(canvas, layer, rng, behind, _fiber(canvas, rng), sheet)


def wide_rips(canvas, rng):
    """A wedge-shaped rip from the edge inwards, its white core exposed, more on one side."""
    start, angle = edge_point(canvas, rng)
    way, normal = np.array([cos(angle), sin(angle)]), np.array([-sin(angle), cos(angle)])
    reach, wide = canvas.side * rng.uniform(0.2, 1.0), canvas.side * exp(rng.uniform(-4, -2.2))
    bend = rng.normal(0, 0.15) * reach * normal
    spine = np.concatenate(
        [
            fractal(rng, start - 0.05 * reach * way, start + 0.5 * reach * way + bend, 0.04, 6),
            fractal(rng, start + 0.5 * reach * way + bend, start + reach * way, 0.04, 6)[1:],
        ]
    )
    along = np.linspace(0, 1, len(spine))
    taper = np.sqrt(1 - along)[:, None]
    wave = np.interp(along, np.linspace(0, 1, 9), np.exp(rng.normal(0, 0.4, 9)))[:, None]
    ragged = np.exp(rng.normal(0, 0.08, (len(spine), 1)))
    layer, draw = canvas.layer()
    polygon(draw, np.concatenate([spine, (spine + wide * taper * wave * ragged * normal)[::-1]]))
    tone = canvas.light + 0.04 * grain(canvas.shape, rng, 3)
    sheet, _ = _sheet(canvas, rng)
    remove(canvas, layer, rng, tone, 0.0, sheet)
    if rng.random() < 0.7:  # the gap itself
        gap, draw = canvas.layer()
        polygon(draw, np.concatenate([spine, (spine + rng.uniform(0.1, 0.5) * wide * taper * normal)[::-1]]))
        remove(canvas, gap, rng, _behind(canvas, rng, sheet), 0.0, sheet)


def holes(canvas, rng):
    """Large holes: burnt, eaten, punched or torn, surrounded by fibers or a dark burnt rim."""
    sheet, _ = _sheet(canvas, rng)
    behind = _behind(canvas, rng, sheet)
    for _ in range(canvas.count(rng, 1, 3)):
        layer, draw = canvas.layer()
        center, jag = canvas.point(rng), rng.choice([0.02, 0.4, 0.8, 0.8])
        # what is punched is round and small; large smooth shapes are picture content
        radius = canvas.side * exp(rng.uniform(-4.2, -3.2) if jag < 0.1 else rng.uniform(-3.6, -1.6))
        if jag < 0.1:
            polygon(draw, outline(rng, center, radius, jag, 60, 1.15))
        else:
            corners = outline(rng, center, radius, jag, 12, 2.0, 0.1)
            sides = zip(corners, np.roll(corners, -1, 0))
            polygon(draw, np.concatenate([fractal(rng, *side, 0.06, 4)[:-1] for side in sides]))
        if sheet is None and rng.random() < 0.2:  # scorched around
            rim, draw = canvas.layer()
            polygon(draw, outline(rng, center, radius * rng.uniform(1.1, 1.4), jag, 60, 1.3))
            canvas.paint(rim, rng.uniform(0, 0.2), rng, rng.uniform(0.5, 0.9), soft=1)
        remove(canvas, layer, rng, behind, _fiber(canvas, rng) + 2 * (jag > 0.5), sheet)
