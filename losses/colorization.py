"""Losses of the colorize stage: L1 of chroma, and the RGB picture for its other losses."""

import torch


def chroma_l1(cbcr, truth, weight: float = 0.0):
    """Mean absolute error of chroma, (B, 2, H, W) in [-0.5, 0.5]; a scalar.

    A pixel has the weight 1 + weight * its true chroma. Most pixels of most photographs are nearly grey, and
    without the weight the median answer to an uncertain color is grey as well.
    """
    pixel_weight = 1 + weight * truth.norm(dim=1, keepdim=True)
    return ((cbcr - truth).abs() * pixel_weight).sum() / (2 * pixel_weight.sum())


def rgb(luma, cbcr):
    """sRGB (B, 3, H, W) from luma (B, 1, H, W) in [0, 1] and CbCr (B, 2, H, W) in [-0.5, 0.5].

    BT.601, full range. Not clipped, so that gradients also flow where a color leaves [0, 1].
    """
    cb, cr = cbcr.split(1, 1)
    red = luma + 1.402 * cr
    green = luma - 0.344136 * cb - 0.714136 * cr
    blue = luma + 1.772 * cb
    return torch.cat([red, green, blue], 1)
