"""Breaks in emulsion and paper: cracks, folds, rips, creases, peels, holes.

Each kind is drawn by a function of its own: (canvas, rng).
"""

from math import cos, exp, hypot, pi, sin

import numpy as np

from data.synthesis.canvas import branch, edge_point, flake, fractal, line, outline, polygon, walk


def cracks(canvas, rng):
    """Branching jagged cracks in the emulsion, with light and dark rims and small losses at the forks."""
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
        if rng.random() < 0.25:  # open without loss: little more than a light and a dark side
            canvas.paint(
                layer, canvas.tone(rng, 0.5), rng, rng.uniform(0, 0.4), broken, rng.uniform(0.2, 0.6)
            )
        else:
            canvas.paint(
                layer, canvas.tone(rng, 0.85), rng, rng.uniform(0.6, 1), broken, rng.uniform(0, 0.35), 0.03
            )


def folds(canvas, rng):
    """A fold from edge to edge: relief on both sides, a core that is white in places, crumbs beside it."""
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
            # one flank faces the lamp, the other faces away
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
    """A rip, from edge to edge or ending inside the picture: a band of torn paper with two different ragged
    sides.
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
    """Flaked-off emulsion: flat paper tone, jagged sharp edges, a shadow at the rim, cracks leading away."""
    for _ in range(canvas.count(rng, 1, 5)):
        layer, draw = canvas.layer()
        center = canvas.point(rng) if rng.random() < 0.6 else edge_point(canvas, rng)[0]
        radius = canvas.side * exp(rng.uniform(-4.2, -1.5))
        for _ in range(rng.integers(1, 5)):
            shape = flake(rng, center, radius)
            polygon(draw, shape)
            center, radius = shape[rng.integers(len(shape))], radius * rng.uniform(0.3, 0.8)
        for _ in range(rng.integers(0, 4)):
            start = shape[rng.integers(len(shape))]
            width, length = canvas.pen * rng.uniform(0.6, 1.6), canvas.side * rng.uniform(0.05, 0.3)
            branch(rng, draw, start, rng.uniform(0, 2 * pi), length, width, 1, [])
        relief, mottle = rng.uniform(-0.3, 0.3), rng.uniform(0.005, 0.05)
        if found := canvas.box(layer):
            tone = canvas.bare_tone(*found, rng, light=0.8)
            canvas.cover(*found, tone, rng, rng.uniform(0.8, 1), 0, relief, mottle, lost=True)


def pinholes(canvas, rng):
    """Round or ragged holes through the paper: pins, punches, worms."""
    layer, draw = canvas.layer()
    for _ in range(canvas.count(rng, 1, 4)):
        radius = canvas.side * exp(rng.uniform(-4.5, -2.6))
        polygon(draw, outline(rng, canvas.point(rng), radius, rng.choice([0.03, 0.5]), 30, 1.3))
    tone = rng.choice([0.02, canvas.light, 1.0])
    canvas.paint(layer, tone, rng, 1.0, 0, rng.uniform(-0.3, 0.3), 0.01, lost=True)
