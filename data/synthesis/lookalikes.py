"""Hard negatives: undamaged content that looks like damage but is regular, smooth or shaded."""

from math import cos, pi, sin

import numpy as np

from data.synthesis import faces, lettering, prints, reproductions
from data.synthesis.canvas import Canvas, line, outline, polygon, walk
from data.synthesis.textures import blur, clouds


def wires(canvas, rng):
    """Cables and ropes: constant width, one smooth curve across the picture, soft edge; mostly dark, since
    white lines are folds.
    """
    layer, draw = canvas.layer()
    tone, width = rng.uniform(0, 0.35) if rng.random() < 0.85 else rng.uniform(0.7, 1), rng.uniform(0.8, 4)
    top, slope, sag = rng.uniform(0, canvas.height), rng.normal(0, 0.4), rng.uniform(0, 0.25) * canvas.height
    x = np.linspace(-5, canvas.width + 5, 24)
    for number in range(rng.integers(1, 5)):
        y = (
            top
            + number * rng.uniform(5, 25)
            + slope * x
            + 4 * sag * (x / canvas.width) * (1 - x / canvas.width)
        )
        line(draw, np.stack([x, y], 1), width)
    canvas.paint(layer, tone, rng, rng.uniform(0.7, 1), soft=1)


def _patch(canvas, rng, low=0.08, high=0.45):
    """A piece of cloth: a smooth outline as a layer, its slices and alpha."""
    layer, draw = canvas.layer()
    radius = canvas.side * rng.uniform(low, high)
    polygon(draw, outline(rng, canvas.point(rng), radius, rng.uniform(0.05, 0.4), 90, 2.5, 0.0))
    here, alpha = canvas.box(layer) or (np.s_[:1, :1], np.zeros((1, 1), np.float32))
    return here, blur(alpha, 0.24)


def _waves(shape, rng, pitch, angle=None):
    """(H, W) float32 phase of stripes `pitch` px apart, slightly bent as on cloth."""
    angle = rng.uniform(0, pi) if angle is None else angle
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None]
    bend = np.float32(rng.uniform(0, 2)) * clouds(shape, rng, 3)
    return (x * cos(angle) + y * sin(angle)) * np.float32(2 * pi / pitch) + bend


def stripes(canvas, rng):
    """Striped or checked cloth, regular over a patch; pin stripes on a dark suit."""
    here, alpha = _patch(canvas, rng)
    if rng.random() < 0.3:
        canvas.picture[here] += 0.9 * alpha * (rng.uniform(0.02, 0.25) - canvas.picture[here])
    pitch, angle = rng.uniform(4, 24), rng.uniform(0, pi)
    wave = np.sin(_waves(alpha.shape, rng, pitch, angle))
    if rng.random() < 0.4:
        wave = 0.5 * (wave + np.sin(_waves(alpha.shape, rng, pitch, angle + pi / 2)))
    wave = np.clip(rng.uniform(1, 6) * (wave - rng.uniform(-0.5, 0.95)), -1, 1)
    canvas.picture[here] += rng.choice([-1, 1]) * rng.uniform(0.08, 0.3) * alpha * wave


def lace(canvas, rng):
    """Lace, net, crochet: a light lattice of holes on a patch, sometimes with dots at its nodes."""
    here, alpha = _patch(canvas, rng, 0.06, 0.3)
    pitch, angle = rng.uniform(5, 16), rng.uniform(0, pi)
    u, v = (
        _waves(alpha.shape, rng, pitch, angle),
        _waves(alpha.shape, rng, pitch, angle + rng.choice([pi / 2, pi / 3])),
    )
    net = (
        np.maximum(np.cos(u), np.cos(v))
        if rng.random() < 0.5
        else np.cos(u) * np.cos(v) + 0.3 * np.cos(2 * u)
    )
    net = np.clip(rng.uniform(2, 6) * (net - rng.uniform(0.2, 0.7)), 0, 1)
    canvas.picture[here] += rng.uniform(0.4, 0.9) * alpha * net * (rng.uniform(0.7, 1) - canvas.picture[here])


def frays(canvas, rng):
    """Torn jeans: worn holes showing what is below, with pale threads across."""
    for _ in range(rng.integers(1, 4)):
        here, alpha = _patch(canvas, rng, 0.02, 0.1)
        canvas.picture[here] += rng.uniform(0.5, 1) * alpha * (rng.uniform(0.1, 0.8) - canvas.picture[here])
        threads = np.clip(
            2 * np.sin(_waves(alpha.shape, rng, rng.uniform(2.5, 6), pi / 2)) - rng.uniform(0, 1), 0, 1
        )
        canvas.picture[here] += (
            rng.uniform(0.5, 1) * alpha * threads * (rng.uniform(0.75, 1) - canvas.picture[here])
        )


