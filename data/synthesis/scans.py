"""Whole scans: prints on a scanner's lid, an album page, a card, behind a mat; the rebate of a negative.

    scan = compose(photo, rng)

Nothing in a scan is damage. The photograph fills the square that the network sees and is cropped where its
print ends, so corners and borders lie within the square and are as large as in a real scan. All randomness
comes from the numpy Generator passed in. Distances are in px, negative inside.
"""

from dataclasses import dataclass
from math import cos, exp, pi, radians, sin

import numpy as np

from data.synthesis import furniture
from data.synthesis.lettering import contrast, imprint, lay, number, piece, script, seal, typeset
from data.synthesis.textures import clouds, grain

FAR = 4.0  # in sides of the square: position of an edge outside it


@dataclass
class Sheet:
    """A piece of paper in a scan.

    Its distance (H, W), its corners (4, 2) in px clockwise from the top left, and the scan without it, (H,
    W).
    """

    distance: np.ndarray
    corners: np.ndarray
    behind: np.ndarray


class Frame:
    """Coordinates along the sides of a slightly tilted print; boxes are left, top, right, bottom."""

    def __init__(self, shape, rng):
        self.shape, self.side = shape, min(shape)
        self.angle = radians(np.clip(rng.normal(0, 1.6), -5, 5)) * (rng.random() < 0.85)
        self.middle = np.array([shape[1] / 2, shape[0] / 2])
        x = np.arange(shape[1], dtype=np.float32)[None] + np.float32(0.5 - self.middle[0])
        y = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(0.5 - self.middle[1])
        c, s = np.float32(cos(self.angle)), np.float32(sin(self.angle))
        self.u, self.v = c * x + s * y, c * y - s * x

    def points(self, points):
        """(n, 2) along the print's sides -> px."""
        u, v = np.asarray(points, float).T
        c, s = cos(self.angle), sin(self.angle)
        return np.stack([c * u - s * v, s * u + c * v], 1) + self.middle

    def corners(self, box):
        left, top, right, bottom = box
        return self.points([(left, top), (right, top), (right, bottom), (left, bottom)])

    def distance(self, box, radius=0.0):
        """To a rectangle with rounded corners, (H, W) float32."""
        left, top, right, bottom = (np.float32(edge) for edge in box)
        x = abs(self.u - (left + right) / 2) - ((right - left) / 2 - np.float32(radius))
        y = abs(self.v - (top + bottom) / 2) - ((bottom - top) / 2 - np.float32(radius))
        inside = np.minimum(np.maximum(x, y), 0)
        if not radius:
            return np.maximum(x, y)
        return np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + inside - np.float32(radius)

    def oval(self, box):
        """Approximate distance to the ellipse in a box; exact on its outline."""
        left, top, right, bottom = (np.float32(edge) for edge in box)
        a, b = (right - left) / 2, (bottom - top) / 2
        x, y = (self.u - (left + right) / 2) / a, (self.v - (top + bottom) / 2) / b
        reach = np.sqrt(x * x + y * y)
        return (reach - 1) * reach / np.maximum(np.hypot(x / a, y / b), 1e-6)

    def box(self, rng):
        """The box of a photograph of which the square shows one side, a corner, two sides, or everything."""
        visible = np.array([(1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 0), (1, 1, 1, 1)])[
            rng.choice(4, p=(0.3, 0.4, 0.1, 0.2))
        ]
        visible = np.roll(visible, rng.integers(4))
        inset = self.side * np.exp(rng.uniform(np.log(0.025), np.log(0.42 if visible.sum() < 3 else 0.25), 4))
        half = np.array([self.shape[1], self.shape[0]] * 2) / 2
        return np.array([-1, -1, 1, 1]) * np.where(visible, half - inset, FAR * self.side)


def grown(box, widths):
    """A box with a margin around it; `widths` is one number or four."""
    return np.asarray(box) + np.array([-1, -1, 1, 1]) * widths


