"""Normalizes exposure, so that a darker or fainter print of a photograph gets the same colors."""

import math

import torch

BLACK = 0.05  # luma of percentile 1 after normalization, 1 - BLACK of 99: prints reach neither 0 nor 1
MIN_RANGE = 0.1  # range of luma below which pictures are not stretched further, which would amplify grain
MEAN = 0.45  # mean luma, typical of photographs
MAX_GAMMA = 2.5  # and 1 / MAX_GAMMA at least, so that night scenes stay dark


def even_exposure(luma):
    """Luma (B, 1, H, W) in [0, 1] with percentiles 1 and 99 at BLACK and 1 - BLACK, and the mean near MEAN.

    Each picture is scaled linearly between the percentiles; gamma adjusts the mean.
    """
    sample = luma[..., ::2, ::2].flatten(1).float()  # torch.quantile takes at most 16 million numbers
    black, white = torch.quantile(sample, sample.new_tensor([0.01, 0.99]), dim=1).view(2, -1, 1, 1, 1)
    middle = (black + white) / 2
    x = ((luma - middle) / (white - black).clamp_min(MIN_RANGE) + 0.5).clamp(0, 1)
    mean = x.mean((1, 2, 3), keepdim=True).clamp(0.01, 0.99)
    gamma = math.log((MEAN - BLACK) / (1 - 2 * BLACK)) / mean.log()
    x = x ** gamma.clamp(1 / MAX_GAMMA, MAX_GAMMA)
    return BLACK + (1 - 2 * BLACK) * x
