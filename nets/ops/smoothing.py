"""Means over the neighborhood of each pixel."""

import torch.nn.functional as F


def neighbor_mean(x):
    """The mean of the four neighbors of each pixel of x (B, C, H, W); the border is replicated."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return (x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]) / 4


def box_mean(x, radius: int):
    """Means of x (B, C, H, W) over squares of 2 `radius` + 1 px; at the border, of the pixels inside."""
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)