class Composition:
    """A scan being put together, from the lid up."""

    def __init__(self, photo, rng):
        self.photo, self.frame, self.side = photo, Frame(photo.shape, rng), min(photo.shape)
        self.picture = lid(photo.shape, rng)
        self.sheets, self.papers = [], []

    def ground(self, field):
        """Fills the square with paper in place of the lid."""
        self.picture = field
        self.papers.append(np.full(field.shape, -1, np.float32))

    def keep_to_paper(self, damaged, clean):
        """Undoes what was drawn outside the paper, on the lid: in place."""
        beside = np.clip(0.5 + np.minimum.reduce(self.papers), 0, 1)
        damaged += beside * (clean - damaged)

    def fill(self, distance, field, soft=0.0):
        """Lays a tone or a field (H, W) where `distance` is below 0. soft: width of the soft edge in px,
        beyond 1.
        """
        alpha = np.clip(0.5 - distance / np.float32(1 + soft), 0, 1)
        self.picture += alpha * (field - self.picture)

    def sheet(self, box, distance, field, rng):
        """Lays a piece of paper with its shadow."""
        self.sheets.append(Sheet(distance, self.frame.corners(box), self.picture.copy()))
        self.papers.append(distance)
        if rng.random() < 0.75:
            shift, reach = rng.normal(0, 0.004 * self.side, 2), rng.uniform(1, 0.02 * self.side + 2)
            below = self.frame.distance(box + np.concatenate([shift, shift]))
            self.picture *= 1 - np.float32(rng.uniform(0.1, 0.6)) * np.exp(-np.maximum(below, 0) / reach)
        self.fill(distance, field)
        if rng.random() < 0.5:  # the thickness of the paper, lit or in shadow
            self.line(distance, -rng.uniform(0.5, 1.5), rng.uniform(0.8, 2), rng.uniform(0, 1), 0.4)

    def line(self, distance, at, width, tone, opacity=1.0):
        """Draws a line along an outline, `at` px from it, `width` px wide."""
        alpha = np.clip(0.5 + np.float32(width / 2) - abs(distance - np.float32(at)), 0, 1)
        self.picture += np.float32(opacity) * alpha * (np.float32(tone) - self.picture)

    def emboss(self, distance, at, width, depth):
        """Draws a groove along an outline: a light and a dark side, swapped on the sides away from
        the lamp.
        """
        step = max(1, round(width / 2))
        slope = np.clip(1 - abs(distance - np.float32(at)) / np.float32(width), 0, 1)
        self.picture[step:, step:] += np.float32(depth) * (slope[step:, step:] - slope[:-step, :-step])


def lid(shape, rng):
    """The scanner's background beside a print: white, black or grey, slightly uneven, (H, W) float32."""
    tone = (rng.uniform(0.9, 1.02), rng.uniform(0, 0.14), rng.uniform(0.2, 0.88))[rng.integers(3)]
    field = np.full(shape, tone, np.float32)
    field += np.float32(rng.uniform(0, 0.015)) * clouds(shape, rng, 2)
    field += np.linspace(0, rng.normal(0, 0.02), shape[1], dtype=np.float32)
    return field


def paper(shape, rng, tone, rough=1.0):
    """Card or paper (H, W) float32: cloudy, fibrous, laid, woven or leather-grained."""
    field = np.full(shape, tone, np.float32)
    field += np.float32(0.015 * rough * rng.random()) * clouds(shape, rng, rng.integers(2, 9))
    field += np.float32(0.012 * rough * rng.random()) * grain(shape, rng, rng.integers(1, 4))
    kind = rng.random()
    if kind < 0.3 * rough:
        y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None]
        depth, pitch = rng.uniform(0.005, 0.03), rng.uniform(2.5, 7)
        field += np.float32(depth) * (
            np.sin(x * np.float32(2 * pi / pitch)) + (kind < 0.15) * np.sin(y * np.float32(2 * pi / pitch))
        )
    elif kind < 0.4 * rough:
        field += np.float32(rng.uniform(0.01, 0.04)) * grain(shape, rng, 3)
    return field


