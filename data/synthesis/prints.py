"""Surroundings of a picture: the border of a print, the rim of a negative."""

import numpy as np
from PIL import Image, ImageDraw

from data.synthesis.canvas import Canvas, line


def _frame(canvas, rng, widths, share):
    """A layer that is white along the rim of the picture, and its width on each side (left, top, right,
    bottom) in px.

    widths: range relative to the picture, as logarithms; share: share of the sides that have a rim.
    """
    sides = canvas.side * np.exp(rng.uniform(*widths) + rng.normal(0, 0.15, 4)) * (rng.random(4) < share)
    frame = Image.new("L", (2 * canvas.width, 2 * canvas.height), 255)
    box = [2 * sides[0], 2 * sides[1], 2 * (canvas.width - sides[2]), 2 * (canvas.height - sides[3])]
    box = [edge if side else edge + (-80, -80, 80, 80)[at] for at, (edge, side) in enumerate(zip(box, sides))]
    ImageDraw.Draw(frame).rounded_rectangle(box, rng.choice([0, 0, rng.uniform(4, 60)]), 0)
    if rng.random() < 0.5:
        frame = frame.rotate(
            rng.normal(0, 1.2), Image.Resampling.BILINEAR, fillcolor=255 if sides.all() else 0
        )
    return frame, sides


def border(canvas, rng):
    """The white or cream border of a print, or the scanner's background beside it: straight clean edges,
    round corners.
    """
    tone = rng.choice(
        [rng.uniform(0.75, 1), rng.uniform(0.75, 1), rng.uniform(0, 0.15), rng.uniform(0.3, 0.75)]
    )
    frame, _ = _frame(canvas, rng, (-4.2, -1.7), rng.choice([0.4, 1.0]))
    canvas.paint(
        frame, tone, rng, relief=rng.choice([0, 0.15]), mottle=rng.uniform(0, 0.008), soft=rng.random()
    )


def film_edge(canvas, rng):
    """The clear rim of a negative, printed black, with perforations along two sides or a handwritten
    number.
    """
    frame, sides = _frame(canvas, rng, (-3.3, -2.2), rng.choice([0.5, 1.0]))
    black = rng.uniform(0, 0.12)
    canvas.paint(frame, black, rng, soft=rng.random())
    layer, draw = canvas.layer()
    depth = 2 * canvas.side * np.exp(rng.uniform(-3.3, -2.2))
    if rng.random() < 0.5:
        long, wide = depth * rng.uniform(0.5, 0.9), depth * rng.uniform(0.3, 0.6)
        pitch, radius, upright = (
            long * rng.uniform(1.4, 2.5),
            wide * rng.uniform(0.1, 0.4),
            rng.random() < 0.5,
        )
        length, across = (layer.height, layer.width) if upright else (layer.width, layer.height)
        for middle in (depth / 2, across - depth / 2):
            for start in np.arange(rng.uniform(-pitch, 0), length, pitch):
                box = [start, middle - wide / 2, start + long, middle + wide / 2]
                draw.rounded_rectangle([box[1], box[0], box[3], box[2]] if upright else box, radius, 255)
        layer.paste(0, mask=frame.point(lambda level: 255 - level))  # only where there is film
        canvas.paint(
            layer,
            rng.choice([rng.uniform(0.7, 1), rng.uniform(0.2, 0.6)]),
            rng,
            rng.uniform(0.7, 1),
            soft=rng.random(),
        )
    elif sides[1] or sides[3]:
        at, size = (sides[1] / 2, sides[1]) if sides[1] else (canvas.height - sides[3] / 2, sides[3])
        x = rng.uniform(0, canvas.width)
        for _ in range(rng.integers(3, 10)):
            x += 0.5 * size
            line(draw, (x, at) + size * rng.uniform(-0.3, 0.3, (4, 2)), max(0.8, 0.08 * size))
        canvas.paint(layer, rng.uniform(0.8, 1), rng, rng.uniform(0.7, 1), soft=0.5)


KINDS = {"border": border, "film_edge": film_edge}


def framed(luma: np.ndarray, cbcr: np.ndarray, rng) -> np.ndarray:
    """Luma (H, W) as a print with its border or a negative with its rim; `cbcr` (2, H, W) loses its color
    there, in place.
    """
    draw = KINDS[rng.choice(list(KINDS))]
    canvas = Canvas(luma.copy(), rng)
    draw(canvas, rng)
    framed = np.clip(canvas.picture, 0, 1, out=canvas.picture)
    cbcr *= np.abs(framed - luma) < 1e-3
    return framed
