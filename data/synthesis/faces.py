"""Hard negatives on people: eyes, teeth, jewels, freckles, wrinkles, mustaches, printed cloth, seams,
trimmings.

They are undamaged but look like damage. Each is drawn at many scales: (canvas, rng).
"""

from math import cos, exp, pi, sin

import numpy as np

from data.synthesis.canvas import line, outline, polygon, walk


def _size(canvas, rng, low, high):
    """A length between two shares of the side, log-uniform, in px; at least 1.5."""
    return max(1.5, canvas.side * exp(rng.uniform(np.log(low), np.log(high))))


def _turned(points, angle, center):
    c, s = cos(angle), sin(angle)
    return np.asarray(points, float) @ np.array([(c, s), (-s, c)]) + center


def _dot(draw, center, radius, level=255):
    (x, y), radius = 2 * np.asarray(center), 2 * radius
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), level)


def eyes(canvas, rng):
    """Eyes, one or a pair: the white, a dark iris with its catchlight, lids, a brow."""
    radius, angle = _size(canvas, rng, 0.01, 0.12), rng.normal(0, 0.2)
    first, gap = canvas.point(rng), radius * rng.uniform(3.6, 5)
    opening, look = rng.uniform(0.35, 0.65), rng.normal(0, 0.2)
    t = np.linspace(0, pi, 14)
    upper = np.stack([-np.cos(t), -opening * np.sin(t)], 1) * radius
    lower = np.stack([np.cos(t), 0.7 * opening * np.sin(t)], 1) * radius
    white, iris, dark, light = (canvas.layer() for _ in range(4))
    for n in range(1 + (rng.random() < 0.7)):
        center = first + n * gap * np.array([cos(angle), sin(angle)])
        polygon(white[1], _turned(np.concatenate([upper, lower]), angle, center))
        middle = center + radius * np.array([look, -0.05])
        _dot(iris[1], middle, 0.5 * opening**0.5 * radius)
        _dot(dark[1], middle, 0.22 * radius)
        line(dark[1], _turned(upper, angle, center), max(0.8, 0.12 * radius))
        brow = np.stack([np.linspace(-1.2, 1.3, 8), np.full(8, -1.3)], 1)
        brow[:, 1] -= 0.3 * np.sin(np.linspace(0.2, 2.6, 8))
        line(dark[1], _turned(brow * radius, angle, center), max(0.8, 0.25 * radius * rng.uniform(0.4, 1.2)))
        _dot(light[1], middle + radius * np.array([0.16, -0.16]), max(0.6, 0.09 * radius))
    canvas.paint(white[0], rng.uniform(0.55, 0.95), rng, rng.uniform(0.6, 1), soft=0.7)
    canvas.paint(iris[0], rng.uniform(0.1, 0.45), rng, 0.9, soft=0.7)
    canvas.paint(dark[0], rng.uniform(0, 0.2), rng, rng.uniform(0.6, 1), soft=0.7)
    canvas.paint(light[0], rng.uniform(0.85, 1), rng, rng.uniform(0.8, 1), soft=0.5)


def teeth(canvas, rng):
    """A smile: dark lips, a row of bright teeth with dark lines between them."""
    size, angle, center = _size(canvas, rng, 0.02, 0.12), rng.normal(0, 0.2), canvas.point(rng)
    x, deep = np.linspace(-1, 1, 13), rng.uniform(0.2, 0.45)
    curve = 0.25 * (x**2)
    upper, lower = np.stack([x, -curve], 1), np.stack([x, deep * (1 - x**2) - curve], 1)
    lips, row, lines = (canvas.layer() for _ in range(3))
    polygon(
        lips[1],
        _turned(
            1.15 * size * np.concatenate([upper - [0, 0.15], lower[::-1] + np.array([0, 0.12])]),
            angle,
            center,
        ),
    )
    polygon(row[1], _turned(size * np.concatenate([upper, lower[::-1]]) * 0.95, angle, center))
    for at in np.linspace(-0.75, 0.75, 7):
        ends = size * np.array([(at, -0.25 * at * at), (at, 0.9 * deep * (1 - at * at) - 0.25 * at * at)])
        line(lines[1], _turned(ends, angle, center), max(0.5, 0.03 * size))
    canvas.paint(lips[0], rng.uniform(0.1, 0.4), rng, rng.uniform(0.5, 0.9), soft=1)
    canvas.paint(row[0], rng.uniform(0.75, 1), rng, rng.uniform(0.8, 1), soft=0.8)
    canvas.paint(lines[0], rng.uniform(0.2, 0.5), rng, rng.uniform(0.2, 0.7), soft=1)


