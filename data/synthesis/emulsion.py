"""Damage to areas of the emulsion: flaking, skinned paper, networks and reliefs of cracks, scuffs, tide
marks, silvering.

Each kind is drawn by a function of its own: (canvas, rng).
"""

from math import cos, exp, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from data.synthesis.canvas import WHOLE, branch, edge_point, line, outline, polygon, walk
from data.synthesis.textures import clouds, enlarge, grain


def _region(canvas, rng, low=0.15, high=0.6):
    """A large soft-edged area, often at the rim: (H, W) float32, 1 inside, 0 outside, smooth in between."""
    small = Image.new("L", (canvas.width // 8 + 1, canvas.height // 8 + 1))
    center = edge_point(canvas, rng)[0] if rng.random() < 0.6 else canvas.point(rng)
    radius = canvas.side * exp(rng.uniform(np.log(low), np.log(high))) / 16
    polygon(ImageDraw.Draw(small), outline(rng, center / 16, radius, 0.6, 40, 3))
    return enlarge(np.asarray(small, np.float32) / 255, canvas.shape)


def cells(shape, rng, pitch):
    """Angular cells, as of dry broken emulsion (Worley 1996; seeds jittered in a grid of `pitch` px).

    Returns a value in [0, 1) for each cell, constant over the cell, and the distance to the next cell in px,
    both (H, W) float32.
    """
    rows, columns = int(shape[0] / pitch) + 4, int(shape[1] / pitch) + 4
    seeds = rng.uniform(0.05, 0.95, (rows, columns, 2)).astype(np.float32)
    values = rng.random((rows, columns), dtype=np.float32)
    warp = [np.float32(0.25) * clouds(shape, rng, max(shape) / pitch) for _ in range(2)]
    y = np.arange(shape[0], dtype=np.float32)[:, None] / np.float32(pitch) + 1.5 + warp[0]
    x = np.arange(shape[1], dtype=np.float32)[None] / np.float32(pitch) + 1.5 + warp[1]
    row, column = np.clip(y, 1, rows - 2).astype(np.int32), np.clip(x, 1, columns - 2).astype(np.int32)
    y, x = y - row.astype(np.float32), x - column.astype(np.float32)
    seed_y, seed_x = np.ascontiguousarray(seeds.reshape(-1, 2).T)
    # squared distances
    first, second = np.full(shape, 81, np.float32), np.full(shape, 81, np.float32)
    nearest = np.zeros(shape, np.int32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            at = (row + down) * columns + column + right
            away = (y - down - seed_y[at]) ** 2 + (x - right - seed_x[at]) ** 2
            nearest = np.where(away < first, at, nearest)
            np.minimum(second, np.maximum(first, away), out=second)
            np.minimum(first, away, out=first)
    return values.ravel()[nearest], np.float32(pitch / 2) * (np.sqrt(second) - np.sqrt(first))


def _bare(canvas, alpha, rng, tone):
    """Shows the base where alpha (H, W) is 1: mottled, with the step of the layer lit and in shadow."""
    if rng.random() < 0.7:
        canvas.relief(alpha, rng.choice([-1, 1]) * rng.uniform(0.05, 0.3))
    field = tone + np.float32(rng.uniform(0, 0.04)) * grain(canvas.shape, rng, 3)
    field += np.float32(rng.uniform(0, 0.05)) * clouds(canvas.shape, rng, rng.integers(3, 12))
    canvas.replace(alpha, field, np.float32(rng.uniform(0.85, 1)))


def flaking(canvas, rng):
    """Emulsion flaked off over a large area, in maps of bays and islands with ragged rims; the base
    shows, white, dark or of a middle tone.
    """
    shape, region = canvas.shape, _region(canvas, rng)
    height = clouds(shape, rng, rng.uniform(3, 9)) + 0.6 * clouds(shape, rng, rng.uniform(10, 30))
    height += 0.25 * clouds(shape, rng, canvas.side / rng.uniform(4, 9)) + 0.08 * grain(shape, rng, 3)
    alpha = np.clip(rng.uniform(5, 14) * (height + 2.2 * region - rng.uniform(1.7, 2.6)), 0, 1)
    alpha *= region > 0.02
    _bare(canvas, alpha, rng, canvas.bare_tone(WHOLE, alpha, rng))


def skinning(canvas, rng):
    """Patches whose surface came off with what had stuck to it: fibrous paper of a middle tone, rims that are
    sharp in one place and fade in another, and remains of the picture.
    """
    for _ in range(canvas.count(rng, 1, 3)):
        shape, region = canvas.shape, _region(canvas, rng, 0.04, 0.3)
        ragged = 0.5 * clouds(shape, rng, rng.uniform(6, 16)) + 0.25 * clouds(shape, rng, rng.uniform(25, 70))
        height = ragged + 0.1 * grain(shape, rng, 2) + 2.4 * region - rng.uniform(1.2, 1.9)
        steep = rng.uniform(2, 6) * np.exp(0.8 * clouds(shape, rng, 6))
        alpha = np.clip(steep * height + 0.5, 0, 1) * (region > 0.02)
        fibers = rng.uniform(0, 0.03) * clouds(shape, rng, rng.uniform(30, 90))
        fibers += rng.uniform(0, 0.03) * grain(shape, rng, 2)
        field = canvas.bare_tone(WHOLE, alpha, rng, near=0.8) + fibers
        if rng.random() < 0.5:
            canvas.relief(alpha, rng.choice([-1, 1]) * rng.uniform(0.03, 0.15))
        remains = np.clip(rng.uniform(0.6, 1.1) + rng.uniform(0, 0.3) * clouds(shape, rng, 12), 0.3, 1)
        canvas.replace(alpha, field, remains)


def alligatoring(canvas, rng):
    """Emulsion broken into angular scales by a network of cracks; in the worst places scales are missing."""
    pitch, region = canvas.side * exp(rng.uniform(-3.6, -2.2)), _region(canvas, rng, 0.2, 0.8)
    value, edge = cells(canvas.shape, rng, max(9.0, pitch))
    gap = rng.uniform(0.15, 0.65) * canvas.pen * np.clip(1.5 * region, 0, 1)
    gap = gap * np.clip(1 + clouds(canvas.shape, rng, 9), 0, 2)
    cracks = np.clip(gap - edge + 0.5, 0, 1) * (gap > 0.15)
    dark = rng.random() < 0.4
    if rng.random() < 0.6:
        off = region * value > rng.uniform(0.6, 0.95)
        alpha = off * np.clip(edge + 0.5, 0, 1)
        _bare(canvas, alpha.astype(np.float32), rng, canvas.dark if dark else canvas.light)
    canvas.relief(cracks, rng.choice([0, rng.uniform(0, 0.2)]))
    tone = canvas.dark if dark else canvas.light
    canvas.picture += np.float32(rng.uniform(0.5, 1)) * cracks * (tone - canvas.picture)


def relief_cracks(canvas, rng):
    """Raised cracks: a light and a dark side along a branching line, with hardly any loss."""
    for _ in range(canvas.count(rng, 1, 4)):
        start, angle = (
            edge_point(canvas, rng) if rng.random() < 0.6 else (canvas.point(rng), rng.uniform(0, 2 * pi))
        )
        layer, draw = canvas.layer()
        width = canvas.pen * rng.uniform(0.8, 2.2)
        branch(rng, draw, start, angle, canvas.side * rng.uniform(0.2, 1.0), width, 2, [])
        shift = width * rng.uniform(0.6, 1.1)
        move = (round(2 * shift * cos(canvas.angle)), round(2 * shift * sin(canvas.angle)))
        light, dark = (rng.uniform(0.3, 0.9) for _ in range(2))
        for way, tone, opacity in ((1, canvas.light, light), (-1, canvas.dark, dark)):
            moved = layer.transform(
                layer.size, Image.Transform.AFFINE, (1, 0, -way * move[0], 0, 1, -way * move[1])
            )
            canvas.paint(moved, tone, rng, opacity, soft=rng.uniform(0.2, 1))


def hairlines(canvas, rng):
    """Thin dark cracks on light things such as shirts and dresses: 1 to 2 px, low contrast."""
    layer, draw = canvas.layer()
    points = np.stack([canvas.point(rng) for _ in range(24)])
    row = np.clip(points[:, 1].astype(int), 0, canvas.height - 1)
    tones = canvas.picture[row, np.clip(points[:, 0].astype(int), 0, canvas.width - 1)]
    way = rng.uniform(0, pi)
    for at in np.argsort(-tones)[: canvas.count(rng, 2, 9)]:
        angle = (way if rng.random() < 0.6 else rng.uniform(0, pi)) + rng.choice([0, pi]) + rng.normal(0, 0.2)
        length = canvas.side * rng.uniform(0.08, 0.6)
        path = walk(rng, points[at], angle, length, 4, 0.06, rng.uniform(0.15, 0.5))
        line(draw, path, canvas.pen * rng.uniform(0.6, 1.5, len(path) - 1), int(rng.integers(120, 256)))
    depth = rng.uniform(0.18, 0.5)
    here, alpha = canvas.box(layer) or (np.s_[:1, :1], np.zeros((1, 1), np.float32))
    breaks = np.clip(1 + 0.7 * clouds(alpha.shape, rng, 20), 0, 1)
    canvas.picture[here] *= 1 - depth * alpha * breaks


def scuffs(canvas, rng):
    """Rubbed bands: the surface removed in short parallel strokes, densest in the middle."""
    for _ in range(canvas.count(rng, 1, 3)):
        angle, long = rng.uniform(0, 180), rng.uniform(4, 14)
        region = _region(canvas, rng, 0.06, 0.3)
        side = int(1.5 * max(canvas.shape))
        small = grain((side, max(8, int(side / long))), rng, 1)
        strokes = Image.fromarray(np.ascontiguousarray(small)).resize((side, side), Image.Resampling.BILINEAR)
        strokes = strokes.rotate(angle, Image.Resampling.BILINEAR)
        left, top = (side - canvas.width) // 2, (side - canvas.height) // 2
        field = np.asarray(strokes.crop((left, top, left + canvas.width, top + canvas.height)))
        height = field + 0.6 * clouds(canvas.shape, rng, 14) + 2.4 * region - rng.uniform(2.4, 3.4)
        alpha = np.clip(2 * height, 0, 1) * (region > 0.02)
        tone = canvas.tone(rng, 0.8)
        canvas.picture += np.float32(rng.uniform(0.4, 0.95)) * alpha * (tone - canvas.picture)


def tide_marks(canvas, rng):
    """Where water dried: a sharp dark ragged line; the paper inside has hardly changed."""
    for _ in range(canvas.count(rng, 1, 3)):
        layer, draw = canvas.layer()
        center = edge_point(canvas, rng)[0] if rng.random() < 0.6 else canvas.point(rng)
        shape = outline(rng, center, canvas.side * exp(rng.uniform(-2.5, -0.6)), 0.8, 90, 2.5, 0.03)
        polygon(draw, shape)
        found = canvas.box(layer)
        if found is None:
            continue
        here, alpha = found
        size = (max(1, alpha.shape[1] // 6), max(1, alpha.shape[0] // 6))
        small = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BOX))
        inward = enlarge(small, alpha.shape)  # falls off towards the line
        rim = alpha * np.clip(1 - np.clip(2 * inward - 1, 0, 1), 0, 1) ** rng.uniform(1, 4)
        strength = rng.uniform(0.15, 0.6) * np.clip(0.9 + 0.5 * clouds(alpha.shape, rng, 6), 0.1, 1.2)
        canvas.picture[here] *= 1 - np.clip(strength * rim + rng.uniform(0, 0.04) * alpha, 0, 0.9)


def silvering(canvas, rng):
    """A metallic veil over dark parts near the edges of a print: soft, without an outline."""
    height, width = canvas.shape
    x, y = (
        np.linspace(-1, 1, width, dtype=np.float32)[None],
        np.linspace(-1, 1, height, dtype=np.float32)[:, None],
    )
    rim = np.maximum(abs(x + np.float32(rng.uniform(-0.4, 0.4))), abs(y + np.float32(rng.uniform(-0.4, 0.4))))
    veil = np.clip((rim + 0.25 * clouds(canvas.shape, rng, 5) - rng.uniform(0.5, 0.9)) * 2, 0, 1)
    canvas.picture += np.float32(rng.uniform(0.15, 0.5)) * veil * np.clip(0.75 - canvas.picture, 0, 1)
