"""Finds damage with the segment network: working size, averaged views, and a coarse scale."""

from __future__ import annotations

import torch

from nets.ops.detection import COARSE_MARGIN, Prediction, damage_mask, dilated, enlarge, predict, view_logits
from nets.ops.precision import number_format
from nets.ops.tiling import Tiling, inference, ready

# Views of test-time augmentation, (share of the working size, mirrored); their logits are averaged. Without
# it, only the first.
TTA_VIEWS = ((1.0, False), (0.85, True))
LEAST_SIDE = 512  # px of the longer side, to which small photographs are enlarged
COARSE_SCALE = 0.35  # share of the working size at which wide damage is recognized as a whole


class Finder:
    """Detects damage in one photograph: luma (H, W) float32 in [0, 1] to a Prediction.

    Photographs are resized to a longer side of at most `max_side` px, and small ones enlarged to
    `least_side`, though at most threefold, since the network knows cracks of 1.5 to 6 px. tta: average the
    logits of two views, one of them smaller, where large damage is recognized better, and mirrored.
    Confident detections at the coarse scale are added. min_confidence: required to mark anything in a
    photograph; None turns the check off. resize(luma, (width, height), method) resizes a picture by "box"
    or "bicubic".
    """

    least_side = LEAST_SIDE

    def __init__(
        self,
        net,
        device,
        resize,
        *,
        max_side: int,
        min_confidence: float | None,
        precision="fp32",
        tta=True,
        tile: int,
        overlap: int,
    ):
        self.net, self.tiling = ready(net, device), Tiling(tile, overlap)
        self.device, self.precision, self.max_side = device, number_format(precision, device), max_side
        self.resize = resize
        self.views, self.coarse_margin = TTA_VIEWS if tta else TTA_VIEWS[:1], COARSE_MARGIN
        self.min_confidence = min_confidence

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the copy of a photograph of `size` in which damage is detected."""
        return working_size(size, self.max_side, self.least_side)

    def __call__(self, luma) -> Prediction:
        size = self.working_size(luma.shape[::-1])
        with inference(self.device, self.precision):
            fine = self.logits(luma, size, self.views)
            # resized once for both views, since for a large scan it takes time
            small = self.resized(luma, _scaled(size, COARSE_SCALE))
            coarse = self.logits(small, size, [(COARSE_SCALE, False), (COARSE_SCALE, True)])
            return predict(fine, coarse, self.coarse_margin)

    def logits(self, luma, size: tuple[int, int], views):
        """Mean logits (h, w) float32 of `views`, (share of `size`, mirrored) each, resized to `size`."""
        total = 0
        for share, mirrored in views:
            view = torch.from_numpy(self.resized(luma, _scaled(size, share)))
            total += self.enlarge(view_logits(self.net, view, self.device, self.tiling, mirrored), size)
        return total / len(views)

    def resized(self, luma, size: tuple[int, int]):
        """Luma (H, W) resized to (width, height)."""
        if size == luma.shape[::-1]:
            return luma
        return self.resize(luma, size, "bicubic" if size > luma.shape[::-1] else "box")

    def enlarge(self, probability, size: tuple[int, int]):
        """The probability resized to a photograph's (width, height)."""
        return enlarge(probability, size)

    def dilated(self, probability, dilate: int):
        """The probability (h, w), dilated by `dilate` px as the mask is."""
        return dilated(probability, dilate)

    def mask(self, prediction: Prediction, size: tuple[int, int], threshold: float, dilate: int = 0):
        """The damage of a photograph of `size`, (H, W) bool: probability of at least `threshold`, dilated by
        `dilate` px of the working size; empty for a photograph that counts as undamaged.
        """
        if self.min_confidence is not None and prediction.confidence < self.min_confidence:
            return torch.zeros(size[::-1], dtype=torch.bool)
        return damage_mask(prediction.probability, size, threshold, dilate)


def working_size(size: tuple[int, int], max_side: int, least_side: int = LEAST_SIDE) -> tuple[int, int]:
    """(width, height) of the copy of a photograph of `size` in which damage is detected."""
    longer = max(size)
    return _scaled(size, min(max_side, max(longer, min(least_side, 3 * longer))) / longer)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(width, height) times `scale`, at least 1."""
    return tuple(max(1, round(side * scale)) for side in size)