def pearls(canvas, rng):
    """One to three curved rows of pearls or beads, each with a highlight; earrings of a few."""
    radius, center = _size(canvas, rng, 0.004, 0.02), canvas.point(rng)
    beads, glint = canvas.layer(), canvas.layer()
    span, sag = radius * rng.uniform(4, 50), rng.uniform(0.2, 1.2)
    for row in range(rng.integers(1, 4)):
        x = np.arange(-span, span, 2.05 * radius)
        y = sag * (span - x * x / span) * (1 + 0.15 * row) + 2.4 * radius * row
        for point in np.stack([x, y], 1) + center:
            size = radius * (1 + 0.15 * rng.normal() if sag > 0.7 else 1)
            _dot(beads[1], point, max(0.7, size), int(rng.integers(190, 256)))
            _dot(glint[1], point - 0.3 * radius, max(0.5, 0.35 * radius))
    tone = rng.choice([rng.uniform(0.6, 0.9), rng.uniform(0.6, 0.9), rng.uniform(0.05, 0.3)])
    canvas.paint(beads[0], tone, rng, rng.uniform(0.7, 1), relief=rng.uniform(0, 0.2), soft=0.7)
    canvas.paint(glint[0], rng.uniform(0.9, 1), rng, rng.uniform(0.5, 1), soft=0.6)


def jewels(canvas, rng):
    """Earrings, brooches, medals, badges, coins: a disc, star or drop with a rim and sparkling stones,
    sometimes on a ribbon or a chain.
    """
    radius, center = _size(canvas, rng, 0.008, 0.06), canvas.point(rng)
    body, marks, sparks = canvas.layer(), canvas.layer(), canvas.layer()
    for _ in range(rng.integers(1, 4)):
        corners = rng.integers(3, 9)
        angles = np.linspace(0, 2 * pi, 2 * corners, endpoint=False) + rng.uniform(0, pi)
        reach = radius * np.tile([1, rng.choice([0.45, 0.75, 1.0])], corners)
        if rng.random() < 0.4:
            _dot(body[1], center, radius)
        else:
            polygon(body[1], np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None] + center)
        for turn in np.linspace(0, 2 * pi, rng.integers(1, 10), endpoint=False):
            stone = center + rng.choice([0, 0.6, 0.8]) * radius * np.array([cos(turn), sin(turn)])
            _dot(marks[1], stone, max(0.6, radius * rng.uniform(0.08, 0.3)))
            if rng.random() < 0.5:
                _dot(sparks[1], stone - 0.1 * radius, max(0.6, radius * rng.uniform(0.04, 0.15)))
        if rng.random() < 0.3:
            path = walk(
                rng, center - (0, radius), -pi / 2 + rng.normal(0, 0.5), radius * rng.uniform(3, 14), 3, 0.05
            )
            for point in path[:: max(1, round(radius / 6))]:
                _dot(marks[1], point, max(0.6, 0.1 * radius))
        center = center + rng.choice([(2.2 * radius, 0), (rng.uniform(5, 14) * radius, 0), (0, 2.1 * radius)])
    tone = rng.choice([rng.uniform(0.55, 0.95), rng.uniform(0.05, 0.4)])
    canvas.paint(body[0], tone, rng, rng.uniform(0.7, 1), relief=rng.uniform(0.05, 0.3), soft=0.6)
    canvas.paint(marks[0], 1 - tone, rng, rng.uniform(0.4, 0.9), relief=0.1, soft=0.6)
    canvas.paint(sparks[0], 1.0, rng, rng.uniform(0.6, 1), soft=0.5)


def freckles(canvas, rng):
    """Freckles, moles, pores, pock marks: a group of soft round spots, hardly darker than the skin."""
    layer, draw = canvas.layer()
    center, spread = canvas.point(rng), _size(canvas, rng, 0.04, 0.2)
    radius = _size(canvas, rng, 0.002, 0.008)
    for _ in range(rng.integers(6, 90)):
        point = center + rng.normal(0, spread, 2)
        _dot(draw, point, radius * exp(rng.normal(0, 0.35)), int(rng.integers(80, 256)))
    found = canvas.box(layer)
    if found is None:
        return
    here, alpha = found
    canvas.picture[here] *= 1 - np.float32(rng.uniform(0.1, 0.4)) * alpha
    if rng.random() < 0.3:  # moles
        mole, draw = canvas.layer()
        _dot(draw, center, 2 * radius)
        canvas.paint(mole, rng.uniform(0.1, 0.3), rng, 0.8, soft=1)


