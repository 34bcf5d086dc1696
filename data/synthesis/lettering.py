"""Lettering on prints, mounts and negatives: handwriting, type, typewriting, imprints, stamps, dates.

A piece of lettering is its ink only, (h, w) float32 in [0, 1], cropped. Letters come from Pillow's font and
from curves. All randomness comes from the numpy Generator passed in.
"""

from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.synthesis.textures import clouds, grain

NAMES = """
    Anna Marie Otto Karl Emma Hans Louise Fritz Clara Paul Elsie John Mary William Ruth Henri Jeanne Pedro
    Carmen Olga Ivan Mei Akiko Hassan Rosa Walter Bertha Edith Frank Alice George Ida Hermann Grete Albert
"""
PLACES = """
    Berlin Wien Paris London Chicago Boston Prag Budapest Lyon Milano Riga Oslo Leipzig Hamburg Cincinnati
    Madrid Kyoto Bombay Cairo Lima Toronto Bristol Genf Basel Dresden Warszawa Zagreb Porto Gent Odessa
"""
WORDS = """
    on the with our at near summer winter wedding school mother father sister camp lake station harbour
    garden house company class picnic beach street church farm regiment view of new old big little No. in
"""
TRADE = """
    Photographer Atelier Studio Portraits Photographie Fotograf Artist Gallery Cabinet Portrait Fotografin
"""


@lru_cache(maxsize=64)
def _font(size: int):
    return ImageFont.load_default(size)


def _choice(rng, words):
    words = words.split()
    return words[rng.integers(len(words))]


def _year(rng):
    return str(rng.integers(1855, 1999))


def _date(rng):
    day, month = rng.integers(1, 32), rng.integers(1, 13)
    forms = (
        f"{day}.{month}.{_year(rng)}",
        f"{month}/{day}/{_year(rng)[2:]}",
        f"'{_year(rng)[2:]} {month} {day}",
    )
    return forms[rng.integers(3)]


def _phrase(rng):
    words = [_choice(rng, (NAMES, PLACES, WORDS, WORDS)[rng.integers(4)]) for _ in range(rng.integers(1, 6))]
    return " ".join(words + [_year(rng)] * (rng.random() < 0.4))


def _trim(image):
    return image.crop(image.getbbox() or (0, 0, 1, 1))


def _set(rng, text, size, stroke=0):
    """Text in the font, narrowed or widened, slanted, spaced: an "L" picture."""
    font = _font(max(6, int(size)))
    if rng.random() < 0.3:
        text = " ".join(text)
    width = int(font.getlength(text)) + 2 * int(size)
    image = Image.new("L", (width, 2 * int(size) + 4))
    ImageDraw.Draw(image).text((size, 0.2 * size), text, 255, font, stroke_width=stroke)
    if rng.random() < 0.4:
        lean = rng.uniform(-0.1, 0.35)
        image = image.transform(
            image.size, Image.Transform.AFFINE, (1, lean, -lean * size, 0, 1, 0), Image.Resampling.BILINEAR
        )
    image = _trim(image)
    stretch = np.exp(rng.normal(0, 0.2))
    return image.resize((max(1, int(image.width * stretch)), image.height), Image.Resampling.BILINEAR)


