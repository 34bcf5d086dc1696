"""Damage to the surface of a print or negative: scratches, dust, fibers, stains, abrasion, tape, ink.

Each kind is drawn by a function of its own: (canvas, rng).
"""

from math import cos, exp, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from data.synthesis.canvas import edge_point, fractal, line, outline, polygon, walk
from data.synthesis.textures import clouds, grain


def _scratches(canvas, rng, light):
    """Long, thin, nearly straight, often interrupted."""
    for _ in range(2):
        layer, draw = canvas.layer()
        for _ in range(canvas.count(rng, 1, 7)):
            length = canvas.side * exp(rng.uniform(-3, 0.5))
            bend, jag = rng.uniform(0, 0.05), rng.uniform(0, 0.08)
            path = walk(rng, canvas.point(rng), rng.uniform(0, 2 * pi), length, 8, bend, jag)
            line(draw, path, canvas.pen * rng.uniform(0.6, 1.8), int(rng.integers(110, 256)))
        tone = canvas.tone(rng, light)
        canvas.paint(
            layer,
            tone,
            rng,
            rng.uniform(0.4, 1),
            rng.choice([0, rng.uniform(0.1, 0.7)]),
            rng.choice([0, 0.1]),
        )


def light_scratches(canvas, rng):
    _scratches(canvas, rng, 1.0)


def dark_scratches(canvas, rng):
    _scratches(canvas, rng, 0.0)


def scratch_field(canvas, rng):
    """Many fine, nearly parallel scratches, as from wiping; often both light and dark ones."""
    angle, spread = rng.uniform(0, pi), rng.choice([0.02, 0.06, 0.2])
    center, reach = canvas.point(rng), canvas.side * rng.uniform(0.15, 0.6)
    for light in ([1.0], [1.0], [0.0], [1.0, 0.0])[rng.integers(4)]:
        layer, draw = canvas.layer()
        number = 10 + int(140 * canvas.amount * rng.random() * canvas.area**0.5)
        starts = center + rng.normal(0, reach, (number, 2))
        angles, lengths = (
            angle + rng.normal(0, spread, number),
            np.exp(rng.uniform(2.3, np.log(max(12, canvas.side * 0.6)), number)),
        )
        levels, widths = rng.integers(60, 256, number), canvas.pen * rng.uniform(0.4, 1.1, number)
        for start, turn, length, level, width in zip(starts, angles, lengths, levels, widths):
            bow = rng.normal(0, 0.03) * length
            way = np.array([cos(turn), sin(turn)]) * length
            points = [start, start + way / 2 + (-bow * sin(turn), bow * cos(turn)), start + way]
            line(draw, points, float(width), int(level))
        canvas.paint(
            layer,
            canvas.tone(rng, light),
            rng,
            rng.uniform(0.35, 0.9),
            rng.choice([0, rng.uniform(0.2, 0.6)]),
        )


def _specks(canvas, rng, number, sizes, light, spread):
    """Many small irregular polygons around a few centers."""
    layer, draw = canvas.layer()
    centers = rng.uniform(0, 1, (4, 2)) * (canvas.width, canvas.height)
    middles = centers[rng.integers(0, 4, number)] + rng.normal(0, 1, (number, 2)) * spread * canvas.side
    middles %= (canvas.width, canvas.height)
    radii = np.minimum(canvas.pen * np.exp(rng.normal(np.log(sizes), 0.5, number)), 9)
    corners = rng.integers(4, 9, number)
    angles = np.linspace(0, 2 * pi, 9)[None] + rng.uniform(0, 2 * pi, (number, 1))
    reach = radii[:, None] * rng.uniform(0.5, 1.4, (number, 9))
    stretch = np.exp(rng.normal(0, 0.25, (number, 1)))
    points = (
        2 * np.stack([np.cos(angles) * reach * stretch, np.sin(angles) * reach / stretch], 2)
        + 2 * middles[:, None]
    )
    levels = rng.integers(140, 256, number)
    for shape, count, level in zip(points.reshape(number, 18).tolist(), corners.tolist(), levels.tolist()):
        draw.polygon(shape[: 2 * count], level)
    canvas.paint(layer, canvas.tone(rng, light), rng, rng.uniform(0.5, 1), soft=rng.random())


def dust(canvas, rng):
    """Specks, often hundreds, mostly light (dust on the negative), spread evenly or in clouds."""
    for light in ([1.0], [1.0], [0.0], [1.0, 0.0])[rng.integers(4)]:
        number = 6 + int(rng.random() * (40 + 500 * canvas.amount**2) * canvas.area)
        _specks(canvas, rng, number, rng.uniform(0.6, 1.6), light, rng.choice([0.1, 0.3, 2.0]))


def spots(canvas, rng):
    """A few larger flakes and dots of mold or fixer, 5-20 px."""
    _specks(
        canvas,
        rng,
        canvas.count(rng, 4, 45),
        rng.uniform(2, 5),
        rng.choice([0.0, 1.0]),
        rng.choice([0.15, 2.0]),
    )


def _fibers(canvas, rng, number, lengths, turn, light):
    layer, draw = canvas.layer()
    for _ in range(number):
        length = canvas.pen * exp(rng.uniform(*np.log(lengths)))
        bend = rng.uniform(0.3, 1) * turn
        path = walk(rng, canvas.point(rng), rng.uniform(0, 2 * pi), length, 3, bend)
        line(draw, path, canvas.pen * rng.uniform(0.6, 1.5), int(rng.integers(150, 256)))
    canvas.paint(layer, canvas.tone(rng, light), rng, rng.uniform(0.5, 1), soft=0.5 * rng.random())


