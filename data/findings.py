"""Facts and sentences for the report: differences, cautions."""

from __future__ import annotations

import numpy as np

from data import kinds
from data.color import space, tones
from data.photo import Photo
from data.pixels import bands, luma

SMALL = 256  # px of the shorter side, below which faces have too few pixels for all stages
TAKEN = "may be taken for damage, try --only mask first"


def difference(before: np.ndarray, after: np.ndarray, where: np.ndarray) -> float:
    """The largest difference of two pictures where `where` (H, W) is True, in steps of 1/255.

    before, after: of the same shape and dtype, uint8 or uint16.
    """
    largest = 0
    for rows in bands(len(before)):
        a, b = before[rows], after[rows]
        apart = np.maximum(a, b) - np.minimum(a, b)  # unsigned, and no wider than the pixels
        largest = max(largest, apart[where[rows]].max(initial=0))
    return float(largest) * 255 / np.iinfo(before.dtype).max


def luma_difference(before: np.ndarray, after: np.ndarray, icc: bytes | None = None) -> float:
    """The largest difference of luma of two pictures, grey or RGB, 8 or 16 bits, in steps of 1/255.

    icc: the profile of `before`. If it is a grey one, its tones as sRGB are compared.
    """
    icc = icc if space(icc) == b"GRAY" else None
    return (
        max(float(np.abs(tones(before[rows], icc) - luma(after[rows])).max()) for rows in bands(len(before)))
        * 255
    )


def cautions(photo: Photo, coloring: bool, detecting: bool) -> list[str]:
    """Sentences on why the results for this photograph may be poor. coloring, detecting: whether it will be
    colorized, and whether a network detects its damage.
    """
    (width, height), pixels, sentences = photo.size, photo.pixels, []
    if min(width, height) < SMALL:
        sentences.append(f"very small photograph ({width} x {height} px): scan it at a higher resolution")
    if kinds.is_drawing(pixels):
        sentences += [f"looks like a drawing or a page of text: its strokes {TAKEN}"] if detecting else []
    elif kinds.is_halftone(pixels):
        sentences += [f"looks like a halftone print: its dots or lines {TAKEN}"] if detecting else []
    elif kinds.is_color_negative(pixels):
        sentences.append("looks like a color negative: invert it first")
    if kinds.is_colored(pixels):
        replaced = "probably already in color: its colors are replaced by guessed ones"
        sentences += [replaced] if coloring else []
    elif (detecting or coloring) and kinds.has_colored_mark(pixels):
        what = "--protect keeps it from repair" if detecting else "its color becomes a guess"
        sentences.append(f"a small part is in color, such as a stamp or ink: {what}")
    elif coloring and kinds.is_toned(pixels):
        sentences.append("toned print: its tone is replaced by guessed colors")
    return sentences
