"""The marks in a mask, its connected parts: their sizes and places, and those dropped by size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LARGEST = 100  # largest regions listed in a report
ANY_SIZE = (None, None)  # for `drop`


class Found(NamedTuple):
    """What detection gives for a photograph."""

    mask: np.ndarray  # (H, W) uint8, 255 damaged, 0 intact
    probability: object  # (h, w) torch tensor in [0, 1] at the working size; None if no network ran
    infrared: np.ndarray | None  # (H, W) bool, what of the mask infrared shows; None if it was not used
    notes: list[str]  # for the report
    facts: dict  # infrared and dropped of data/report.py


def regions(mask: np.ndarray, most: int = LARGEST) -> dict:
    """The connected parts (8-neighborhood) of a mask (H, W) where it is 255.

    count: the number of all parts; largest: up to `most` of them, largest first, each with its box [left,
    top, width, height] and pixels.
    """
    starts, ends, part, pitch = _runs(mask)
    height, width = mask.shape
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


def drop(
    mask: np.ndarray, smallest: float | None = None, largest: float | None = None, scale: float = 1.0
) -> dict[str, int] | None:
    """Clears the connected parts (8-neighborhood) of a mask (H, W), 255 damaged, that are too small or large.

    smallest: least area to keep, in px of a copy that is `scale` times smaller. largest: greatest area to
    keep, as a share of the mask. None: any. Returns how many were too small and too large, as the report
    says it; None if no limit is given.
    """
    if smallest is None and largest is None:
        return None
    starts, ends, part, pitch = _runs(mask)
    pixels = np.bincount(part, ends - starts)
    small = pixels < (smallest or 0) * scale**2
    large = pixels > (1 if largest is None else largest) * mask.size
    dropped = (small | large)[part]
    edges = np.zeros(mask.shape[0] * pitch + 1, np.int8)  # no run ends where another one starts
    edges[starts[dropped]], edges[ends[dropped]] = 1, -1
    inside = np.cumsum(edges[:-1], dtype=np.int8).reshape(-1, pitch)
    mask[inside[:, : mask.shape[1]] == 1] = 0
    return {"small": int(small.sum()), "large": int(large.sum())}


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Starts and ends of the runs, the marked stretches of a row, the part of each, and the pitch of rows.

    Places are counted along the rows with an empty column after each, so that no run continues into the next
    row.
    """
    height, width = mask.shape
    pitch = width + 1
    marked = np.zeros(height * pitch + 1, bool)
    marked[1:].reshape(height, pitch)[:, :width] = mask == 255
    starts, ends = np.flatnonzero(marked[1:] != marked[:-1]).reshape(-1, 2).T  # a run is [start, end)
    return starts, ends, _parts(starts, ends, pitch), pitch


def _parts(starts: np.ndarray, ends: np.ndarray, pitch: int) -> np.ndarray:
    """The part that each run [start, end) belongs to, (runs,): 0, 1, ... in the order of their first pixels.

    pitch: distance from one row to the next. Each run is joined to the runs of the next row that it touches,
    then joined runs take the smallest label among them.
    """
    # The first run of the next row that ends after the start, and how many runs from there begin before the
    # end.
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
