"""Damage to emulsion and paper: cracks, folds, rips, creases, peels, holes, torn corners and edges.

Each kind is painted by a function of its own: (canvas, rng)."""

from itertools import pairwise
from math import cos, exp, hypot, pi, sin

import numpy as np

from data.synthesis.canvas import branch, edge_point, flake, fractal, line, outline, polygon, walk


def cracks(canvas, rng):
    """Branching jagged cracks through the emulsion, with light and dark rims and small losses
    at the forks.
    """
    for _ in range(canvas.count(rng, 1, 4)):
        layer, draw = canvas.layer()
        tips = []
        start, angle = (
            edge_point(canvas, rng) if rng.random() < 0.6 else (canvas.point(rng), rng.uniform(0, 2 * pi))
        )
        width = canvas.pen * rng.uniform(0.6, 2.6)
        branch(rng, draw, start, angle, canvas.side * rng.uniform(0.15, 0.9), width, 2, tips)
        for node in tips:
            if rng.random() < 0.4:
                polygon(draw, outline(rng, node, width * rng.uniform(0.8, 4), 0.9, 11, 3))
        broken = rng.choice([0, rng.uniform(0.1, 0.55)])
        if rng.random() < 0.25:  # open but not lost: hardly more than a light and a dark side
            canvas.paint(
                layer, canvas.tone(rng, 0.5), rng, rng.uniform(0, 0.4), broken, rng.uniform(0.2, 0.6)
            )
        else:
            canvas.paint(
                layer, canvas.tone(rng, 0.85), rng, rng.uniform(0.6, 1), broken, rng.uniform(0, 0.35), 0.03
            )


def folds(canvas, rng):
    """A fold from edge to edge: relief on both sides, a core that broke white in places, crumbs beside it."""
    for _ in range(1 + (rng.random() < 0.3 * canvas.amount)):
        style = rng.random()
        angle = rng.choice([0, pi / 2]) + rng.normal(0, 0.05) if style < 0.7 else rng.uniform(0, pi)
        middle, way = canvas.point(rng, -0.1), np.array([cos(angle), sin(angle)])
        reach = 1.2 * hypot(*canvas.shape)
        if rng.random() < 0.25:  # a dog-ear or a half fold
            reach *= rng.uniform(0.15, 0.4)
        path = fractal(rng, middle - reach * way, middle + reach * way, rng.uniform(0.001, 0.006), 8)
        x = np.arange(canvas.width, dtype=np.float32)[None] - middle[0]
        y = np.arange(canvas.height, dtype=np.float32)[:, None] - middle[1]
        away = (x * way[1] - y * way[0]) / (rng.uniform(3, 14) * canvas.pen)
        if reach > canvas.side:
            # one flank towards the lamp, one away
            canvas.picture += rng.normal(0, 0.08) * away / (1 + away**4)
        layer, draw = canvas.layer()
        width = canvas.pen * rng.uniform(0.7, 3.2)
        ragged = rng.choice([0.1, 0.5])
        line(draw, path, width * np.exp(rng.normal(0, ragged, len(path) - 1)))
        for node in path[rng.integers(0, len(path), canvas.count(rng, 0, 30))]:
            polygon(
                draw, outline(rng, node + rng.normal(0, width, 2), width * rng.uniform(0.6, 2.5), 0.9, 9, 3)
            )
        broken = rng.choice([0, rng.uniform(0, 0.6)])
        canvas.paint(
            layer, canvas.tone(rng, 0.9), rng, rng.uniform(0.6, 1), broken, rng.uniform(0, 0.3), 0.03
        )


def rips(canvas, rng):
    """A rip, edge to edge or ending in the picture: a band of torn paper whose two sides are ragged each in
    its own way.
    """
    start, angle = edge_point(canvas, rng)
    through, way = rng.random() < 0.6, np.array([cos(angle), sin(angle)])
    reach = canvas.side * (1.6 if through else rng.uniform(0.25, 0.8))
    near, far = (
        fractal(rng, start - 0.1 * reach * way, start + reach * way, rng.uniform(0.005, 0.03), 7)
        for _ in range(2)
    )
    along = np.linspace(0, 1, len(near))
    widths = (
        canvas.pen
        * exp(rng.uniform(0.7, 2.5))
        * np.interp(along, np.linspace(0, 1, 8), np.exp(rng.normal(0, 0.35, 8)))
    )
    if not through:
        widths *= np.sqrt(1 - along)
    jitter = (far - far.mean(0) - near + near.mean(0)) @ (-way[1], way[0])
    wide = np.maximum(0.3, widths + np.clip(jitter, -0.4, 0.4) * widths)[:, None]
    layer, draw = canvas.layer()
    polygon(draw, np.concatenate([near, (near + wide * (-way[1], way[0]))[::-1]]))
    broken, relief = rng.choice([0, 0, rng.uniform(0, 0.3)]), rng.uniform(-0.3, 0.3)
    canvas.paint(
        layer, canvas.tone(rng, 0.9), rng, rng.uniform(0.8, 1), broken, relief, rng.uniform(0.01, 0.06)
    )


