"""Photographs for `eval`: small, in 8 bits, and with reproducible holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.photo import read_photo
from data.pixels import luma, resize
from data.synthesis.holes import draw_holes

SIDE = 512  # px, longer side; larger ones would take long and say little more
LEAST_HOLES = 0.002  # smallest share of the pixels worth measuring


def read_grey(path: Path) -> np.ndarray:
    """Luma (H, W) float32 in [0, 1], in steps of 1 / 255 as in an 8-bit file. Raises PhotoError."""
    grey = luma(read_photo(path).pixels)
    scale = SIDE / max(grey.shape)
    if scale < 1:
        grey = resize(grey, tuple(round(side * scale) for side in grey.shape[::-1]), "box")
    return np.round(grey * 255) / 255


def read_color(path: Path) -> np.ndarray | None:
    """RGB (H, W, 3) uint8; None for a grey photograph. Raises PhotoError."""
    pixels = read_photo(path).pixels
    if pixels.ndim == 2:
        return None
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels / 257).astype("uint8")
    if max(pixels.shape) > SIDE:
        height, width = (round(side * SIDE / max(pixels.shape)) for side in pixels.shape[:2])
        pixels = resize(pixels.astype("float32"), (width, height), "box") + 0.5
    return pixels.clip(0, 255).astype("uint8")


def holes(shape: tuple[int, int], seed: list[int], share: tuple[float, float], textures) -> np.ndarray:
    """Synthetic holes (H, W) uint8, 255 in holes: a function of the shape and the seed.

    share: least and greatest share of hole pixels. textures: of `data.synthesis.textures.load_textures`.
    """
    least, most = share
    return draw_holes(shape, np.random.default_rng(seed), (max(least, LEAST_HOLES), most), textures)
