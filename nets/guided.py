"""Chroma at the network's scale brought to the photo's scale along the edges of its luma."""

import torch.nn.functional as F


def guided_upsample(chroma, small, large, radius: int = 4, epsilon: float = 4e-4):
    """Guided filter (He, Sun 2015, "Fast Guided Filter"): chroma as a local linear function of luma.

    chroma: (B, C, h, w); small: luma at that scale, (B, 1, h, w); large: luma of the photo, (B, 1, H, W), in [0, 1].
    Returns (B, C, H, W). The linear function is fitted in windows of `radius` px at the small scale and evaluated at the
    large one; `epsilon` is the variance of luma below which a window counts as flat.
    """
    mean = lambda x: F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)  # noqa: E731
    mean_luma, mean_chroma = mean(small), mean(chroma)
    slope = (mean(small * chroma) - mean_luma * mean_chroma) / (mean(small * small) - mean_luma**2 + epsilon)
    offset = mean_chroma - slope * mean_luma
    slope, offset = (F.interpolate(mean(x), large.shape[-2:], mode="bilinear", align_corners=False) for x in (slope, offset))
    return slope.mul_(large).add_(offset)
