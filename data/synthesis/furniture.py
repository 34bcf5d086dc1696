"""Objects on mounts and beside prints: ruled and embossed frames, ornaments, photo corners, perforations,
charts, rulers.

All randomness comes from the numpy Generator passed in.
"""

from math import pi

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.synthesis.canvas import line
from data.synthesis.textures import grain


def _seen(scan, point):
    return -20 < point[0] < scan.photo.shape[1] + 20 and -20 < point[1] < scan.photo.shape[0] + 20


def _lay(scan, image, tone, opacity):
    """Lays an "L" picture of twice the size over the scan."""
    alpha = np.asarray(image.reduce(2), np.float32) / 255
    scan.picture += np.float32(opacity) * alpha * (np.float32(tone) - scan.picture)


def _layer(scan):
    image = Image.new("L", (2 * scan.photo.shape[1], 2 * scan.photo.shape[0]))
    return image, ImageDraw.Draw(image)


def frames(scan, rng, box, distance, room, tone):
    """Lines, grooves and ornaments around a photograph, at most `room` px from its outline, on paper of a
    tone.
    """
    for _ in range(rng.integers(0, 4)):
        at, width = rng.uniform(0.04, 0.9) * room, rng.uniform(0.8, 1 + 0.012 * scan.side)
        if rng.random() < 0.4:
            scan.emboss(distance, at, rng.uniform(2, 6), rng.uniform(0.03, 0.12))
        else:
            ink = tone + rng.choice([-1, 1]) * rng.uniform(0.08, 0.5)
            scan.line(distance, at, width, np.clip(ink, 0, 1), rng.uniform(0.5, 1))
            if rng.random() < 0.4:
                scan.line(distance, at + width + rng.uniform(1.5, 5), 0.8, np.clip(ink, 0, 1), 0.9)
    if rng.random() < 0.25:  # a panel around the photograph
        scan.fill(
            distance - np.float32(rng.uniform(0.2, 0.8) * room), np.clip(tone + rng.normal(0, 0.12), 0, 1)
        )
    if rng.random() < 0.4 and room > 12:
        ornaments(scan, rng, box, room, np.clip(tone + rng.choice([-1, 1]) * rng.uniform(0.1, 0.45), 0, 1))


def _scrolls(rng):
    """Curves in the unit square, (n, 2) each, from the corner of a frame: spirals, or a Greek key."""
    if rng.random() < 0.3:
        key = [(0, 0), (1, 0), (1, 0.3), (0.3, 0.3), (0.3, 1), (0, 1), (0, 0)]
        return [np.array(key), 0.6 * np.array(key) + 0.12][: rng.integers(1, 3)]
    curves = []
    for _ in range(rng.integers(2, 6)):
        turns = np.linspace(0, rng.uniform(1, 3.5) * pi, 22)
        radius = rng.uniform(0.1, 0.35) * (1 - turns / turns[-1] * rng.uniform(0.5, 1))
        curve = np.stack([np.cos(turns), np.sin(turns)], 1) * radius[:, None]
        stem = np.linspace((0, 0), rng.uniform(0.2, 1, 2), 6)
        curves.append(np.concatenate([stem, curve - curve[0] + stem[-1]]))
    return curves + [curve[:, ::-1] for curve in curves]


def ornaments(scan, rng, box, room, tone):
    """The same ornament at each corner of a frame, mirrored."""
    image, draw = _layer(scan)
    size, away, width = room * rng.uniform(0.5, 1.6), rng.uniform(0.1, 0.7) * room, rng.uniform(0.8, 2)
    curves = _scrolls(rng)
    for corner, (x, y) in enumerate([(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]):
        way = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])[corner]
        start = np.array([x, y]) - away * way
        if not _seen(scan, scan.frame.points([start])[0]):
            continue
        for curve in curves:
            line(draw, scan.frame.points(start + size * way * (curve - 0.2)), width)
    _lay(scan, image, tone, rng.uniform(0.5, 1))


