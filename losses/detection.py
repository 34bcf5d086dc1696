"""Measures of one labelled photograph: histograms of the probability, and overlap of the masks."""

from typing import NamedTuple

import torch

from losses import metrics
from nets.finder import Finder
from nets.ops.detection import Prediction


class Case(NamedTuple):
    """A labelled photograph with the network's output."""

    name: str  # of the photograph's file
    mask: torch.Tensor  # (H, W) uint8: 255 damaged, 0 intact, 128 ignored
    prediction: Prediction

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.mask.shape[::-1]


def histogram(finder: Finder, case: Case) -> dict:
    """Histograms of the probability over intact and damaged pixels, from which curves are computed."""
    return {
        "damaged": bool((case.mask > 128).any()),
        "counts": metrics.histograms(finder.enlarge(case.prediction.probability, case.size), case.mask),
        "confidence": case.prediction.confidence,
    }


def overlap(finder: Finder, case: Case, threshold: float) -> dict:
    """Agreement of the detected mask with the hand-made one."""
    found = finder.mask(case.prediction, case.size, threshold)
    return {
        "photo": case.name,
        "damaged": float((case.mask == 255).float().mean()),
        **metrics.overlap(found, case.mask),
        "tolerant_dice": metrics.tolerant_dice(found, case.mask),
        "marked": float(found.float().mean()),
    }