def hair(canvas, rng):
    """Smooth curved fibers on the print or the negative."""
    _fibers(canvas, rng, canvas.count(rng, 1, 5), (40, 400), 0.12, rng.choice([0.0, 1.0]))


def lint(canvas, rng):
    """Short curly fibers."""
    _fibers(canvas, rng, canvas.count(rng, 2, 30), (8, 40), 0.45, rng.choice([0.0, 1.0, 1.0]))


def stains(canvas, rng):
    """Soft blots of damp, darker or bleached, with a tide line."""
    for _ in range(canvas.count(rng, 1, 4)):
        small = Image.new("L", (canvas.width // 6 + 1, canvas.height // 6 + 1))
        draw = ImageDraw.Draw(small)
        center, radius = canvas.point(rng, 0.1) / 12, canvas.side * exp(rng.uniform(-3.2, -1.2)) / 12
        polygon(draw, outline(rng, center, radius, 0.7, 50, rough=0.03))
        alpha = (
            np.asarray(small.resize((canvas.width, canvas.height), Image.Resampling.BICUBIC), np.float32)
            / 255
        )
        if rng.random() < 0.5:
            alpha = alpha * np.clip(0.8 + 0.5 * clouds(canvas.shape, rng, 12), 0, 1)
        strength = rng.uniform(0.18, 0.6)
        if rng.random() < 0.7:
            tide = rng.choice([0.0, rng.uniform(0, 0.6)])
            canvas.picture *= 1 - strength * (1 - tide) * alpha - tide * alpha * (1 - alpha)
        else:
            canvas.picture += strength * alpha * (canvas.light - canvas.picture)


def abrasion(canvas, rng):
    """A rubbed patch: paper shows through in many small points, densest in the middle."""
    small = Image.new("L", (canvas.width // 8 + 1, canvas.height // 8 + 1))
    radius = canvas.side * exp(rng.uniform(-2.6, -1.2)) / 16
    polygon(ImageDraw.Draw(small), outline(rng, canvas.point(rng) / 16, radius, 0.6, 30, 4))
    region = (
        np.asarray(small.resize((canvas.width, canvas.height), Image.Resampling.BICUBIC), np.float32) / 255
    )
    points = grain(canvas.shape, rng, rng.integers(1, 3)) + 0.7 * clouds(canvas.shape, rng, 20)
    alpha = np.clip(2.5 * (points + 2.2 * region - rng.uniform(2.2, 3.2)), 0, 1) * (region > 0.02)
    canvas.picture += rng.uniform(0.5, 1) * alpha * (canvas.tone(rng, 0.85) - canvas.picture)


def tape(canvas, rng):
    """A strip of yellowed adhesive tape, or the glue it left."""
    layer, draw = canvas.layer()
    center = edge_point(canvas, rng)[0] if rng.random() < 0.7 else canvas.point(rng)
    angle, length, width = (
        rng.uniform(0, 2 * pi),
        canvas.side * rng.uniform(0.15, 0.5),
        canvas.side * rng.uniform(0.04, 0.1),
    )
    way, across = length * np.array([cos(angle), sin(angle)]), width * np.array([-sin(angle), cos(angle)])
    cut = fractal(rng, center + way + across, center + way - across, 0.03, 4)
    polygon(draw, np.concatenate([cut, fractal(rng, center - way - across, center - way + across, 0.03, 4)]))
    found = canvas.box(layer)
    if found is None:
        return
    here, alpha = found
    streaks = 1 + 0.12 * clouds(alpha.shape, rng, 8)
    if rng.random() < 0.5:
        canvas.picture[here] *= 1 - rng.uniform(0.15, 0.45) * alpha * streaks
    else:
        canvas.picture[here] += (
            rng.uniform(0.35, 0.7) * alpha * (rng.uniform(0.4, 0.8) * streaks - canvas.picture[here])
        )


def ink(canvas, rng):
    """Blots, runs and splashes of ink."""
    layer, draw = canvas.layer()
    for _ in range(canvas.count(rng, 1, 3)):
        center, radius = canvas.point(rng), canvas.side * exp(rng.uniform(-4.3, -2.3))
        polygon(draw, outline(rng, center, radius, 0.3, 40))
        for _ in range(rng.integers(0, 14)):
            angle, away = rng.uniform(0, 2 * pi), radius * exp(rng.uniform(0.1, 1.5))
            drop = center + away * np.array([cos(angle), sin(angle)])
            polygon(draw, outline(rng, drop, radius * rng.uniform(0.04, 0.3), 0.2, 14))
        if rng.random() < 0.4:
            line(
                draw,
                walk(rng, center, rng.uniform(0, 2 * pi), radius * 6, 5, 0.15),
                radius * rng.uniform(0.1, 0.4),
            )
    canvas.paint(layer, rng.uniform(0, 0.25), rng, rng.uniform(0.6, 1), soft=rng.random(), mottle=0.02)


def shapes(canvas, rng):
    """Defect shapes from `textures`, from scanned film or hand-made; flakes if there are none."""
    if not canvas.textures:
        return spots(canvas, rng)
    for _ in range(canvas.count(rng, 1, 6)):
        shape = canvas.textures.draw(rng, exp(rng.uniform(-1, 0.5)))
        layer, _ = canvas.layer()
        x, y = (2 * canvas.point(rng)).astype(int)
        layer.paste(shape, (int(x) - shape.width // 2, int(y) - shape.height // 2))
        canvas.paint(layer, canvas.tone(rng, 0.7), rng, rng.uniform(0.4, 1), 0, rng.choice([0, 0.15]), 0.02)
