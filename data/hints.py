"""Color hints: reads known colors that a person painted, and simulates them for training.

A hint file is a picture with transparency, of the photograph's size. Painted strokes give the color of what
is under them; transparent pixels are free. Only hue and saturation count; lightness comes from the
photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data.errors import PhotoError
from data.photo import Photo, read_photo, resizing
from data.pixels import resize, rgb_to_ycbcr

MIN_COVER = 0.01  # share of a downsampled pixel that a stroke must cover to count
MAX_CHROMA_STEP = 0.06  # chroma distance at which a simulated stroke ends, since people paint inside things
GREY = 0.02  # saturation (length of CbCr) below which a pixel counts as grey
GREY_SHARE = 0.25  # share of simulated strokes that start on grey, if there is any: grey is a hint too
MAX_STROKES = 12


@dataclass(frozen=True)
class Hints:
    """Known colors of one photograph."""

    cbcr: np.ndarray  # (H, W, 2) float32 in [-0.5, 0.5], 0 where free
    alpha: np.ndarray  # (H, W) float32 in [0, 1]: 1 painted, 0 free

    def at(self, size: tuple[int, int]) -> np.ndarray:
        """Downsampled to (width, height): (3, h, w) float32 of Cb, Cr and 1 where painted, else 0. Thin
        strokes survive.
        """
        cover = resize(self.alpha, size, "box")
        cbcr = resize(self.cbcr * self.alpha[..., None], size, "box") / np.maximum(cover, 1e-6)[..., None]
        painted = (cover >= MIN_COVER).astype(np.float32)
        return np.concatenate([(cbcr * painted[..., None]).transpose(2, 0, 1), painted[None]])


def read_hints(source: Path | bytes | Photo, size: tuple[int, int]) -> tuple[Hints | None, list[str]]:
    """The hints for a photograph of `size` (width, height), and notes; None if nothing is painted.

    Another size is resized by nearest, with a note. Raises PhotoError like `read_photo`, for another shape
    than the photograph's, and if nothing is transparent.
    """
    photo = source if isinstance(source, Photo) else read_photo(source)
    if photo.alpha is None or photo.alpha.min() == np.iinfo(photo.alpha.dtype).max:
        raise PhotoError("nothing in it is transparent: save the strokes alone, as PNG with transparency")
    notes = resizing("hints", photo.size, size)
    pixels, alpha = photo.pixels, photo.alpha / np.float32(np.iinfo(photo.alpha.dtype).max)
    if notes:
        rows, columns = ((np.arange(new) + 0.5) * old // new for new, old in zip(size[::-1], alpha.shape))
        nearest = np.ix_(rows.astype(int), columns.astype(int))
        pixels, alpha = pixels[nearest], alpha[nearest]
    if not alpha.any():
        return None, [*notes, "hints are empty: nothing is painted in them"]
    cbcr = rgb_to_ycbcr(pixels)[..., 1:] if pixels.ndim == 3 else np.zeros((*pixels.shape, 2), np.float32)
    return Hints(np.where(alpha[..., None] > 0, cbcr, 0), alpha), notes


def simulate(cbcr: np.ndarray, rng) -> np.ndarray:
    """Hints as a person might give them for the true chroma (2, H, W): (3, H, W) float32, mostly a few
    strokes.

    A stroke is a line, a dot or a blob. It ends where chroma departs from that of its first point, and has
    the mean chroma of what it covers.
    """
    height, width = cbcr.shape[1:]
    hints = np.zeros((3, height, width), np.float32)
    grey = np.flatnonzero(_square(cbcr) < GREY**2)
    for _ in range(min(MAX_STROKES, int(rng.geometric(0.35)))):
        on_grey = len(grey) and rng.random() < GREY_SHARE
        y, x = divmod(int(rng.choice(grey) if on_grey else rng.integers(height * width)), width)
        layer = Image.new("1", (width, height))
        _stroke(ImageDraw.Draw(layer), x, y, min(height, width), rng)
        left, top, right, bottom = layer.getbbox()
        here = np.s_[:, top:bottom, left:right]
        painted = np.asarray(layer)[here[1:]]
        painted = painted & (_square(cbcr[here] - cbcr[:, y : y + 1, x : x + 1]) < MAX_CHROMA_STEP**2)
        hints[here][:2, painted] = cbcr[here][:, painted].mean(1, keepdims=True)
        hints[here][2, painted] = 1
    return hints


def _square(cbcr: np.ndarray) -> np.ndarray:
    """The squared length of chroma (2, H, W): (H, W)."""
    return cbcr[0] * cbcr[0] + cbcr[1] * cbcr[1]


def _stroke(draw: ImageDraw.ImageDraw, x: int, y: int, side: int, rng) -> None:
    """Draws a dot, a line or a blob from (x, y), sized for a picture whose shorter side is `side` px."""
    kind = ("dot", "line", "blob")[rng.choice(3, p=(0.4, 0.4, 0.2))]
    radius = side * rng.uniform(0.004, 0.02)
    if kind == "line":
        points, angle = [(x, y)], rng.uniform(0, 2 * pi)
        for _ in range(rng.integers(2, 7)):
            angle += rng.uniform(-0.8, 0.8)
            (left, top), length = points[-1], side * rng.uniform(0.02, 0.08)
            points.append((left + length * cos(angle), top + length * sin(angle)))
        draw.line(points, 1, max(1, round(2 * radius)), "curve")
    else:
        radius *= 1 if kind == "dot" else rng.uniform(2, 6)
        squeeze = rng.uniform(0.5, 1)
        draw.ellipse((x - radius, y - radius * squeeze, x + radius, y + radius * squeeze), 1)
    draw.point((x, y), 1)