def buttons(canvas, rng):
    """A row of equal round shiny things: buttons, beads, pearls, rivets."""
    layer, draw = canvas.layer()
    shine, glint = canvas.layer()
    start, angle, radius = (
        canvas.point(rng),
        rng.choice([pi / 2, rng.uniform(0, 2 * pi)]),
        rng.uniform(1.5, 8),
    )
    path = walk(rng, start, angle, radius * rng.uniform(10, 60), radius * rng.uniform(2, 7), 0.06)
    for x, y in (2 * path).tolist():
        draw.ellipse((x - 2 * radius, y - 2 * radius, x + 2 * radius, y + 2 * radius), 255)
        glint.ellipse((x - 1.4 * radius, y - 1.4 * radius, x - 0.1 * radius, y - 0.1 * radius), 255)
    tone = rng.choice([rng.uniform(0, 0.3), rng.uniform(0.7, 0.95)])
    canvas.paint(layer, tone, rng, rng.uniform(0.7, 1), relief=0.15, soft=0.7)
    canvas.paint(shine, rng.uniform(0.6, 1), rng, rng.uniform(0.3, 0.9), soft=1)


def strands(canvas, rng):
    """A lock of hair: many smooth converging curves, dark with a shine, or white."""
    start, angle = canvas.point(rng), rng.uniform(0, 2 * pi)
    length, spread = canvas.side * rng.uniform(0.15, 0.5), rng.uniform(3, 20)
    spine = walk(rng, start, angle, length, 10, 0.08)
    across = np.array([-sin(angle), cos(angle)])
    white = 0.4 * (rng.random() < 0.3)
    for tone in (white + rng.uniform(0, 0.25), white + rng.uniform(0.2, 0.6)):
        layer, draw = canvas.layer()
        for _ in range(rng.integers(10, 50)):
            drift = np.linspace(rng.normal(0, 0.5), rng.normal(0, 1), len(spine))[:, None] * spread
            line(draw, spine + drift * across, rng.uniform(0.5, 1.2), int(rng.integers(60, 220)))
        canvas.paint(layer, tone, rng, 0.8, soft=1)


def highlights(canvas, rng):
    """Small bright soft dots as in eyes, on jewels or on wet things; in pairs or alone."""
    for _ in range(rng.integers(1, 8)):
        x, y = canvas.point(rng)
        radius = rng.uniform(0.8, 5)
        gap = rng.choice([0, radius * rng.uniform(8, 20)])
        reach = int(3 * radius) + 1
        dots = np.arange(-reach, reach + 1, dtype=np.float32)
        dot = np.exp(-(dots[:, None] ** 2 + dots[None] ** 2) / (2 * radius * radius))
        top = int(y) - reach
        for left in sorted({int(x) - reach, int(x + gap) - reach}):
            if top < 0 or left < 0 or top + len(dot) > canvas.height or left + len(dot) > canvas.width:
                continue
            under = canvas.picture[top : top + len(dot), left : left + len(dot)]
            under -= rng.uniform(0, 0.5) * under * np.sqrt(dot)  # dark surroundings, as in an iris
            under += rng.uniform(0.4, 1) * dot * (rng.uniform(0.8, 1) - under)


def spectacles(canvas, rng):
    """Two rims of wire or horn with a bridge, sometimes with temples; the same curves also serve as hoops and
    chains.
    """
    layer, draw = canvas.layer()
    x, y = canvas.point(rng)
    radius, width, round_ = (
        canvas.side * np.exp(rng.uniform(-3.5, -1.8)),
        rng.uniform(0.8, 4),
        rng.uniform(0.6, 1),
    )
    turn, angles = rng.normal(0, 0.15), np.linspace(0, 2 * pi, 40)
    rim = (
        radius * np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** rng.uniform(0.6, 1),
        radius * round_ * np.sin(angles),
    )
    gap = radius * rng.uniform(1.15, 1.4)
    curves = [np.stack([rim[0] + side * gap, rim[1]], 1) for side in (-1, 1)]
    bridge = np.linspace(-1, 1, 8)
    curves.append(np.stack([(gap - radius) * bridge, radius * (0.25 * bridge**2 - rng.uniform(0.2, 0.5))], 1))
    if rng.random() < 0.6:
        curves += [
            side * np.array([(gap + radius, 0), (gap + 1.8 * radius, -0.1 * radius)]) * (1, side)
            for side in (-1, 1)
        ]
    for curve in curves:
        line(draw, curve @ np.array([(cos(turn), sin(turn)), (-sin(turn), cos(turn))]) + (x, y), width)
    tone, relief = rng.choice([rng.uniform(0, 0.3), rng.uniform(0.6, 1)]), rng.choice([0, 0.2])
    canvas.paint(layer, tone, rng, rng.uniform(0.6, 1), relief=relief, soft=rng.random())