def creases(canvas, rng):
    """Bent but not broken: a light and a dark side, no loss."""
    for _ in range(canvas.count(rng, 1, 4)):
        layer, draw = canvas.layer()
        path = walk(
            rng, canvas.point(rng), rng.uniform(0, 2 * pi), canvas.side * rng.uniform(0.1, 0.6), 6, 0.06, 0.25
        )
        line(draw, path, canvas.pen * rng.uniform(0.5, 1.8, len(path) - 1))
        canvas.paint(layer, 0.5, rng, 0.0, 0, rng.choice([-1, 1]) * rng.uniform(0.15, 0.4))
        if rng.random() < 0.5:
            canvas.paint(layer, canvas.light, rng, rng.uniform(0.2, 0.6), rng.uniform(0.4, 0.7))


def peels(canvas, rng):
    """Emulsion come off in flakes: flat paper tone, jagged sharp edges, a shadow at the rim, cracks leading
    away.
    """
    for _ in range(canvas.count(rng, 1, 5)):
        layer, draw = canvas.layer()
        centre = canvas.point(rng) if rng.random() < 0.6 else edge_point(canvas, rng)[0]
        radius = canvas.side * exp(rng.uniform(-4.2, -1.5))
        for _ in range(rng.integers(1, 5)):
            shape = flake(rng, centre, radius)
            polygon(draw, shape)
            centre, radius = shape[rng.integers(len(shape))], radius * rng.uniform(0.3, 0.8)
        for _ in range(rng.integers(0, 4)):
            start = shape[rng.integers(len(shape))]
            width, length = canvas.pen * rng.uniform(0.6, 1.6), canvas.side * rng.uniform(0.05, 0.3)
            branch(rng, draw, start, rng.uniform(0, 2 * pi), length, width, 1, [])
        relief, mottle = rng.uniform(-0.3, 0.3), rng.uniform(0.005, 0.05)
        canvas.paint(layer, canvas.tone(rng, 0.8), rng, rng.uniform(0.8, 1), 0, relief, mottle)


def pinholes(canvas, rng):
    """Round or ragged holes through the paper: pins, punches, worms."""
    layer, draw = canvas.layer()
    for _ in range(canvas.count(rng, 1, 4)):
        radius = canvas.side * exp(rng.uniform(-4.5, -2.6))
        polygon(draw, outline(rng, canvas.point(rng), radius, rng.choice([0.03, 0.5]), 30, 1.3))
    canvas.paint(layer, rng.choice([0.02, canvas.light, 1.0]), rng, 1.0, 0, rng.uniform(-0.3, 0.3), 0.01)


def _tear(canvas, rng, corners, outside):
    """Beyond a ragged line through `corners` all is gone: a rim of torn paper, then what the scanner saw
    behind.
    """
    rough, start, end = rng.uniform(0.02, 0.12), corners[0], corners[-1]
    path = np.concatenate([fractal(rng, *pair, rough, 6) for pair in pairwise(corners)])
    rim, inwards = rng.uniform(0, 5) * canvas.pen, start + end - 2 * outside
    inner = path + rim * (rng.normal(0, 0.3, path.shape) + inwards / hypot(*inwards))
    behind = rng.choice([canvas.light, 1.0, rng.uniform(0.5, 0.9), canvas.dark])
    for shape, tone in ((inner, canvas.light), (path, behind)):
        layer, draw = canvas.layer()
        polygon(draw, np.concatenate([shape, end[None], outside[None], start[None]]))
        canvas.paint(layer, tone, rng, 1.0, 0, rng.uniform(0, 0.25), exp(rng.uniform(-5, -2.5)))


def torn_corners(canvas, rng):
    """One to three corners missing."""
    size = np.array([canvas.width, canvas.height], float)
    for corner in rng.permutation(4)[: 1 + (rng.random() < 0.4 * canvas.amount) + (rng.random() < 0.2)]:
        corner = np.array([corner % 2, corner // 2])
        reach = canvas.side * np.exp(rng.uniform(-3, -0.8, 2))
        inward, outside = 1 - 2 * corner, corner * size + (2 * corner - 1) * canvas.side
        start, end = corner * size + (inward[0] * reach[0], 0), corner * size + (0, inward[1] * reach[1])
        # a little beyond the rim
        start[1], end[0] = (0.97 * start[1] + 0.03 * outside[1], 0.97 * end[0] + 0.03 * outside[0])
        _tear(canvas, rng, [start, end], outside)


def torn_edges(canvas, rng):
    """A strip missing along one or two sides, over the whole side or a part of it."""
    size = np.array([canvas.width, canvas.height], float)
    for side in rng.permutation(4)[: 1 + (rng.random() < 0.4)]:
        along, far = side // 2, side % 2  # the axis that the edge runs along; its far or near one
        ends = sorted(rng.uniform(-0.1, 1.1, 2)) if rng.random() < 0.4 else [-0.1, 1.1]
        points = np.empty((2, 2))
        points[:, along] = np.array(ends) * size[along]
        depth = canvas.side * np.exp(rng.uniform(-4.5, -1.7, 2)) * (1 if ends[0] < 0 else -0.02)
        points[:, 1 - along] = size[1 - along] - depth if far else depth
        if ends[0] >= 0:  # a bite: from the rim into the picture and back
            middle = points.mean(0)
            middle[1 - along] += (-1 if far else 1) * canvas.side * exp(rng.uniform(-3.5, -1.5))
            points = np.stack([points[0], middle, points[1]])
        outside = points.mean(0)
        outside[1 - along] += (1 if far else -1) * canvas.side
        _tear(canvas, rng, points, outside)