def wrinkles(canvas, rng):
    """Lines of a face or a hand, folds of cloth: nearly parallel, smooth, tapering, each dark with a light
    side and no edge.
    """
    start, angle = canvas.point(rng), rng.uniform(0, 2 * pi)
    long, gap = _size(canvas, rng, 0.05, 0.35), _size(canvas, rng, 0.01, 0.05)
    normal, bend = np.array([-sin(angle), cos(angle)]), rng.normal(0, 0.05)
    width = _size(canvas, rng, 0.002, 0.01)
    lines = []
    for n in range(rng.integers(1, 7)):
        at = start + normal * gap * n + rng.normal(0, 0.2 * gap, 2)
        path = walk(rng, at, angle + rng.normal(0, 0.1), long * rng.uniform(0.5, 1), 5, 0.03)
        bow = np.linspace(-1, 1, len(path))[:, None] ** 2 * normal * bend * long
        lines.append((path + bow, width * np.sin(np.linspace(0.2, pi - 0.1, len(path) - 1))))
    for way, tone in ((0.0, rng.uniform(0, 0.25)), (1.1, rng.uniform(0.75, 1))):
        layer, draw = canvas.layer()
        for path, widths in lines:
            line(draw, path + way * width * normal, widths)
        canvas.paint(layer, tone, rng, rng.uniform(0.2, 0.55), soft=1)


def mustache(canvas, rng):
    """Mustaches, brows, beards, fur: short strands that fan out from a middle line."""
    size, center, angle = _size(canvas, rng, 0.03, 0.15), canvas.point(rng), rng.normal(0, 0.2)
    base, droop = (
        rng.uniform(0, 0.3) if rng.random() < 0.8 else rng.uniform(0.55, 0.85),
        rng.uniform(0.1, 0.6),
    )
    for tone in (base, np.clip(base + rng.normal(0, 0.2), 0, 1), np.clip(base + 0.15, 0, 1)):
        layer, draw = canvas.layer()
        for side in (-1, 1):
            for _ in range(rng.integers(20, 60)):
                root = np.array([side * rng.uniform(0, 0.8), rng.uniform(-0.15, 0.15)])
                tip = root + np.array([side * rng.uniform(0.2, 0.5), droop * rng.uniform(0.3, 1.2)])
                knee = (root + tip) / 2 - (0, 0.12)
                line(draw, _turned(size * np.array([root, knee, tip]), angle, center), rng.uniform(0.5, 1.3))
        canvas.paint(layer, tone, rng, rng.uniform(0.5, 0.9), soft=rng.random())


