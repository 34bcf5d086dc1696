"""Color portraits for training: cutout people on other backgrounds, pasted insignia, dyed clothes.

A picture is (H, W, 3) float32 in [0, 1], sRGB. All randomness comes from the numpy Generator passed in.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from data.crops import attempted, converted, naming
from data.synthesis.textures import blur

WHITE = 0.9  # smallest value of R, G and B of the paper behind a cutout person


def replace_paper(person: np.ndarray, background: np.ndarray) -> np.ndarray:
    """A person photographed on white paper, (H, W, 3), on another background."""
    paper = _paper(person)[..., None]  # the picture is person * (1 - paper) + 1 * paper
    return np.clip(person + paper * (background - 1), 0, 1)


def _paper(picture: np.ndarray) -> np.ndarray:
    """The share of paper in each pixel: (H, W) float32 in [0, 1].

    Paper is nearly white and connected to the border along rows and columns, so a white shirt stays.
    """
    white = picture.min(2) > WHITE
    paper = white.copy()
    paper[1:-1, 1:-1] = False
    count = -1
    while paper.sum() != count:
        count = paper.sum()
        for axis in (0, 1):
            paper |= _continued(paper, white, axis)
            paper |= np.flip(_continued(np.flip(paper, axis), np.flip(white, axis), axis), axis)
    soft = paper.astype(np.float32)
    for _ in range(2):
        blur(soft, 0.24)
    return np.clip(2 * soft, 0, 1)  # the outline of the person is thin and partly white


def _continued(marked: np.ndarray, white: np.ndarray, axis: int) -> np.ndarray:
    """White pixels connected to a marked one along an axis through white pixels only: (H, W) bool."""
    index = np.arange(white.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
    last_marked = np.maximum.accumulate(np.where(marked, index, -1), axis)
    last_other = np.maximum.accumulate(np.where(white, -1, index), axis)
    return last_marked > last_other


def overlay(picture: np.ndarray, path: Path, rng) -> np.ndarray:
    """The picture with an overlay (a file with transparency) on its lower half.

    The overlay gets 5 to 20 % of the picture's width, is rotated by up to 12 degrees and relit. Raises
    PhotoError with the file name if it cannot be read.
    """
    with naming(path), Image.open(path) as badge:
        attempted(badge.load)
        width = picture.shape[1] * rng.uniform(0.05, 0.2)
        size = max(1, round(width)), max(1, round(width * badge.height / badge.width))
        badge = converted(badge, "RGBA").resize(size, Image.Resampling.BOX)
    badge = badge.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR, expand=True)
    light = rng.uniform(0.6, 1.05)
    colors = Image.merge("RGB", badge.split()[:3]).point(lambda level: min(255, round(level * light)))
    x, y = rng.uniform(0.1, 0.9), rng.uniform(0.5, 0.95)
    base = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    corner = round(x * base.width - badge.width / 2), round(y * base.height - badge.height / 2)
    base.paste(colors, corner, badge.getchannel("A"))
    return np.asarray(base, np.float32) / 255


def dye_dark_blue(cbcr: np.ndarray, luma: np.ndarray, rng) -> None:
    """Gives dark blue things another color, in place: grey, or red to brown to green.

    cbcr: (2, H, W); luma: (H, W). Most free portraits show dark blue suits, which old ones do not. Skies are
    bright and do not change.
    """
    cb, cr = cbcr
    amount = np.clip((cb - abs(cr)) / 0.02, 0, 1) * np.clip((0.45 - luma) / 0.1, 0, 1)
    if rng.random() < 0.5:
        target = cbcr * rng.uniform(0, 0.4)
    else:
        rotated = np.exp(1j * np.pi * rng.uniform(0.5, 1.3)) * (cb + 1j * cr)
        target = np.stack([rotated.real, rotated.imag])
    cbcr += (amount * (target - cbcr)).astype(np.float32)
