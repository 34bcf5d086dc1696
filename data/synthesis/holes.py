"""Hole masks for training inpainting, shaped like damage."""

from math import exp, pi

import numpy as np

from data.synthesis.canvas import Canvas, branch, edge_point, line, outline, polygon, walk


def draw_holes(size, rng, share=(0.01, 0.25), textures=None):
    """A mask of damage-like shapes only, for training inpainting: (H, W) uint8, 255 in holes.

    size: (height, width); share: range of the share of hole pixels, from which the target is drawn
    log-uniformly.
    """
    area = size[0] * size[1]
    goal = area * exp(rng.uniform(*np.log(share)))
    canvas = Canvas(np.zeros(size, np.float32), rng, textures)
    mask, have = np.zeros(size, bool), 0
    for attempt in range(400):
        if have >= goal:
            break
        radius = max(1.0, ((goal - have) / pi) ** 0.5)
        layer = _shape(canvas, rng, rng.integers(5) if attempt < 40 else 0, radius)
        found = canvas.box(layer, margin=0)
        if found is None:
            continue
        here, alpha = found
        more = mask.copy()
        more[here] |= alpha > 96 / 255
        count = np.count_nonzero(more)
        if count <= min(share[1] * area, 1.3 * goal + 4):
            mask, have = more, count
    return mask.view(np.uint8) * np.uint8(255)


def _shape(canvas, rng, kind, radius):
    """A layer with shapes of one kind: 0, 1 a blot, 2 a branching crack, 3 strokes, 4 a real defect."""
    layer, draw = canvas.layer()
    if kind == 0 or kind == 1:
        center = edge_point(canvas, rng)[0] if rng.random() < 0.3 else canvas.point(rng)
        polygon(draw, outline(rng, center, radius * rng.uniform(0.2, 0.9), 0.8, 40, 3))
    elif kind == 2:
        at_edge = rng.random() < 0.4
        start, angle = edge_point(canvas, rng) if at_edge else (canvas.point(rng), rng.uniform(0, 2 * pi))
        width = rng.uniform(1.5, 5) if rng.random() < 0.7 else rng.uniform(5, 16)
        branch(rng, draw, start, angle, min(canvas.side, radius * 6), width, 2, [])
    elif kind == 3:
        for _ in range(rng.integers(1, 20)):
            start, angle, length = canvas.point(rng), rng.uniform(0, 2 * pi), rng.uniform(0.02, 0.4)
            line(draw, walk(rng, start, angle, canvas.side * length, 8, 0.1, 0.1), rng.uniform(1, 4))
    elif canvas.textures:
        shape = canvas.textures.draw(rng, exp(rng.uniform(-1, 0.5)))
        x, y = (2 * canvas.point(rng)).astype(int)
        layer.paste(shape, (int(x) - shape.width // 2, int(y) - shape.height // 2))
    return layer
