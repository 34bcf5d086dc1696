"""Colours that a person knows: how they enter the network, spread up to the next edges, and stay as they were
painted.

Hints are (B, 3, H, W): Cb and Cr in [-0.5, 0.5] where painted and 0 elsewhere, and `where`, 1 painted, 0
free.
"""

import torch
import torch.nn.functional as F

from nets.ops.guided import less_grain
from nets.resnet import DEVIATION, MEAN

CHROMA_DEVIATION = 0.075  # root mean square of Cb and Cr in photographs of people and places
EDGE = 0.08  # a step of luma from one pixel to the next that ends an area


def with_hints(luma, hints):
    """The network's input, (B, 4, H, W): luma and hints, scaled so that its own normalization turns "free"
    into 0.
    """
    cbcr, where = hints.split((2, 1), 1)
    return torch.cat([luma, MEAN + DEVIATION * cbcr / CHROMA_DEVIATION, MEAN + DEVIATION * where], 1)


def spread(chroma, hints, luma, turns: int = 32):
    """Chroma (B, 2, H, W) with the hinted colours laid over the areas that they lie in.

    Each pixel looks for the nearest stroke along paths of horizontal and vertical runs, where a step costs
    the square of the change of luma, and a little for its length (geodesic distance, as of Yatziv and Sapiro
    2006). Up to half of the cost of an edge of EDGE it takes the stroke's colour, from one and a half on it
    keeps its own: without edges, up to a third and from the whole of the picture's shorter side. luma: (B, 1,
    H, W).
    """
    batch, _, height, width = chroma.shape
    smooth = less_grain(luma)
    where = hints[:, 2:] > 0
    distance = torch.where(where, 0.0, torch.inf)
    nearest = (
        torch.arange(height * width, device=chroma.device).view(1, 1, height, width).expand(batch, 1, -1, -1)
    )
    paths = []  # (axis, cost of the path from the first pixel to each)
    for axis in (3, 2):
        steps = (smooth.diff(dim=axis) / EDGE).square().clamp_max(4) + 1.5 / min(height, width)
        paths.append((axis, F.pad(steps, (1, 0) if axis == 3 else (0, 0, 1, 0)).cumsum(axis)))
    for _ in range(turns):
        before = distance
        for axis, path in paths:
            for sign in (1, -1):  # from the left, from the right; from above, from below
                origin = distance - sign * path
                origin = origin if sign == 1 else origin.flip(axis)
                best, index = origin.cummin(axis)
                if sign == -1:
                    best, index = best.flip(axis), origin.shape[axis] - 1 - index.flip(axis)
                nearer = best + sign * path < distance
                distance = torch.where(nearer, best + sign * path, distance)
                nearest = torch.where(nearer, nearest.gather(axis, index), nearest)
        if torch.equal(distance, before):
            break
    colour = hints[:, :2].flatten(2).gather(2, nearest.flatten(2).expand(-1, 2, -1)).view_as(chroma)
    return chroma + (1.5 - distance).clamp(0, 1) * (colour - chroma)


def fix(chroma, cbcr, alpha, rim: int):
    """Chroma (B, 2, H, W) with exactly the hinted `cbcr` under the strokes; outside it fades over `rim` px.

    alpha: (B, 1, H, W), 1 in a stroke, 0 outside.
    """
    mean = lambda x: F.avg_pool2d(x, 2 * rim + 1, 1, rim, count_include_pad=False)  # noqa: E731
    near = mean(alpha)
    colour = torch.where(alpha > 0, cbcr, mean(cbcr * alpha) / near.clamp_min(1e-6))
    return chroma + torch.maximum(alpha, (2 * near).clamp_max(1)) * (colour - chroma)
