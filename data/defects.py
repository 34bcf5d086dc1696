"""Synthetic damage and ageing of photographs, with masks of the damage that can be seen.

    picture, mask = sample(luma, np.random.default_rng([seed, n]), load_textures("textures"))

A picture is (H, W) float32 luma in [0, 1], a mask (H, W) uint8, 255 where damaged. Lengths are in pixels. All
chance comes from the Generator handed in. The kinds of damage are those that restorers list for prints,
tintypes and daguerreotypes; sizes follow masks drawn by hand on such photographs (cracks 2-4 px wide, specks
2-10 px).
"""

from itertools import pairwise
from math import cos, exp, hypot, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from data.ageing import Ageing, age, tint
from data.canvas import Canvas, edge_point, flake, fractal, line, outline, polygon, walk
from data.negatives import NEGATIVES, hard_negative
from data.textures import Textures, clouds, enlarge, grain, load_textures

__all__ = [
    "KINDS",
    "NEGATIVES",
    "Textures",
    "age",
    "damage",
    "hard_negative",
    "holes",
    "load_textures",
    "sample",
    "tint",
]


def _scratches(canvas, rng, light):
    """Long, thin, nearly straight, often broken."""
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
    """Many fine, nearly parallel scratches, as from wiping; often light and dark ones together."""
    angle, spread = rng.uniform(0, pi), rng.choice([0.02, 0.06, 0.2])
    centre, reach = canvas.point(rng), canvas.side * rng.uniform(0.15, 0.6)
    for light in ([1.0], [1.0], [0.0], [1.0, 0.0])[rng.integers(4)]:
        layer, draw = canvas.layer()
        number = 10 + int(140 * canvas.amount * rng.random() * canvas.area**0.5)
        starts = centre + rng.normal(0, reach, (number, 2))
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


def _branch(rng, draw, start, angle, length, width, depth, tips):
    """One crack with its branches; `tips` collects nodes where emulsion may come off."""
    path = walk(rng, start, angle, length, rng.uniform(2.5, 6), 0.08, rng.uniform(0.2, 0.6))
    taper = np.linspace(1, rng.uniform(0.3, 1), len(path) - 1)
    line(draw, path, width * taper * rng.uniform(0.5, 1.5, len(path) - 1))
    for _ in range(rng.integers(0, 4) if depth else 0):
        node = path[rng.integers(len(path))]
        tips.append(node)
        turn, thinner = rng.choice([-1, 1]) * rng.uniform(0.4, 1.4), rng.uniform(0.4, 0.9)
        _branch(
            rng, draw, node, angle + turn, length * rng.uniform(0.2, 0.7), width * thinner, depth - 1, tips
        )


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
        _branch(rng, draw, start, angle, canvas.side * rng.uniform(0.15, 0.9), width, 2, tips)
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
            canvas.picture += (
                rng.normal(0, 0.08) * away / (1 + away**4)
            )  # one flank towards the lamp, one away
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


def _specks(canvas, rng, number, sizes, light, spread):
    """Many small irregular polygons around a few centres."""
    layer, draw = canvas.layer()
    centres = rng.uniform(0, 1, (4, 2)) * (canvas.width, canvas.height)
    middles = centres[rng.integers(0, 4, number)] + rng.normal(0, 1, (number, 2)) * spread * canvas.side
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
    """Specks, often hundreds, mostly light ones (dust on the negative), spread evenly or in clouds."""
    for light in ([1.0], [1.0], [0.0], [1.0, 0.0])[rng.integers(4)]:
        number = 6 + int(rng.random() * (40 + 500 * canvas.amount**2) * canvas.area)
        _specks(canvas, rng, number, rng.uniform(0.6, 1.6), light, rng.choice([0.1, 0.3, 2.0]))


def spots(canvas, rng):
    """Few larger flakes and dots of mould or fixer, 5-20 px."""
    _specks(
        canvas,
        rng,
        canvas.count(rng, 4, 45),
        rng.uniform(2, 5),
        rng.choice([0.0, 1.0]),
        rng.choice([0.15, 2.0]),
    )


def _fibres(canvas, rng, number, lengths, turn, light):
    layer, draw = canvas.layer()
    for _ in range(number):
        length = canvas.pen * exp(rng.uniform(*np.log(lengths)))
        bend = rng.uniform(0.3, 1) * turn
        path = walk(rng, canvas.point(rng), rng.uniform(0, 2 * pi), length, 3, bend)
        line(draw, path, canvas.pen * rng.uniform(0.6, 1.5), int(rng.integers(150, 256)))
    canvas.paint(layer, canvas.tone(rng, light), rng, rng.uniform(0.5, 1), soft=0.5 * rng.random())


def hair(canvas, rng):
    """Smooth curved fibres lying on the print or the negative."""
    _fibres(canvas, rng, canvas.count(rng, 1, 5), (40, 400), 0.12, rng.choice([0.0, 1.0]))


def lint(canvas, rng):
    """Short curly fibres."""
    _fibres(canvas, rng, canvas.count(rng, 2, 30), (8, 40), 0.45, rng.choice([0.0, 1.0, 1.0]))


