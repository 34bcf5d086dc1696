"""Chroma that keeps to the edges of luma: evened out between them, and brought from the network's scale to
the photo's.
"""

import torch
import torch.nn.functional as F

# px of the network's scale over which chroma is evened out, and the step of luma that weighs as much
REACH, EDGE = (40, 0.1)


def less_grain(luma):
    """Each pixel of luma (B, 1, H, W) as the mean of its four neighbours."""
    luma = F.pad(luma, (1, 1, 1, 1), mode="replicate")
    return (luma[..., 1:-1, :-2] + luma[..., 1:-1, 2:] + luma[..., :-2, 1:-1] + luma[..., 2:, 1:-1]) / 4


def even(chroma, luma, reach: float = REACH, edge: float = EDGE, turns: int = 3):
    """Chroma (B, C, H, W) averaged over what hangs together in luma (B, 1, H, W): no blots on a wall, no skin
    beside the cheek.

    The domain transform with normalized convolution (Gastal, Oliveira 2011, "Domain Transform for Edge-Aware
    Image and Video Processing"): box filters along rows and columns in turn, where a step to the next pixel
    is longer by `reach` / `edge` times the change of luma. Of a constant it changes nothing, and no average
    leaves the range of chroma.
    """
    luma = less_grain(luma)
    places = []
    for across in (luma, luma.mT):
        steps = 1 + reach / edge * across.diff(dim=-1).abs()
        places.append(F.pad(steps, (1, 0)).cumsum(-1).contiguous())
    for turn in range(turns):
        radius = reach * 3 * 2.0 ** (turns - 1 - turn) / (4.0**turns - 1) ** 0.5  # equation 14 of the paper
        for place in places:  # along rows, then along columns
            first = torch.searchsorted(place, place - radius).expand_as(chroma)
            last = torch.searchsorted(place, place + radius, right=True).expand_as(chroma)
            sums = F.pad(chroma.cumsum(-1), (1, 0))
            chroma = ((sums.gather(-1, last) - sums.gather(-1, first)) / (last - first)).mT
    return chroma


def guided_slope(chroma, small, radius: int = 1, epsilon: float = 1e-3):
    """How chroma (B, C, h, w) follows luma (B, 1, h, w) nearby: (B, C, h, w), chroma per luma.

    The slope of the guided filter (He, Sun 2015, "Fast Guided Filter"): a linear fit in windows of `radius`
    px; `epsilon` is the variance of luma below which a window counts as flat.
    """
    mean = lambda x: F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)  # noqa: E731
    mean_luma = mean(small)
    slope = (mean(small * chroma) - mean_luma * mean(chroma)) / (mean(small * small) - mean_luma**2 + epsilon)
    return mean(slope)


def guided_upsample(chroma, small, large):
    """Chroma enlarged, with the detail that the luma has and enlarging cannot bring, as chroma follows luma
    nearby.

    chroma: (B, C, h, w); small: luma at that scale, (B, 1, h, w); large: luma of the photo, (B, 1, H, W), in
    [0, 1]. Returns (B, C, H, W). The guided filter itself would replace chroma by its fit; here only what
    enlarging `small` misses of `large` goes through the slope, so that no chroma of the small scale is lost.
    """
    enlarge = lambda x: F.interpolate(x, large.shape[-2:], mode="bilinear", align_corners=False)  # noqa: E731
    return enlarge(guided_slope(chroma, small)).mul_(large - enlarge(small)).add_(enlarge(chroma))