def bright(canvas, rng):
    """Large bright areas such as white shirts, skies, paper: overexposed, or with smooth outlines, shading,
    folds.
    """
    if rng.random() < 0.65:
        gain = rng.uniform(1.3, 3) * np.clip(1 + 0.5 * clouds(canvas.shape, rng, 2), 0.5, 1.5)
        canvas.picture += np.clip(gain * canvas.picture, 0, rng.uniform(0.85, 1)) - canvas.picture
        return
    here, alpha = _patch(canvas, rng, 0.15, 0.4)
    alpha = alpha if rng.random() < 0.7 else blur(blur(alpha, 0.24), 0.24)
    shade = rng.uniform(0.75, 1.0) + rng.uniform(0.01, 0.12) * clouds(alpha.shape, rng, rng.integers(2, 8))
    if rng.random() < 0.5:  # folds of cloth
        shade += rng.uniform(0.01, 0.06) * np.sin(_waves(alpha.shape, rng, rng.uniform(15, 80)))
    # what is white still shows its texture; where nothing is left of it, the emulsion is gone
    under = canvas.picture[here]
    shade += np.float32(rng.uniform(0.15, 0.5)) * (under - under.mean())
    under += alpha * (shade - under)


def collars(canvas, rng):
    """White collars, cuffs, handkerchiefs, bows: bright polygons with straight or slightly curved sides and a
    soft shadow.
    """
    point, angle = canvas.point(rng), rng.uniform(-0.3, 0.3)
    size = canvas.side * rng.uniform(0.04, 0.2)
    corners = (
        size * rng.uniform(0.5, 1.3, (4, 1)) * np.array([(-1, -0.4), (0.05, -0.25), (0.3, 0.8), (-0.8, 0.5)])
    )
    for mirror in (1, -1):
        layer, draw = canvas.layer()
        shape = (
            corners * (mirror, 1) @ np.array([(cos(angle), sin(angle)), (-sin(angle), cos(angle))]) + point
        )
        polygon(draw, shape)
        canvas.paint(
            layer, rng.uniform(0.78, 1), rng, rng.uniform(0.8, 1), relief=rng.uniform(0, 0.2), soft=0.8
        )


KINDS = {  # name -> (function, relative frequency)
    kind.__name__: (kind, odds)
    for kind, odds in (
        (wires, 0.4),
        (stripes, 1.0),
        (lace, 1.0),
        (frays, 0.4),
        (buttons, 1.0),
        (lettering.written, 2.6),
        (strands, 0.8),
        (highlights, 1.3),
        (spectacles, 0.8),
        (prints.border, 0.5),  # scans.py draws more of them, in more detail
        (prints.film_edge, 0.3),
        (bright, 1.4),
        (collars, 1.2),
        (faces.eyes, 1.5),
        (faces.teeth, 0.6),
        (faces.pearls, 1.0),
        (faces.jewels, 1.5),
        (faces.freckles, 1.2),
        (faces.wrinkles, 0.9),
        (faces.mustache, 0.7),
        (faces.printed_cloth, 1.4),
        (faces.seams, 1.8),
        (faces.trimmings, 0.9),
        (faces.lights, 0.9),
        (reproductions.halftone, 0.3),
        (reproductions.engraving, 0.2),
        (reproductions.drawing, 0.2),
        (reproductions.moire, 0.15),
    )
}


def hard_negative(luma, rng, kinds=None):
    """The picture with undamaged content that looks like damage: one to four of `KINDS`, or the given
    `kinds`.

    luma: (H, W) float32 in [0, 1]. Returns the same shape and range. The mask of such content stays empty.
    """
    if kinds is None:
        odds = np.array([often for _, often in KINDS.values()])
        kinds = rng.choice(list(KINDS), rng.integers(1, 5), replace=False, p=odds / odds.sum())
    canvas = Canvas(luma.copy(), rng)
    for kind in kinds:
        KINDS[str(kind)][0](canvas, rng)
    return np.clip(canvas.picture, 0, 1, out=canvas.picture)
