"""The same exposure for every photograph, so that a darker or fainter print of it gets the same colours."""

import math

import torch

BLACK = 0.05  # prints have no deeper black, and no brighter white than 1 less that
LEAST_RANGE = 0.1  # of luma: fainter pictures stay faint, their grain would become a picture
MEAN = 0.45  # of luma, about that of photographs


def even_exposure(luma):
    """Luma (B, 1, H, W) in [0, 1] with percentiles 1 and 99 of each picture at 0.05 and 0.95, its mean near
    0.45 by gamma.
    """
    flat = luma[..., ::2, ::2].flatten(1).float()  # torch.quantile takes 16 million numbers at most
    black, white = torch.quantile(flat, flat.new_tensor([0.01, 0.99]), dim=1).view(2, -1, 1, 1, 1)
    x = ((luma - (black + white) / 2) / (white - black).clamp_min(LEAST_RANGE) + 0.5).clamp(0, 1)
    mean = x.mean((1, 2, 3), keepdim=True).clamp(0.01, 0.99)
    x = x ** (math.log((MEAN - BLACK) / (1 - 2 * BLACK)) / mean.log()).clamp(0.4, 2.5)
    return BLACK + (1 - 2 * BLACK) * x
