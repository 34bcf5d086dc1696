"""Facts and sentences for the report: differences, cautions."""

from __future__ import annotations

import numpy as np

from data.color import space, tones
from data.photo import Photo
from data.pixels import bands, luma, resize, rgb_to_ycbcr

SMALL = 256  # px of the shorter side, below which faces have too few pixels for all stages


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


def cautions(photo: Photo, coloring: bool) -> list[str]:
    """Sentences on why the results for this photograph may be poor. coloring: whether it will be
    colorized.
    """
    (width, height), sentences = photo.size, []
    if min(width, height) < SMALL:
        sentences.append(f"very small photograph ({width} x {height} px): scan it at a higher resolution")
    tone, colors = chroma(photo.pixels) if coloring else (0.0, 0.0)
    if colors > 6:
        sentences.append("probably already in color: its colors are replaced by guessed ones")
    elif tone > 6:
        sentences.append("toned print: its tone is replaced by guessed colors")
    return sentences


def chroma(pixels: np.ndarray) -> tuple[float, float]:
    """Chroma of a photograph, of 255: of its paper or toning, and of the things in it; grey has neither.

    A toned print has one chroma for each luma. So the mean chroma in each of 16 steps of luma is subtracted
    from that of the downsized photograph. The root mean square of the rest is above 6 in 56 of 57 color
    photographs and below in 19 of 20 damaged prints.
    """
    if pixels.ndim == 2:
        return 0.0, 0.0
    scale = 96 / max(pixels.shape)
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    ycbcr = rgb_to_ycbcr(np.clip(resize(pixels, size, "box") / np.iinfo(pixels.dtype).max, 0, 1)).reshape(
        -1, 3
    )
    step = (ycbcr[:, 0] * 15.99).astype(int)
    number = np.maximum(np.bincount(step, minlength=16), 1)
    means = np.stack([np.bincount(step, chroma, 16) / number for chroma in ycbcr[:, 1:].T], -1)  # (16, 2)
    tone, things = (
        np.square(x).sum(1).mean() ** 0.5 * 255 for x in (means[step], ycbcr[:, 1:] - means[step])
    )
    return float(tone), float(things)