def _deckled(scan, distance, rng):
    """The cut of prints between 1925 and 1965: waves, scallops, points, or bites of uneven depth."""
    pitch = rng.uniform(5, 28) * scan.side / 320
    depth = exp(rng.uniform(np.log(0.8), np.log(0.4 * pitch + 1)))
    bend = np.float32(rng.uniform(0, 1.5)) * clouds(distance.shape, rng, 8)
    along = [axis * np.float32(2 * pi / pitch) + bend for axis in (scan.frame.u, scan.frame.v)]
    cut = rng.choice([np.sin, _scallop, _point], p=(0.5, 0.3, 0.2))
    wave = rng.choice([-1, 1]) * (cut(along[0]) + cut(along[1]))
    wave *= 1 + np.float32(rng.uniform(0, 0.4)) * clouds(distance.shape, rng, 8)
    wave += np.float32(rng.uniform(0, 0.5)) * grain(distance.shape, rng, 3)
    return distance + np.float32(0.5 * depth) * wave


def _scallop(phase):
    return 2 * np.abs(np.sin(phase / 2)) - 1


def _point(phase):
    return np.float32(2 / pi) * np.arcsin(np.sin(phase))


def _print(scan, rng, box, bordered=0.8):
    """The photograph with its border as a sheet; returns the box of the sheet."""
    border = np.zeros(4)
    if rng.random() < bordered:
        border = scan.side * exp(rng.uniform(np.log(0.012), np.log(0.11))) * np.exp(rng.normal(0, 0.12, 4))
        if rng.random() < 0.12:  # an instant picture: broad below
            border[3] *= 3.5
    outer, radius = grown(box, border), rng.choice([0, 0, 0, scan.side * rng.uniform(0.006, 0.06)])
    distance = scan.frame.distance(outer, radius)
    if border.any() and rng.random() < 0.4:
        distance = _deckled(scan, distance, rng)
    tone = rng.choice(
        [rng.uniform(0.82, 1), rng.uniform(0.82, 1), rng.uniform(0.6, 0.85), rng.uniform(0, 0.15)]
    )
    if not border.any():
        scan.sheet(outer, distance, scan.photo, rng)
        return outer
    scan.sheet(outer, distance, paper(scan.photo.shape, rng, tone, 0.3), rng)
    inner = scan.frame.distance(box, rng.choice([0, 0, rng.uniform(0, 0.08 * scan.side)]))
    if rng.random() < 0.25:
        scan.line(inner, rng.uniform(0, 0.6) * border.min(), rng.uniform(0.7, 3), rng.choice([0.1, 0.95]))
    scan.fill(inner, scan.photo, rng.uniform(0, 1.5))
    if rng.random() < 0.45 and border.max() > 6:
        _caption(scan, rng, box, border)
    return outer


def _caption(scan, rng, box, widths, kinds=(script, script, typeset, number, imprint)):
    """Lettering in the broadest visible border, or along any."""
    half = np.array([scan.photo.shape[1], scan.photo.shape[0]] * 2) / 2
    seen = np.abs(box) < half - 4
    if not seen.any():
        return
    side = int(rng.choice(np.flatnonzero(seen)))
    room = min(widths[side], half[side] - abs(box[side])) if np.ndim(widths) else widths
    size = float(np.clip(room * rng.uniform(0.3, 0.75), 6, 0.12 * scan.side))
    along = rng.uniform(-0.4, 0.4) * scan.side
    across = box[side] + (-1, -1, 1, 1)[side] * rng.uniform(0.35, 0.65) * room
    (center,) = scan.frame.points([(along, across) if side % 2 else (across, along)])
    x, y = np.clip(center, 1, 2 * half[:2] - 1).astype(int)
    under = float(scan.picture[y - 1 : y + 1, x - 1 : x + 1].mean())
    turn = scan.frame.angle + (0 if side % 2 else rng.choice([-pi / 2, pi / 2])) + rng.normal(0, 0.015)
    lay(scan.picture, piece(rng, size, kinds), center, turn, contrast(rng, under), rng.uniform(0.5, 1))


def snapshot(scan, rng):
    """A print with its border on the lid, sometimes with another one beside it, or a chart or ruler at the
    rim.
    """
    box = scan.frame.box(rng)
    if rng.random() < 0.3:
        _second(scan, rng, box)
    _print(scan, rng, box)
    if rng.random() < 0.2:
        furniture.at_the_rim(scan.picture, rng)