def photo_corners(scan, rng, box):
    """Triangles of paper that hold a print in its album."""
    image, draw = _layer(scan)
    size = scan.side * rng.uniform(0.05, 0.12)
    for x, y, right, down in ((0, 1, 1, 1), (2, 1, -1, 1), (2, 3, -1, -1), (0, 3, 1, -1)):
        corner = np.array([box[x], box[y]]) - 0.04 * size * np.array([right, down])
        shape = scan.frame.points(corner + size * np.array([(0, 0), (right, 0), (0, down)]))
        draw.polygon([tuple(point) for point in (2 * shape).tolist()], 255)
    _lay(scan, image, rng.choice([rng.uniform(0, 0.25), rng.uniform(0.5, 0.95)]), 1.0)


def perforations(scan, rng, box, widths, tone):
    """Holes along two sides of a film, where its rebate is visible."""
    image, draw = _layer(scan)
    upright = rng.random() < 0.5
    for side in (0, 2) if upright else (1, 3):
        deep = widths[side]
        long, pitch = deep * rng.uniform(0.4, 0.7), deep * rng.uniform(0.9, 1.5)
        across = box[side] + (-1, -1, 1, 1)[side] * deep * 0.5
        for along in np.arange(-0.8 * scan.side, 0.8 * scan.side, max(3.0, pitch)):
            half = np.array([0.25 * deep, long / 2]) if upright else np.array([long / 2, 0.25 * deep])
            middle = np.array([across, along]) if upright else np.array([along, across])
            (start, end) = scan.frame.points([middle - half, middle + half])
            if _seen(scan, start):
                flat = [*np.minimum(start, end), *np.maximum(start, end)]
                draw.rounded_rectangle([2 * edge for edge in flat], 0.2 * deep, 255)
    _lay(scan, image, tone, 1.0)


def _ruler(rng, length, depth):
    """A scale, (depth, length) "L" picture: ticks, every tenth longer and numbered."""
    light = rng.random() < 0.7
    ground, ink = (int(rng.integers(200, 250)), 20) if light else (int(rng.integers(0, 50)), 230)
    image = Image.new("L", (length, depth), ground)
    draw, pitch = ImageDraw.Draw(image), rng.uniform(3, 8)
    font = ImageFont.load_default(max(7, int(0.4 * depth)))
    for tick in range(int(length / pitch) + 1):
        x, tall = tick * pitch, 0.45 if tick % 10 == 0 else 0.33 if tick % 5 == 0 else 0.2
        draw.line((x, 0, x, tall * depth), ink, 1)
        if tick % 10 == 0:
            draw.text((x - 2, 0.48 * depth), str(tick // 10), ink, font)
    return image


def _chart(rng, length, depth):
    """Patches of grey, or of colors seen as grey, in one or two rows, each in a frame."""
    image = Image.new("L", (length, depth), int(rng.choice([10, 240, 128])))
    draw, rows = ImageDraw.Draw(image), rng.integers(1, 3)
    tall = depth / rows
    wide, rising = tall * rng.uniform(0.7, 1.5), rng.random() < 0.5
    number = int(length / wide) + 1
    for row in range(rows):
        for at in range(number):
            level = 255 * at / number if rising else rng.integers(10, 250)
            gap = 0.06 * tall
            box = (at * wide + gap, row * tall + gap, (at + 1) * wide - gap, (row + 1) * tall - gap)
            draw.rectangle(box, int(level))
    return image


def at_the_rim(picture, rng):
    """Draws a ruler or a chart along one side of a scan, in place, over the whole side or part of it."""
    height, width = picture.shape
    upright = rng.random() < 0.5
    side = height if upright else width
    depth = max(8, int(side * rng.uniform(0.05, 0.13)))
    image = (_ruler if rng.random() < 0.5 else _chart)(rng, side, depth)
    strip = np.asarray(image, np.float32) / 255 + np.float32(0.01) * grain((depth, side), rng, 1)
    start = int(rng.choice([0, 0, rng.integers(0, side // 2 + 1)]))
    strip = strip[:, : side - start]
    if upright:
        strip = strip[:, ::-1].T
    top, left = (start, 0) if upright else (0, start)
    if rng.random() < 0.5:
        top, left = (top, width - depth) if upright else (height - depth, left)
    picture[top : top + strip.shape[0], left : left + strip.shape[1]] = strip
