"""Predicts chroma with the colorize network: at two scales, with hints, and upsampled along luma."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from nets.ops.coloring import BandUpsampler, combine, predict, upsample
from nets.ops.precision import number_format
from nets.ops.tiling import inference, ready

# Factors of SHORT_SIDE at which the network runs: people are recognized better at a small size, their
# surroundings at a large one.
SCALES = (3 / 4, 3 / 2)


class ChromaPredictor:
    """Luma (H, W) in [0, 1] to Cb and Cr (H, W, 2) float32 in [-0.5, 0.5].

    resize(luma, (width, height), method) resizes a picture by "box" or "bicubic". Hints have `cbcr` (H, W,
    2), `alpha` (H, W) and `at((width, height))`, the hints (3, h, w) at another size. short_side: px, the
    network's scale. vivid: factor of the chroma."""

    def __init__(self, net, device, resize, precision: str, short_side: float, vivid: float):
        self.net, self.takes_hints = ready(net, device), net.channels == 4
        self.device, self.resize, self.precision = device, resize, number_format(precision, device)
        self.short_side, self.vivid = short_side, vivid

    def __call__(self, luma, hints=None):
        strokes, rim = None, max(1, round(min(luma.shape) / self.short_side / 2))  # half a px of the network
        if hints is not None:
            strokes = self._tensor(hints.cbcr.transpose(2, 0, 1)), self._tensor(hints.alpha[None])
        with inference(self.device, self.precision):
            chroma, small, small_hints = self._predict(luma, hints)
            large = self._tensor(luma[None])
            chroma = upsample(chroma, small, large, None if hints is None else small_hints, strokes, rim)
            return chroma[0].permute(1, 2, 0).cpu().numpy()

    def in_bands(self, luma, bands: list[slice]) -> Iterator[np.ndarray]:
        """The result for each band of rows, without hints, so that memory does not grow with the
        photograph.
        """
        with inference(self.device, self.precision):
            chroma, small, _ = self._predict(luma)
            upsample = BandUpsampler(chroma, small, luma.shape)
            for rows in bands:
                band = upsample(self._tensor(luma[rows][None]), rows)
                yield band[0].permute(1, 2, 0).cpu().numpy()

    def _predict(self, luma, hints=None):
        """Chroma (1, 2, h, w) averaged over `SCALES`, and luma and hints of `_inputs` at the same scale."""
        views = []
        for scale in SCALES:
            small, small_hints = self._inputs(luma, hints, scale * self.short_side)
            views.append(predict(self.net, small, small_hints if self.takes_hints else None))
        small, small_hints = self._inputs(luma, hints, self.short_side)
        return combine(views, small, self.vivid), small, small_hints

    def _inputs(self, luma, hints, short_side: float):
        """Luma (1, 1, h, w) and hints (1, 3, h, w), 0 without hints, at a short side of `short_side` px."""
        # The length of long strips is limited to four times the short side.
        scale = min(short_side / min(luma.shape), 4 * short_side / max(luma.shape))
        size = tuple(max(8, round(side * scale)) for side in luma.shape[::-1])
        small = np.clip(self.resize(luma, size, "box" if scale < 1 else "bicubic"), 0, 1)
        small_hints = np.zeros((3, *small.shape), np.float32) if hints is None else hints.at(size)
        small = self._tensor(small[None]).contiguous(memory_format=torch.channels_last)
        return small, self._tensor(small_hints)

    def _tensor(self, array: np.ndarray):
        """A batch of one on the device."""
        return torch.from_numpy(array)[None].to(self.device)
