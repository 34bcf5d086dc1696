"""Pictures that are not photographs, and photographs of prints: screens, engravings, pen drawings, moire.

Their lines and dots are regular and cover everything; none is damage. All randomness comes from the numpy
Generator passed in.
"""

from math import cos, pi, sin

import numpy as np
from PIL import Image

from data.synthesis.textures import blur, clouds, enlarge


def _wave(shape, rng, pitch, angle, bend=0.0):
    """A wave across the picture, (H, W) float32 in [-1, 1]. bend: how far its lines wander, in rad."""
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None]
    phase = x * np.float32(2 * pi / pitch * cos(angle)) + y * np.float32(2 * pi / pitch * sin(angle))
    return np.sin(phase + np.float32(bend) * clouds(shape, rng, 4) if bend else phase)


def _inked(picture, rng, screen, hardness):
    """Black ink where the picture is darker than the screen."""
    ink, paper = rng.uniform(0, 0.25), rng.uniform(0.75, 1)
    white = np.clip(0.5 + hardness * (picture - screen), 0, 1)
    picture += ink + (paper - ink) * white - picture


def halftone(canvas, rng):
    """Printed in dots with a pitch of 3 to 9 px, as in newspapers and postcards."""
    pitch, angle = np.exp(rng.uniform(np.log(3), np.log(9))), rng.choice([pi / 4, rng.uniform(0, pi / 2)])
    screen = 0.5 + 0.24 * (
        _wave(canvas.shape, rng, pitch, angle) + _wave(canvas.shape, rng, pitch, angle + pi / 2)
    )
    _inked(canvas.picture, rng, screen, rng.uniform(1, 5))


def engraving(canvas, rng):
    """Lines that swell in dark areas, crossed by a second set in the shadows."""
    pitch, angle = rng.uniform(4, 9), rng.uniform(0, pi)
    picture = canvas.picture
    screen = 0.5 + 0.45 * _wave(picture.shape, rng, pitch, angle, rng.uniform(0, 6))
    if rng.random() < 0.6:
        across = 0.5 + 0.45 * _wave(
            picture.shape, rng, pitch, angle + rng.uniform(0.8, 1.6), rng.uniform(0, 6)
        )
        screen = np.maximum(screen, across - rng.uniform(0.2, 0.5))
    _inked(picture, rng, screen, rng.uniform(2, 6))


def drawing(canvas, rng):
    """A pen or pencil drawing: dark outlines on paper, hatching in the shadows."""
    picture = canvas.picture
    fine, coarse = picture.copy(), picture.copy()
    for _ in range(2):
        blur(fine, 0.24)
    small = Image.fromarray(coarse).reduce(4)
    coarse = enlarge(np.asarray(small), picture.shape)
    lines = np.clip(rng.uniform(6, 16) * (coarse - fine) - rng.uniform(0.1, 0.4), 0, 1)
    hatch = np.clip(3 * _wave(picture.shape, rng, rng.uniform(4, 9), rng.uniform(0, pi), 2) - 1, 0, 1)
    shade = np.clip(2 * (rng.uniform(0.2, 0.45) - coarse), 0, 1)
    ink = np.maximum(lines, hatch * shade) * rng.uniform(0.6, 1)
    paper = rng.uniform(0.8, 1)
    picture += paper + (rng.uniform(0, 0.3) - paper) * ink - picture


def moire(canvas, rng):
    """Two mismatched screens: broad bands of a fine pattern."""
    pitch, angle = rng.uniform(2.2, 5), rng.uniform(0, pi)
    beat = _wave(canvas.shape, rng, pitch, angle) * _wave(
        canvas.shape, rng, pitch * rng.uniform(1.02, 1.2), angle + rng.normal(0, 0.1), rng.uniform(0, 2)
    )
    canvas.picture *= 1 + rng.uniform(0.08, 0.3) * beat