def _motif(rng, size):
    """One figure of printed cloth, outlines around (0, 0)."""
    kind = rng.integers(5)
    if kind == 0:  # a dot
        return [outline(rng, (0, 0), size, 0.02, 14, 1.05)]
    if kind == 1:  # a flower
        turns = np.linspace(0, 2 * pi, rng.integers(4, 8), endpoint=False)
        return [
            outline(rng, 0.65 * size * np.array([cos(t), sin(t)]), 0.4 * size, 0.1, 9, 1.3) for t in turns
        ]
    if kind == 2:  # leaves
        return [outline(rng, (side * 0.5 * size, 0), 0.6 * size, 0.15, 12, 3) for side in (-1, 1)]
    if kind == 3:  # a star or a diamond
        turns = np.linspace(0, 2 * pi, 2 * rng.integers(2, 7), endpoint=False)
        reach = size * np.tile([1, 0.4], len(turns) // 2)
        return [np.stack([np.cos(turns), np.sin(turns)], 1) * reach[:, None]]
    return [
        outline(rng, rng.normal(0, 0.4 * size, 2), 0.4 * size, 0.25, 12, 2) for _ in range(rng.integers(1, 4))
    ]


def printed_cloth(canvas, rng):
    """Dots, flowers, leaves, stars on cloth: the same figures in regular or jittered rows over a patch."""
    area, draw = canvas.layer()
    polygon(draw, outline(rng, canvas.point(rng), canvas.side * rng.uniform(0.1, 0.5), 0.3, 60, 2, 0.0))
    size = _size(canvas, rng, 0.005, 0.035)
    pitch, angle = size * rng.uniform(2.2, 4.5), rng.uniform(0, pi)
    motifs = [_motif(rng, size) for _ in range(rng.integers(1, 4))]
    shake, spin = rng.choice([0.02, 0.15]) * pitch, rng.random() < 0.5
    left, top, right, bottom = (edge / 2 for edge in area.getbbox() or (0, 0, 1, 1))
    middle, reach = np.array([(left + right) / 2, (top + bottom) / 2]), max(right - left, bottom - top) / 1.4
    steps = np.arange(-reach, reach, pitch)[:60]
    layer, draw = canvas.layer()
    for row, y in enumerate(steps):
        for x in steps + (row % 2) * pitch / 2:
            place = _turned([(x, y)], angle, middle)[0] + rng.normal(0, shake, 2)
            if left < place[0] < right and top < place[1] < bottom:
                turn = rng.uniform(0, 2 * pi) if spin else angle
                for shape in motifs[rng.integers(len(motifs))]:
                    polygon(draw, _turned(shape, turn, place))
    layer.paste(0, mask=area.point(lambda level: 255 - level))
    canvas.paint(
        area, rng.uniform(0, 1), rng, rng.choice([0, rng.uniform(0.3, 0.9), rng.uniform(0.6, 1)]), soft=1
    )
    canvas.paint(
        layer, rng.choice([rng.uniform(0.7, 1), rng.uniform(0, 0.35)]), rng, rng.uniform(0.4, 1), soft=0.7
    )


def seams(canvas, rng):
    """Stitching, piping, zippers, chains, barbed wire: regular short strokes along one or two smooth
    curves.
    """
    path = walk(rng, canvas.point(rng), rng.uniform(0, 2 * pi), canvas.side * rng.uniform(0.2, 0.9), 4, 0.03)
    width, dash = rng.uniform(0.7, 2), rng.integers(1, 4)
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / 4
    layer, draw = canvas.layer()
    across = rng.random() < 0.3
    for shift in (0, rng.uniform(4, 10))[: rng.integers(1, 3)]:
        rows = path + shift * normal
        for at in range(0, len(rows) - dash - 1, dash + 2):
            if across:
                line(draw, [rows[at] - 2 * normal[at], rows[at] + 2 * normal[at]], width)
            else:
                line(draw, rows[at : at + dash + 1], width)
    tone = rng.choice([rng.uniform(0.65, 1), rng.uniform(0, 0.3)])
    canvas.paint(layer, tone, rng, rng.uniform(0.5, 1), relief=rng.uniform(0, 0.2), soft=rng.random())


def trimmings(canvas, rng):
    """Borders of lace, frills, crochet: a white band of scallops with holes in a row."""
    size = _size(canvas, rng, 0.008, 0.04)
    path = walk(
        rng, canvas.point(rng), rng.uniform(0, 2 * pi), canvas.side * rng.uniform(0.2, 0.8), 2 * size, 0.06
    )
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / (2 * size)
    band, gaps = canvas.layer(), canvas.layer()
    line(band[1], path, 1.2 * size)
    for point, out in zip(path, normal):
        _dot(band[1], point + size * out, size)
        _dot(gaps[1], point + 0.9 * size * out, 0.42 * size)
        for turn in (-0.7, 0, 0.7):
            tip = point + size * out * 1.1 + 0.7 * size * np.array([sin(turn), cos(turn)]) * out[::-1]
            _dot(gaps[1], tip, max(0.5, 0.14 * size))
    tone = rng.uniform(0.7, 1)
    canvas.paint(band[0], tone, rng, rng.uniform(0.7, 1), relief=rng.uniform(0, 0.2), soft=0.8)
    canvas.paint(gaps[0], rng.uniform(0.1, 0.6), rng, rng.uniform(0.3, 0.9), soft=0.8)


def lights(canvas, rng):
    """Spots of light: sun through leaves, lamps, glitter on water, snow; soft bright discs of many sizes."""
    layer, draw = canvas.layer()
    center, spread, base = (
        canvas.point(rng),
        canvas.side * rng.uniform(0.08, 0.4),
        _size(canvas, rng, 0.003, 0.02),
    )
    flat = rng.choice([1.0, 0.3])
    for _ in range(rng.integers(5, 80)):
        point = center + rng.normal(0, spread, 2) * (1, flat)
        polygon(draw, outline(rng, point, base * exp(rng.normal(0, 0.5)), 0.15, 14, 1 + 2 * (1 - flat)))
    canvas.paint(layer, rng.uniform(0.8, 1), rng, rng.uniform(0.3, 0.9), soft=1)
