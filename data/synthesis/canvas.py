"""Drawing on photographs: layers over a picture, and the random lines and outlines of defects.

Points are (x, y) in px; a path or outline is (n, 2). All randomness comes from the numpy Generator passed in.
"""

from math import cos, exp, hypot, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from data.synthesis.textures import blur, clouds, grain

WHOLE = np.s_[:, :]  # the slices of a whole picture


class Canvas:
    """A picture being drawn on.

    `pen` scales all thin defects of one picture; `amount` (0 to 1) is how many there are. `sheets`: in a
    whole scan, the pieces of paper that can be torn; see `scans.Sheet`. `lost`: where areas of the picture
    are gone, (H, W) bool, None if nowhere.
    """

    def __init__(self, picture, rng, textures=None, amount=0.5, sheets=()):
        self.picture = picture
        self.sheets, self.lost = sheets, None
        self.height, self.width = self.shape = picture.shape
        self.side = min(self.shape)
        self.area = min(self.height * self.width / 320**2, 4.0)  # for numbers that grow with the area
        self.textures = textures
        self.amount = amount
        self.pen = exp(rng.uniform(-0.35, 0.5))
        # all damage of a print shows the same paper and lacquer
        self.light, self.dark = (rng.uniform(0.8, 1.0), rng.uniform(0.0, 0.2))
        self.angle = rng.uniform(0, 2 * pi)  # direction of the scanner's lamp, for relief

    def tone(self, rng, light=0.75):
        return self.light if rng.random() < light else self.dark

    def bare_tone(self, here, alpha, rng, light=0.75, near=0.4):
        """The tone of what shows where the picture came off, which alpha, within the slices `here`, covers.

        near: how often it is not far from the picture's own, as bare paper in scans often is; otherwise that
        of `tone`.
        """
        if rng.random() >= near:
            return self.tone(rng, light)
        covered = float((alpha * self.picture[here]).sum() / max(1e-6, alpha.sum()))
        contrast = rng.uniform(0.1, 0.4) * (1 if rng.random() < light else -1)
        return float(np.clip(covered + contrast, 0.05, 0.97))

    def point(self, rng, margin=0.0):
        return rng.uniform(-margin, 1 + margin, 2) * (self.width, self.height)

    def count(self, rng, low, high):
        """A random number of things, growing with the amount of damage."""
        return int(low + (high - low) * self.amount**1.5 * rng.random() + rng.random())

    def layer(self):
        """An empty layer at twice the size, where (x, y) px of the picture is at (2 x, 2 y); this is smooth
        enough.
        """
        layer = Image.new("L", (2 * self.width, 2 * self.height))
        return layer, ImageDraw.Draw(layer)

    def box(self, layer, margin=4):
        """The slices that a layer covers, and its alpha there, (h, w) float32 in [0, 1]; None if it
        is empty.
        """
        box = layer.getbbox()
        if box is None:
            return None
        left, top = max(0, box[0] // 2 - margin), max(0, box[1] // 2 - margin)
        right, bottom = min(self.width, box[2] // 2 + margin + 1), min(self.height, box[3] // 2 + margin + 1)
        alpha = np.asarray(layer.crop((2 * left, 2 * top, 2 * right, 2 * bottom)).reduce(2), np.float32) / 255
        return np.s_[top:bottom, left:right], alpha

    def relief(self, alpha, height):
        """Lights one flank of what alpha (H, W) covers and darkens the other, by `height`."""
        padded = np.pad(alpha, 2, mode="edge")
        dx, dy = round(1.4 * cos(self.angle)), round(1.4 * sin(self.angle))
        lit, shaded = (
            padded[2 + way * dy : 2 + way * dy + self.height, 2 + way * dx : 2 + way * dx + self.width]
            for way in (1, -1)
        )
        self.picture += np.float32(height) * (lit - shaded)

    def lose(self, here, alpha):
        """Marks the picture as lost where alpha, within the slices `here`, is above 0.5."""
        if self.lost is None:
            self.lost = np.zeros(self.shape, bool)
        self.lost[here] |= alpha > 0.5

    def replace(self, alpha, field, opacity=1.0):
        """Shows a tone or a field (H, W) where alpha (H, W) is 1; the picture is lost there."""
        self.picture += alpha * opacity * (field - self.picture)
        self.lose(WHOLE, alpha)

    def paint(self, layer, *args, **kwargs):
        """Lays a tone over the picture where the layer is white; further arguments as for `cover`."""
        if found := self.box(layer):
            self.cover(*found, *args, **kwargs)

    def cover(
        self, here, alpha, tone, rng, opacity=1.0, breaks=0.0, relief=0.0, mottle=0.0, soft=0.0, lost=False
    ):
        """Lays `tone` over the picture where alpha, within the slices `here`, is 1. Modifies alpha.

        breaks: approximate share of it that is missing again; relief: height of light and dark rims; mottle:
        standard deviation of the tone; soft: 0 sharp to 1; lost: whether covered pixels count as lost.
        """
        if breaks:
            gaps = clouds(alpha.shape, rng, max(alpha.shape) / rng.uniform(12, 60)) + 0.4 * grain(
                alpha.shape, rng, 3
            )
            alpha *= np.clip(1.5 - 2 * breaks + gaps, 0, 1)
        if soft:
            blur(blur(alpha, 0.24 * soft), 0.24 * soft)
        under = self.picture[here]
        if relief and min(alpha.shape) > 8:
            height = np.pad(blur(blur(alpha.copy(), 0.24), 0.24), 2, mode="edge")
            reach, (rows, columns) = int(rng.integers(1, 3)), alpha.shape
            dx, dy = round(reach * cos(self.angle)), round(reach * sin(self.angle))
            lit = height[2 + dy : 2 + dy + rows, 2 + dx : 2 + dx + columns]
            under += relief * (lit - height[2 - dy : 2 - dy + rows, 2 - dx : 2 - dx + columns])
        if mottle:
            tone = tone + mottle * grain(alpha.shape, rng, 3) + 0.5 * mottle * grain(alpha.shape, rng, 1)
        if lost:
            self.lose(here, alpha)
        alpha *= opacity
        under += alpha * (tone - under)


def line(draw, points, widths, level=255):
    """A line through (n, 2) points in px; `widths` in px, one or n - 1 of them, in steps of half a pixel."""
    flat = (2 * np.asarray(points)).tolist()
    if np.ndim(widths) == 0:
        draw.line(
            [tuple(point) for point in flat],
            level,
            max(1, round(2 * widths)),
            "curve" if widths > 1.6 else None,
        )
        return
    for (x0, y0), (x1, y1), width in zip(
        flat, flat[1:], np.maximum(1, np.rint(2 * widths)).astype(int).tolist()
    ):
        draw.line((x0, y0, x1, y1), level, width)


def polygon(draw, points):
    """A filled polygon of (n, 2) points in px."""
    draw.polygon([tuple(point) for point in (2 * np.asarray(points)).tolist()], 255)


def walk(rng, start, angle, length, step=4.0, turn=0.0, jag=0.0):
    """A path of (n, 2) points: `turn` bends it smoothly, `jag` lets every step stray (radians)."""
    steps = max(2, int(length / step))
    angles = angle + np.cumsum(rng.normal(0, turn, steps)) + rng.normal(0, jag, steps)
    return start + np.concatenate(
        [np.zeros((1, 2)), step * np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0)]
    )


def fractal(rng, start, end, rough=0.1, levels=6):
    """(2^levels + 1, 2) points from start to end by midpoint displacement; `rough` is relative to length."""
    points, reach = np.stack([start, end]).astype(float), rough * hypot(*(np.asarray(end) - start))
    for _ in range(levels):
        middle = (points[1:] + points[:-1]) / 2 + rng.normal(0, reach, (len(points) - 1, 2))
        merged = np.empty((2 * len(points) - 1, 2))
        merged[::2], merged[1::2] = points, middle
        points, reach = merged, reach * 0.55
    return points


def outline(rng, center, radius, jag=0.5, points=40, stretch=2.0, rough=0.12):
    """A closed irregular outline, (points, 2): harmonics of decreasing size, plus a random offset `rough` per
    point.
    """
    angles = np.linspace(0, 2 * pi, points, endpoint=False)
    waves = np.arange(1, 9)
    sizes = rng.normal(0, 1, 8) / waves**1.2
    radii = 1 + jag * 0.6 * np.sin(np.outer(angles, waves) + rng.uniform(0, 2 * pi, 8)) @ sizes
    radii = radius * np.maximum(0.15, radii + rng.normal(0, rough * jag, points))
    squeeze, turn = exp(rng.uniform(0, np.log(stretch)) / 2), rng.uniform(0, 2 * pi)
    x, y = radii * np.cos(angles) * squeeze, radii * np.sin(angles) / squeeze
    return np.stack([x * cos(turn) - y * sin(turn), x * sin(turn) + y * cos(turn)], 1) + center


def flake(rng, center, radius):
    """The outline of a flake of emulsion: few corners, sides ragged at every scale."""
    corners = outline(rng, center, radius, 0.8, rng.integers(5, 13), 3, 0.25)
    return np.concatenate(
        [fractal(rng, *pair, 0.08, 3)[:-1] for pair in zip(corners, np.roll(corners, -1, 0))]
    )


def edge_point(canvas, rng):
    """A point on the rim of the picture and the angle that points inwards."""
    side = rng.integers(4)
    at = rng.random()
    x, y = [(at, 0), (at, 1), (0, at), (1, at)][side]
    return np.array([x * canvas.width, y * canvas.height]), [pi / 2, -pi / 2, 0, pi][side] + rng.normal(
        0, 0.6
    )


def branch(rng, draw, start, angle, length, width, depth, tips):
    """One crack with its branches; `tips` collects nodes where emulsion may flake off."""
    path = walk(rng, start, angle, length, rng.uniform(2.5, 6), 0.08, rng.uniform(0.2, 0.6))
    taper = np.linspace(1, rng.uniform(0.3, 1), len(path) - 1)
    line(draw, path, width * taper * rng.uniform(0.5, 1.5, len(path) - 1))
    for _ in range(rng.integers(0, 4) if depth else 0):
        node = path[rng.integers(len(path))]
        tips.append(node)
        turn, thinner = rng.choice([-1, 1]) * rng.uniform(0.4, 1.4), rng.uniform(0.4, 0.9)
        branch(
            rng, draw, node, angle + turn, length * rng.uniform(0.2, 0.7), width * thinner, depth - 1, tips
        )
