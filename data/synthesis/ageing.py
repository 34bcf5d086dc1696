"""Ages photographs: tone, light, blur, grain, print screen, scanner noise, JPEG; tints old prints.

A picture is (H, W) float32 luma in [0, 1]. All randomness comes from the numpy Generator passed in.
"""

import io
from math import cos, pi, sin

import numpy as np
from PIL import Image

from data.pixels import LUMA_WEIGHTS
from data.synthesis.textures import blur, clouds, enlarge, grain


class Ageing:
    """Random parameters of one ageing, so that a picture can be aged alike with and without its damage."""

    def __init__(self, shape, rng, strength):
        self.shape = shape
        self.bend = strength * rng.uniform(-0.8, 0.8)
        self.black = strength * rng.uniform(0, 0.25) * (rng.random() < 0.7)
        self.white = 1 - strength * rng.uniform(-0.15, 0.3) * (rng.random() < 0.7)
        self.blurs = [0.24] * int(rng.integers(4) * strength + 0.5)
        if rng.random() < 0.5:  # hardly any blur, or sharpened
            self.blurs = [strength * rng.uniform(-0.15, 0.25)]
        self.light = None
        if rng.random() < 0.6:  # uneven light and fading towards the edges; both are smooth, so drawn small
            y, x = (
                np.linspace(-1, 1, 17, dtype=np.float32)[:, None],
                np.linspace(-1, 1, 17, dtype=np.float32)[None],
            )
            light = 1 - strength * rng.uniform(-0.1, 0.35) * (x * x + y * y) / 2
            light += strength * rng.uniform(-0.15, 0.15) * x + strength * rng.uniform(-0.15, 0.15) * y
            light += strength * rng.uniform(0, 0.1) * clouds((17, 17), rng, rng.integers(2, 7))
            self.light = enlarge(light.astype(np.float32), shape)
        self.grains = [
            (grain(shape, rng, rng.integers(4)), strength * 0.05 * rng.random() ** 2) for _ in range(2)
        ]
        self.noise = sum(amount**2 for _, amount in self.grains) ** 0.5
        self.screen = rng.uniform(0.3, 1) * strength if rng.random() < 0.04 else 0.0
        self.turn, self.pitch = rng.uniform(0, pi / 2), rng.uniform(2.5, 6)
        self.bands = (
            strength * 0.012 * rng.standard_normal((shape[0], 1), dtype=np.float32)
            if rng.random() < 0.08
            else 0
        )
        self.quality = int(rng.integers(35, 93)) if rng.random() < 0.35 * min(1, 2 * strength) else None

    def fade(self, picture):
        """Applies the smooth part: tone, light, blur."""
        picture = picture * (1 + self.bend - self.bend * picture)
        picture *= self.white - self.black
        picture += self.black
        if self.light is not None:
            picture *= self.light
        for amount in self.blurs:
            blur(picture, amount)
        return np.clip(picture, 0, 1, out=picture)

    def scan(self, picture):
        """Applies the rough part: grain, print screen, scanner banding, JPEG; in place where possible."""
        for field, amount in self.grains:
            picture += amount * field
        if self.screen:  # halftone dots are two crossed waves
            y, x = (
                np.arange(self.shape[0], dtype=np.float32)[:, None],
                np.arange(self.shape[1], dtype=np.float32)[None],
            )
            a, b = 2 * pi * cos(self.turn) / self.pitch, 2 * pi * sin(self.turn) / self.pitch
            picture += 0.06 * self.screen * (np.sin(a * x + b * y) + np.sin(a * y - b * x))
        picture += self.bands
        np.clip(picture, 0, 1, out=picture)
        return picture if self.quality is None else _jpeg(picture, self.quality)


def _jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray((picture * 255 + 0.5).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / 255


def age(luma, rng, strength=1.0):
    """An aged print of the same picture: tone, uneven light, blur, grain, print screen, scanner noise, JPEG.

    luma: (H, W) float32 in [0, 1]. strength: 0 (an unchanged copy) to about 1.5. Returns the same shape and
    range.
    """
    if strength <= 0:
        return luma.copy()
    ageing = Ageing(luma.shape, rng, strength)
    return ageing.scan(ageing.fade(luma))


def tint(luma, rng):
    """(H, W) float32 luma -> (H, W, 3) uint8 in the tone of an old print: sepia, cold, greenish or
    neutral.
    """
    hues = {
        "sepia": (0.13, 0.0, -0.17),
        "warm": (0.05, 0.0, -0.07),
        "cold": (-0.04, 0.0, 0.05),
        "green": (-0.02, 0.03, -0.04),
    }
    hue = np.array([*hues.values(), (0, 0, 0)][rng.choice(5, p=(0.35, 0.3, 0.1, 0.1, 0.15))]) * rng.uniform(
        0.4, 0.8
    )
    rgb = luma[..., None] + (hue - hue @ LUMA_WEIGHTS) * (luma * (1 - luma) * 4)[..., None]  # luma is kept
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
