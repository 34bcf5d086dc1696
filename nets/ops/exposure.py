"""The same exposure for every photograph, so that a darker or fainter print of it gets the same colors."""

import math

import torch

BLACK = 0.05  # luma that percentile 1 is brought to; percentile 99 to 1 - BLACK: prints reach neither 0 nor 1
MIN_RANGE = 0.1  # of luma: fainter pictures stay faint, else their grain would become a picture
MEAN = 0.45  # of luma, about that of photographs
MAX_GAMMA = 2.5  # and 1 / MAX_GAMMA the least: a picture of the night stays dark


def even_exposure(luma):
    """Luma (B, 1, H, W) in [0, 1], its percentiles 1 and 99 brought to BLACK and 1 - BLACK, its mean near
    MEAN.

    Ends are scaled linearly, the mean by gamma, for each picture.
    """
    sample = luma[..., ::2, ::2].flatten(1).float()  # torch.quantile takes 16 million numbers at most
    black, white = torch.quantile(sample, sample.new_tensor([0.01, 0.99]), dim=1).view(2, -1, 1, 1, 1)
    middle = (black + white) / 2
    x = ((luma - middle) / (white - black).clamp_min(MIN_RANGE) + 0.5).clamp(0, 1)
    mean = x.mean((1, 2, 3), keepdim=True).clamp(0.01, 0.99)
    gamma = math.log((MEAN - BLACK) / (1 - 2 * BLACK)) / mean.log()
    x = x ** gamma.clamp(1 / MAX_GAMMA, MAX_GAMMA)
    return BLACK + (1 - 2 * BLACK) * x