def album(scan, rng):
    """A print on an album page: textured, black, grey or cream, with captions and photo corners."""
    tone = rng.choice(
        [rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3), rng.uniform(0.35, 0.7), rng.uniform(0.75, 0.95)]
    )
    page = paper(scan.photo.shape, rng, tone, 1.5)
    if rng.random() < 0.7:
        scan.ground(page)
    else:
        outer = grown(scan.frame.box(rng), scan.side * rng.uniform(0.02, 0.1))
        scan.sheet(outer, scan.frame.distance(outer), page, rng)
    box = scan.frame.box(rng)
    if rng.random() < 0.45:
        _second(scan, rng, box)
    outer = _print(scan, rng, box)
    if rng.random() < 0.3:
        furniture.photo_corners(scan, rng, outer)
    if rng.random() < 0.6:
        _caption(scan, rng, outer, 0.14 * scan.side, (script, script, script, typeset, number))


def _second(scan, rng, box):
    """The edge of another print beside the first: the same photograph rotated, in another tone."""
    half = np.array([scan.photo.shape[1], scan.photo.shape[0]] * 2) / 2
    free = np.flatnonzero(np.abs(box) < 0.86 * half)
    if not len(free):
        return
    side, gap = int(rng.choice(free)), scan.side * rng.uniform(0.03, 0.25)
    other = np.array([-1, -1, 1, 1]) * FAR * scan.side
    other[(side + 2) % 4] = box[side] + (-1, -1, 1, 1)[side] * gap
    photo, shade = scan.photo, rng.uniform(0.5, 1)
    scan.photo = np.ascontiguousarray(photo[::-1, ::-1]) * np.float32(shade) + np.float32(
        rng.uniform(0, 1 - shade)
    )
    _print(scan, rng, other)
    scan.photo = photo
    scan.sheets.pop()


def card(scan, rng):
    """A cabinet card or mounted print: the photograph on card with rounded or square corners, lines and
    ornaments around it and an imprint below.
    """
    box = scan.frame.box(rng)
    widths = scan.side * np.exp(rng.uniform(np.log(0.02), np.log(0.3))) * np.exp(rng.normal(0, 0.2, 4))
    outer, radius = grown(box, widths), rng.choice([0, 0, scan.side * rng.uniform(0.006, 0.08)])
    tone = rng.choice(
        [rng.uniform(0.65, 0.98), rng.uniform(0.65, 0.98), rng.uniform(0.3, 0.65), rng.uniform(0.05, 0.3)]
    )
    distance = scan.frame.distance(outer, radius)
    scan.sheet(outer, distance, paper(scan.photo.shape, rng, tone), rng)
    if rng.random() < 0.3:  # a gilded or a bevelled edge
        scan.line(distance, 0, rng.uniform(2, 6), rng.uniform(0.2, 0.9), 0.8)
    inner = scan.frame.distance(box, rng.choice([0, 0, 0, scan.side * rng.uniform(0.006, 0.1)]))
    furniture.frames(scan, rng, box, inner, widths.min(), tone)
    if rng.random() < 0.3:
        scan.sheets.append(Sheet(inner, scan.frame.corners(box), scan.picture.copy()))
    scan.fill(inner, scan.photo, rng.uniform(0, 1))
    if rng.random() < 0.6:
        _caption(scan, rng, box, widths, (imprint, imprint, typeset, script, seal))


