"""Chroma at the network's scale brought to the photo's scale along the edges of its luma."""

import torch.nn.functional as F


def guided_slope(chroma, small, radius: int = 1, epsilon: float = 1e-3):
    """How chroma (B, C, h, w) follows luma (B, 1, h, w) nearby: (B, C, h, w), chroma per luma.

    The slope of the guided filter (He, Sun 2015, "Fast Guided Filter"): a linear fit in windows of `radius` px; `epsilon`
    is the variance of luma below which a window counts as flat.
    """
    mean = lambda x: F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)  # noqa: E731
    mean_luma = mean(small)
    slope = (mean(small * chroma) - mean_luma * mean(chroma)) / (mean(small * small) - mean_luma**2 + epsilon)
    return mean(slope)


def guided_upsample(chroma, small, large):
    """Chroma enlarged, with the detail that the luma has and enlarging cannot bring, as chroma follows luma nearby.

    chroma: (B, C, h, w); small: luma at that scale, (B, 1, h, w); large: luma of the photo, (B, 1, H, W), in [0, 1].
    Returns (B, C, H, W). The guided filter itself would replace chroma by its fit; here only what enlarging `small` misses
    of `large` goes through the slope, so that no chroma of the small scale is lost.
    """
    enlarge = lambda x: F.interpolate(x, large.shape[-2:], mode="bilinear", align_corners=False)  # noqa: E731
    return enlarge(guided_slope(chroma, small)).mul_(large - enlarge(small)).add_(enlarge(chroma))
