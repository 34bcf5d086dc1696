"""Chroma that follows the edges of luma: smoothing between edges, and guided upsampling."""

import torch
import torch.nn.functional as F

from nets.ops.smoothing import box_mean, neighbor_mean

REACH = 40  # px at the network's scale over which chroma is averaged
EDGE = 0.1  # the step of luma that counts as a distance of REACH


def even(chroma, luma, reach: float = REACH, edge: float = EDGE, iterations: int = 3):
    """Chroma (B, C, H, W) smoothed within the areas of luma (B, 1, H, W): no blots on a wall, no skin color
    beside a cheek.

    The domain transform with normalized convolution (Gastal and Oliveira 2011, "Domain Transform for
    Edge-Aware Image and Video Processing"): box filters along rows and columns in turn, over a distance that
    grows by 1 for each px and by `reach` / `edge` times the change of luma. Constants do not change, and
    results stay in the range of chroma.
    """
    luma = neighbor_mean(luma)  # has less grain
    distances = []
    for image in (luma, luma.mT):
        steps = 1 + reach / edge * image.diff(dim=-1).abs()
        distances.append(F.pad(steps, (1, 0)).cumsum(-1).contiguous())
    for iteration in range(iterations):
        # Equation 14 of the paper
        radius = reach * 3 * 2.0 ** (iterations - 1 - iteration) / (4.0**iterations - 1) ** 0.5
        for distance in distances:  # along rows, then along columns
            chroma = _box_filter(chroma, distance, radius).mT
    return chroma


def _box_filter(x, distance, radius: float):
    """Means along rows of x (B, C, H, W) over the pixels within `radius` by `distance`, (B, 1, H, W)."""
    first = torch.searchsorted(distance, distance - radius).expand_as(x)
    last = torch.searchsorted(distance, distance + radius, right=True).expand_as(x)
    sums = F.pad(x.cumsum(-1), (1, 0))
    return (sums.gather(-1, last) - sums.gather(-1, first)) / (last - first)


def guided_slope(chroma, small, radius: int = 1, epsilon: float = 1e-3):
    """How chroma (B, C, h, w) changes with luma `small` (B, 1, h, w) locally: (B, C, h, w), chroma per luma.

    The slope of the guided filter (He and Sun 2015, "Fast Guided Filter"): a linear fit in windows of
    `radius` px; `epsilon` is the variance of luma below which a window counts as flat.
    """
    mean_luma = box_mean(small, radius)
    covariance = box_mean(small * chroma, radius) - mean_luma * box_mean(chroma, radius)
    variance = box_mean(small * small, radius) - mean_luma**2
    return box_mean(covariance / (variance + epsilon), radius)


def guided_upsample(chroma, small, large):
    """Chroma at the photograph's size, (B, C, H, W), with the fine detail that follows from its luma.

    chroma: (B, C, h, w); small: luma at that scale, (B, 1, h, w); large: luma of the photograph, (B, 1, H,
    W), in [0, 1]. The guided filter would replace chroma by its linear fit. Here only the difference between
    `large` and the upsampled `small` is multiplied by the slope, so that no chroma of the small scale is
    lost.
    """

    def enlarge(x):
        return F.interpolate(x, large.shape[-2:], mode="bilinear", align_corners=False)

    return enlarge(guided_slope(chroma, small)).mul_(large - enlarge(small)).add_(enlarge(chroma))
