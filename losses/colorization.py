"""The losses of the colorize stage on pixels, and the pictures that its other losses look at."""

import torch


def chroma_l1(cbcr, truth, weight: float = 0.0):
    """Mean absolute error of chroma, (B, 2, H, W) in [-0.5, 0.5]; a pixel counts 1 + weight * its true
    chroma.

    Most pixels of most photographs are nearly grey; unweighted, the median answer to an uncertain colour is
    grey too.
    """
    share = 1 + weight * truth.norm(dim=1, keepdim=True)
    return ((cbcr - truth).abs() * share).sum() / (2 * share.sum())


def rgb(luma, cbcr):
    """sRGB (B, 3, H, W) of luma (B, 1, H, W) in [0, 1] and CbCr (B, 2, H, W) in [-0.5, 0.5] (BT.601, full
    range).

    Not clipped: where a colour leaves [0, 1], its gradient goes on.
    """
    cb, cr = cbcr.split(1, 1)
    return torch.cat([luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb], 1)
