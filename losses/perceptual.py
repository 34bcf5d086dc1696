"""Losses between features of pictures (VGG-16): perceptual and style.

features, truth: lists of (B, C, H, W), one entry per layer, of the picture and of the true one. Every loss is
a scalar, summed over the layers. Features of the truth need no gradient: compute them under
`torch.no_grad()`. Raises ValueError if the lists differ in length.
"""

import torch
import torch.nn.functional as F


def perceptual(features, truth):
    """Mean absolute difference of the features (Liu et al. 2018, section 3.3, of one picture)."""
    return sum(F.l1_loss(x, y) for x, y in zip(features, truth, strict=True))


def style(features, truth):
    """Mean absolute difference of the Gram matrices (Liu et al. 2018, section 3.3): texture, regardless of
    place.
    """
    return sum(F.l1_loss(gram(x), gram(y)) for x, y in zip(features, truth, strict=True))


def feature_mse(features, truth):
    """Mean squared difference of the features (feature reconstruction, Johnson et al. 2016)."""
    return sum(F.mse_loss(x, y) for x, y in zip(features, truth, strict=True))


def gram(x):
    """The Gram matrices of features (B, C, H, W) over their pixels, divided by C H W; (B, C, C).

    At least float32, without autocast: half precision loses too many digits in sums over a whole picture.
    """
    flat = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))  # (B, C, H W)
    _, channels, pixels = flat.shape
    with torch.autocast(x.device.type, enabled=False):
        return flat @ flat.mT / (channels * pixels)
