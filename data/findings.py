"""What the report says about a photograph: damaged regions, changes, cautions."""

from __future__ import annotations

import numpy as np

from data.photo import Photo
from data.pixels import bands, luma, resize, rgb_to_ycbcr

LARGEST = 100  # regions in a report
SMALL = 256  # px; a face in a photo with a shorter side has too few pixels for every stage


def regions(mask: np.ndarray, most: int = LARGEST) -> dict:
    """The connected parts (8-neighbours) of a mask (H, W) where it is 255.

    count: of all; largest: up to `most`, the largest first, each with its box [left, top, width, height] and
    pixels. Works on runs, the marked stretches of a row: a run is joined to those of the next row that it
    touches, then the labels of joined runs sink to the smallest among them.
    """
    height, width = mask.shape
    pitch = width + 1  # a clean column after each row: no run goes on in the next one
    marked = np.zeros(height * pitch + 1, bool)
    marked[1:].reshape(height, pitch)[:, :width] = mask == 255
    # (runs,) each; a run is [start, end)
    starts, ends = np.flatnonzero(marked[1:] != marked[:-1]).reshape(-1, 2).T

    part = _parts(starts, ends, pitch)
    pixels = np.bincount(part, ends - starts).astype(int)
    row, left, right = starts // pitch, starts % pitch, ends - starts // pitch * pitch
    boxes = np.tile([width, height, 0, 0], (len(pixels), 1))  # left, top, right, bottom
    for column, least in ((0, left), (1, row)):
        np.minimum.at(boxes[:, column], part, least)
    for column, greatest in ((2, right), (3, row + 1)):
        np.maximum.at(boxes[:, column], part, greatest)
    boxes[:, 2:] -= boxes[:, :2]
    largest = np.argsort(-pixels, kind="stable")[:most]
    return {
        "count": len(pixels),
        "largest": [{"box": boxes[i].tolist(), "pixels": int(pixels[i])} for i in largest],
    }


def _parts(starts: np.ndarray, ends: np.ndarray, pitch: int) -> np.ndarray:
    """The part that each run [start, end) belongs to, (runs,): 0, 1, ... in the order of their first pixels.

    pitch: from one row to the next.
    """
    # The first run of the next row that ends behind a start, and how many from there begin before the end.
    first = np.searchsorted(ends, starts + pitch)
    touched = np.searchsorted(starts, ends + pitch, "right") - first
    upper = np.repeat(np.arange(len(starts)), touched)
    lower = np.arange(len(upper)) + np.repeat(first - np.cumsum(touched) + touched, touched)

    label = np.arange(len(starts))
    while (differ := label[upper] != label[lower]).any():
        upper, lower = upper[differ], lower[differ]
        pair = np.sort([label[upper], label[lower]], 0)
        np.minimum.at(label, pair[1], pair[0])
        while ((next := label[label]) != label).any():
            label = next
    return (np.cumsum(label == np.arange(len(label))) - 1)[label]


def difference(before: np.ndarray, after: np.ndarray, where: np.ndarray) -> float:
    """The largest difference of two pictures where `where` (H, W) is True, in steps of 1/255.

    before, after: of one shape and type, uint8 or uint16.
    """
    largest = 0
    for rows in bands(len(before)):
        a, b = before[rows], after[rows]
        apart = np.maximum(a, b) - np.minimum(a, b)  # unsigned, and no wider than the pixels
        largest = max(largest, apart[where[rows]].max(initial=0))
    return float(largest) * 255 / np.iinfo(before.dtype).max


def luma_difference(before: np.ndarray, after: np.ndarray) -> float:
    """The largest difference of luma of two pictures, grey or RGB, 8 or 16 bits, in steps of 1/255."""
    return (
        max(float(np.abs(luma(before[rows]) - luma(after[rows])).max()) for rows in bands(len(before))) * 255
    )


def cautions(photo: Photo, coloring: bool) -> list[str]:
    """What about the photo itself makes the results doubtful, as sentences. coloring: it is to be colored."""
    (width, height), sentences = photo.size, []
    if min(width, height) < SMALL:
        sentences.append(f"very small photo ({width} x {height} px): scan it at a higher resolution")
    tone, colours = chroma(photo.pixels) if coloring else (0.0, 0.0)
    if colours > 6:
        sentences.append("probably already coloured: its colours are replaced by guessed ones")
    elif tone > 6:
        sentences.append("toned print: its tone is replaced by guessed colours")
    return sentences


def chroma(pixels: np.ndarray) -> tuple[float, float]:
    """Chroma of a photo, of 255: that of its paper or toning, and that of things in it; grey has neither.

    A toned print has one chroma for each luma. So the mean chroma of each of 16 steps of luma is taken away
    from that of the shrunk photo; what is left is above 6 (root mean square) in 56 of 57 colour photographs,
    below in 19 of 20 damaged prints.
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
