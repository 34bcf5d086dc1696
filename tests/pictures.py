"""Pictures of kinds that restore badly, drawn for the tests."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from data.pixels import luma


def drawing(seed=1):
    """Pen strokes on paper, (512, 512) uint8."""
    rng, picture = np.random.default_rng(seed), Image.new("L", (512, 512), 240)
    pen = ImageDraw.Draw(picture)
    for _ in range(50):
        start = rng.uniform(30, 480, 2)
        points = [tuple(start + rng.normal(0, 40, 2)) for _ in range(5)]
        pen.line(points, fill=int(rng.uniform(20, 90)), width=int(rng.integers(1, 4)))
    return np.asarray(picture)


def page(seed=0):
    """A scanned page of text, (900, 700) uint8, a little soft, noisy and unevenly lit."""
    picture = Image.new("L", (700, 900), 230)
    for line in range(28):
        place, font = (60, 50 + 28 * line), ImageFont.load_default(20)
        ImageDraw.Draw(picture).text(
            place, "The quick brown fox jumps over the lazy dog"[line % 9 :], 40, font
        )
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), float)
    noise = np.random.default_rng(seed).normal(0, 5, soft.shape)
    return (soft + noise + np.linspace(-15, 15, 700)).clip(0, 255).astype(np.uint8)


def halftone(photo, period=5.0, angle=0.4, side=600):
    """A photograph as printed from dots of this period in px, (side, side) uint8."""
    grey = np.asarray(Image.fromarray(np.rint(luma(photo) * 255).astype(np.uint8)).resize((side, side))) / 255
    y, x = np.mgrid[:side, :side] * 2 * np.pi / period
    cos, sin = np.cos(angle), np.sin(angle)
    screen = (np.sin(cos * x + sin * y) + np.sin(cos * y - sin * x)) / 4 + 0.5
    ink = 1 / (1 + np.exp(12 * (grey - screen)))
    soft = Image.fromarray(np.rint(230 - 190 * ink).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    return np.asarray(soft)


def engraving(photo, period=6, side=600):
    """A photograph as engraved in level lines of varying width, (side, side) uint8."""
    grey = np.asarray(Image.fromarray(np.rint(luma(photo) * 255).astype(np.uint8)).resize((side, side))) / 255
    line = (np.sin(np.arange(side) * 2 * np.pi / period) / 2 + 0.5)[:, None]
    ink = np.where(line > grey, 30, 230).astype(np.uint8)
    return np.asarray(Image.fromarray(ink).filter(ImageFilter.GaussianBlur(0.8)))


def color_negative(photo):
    """A color photograph as its negative on film with an orange mask."""
    return np.rint(255 * np.array([0.9, 0.55, 0.36]) * (1 - 0.8 * (photo / 255) ** 1.2)).astype(np.uint8)


def faded(photo, share):
    """A color photograph with this share of its chroma."""
    grey = luma(photo)[..., None] * 255
    return np.rint(grey + (photo - grey) * share).astype(np.uint8)


def tinted(photo):
    """A grey photograph with cheeks and a background colored by hand."""
    grey, (height, width) = luma(photo)[..., None] * 255, photo.shape[:2]
    y, x = np.mgrid[:height, :width]
    far = ((x - 0.5 * width) / (0.17 * width)) ** 2 + ((y - 0.4 * height) / (0.2 * height)) ** 2
    cheeks, ground = np.exp(-(far**2))[..., None], (x > 0.75 * width)[..., None]
    return (grey + cheeks * [18, 4, -14] + ground * [-8, 0, 10]).clip(0, 255).astype(np.uint8)


def stamped(photo):
    """A grey photograph with a red ring stamped on it."""
    picture = Image.fromarray(np.repeat(np.rint(luma(photo) * 255).astype(np.uint8)[..., None], 3, -1))
    ImageDraw.Draw(picture).ellipse((20, 20, 50, 50), outline=(200, 30, 40), width=3)
    return np.asarray(picture)