def mat(scan, rng):
    """Behind the opening of a mat, which is oval, arched or has cut corners, and a beveled edge.

    Tintypes, daguerreotypes and studio portraits are kept like this.
    """
    box = scan.frame.box(rng)
    box = np.clip(box, -1.2 * scan.side, 1.2 * scan.side)
    photo, tone = scan.photo, rng.uniform(0.15, 0.98)
    scan.ground(paper(photo.shape, rng, tone, rng.choice([0.5, 2.0])))
    kind = rng.random()
    if kind < 0.6:
        distance = scan.frame.oval(box)
    elif kind < 0.8:  # arched: an oval above, straight below
        low = scan.frame.distance(box - (0, 0.5 * scan.side * (box[3] > 0), 0, 0))
        distance = np.minimum(scan.frame.oval(box), np.maximum(low, box[1] * 0.3 - scan.frame.v))
    else:
        distance = scan.frame.distance(box, rng.uniform(0.05, 0.3) * scan.side)
    soft = rng.uniform(0, 1)
    if rng.random() < 0.5:
        bevel = rng.uniform(1.5, 7)
        scan.line(distance, bevel / 2, bevel, rng.choice([rng.uniform(0.8, 1), rng.uniform(0, 0.3)]), 0.9)
    if rng.random() < 0.6:
        furniture.frames(scan, rng, box, distance, 0.15 * scan.side, tone)
    shade = 1 - np.float32(rng.uniform(0, 0.5)) * np.exp(
        np.minimum(distance, 0) / np.float32(rng.uniform(1, 8))
    )
    scan.fill(distance, photo * shade, soft)


def vignette(scan, rng):
    """A portrait that fades into white or grey paper, as masked by camera or printer."""
    box = np.clip(scan.frame.box(rng), -0.9 * scan.side, 0.9 * scan.side)
    tone = rng.choice([rng.uniform(0.8, 1), rng.uniform(0.8, 1), rng.uniform(0.05, 0.3)])
    reach, distance = scan.side * rng.uniform(0.02, 0.25), scan.frame.oval(box)
    photo = scan.photo
    scan.photo = photo + np.clip(0.5 + distance / np.float32(reach), 0, 1) * (
        paper(photo.shape, rng, tone, 0.3) - photo
    )
    if rng.random() < 0.5:
        _print(scan, rng, scan.frame.box(rng), 0.5)
    else:
        scan.ground(scan.photo)


def negative(scan, rng):
    """The rebate of a negative, printed black or clear on the light table: perforations, frame numbers,
    notches, a holder's edge.
    """
    box = scan.frame.box(rng)
    black = rng.uniform(0, 0.12) if rng.random() < 0.8 else rng.uniform(0.85, 1)
    widths = scan.side * exp(rng.uniform(np.log(0.02), np.log(0.14))) * np.exp(rng.normal(0, 0.2, 4))
    outer, shape = grown(box, widths), scan.photo.shape
    field = np.float32(black) + np.float32(0.01) * grain(shape, rng, 2)
    scan.sheet(outer, scan.frame.distance(outer, rng.choice([0, rng.uniform(0, 12)])), field, rng)
    if rng.random() < 0.45:
        furniture.perforations(
            scan, rng, box, widths, rng.uniform(0.7, 1) if black < 0.5 else rng.uniform(0, 0.3)
        )
    elif rng.random() < 0.6:
        _caption(scan, rng, box, widths, (script, number, number, typeset))
    inner = scan.frame.distance(box, rng.choice([0, rng.uniform(0, 0.05 * scan.side)]))
    if rng.random() < 0.3:  # the mask of the holder left a wavy edge
        inner = inner + np.float32(rng.uniform(0.5, 2)) * clouds(shape, rng, 30)
    scan.fill(inner, scan.photo, rng.uniform(0, 2))


SETTINGS = {  # name -> (function, relative frequency)
    setting.__name__: (setting, odds)
    for setting, odds in (
        (snapshot, 3.0),
        (album, 2.0),
        (card, 3.0),
        (mat, 1.2),
        (vignette, 0.6),
        (negative, 1.2),
    )
}


def compose(photo, rng, setting=None) -> Composition:
    """A scan of the photograph: its `picture` (H, W) float32 in [0, 1], and the `sheets` that damage can
    tear, outermost first.

    photo: (H, W) float32 in [0, 1], not modified. setting: a name from `SETTINGS`, random by default.
    """
    if setting is None:
        odds = np.array([often for _, often in SETTINGS.values()])
        setting = str(rng.choice(list(SETTINGS), p=odds / odds.sum()))
    scan = Composition(photo, rng)
    SETTINGS[setting][0](scan, rng)
    np.clip(scan.picture, 0, 1, out=scan.picture)
    return scan