def stains(canvas, rng):
    """Soft blots of damp, darker or bleached, with the line that the tide left."""
    for _ in range(canvas.count(rng, 1, 4)):
        small = Image.new("L", (canvas.width // 6 + 1, canvas.height // 6 + 1))
        draw = ImageDraw.Draw(small)
        centre, radius = canvas.point(rng, 0.1) / 12, canvas.side * exp(rng.uniform(-3.2, -1.2)) / 12
        polygon(draw, outline(rng, centre, radius, 0.7, 50, rough=0.03))
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
    """A rubbed patch: the paper shows through in a crowd of small points, densest in the middle."""
    small = Image.new("L", (canvas.width // 8 + 1, canvas.height // 8 + 1))
    radius = canvas.side * exp(rng.uniform(-2.6, -1.2)) / 16
    polygon(ImageDraw.Draw(small), outline(rng, canvas.point(rng) / 16, radius, 0.6, 30, 4))
    region = (
        np.asarray(small.resize((canvas.width, canvas.height), Image.Resampling.BICUBIC), np.float32) / 255
    )
    points = grain(canvas.shape, rng, rng.integers(1, 3)) + 0.7 * clouds(canvas.shape, rng, 20)
    alpha = np.clip(2.5 * (points + 2.2 * region - rng.uniform(2.2, 3.2)), 0, 1) * (region > 0.02)
    canvas.picture += rng.uniform(0.5, 1) * alpha * (canvas.tone(rng, 0.85) - canvas.picture)


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
            _branch(rng, draw, start, rng.uniform(0, 2 * pi), length, width, 1, [])
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
        start[1], end[0] = (
            0.97 * start[1] + 0.03 * outside[1],
            0.97 * end[0] + 0.03 * outside[0],
        )  # a little beyond the rim
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


def tape(canvas, rng):
    """A strip of yellowed adhesive tape, or the glue it left."""
    layer, draw = canvas.layer()
    centre = edge_point(canvas, rng)[0] if rng.random() < 0.7 else canvas.point(rng)
    angle, length, width = (
        rng.uniform(0, 2 * pi),
        canvas.side * rng.uniform(0.15, 0.5),
        canvas.side * rng.uniform(0.04, 0.1),
    )
    way, across = length * np.array([cos(angle), sin(angle)]), width * np.array([-sin(angle), cos(angle)])
    cut = fractal(rng, centre + way + across, centre + way - across, 0.03, 4)
    polygon(draw, np.concatenate([cut, fractal(rng, centre - way - across, centre - way + across, 0.03, 4)]))
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
        centre, radius = canvas.point(rng), canvas.side * exp(rng.uniform(-4.3, -2.3))
        polygon(draw, outline(rng, centre, radius, 0.3, 40))
        for _ in range(rng.integers(0, 14)):
            angle, away = rng.uniform(0, 2 * pi), radius * exp(rng.uniform(0.1, 1.5))
            drop = centre + away * np.array([cos(angle), sin(angle)])
            polygon(draw, outline(rng, drop, radius * rng.uniform(0.04, 0.3), 0.2, 14))
        if rng.random() < 0.4:
            line(
                draw,
                walk(rng, centre, rng.uniform(0, 2 * pi), radius * 6, 5, 0.15),
                radius * rng.uniform(0.1, 0.4),
            )
    canvas.paint(layer, rng.uniform(0, 0.25), rng, rng.uniform(0.6, 1), soft=rng.random(), mottle=0.02)


def shapes(canvas, rng):
    """Real defects from scanned film and authored ones, from `textures`; without textures, flakes."""
    if not canvas.textures:
        return spots(canvas, rng)
    for _ in range(canvas.count(rng, 1, 6)):
        shape = canvas.textures.draw(rng, exp(rng.uniform(-1, 0.5)))
        layer, _ = canvas.layer()
        x, y = (2 * canvas.point(rng)).astype(int)
        layer.paste(shape, (int(x) - shape.width // 2, int(y) - shape.height // 2))
        canvas.paint(layer, canvas.tone(rng, 0.7), rng, rng.uniform(0.4, 1), 0, rng.choice([0, 0.15]), 0.02)


KINDS = {  # how often each is drawn, relative to the others
    light_scratches: 2.0,
    dark_scratches: 1.0,
    scratch_field: 1.2,
    cracks: 2.5,
    folds: 2.4,
    rips: 1.8,
    creases: 1.0,
    dust: 3.5,
    spots: 1.0,
    hair: 0.8,
    lint: 0.8,
    stains: 0.5,
    abrasion: 0.9,
    peels: 1.8,
    pinholes: 0.5,
    torn_corners: 1.2,
    torn_edges: 1.0,
    tape: 0.4,
    ink: 0.4,
    shapes: 1.5,
}
KINDS = {kind.__name__: (kind, often) for kind, often in KINDS.items()}


def _paint(luma, rng, textures, kinds, amount):
    amount = rng.random() if amount is None else amount
    if kinds is None:
        odds = np.array([often for _, often in KINDS.values()])
        number = 1 if rng.random() < 0.2 else int(rng.integers(2, 3 + round(5 * amount)))
        kinds = rng.choice(list(KINDS), min(number, len(KINDS)), replace=False, p=odds / odds.sum())
    canvas = Canvas(luma.copy(), rng, textures, amount)
    for kind in kinds:
        KINDS[str(kind)][0](canvas, rng)
    return np.clip(canvas.picture, 0, 1, out=canvas.picture)


def _visible(damaged, clean, noise=0.0):
    """The mask of what an eye finds: changes above 0.045, more where the picture is busy or grainy, without
    crumbs.
    """
    busy = Image.fromarray(np.abs(clean[:, 1:] - clean[:, :-1])).reduce(8)
    threshold = np.clip(0.035 + 0.5 * np.asarray(busy) + 0.7 * noise, 0.045, 0.09)
    seen = np.abs(damaged - clean) > enlarge(threshold, clean.shape)
    around = np.pad(seen.view(np.uint8), 1)
    around = around[:-2] + around[1:-1] + around[2:]
    around = around[:, :-2] + around[:, 1:-1] + around[:, 2:]
    return ((seen & (around > 2)) | (around > 5)).view(np.uint8) * np.uint8(255)


def damage(luma, rng, textures=None, kinds=None, amount=None):
    """Paint damage over a picture and say where it can be seen.

    luma: (H, W) float32 in [0, 1]; textures: from `load_textures`; kinds: names out of `KINDS`, default a
    random mixture of one to seven; amount: 0 (least) to 1 (heaviest), default random. Returns (damaged (H, W)
    float32 in [0, 1], mask (H, W) uint8, 0 or 255).
    """
    damaged = _paint(luma, rng, textures, kinds, amount)
    return damaged, _visible(damaged, luma)


def holes(size, rng, share=(0.01, 0.25), textures=None):
    """A mask of damage-like shapes alone, for training inpainting: (H, W) uint8, 255 in holes.

    size: (height, width); share: least and greatest share of hole pixels, the sum is drawn evenly over their
    logarithm.
    """
    area = size[0] * size[1]
    goal = area * exp(rng.uniform(*np.log(share)))
    canvas = Canvas(np.zeros(size, np.float32), rng, textures)
    mask, have = np.zeros(size, bool), 0
    for attempt in range(400):
        if have >= goal:
            break
        layer, draw = canvas.layer()
        radius = max(1.0, ((goal - have) / pi) ** 0.5)
        kind = rng.integers(5) if attempt < 40 else 0
        if kind == 0 or kind == 1:
            centre = edge_point(canvas, rng)[0] if rng.random() < 0.3 else canvas.point(rng)
            polygon(draw, outline(rng, centre, radius * rng.uniform(0.2, 0.9), 0.8, 40, 3))
        elif kind == 2:
            start, angle = (
                edge_point(canvas, rng) if rng.random() < 0.4 else (canvas.point(rng), rng.uniform(0, 2 * pi))
            )
            width = rng.uniform(1.5, 5) if rng.random() < 0.7 else rng.uniform(5, 16)
            _branch(rng, draw, start, angle, min(canvas.side, radius * 6), width, 2, [])
        elif kind == 3:
            for _ in range(rng.integers(1, 20)):
                path = walk(
                    rng,
                    canvas.point(rng),
                    rng.uniform(0, 2 * pi),
                    canvas.side * rng.uniform(0.02, 0.4),
                    8,
                    0.1,
                    0.1,
                )
                line(draw, path, rng.uniform(1, 4))
        elif textures:
            shape = textures.draw(rng, exp(rng.uniform(-1, 0.5)))
            x, y = (2 * canvas.point(rng)).astype(int)
            layer.paste(shape, (int(x) - shape.width // 2, int(y) - shape.height // 2))
        more = mask | (np.asarray(layer.reduce(2)) > 96)
        count = np.count_nonzero(more)
        if count <= min(share[1] * area, 1.3 * goal + 4):
            mask, have = more, count
    return mask.view(np.uint8) * np.uint8(255)


def sample(luma, rng, textures=None, clean_share=0.4, negative_share=0.4, new_share=0.25):
    """A training sample of the segment stage: (picture (H, W) float32 in [0, 1], mask (H, W) uint8, 0 or
    255).

    Ageing of the picture, damage, then ageing of both, so that damage lies over one grain and under another.
    Undamaged with probability `clean_share`, with hard negatives as picture content with probability
    `negative_share`, and not aged at all with probability `new_share`.
    """
    if rng.random() < negative_share:
        luma = hard_negative(luma, rng)
    old = rng.random() >= new_share
    under = age(luma, rng, old * rng.uniform(0, 1.1))
    over = Ageing(luma.shape, rng, old * rng.uniform(0, 0.6))
    clean = over.fade(under)
    if rng.random() < clean_share:
        return over.scan(clean), np.zeros(luma.shape, np.uint8)
    damaged = over.fade(_paint(under, rng, textures, None, None))
    mask = _visible(damaged, clean, over.noise)
    return over.scan(damaged), mask