def _stack(rng, images, gap):
    """Rows stacked, centered or flush left."""
    width = max(image.width for image in images)
    flush = rng.random() < 0.3
    stack = Image.new("L", (width, sum(image.height for image in images) + gap * (len(images) - 1)))
    top = 0
    for image in images:
        stack.paste(image, (0 if flush else (width - image.width) // 2, top))
        top += image.height + gap
    return stack


def typeset(rng, size):
    """A printed caption, one or two rows."""
    rows = [_phrase(rng) for _ in range(1 + (rng.random() < 0.3))]
    upper = rng.random() < 0.4
    rows = [_set(rng, row.upper() if upper else row, size, int(rng.random() < 0.3)) for row in rows]
    return _stack(rng, rows, int(0.5 * size))


def imprint(rng, size):
    """A studio's imprint: its name in large type, street and town in small type below, sometimes between
    rules.
    """
    name = f"{_choice(rng, NAMES)} {_choice(rng, NAMES)}ke" if rng.random() < 0.6 else _choice(rng, TRADE)
    head = script(rng, 1.3 * size, 1) if rng.random() < 0.4 else _set(rng, name.upper(), size, 1)
    small = f"{rng.integers(1, 300)} {_choice(rng, NAMES)} St. {_choice(rng, PLACES)}"
    rows = [head, _set(rng, small.upper() if rng.random() < 0.5 else small, max(7, 0.45 * size))]
    if rng.random() < 0.4:
        rule = Image.new(
            "L", (max(1, int(rows[0].width * rng.uniform(0.3, 1))), max(1, int(0.06 * size))), 255
        )
        rows.insert(1, rule)
    return _stack(rng, rows, max(2, int(0.3 * size)))


def typewriting(rng, size):
    """A typed label: letters at a fixed pitch, slightly off the line, unevenly inked."""
    rows, font, pitch = [], _font(max(6, int(size))), 0.62 * size
    for _ in range(rng.integers(1, 4)):
        text = f"{_phrase(rng)} {_date(rng)}"[: rng.integers(8, 28)]
        row = Image.new("L", (int(pitch * (len(text) + 1)), int(1.6 * size)))
        draw = ImageDraw.Draw(row)
        for at, letter in enumerate(text):
            place = (at * pitch + rng.normal(0, 0.02 * size), 0.2 * size + rng.normal(0, 0.04 * size))
            draw.text(place, letter, int(rng.integers(150, 256)), font)
        rows.append(row)
    return _stack(rng, rows, int(0.2 * size))


def number(rng, size):
    """A number or date: of the negative, the printing, or the camera's clock."""
    digits = str(rng.integers(10, 99999))
    text = (digits, _date(rng), f"No. {digits}", f"{_choice(rng, PLACES)[:3].upper()} {digits[:2]}")
    return _set(rng, text[rng.integers(4)], size, int(rng.random() < 0.4))


def seal(rng, size):
    """A round or rectangular stamp: one or two rings, words in the middle and around it."""
    side = int(size * rng.uniform(3, 6))
    image = Image.new("L", (side + 4, side + 4))
    draw, width = ImageDraw.Draw(image), max(1, int(0.07 * size))
    box, flat = (2, 2, side, side), rng.random() < 0.3
    (draw.rectangle if flat else draw.ellipse)(box, outline=255, width=width)
    if rng.random() < 0.6:
        inner = 0.25 * side if not flat else 0.06 * side
        box = (2 + inner, 2 + inner, side - inner, side - inner)
        (draw.rectangle if flat else draw.ellipse)(box, outline=255, width=width)
    font, word = _font(max(6, int(0.13 * side))), f"{_choice(rng, PLACES)} * {_choice(rng, TRADE)} * ".upper()
    for at, letter in enumerate(word[: 26 if not flat else 0]):
        turn = 2 * pi * at / 26
        tile = Image.new("L", (2 * font.size, 2 * font.size))
        ImageDraw.Draw(tile).text((0.6 * font.size, 0.4 * font.size), letter, 255, font)
        tile = tile.rotate(-np.degrees(turn), Image.Resampling.BILINEAR)
        x, y = side / 2 + 0.4 * side * sin(turn), side / 2 - 0.4 * side * cos(turn)
        image.paste(255, (int(x - font.size), int(y - font.size)), tile)
    middle = _set(rng, _date(rng), 0.14 * side)
    image.paste(255, ((image.width - middle.width) // 2, (image.height - middle.height) // 2), middle)
    return image


def _curve(rng, hand, letters):
    """A word of joined letters, (n, 2) in units of the x-height, with the baseline at 0; y points down."""
    turns = np.linspace(0, 2 * pi * letters, 14 * letters + 1)
    form = hand[rng.integers(len(hand), size=letters + 1)][(turns / (2 * pi)).astype(int)]
    rise, fall, wide, lean = form.T
    swing = (1 - np.cos(turns)) / 2
    y = -rise * swing + fall * np.clip(np.sin(turns), 0, 1) ** 2
    x = turns / (2 * pi) * 0.75 + wide * np.sin(turns + lean)
    return np.stack([x, y], 1) + rng.normal(0, 0.015, (len(turns), 2))


def script(rng, size, words=None):
    """Handwriting with a pen: joined loops on a baseline, with broad downstrokes; one to three rows."""
    hand = np.stack(
        [
            rng.choice([1.0, 1.0, 1.1, 2.3], 9),
            rng.choice([0.0, 0.0, 0.0, 1.2], 9),
            rng.uniform(0.05, 0.4, 9),
            rng.uniform(-1.2, 0.6, 9),
        ],
        1,
    )
    slant, base, nib = (
        rng.uniform(-0.1, 0.8),
        max(1.4, 2 * size * rng.uniform(0.05, 0.12)),
        rng.uniform(0, 0.8),
    )
    rows = []
    for _ in range(1 if words else 1 + (rng.random() < 0.25) + (rng.random() < 0.1)):
        pieces, x = [], 1.0
        for _ in range(words or rng.integers(1, 5)):
            curve = _curve(rng, hand, int(rng.integers(2, 9)))
            pieces.append(curve - (slant * curve[:, 1:] * (1, 0)) + (x, rng.normal(0, 0.1)))
            x = pieces[-1][:, 0].max() + rng.uniform(0.6, 1.2)
        unit = 0.5 * size
        row = Image.new("L", (int(2 * unit * (x + 1)), int(2 * unit * 5)))
        draw = ImageDraw.Draw(row)
        for piece in pieces:
            points = 2 * unit * (piece + np.array([0, 3]))
            down = np.clip(np.diff(points[:, 1]) / unit * 2, -0.7, 1)
            widths = np.maximum(1, np.rint(base * (1 + nib * down))).astype(int)
            for start, end, width in zip(points[:-1].tolist(), points[1:].tolist(), widths.tolist()):
                draw.line((*start, *end), 255, width)
        rows.append(_trim(row).reduce(2))
    return _stack(rng, rows, int(0.4 * size))


PIECES = (script, script, script, typeset, typeset, imprint, typewriting, number, seal)


def piece(rng, size, pieces=PIECES):
    """The ink of one piece of lettering whose letters are about `size` px high: (h, w) float32 in [0, 1]."""
    image = _trim(pieces[rng.integers(len(pieces))](rng, size))
    ink = np.asarray(image, np.float32) / 255
    if rng.random() < 0.3 and min(ink.shape) > 4:  # a dry pen, a worn stamp
        ink = ink * np.clip(0.9 + 0.5 * clouds(ink.shape, rng, 5) + 0.15 * grain(ink.shape, rng, 1), 0, 1)
    return ink


def lay(picture, ink, center, turn, tone, opacity=1.0):
    """Lays ink on a picture (H, W) float32, in place, centered at `center` (x, y) px, rotated clockwise by
    `turn` rad.

    Ink beyond the rim is cropped.
    """
    image = Image.fromarray(np.uint8(np.clip(ink, 0, 1) * 255))
    if turn:
        image = image.rotate(-np.degrees(turn), Image.Resampling.BILINEAR, expand=True)
    left, top = int(center[0] - image.width / 2), int(center[1] - image.height / 2)
    box = (max(0, left), max(0, top), min(picture.shape[1], left + image.width))
    bottom = min(picture.shape[0], top + image.height)
    if box[0] >= box[2] or box[1] >= bottom:
        return
    image = image.crop((box[0] - left, box[1] - top, box[2] - left, bottom - top))
    under = picture[box[1] : bottom, box[0] : box[2]]
    under += opacity * np.asarray(image, np.float32) / 255 * (tone - under)


def contrast(rng, under):
    """A tone of ink that is legible on a ground of tone `under`."""
    return rng.uniform(0.75, 1) if under < rng.uniform(0.3, 0.6) else rng.uniform(0.02, 0.3)


def written(canvas, rng):
    """Captions, imprints, stamps and numbers on the photograph itself, mostly level and near its rim."""
    for _ in range(rng.integers(1, 4)):
        ink = piece(rng, rng.uniform(7, 0.09 * canvas.side + 10))
        turn = rng.choice([0, 0, 0, pi / 2, -pi / 2]) + rng.normal(0, 0.04)
        center = canvas.point(rng)
        if rng.random() < 0.6:
            center[1] = canvas.height * rng.choice([rng.uniform(0.02, 0.12), rng.uniform(0.85, 0.98)])
        x, y = np.clip(center, 0, (canvas.width - 1, canvas.height - 1)).astype(int)
        under = float(canvas.picture[max(0, y - 8) : y + 8, max(0, x - 30) : x + 30].mean())
        lay(canvas.picture, ink, center, turn, contrast(rng, under), rng.uniform(0.5, 1))
