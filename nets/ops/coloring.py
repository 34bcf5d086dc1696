"""Chroma from a colorization network: predicted, averaged over scales, and upsampled along luma."""

import torch
import torch.nn.functional as F

from nets.ops.exposure import even_exposure
from nets.ops.guided import even, guided_slope, guided_upsample
from nets.ops.hints import fix, spread, with_hints
from nets.ops.tiling import enlarged, padded


def predict(net, luma, hints=None):
    """Chroma (1, 2, h, w) float32 of luma (1, 1, h, w). hints: (1, 3, h, w), if the network takes them."""

    def run(x):  # luma and the network's input; the output has half the scale
        return guided_upsample(net(x[:, 1:]).float(), F.avg_pool2d(x[:, :1], 2), x[:, :1])

    x = even_exposure(luma)
    x = x if hints is None else with_hints(x, hints)
    return padded(run, torch.cat([luma, x], 1), net.size_divisor)


def combine(views, luma, vivid: float = 1.0):
    """Mean chroma (1, 2, h, w) of `views` of several sizes, smoothed within areas of luma (1, 1, h, w).

    vivid: factor of the mean.
    """
    total = 0
    for view in views:
        is_larger = view.shape[-2:].numel() > luma.shape[-2:].numel()
        total += F.interpolate(view, luma.shape[-2:], mode="area" if is_larger else "bilinear")
    return vivid / len(views) * even(total, luma)


def upsample(chroma, small, large, hints=None, strokes=None, rim: int = 1):
    """Chroma (1, 2, H, W) in [-0.5, 0.5] at the size of luma `large` (1, 1, H, W).

    chroma: (1, 2, h, w) for luma `small` (1, 1, h, w). hints: (1, 3, h, w), spread to the next edges.
    strokes: the hints at full size, chroma (1, 2, H, W) and alpha (1, 1, H, W), kept exactly and fading over
    `rim` px.
    """
    if hints is not None:
        chroma = spread(chroma, hints, small)
    chroma = guided_upsample(chroma, small, large)
    if strokes is not None:
        chroma = fix(chroma, *strokes, rim)
    return chroma.clamp(-0.5, 0.5)


class BandUpsampler:
    """`upsample` without hints for some rows at a time, so that memory does not grow with the photograph."""

    def __init__(self, chroma, small, size: tuple[int, int]):
        """size: (H, W) of the photograph."""
        self.maps, self.size = (chroma, small, guided_slope(chroma, small)), size

    def __call__(self, large, rows: slice):
        """Chroma (1, 2, rows, W) of luma `large` (1, 1, rows, W)."""
        base, guide, slope = (enlarged(x, self.size, rows) for x in self.maps)
        return (slope * (large - guide) + base).clamp(-0.5, 0.5)
