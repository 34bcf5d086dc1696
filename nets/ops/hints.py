"""Color hints: as input of the network, spread to the next edges, and kept exactly under the strokes.

Hints are (B, 3, H, W): Cb and Cr in [-0.5, 0.5] where painted, 0 elsewhere, and `painted`, 1 or 0.
"""

import torch
import torch.nn.functional as F

from nets.ops.smoothing import box_mean, neighbor_mean
from nets.resnet import DEVIATION, MEAN

CHROMA_DEVIATION = 0.075  # root mean square of Cb and Cr in photographs of people and places
EDGE = 0.08  # step of luma between two pixels that bounds an area
STEP_COST = 1.5  # cost of a path as long as the picture's shorter side; an edge of EDGE costs 1
MAX_EDGE_COST = 4.0


def with_hints(luma, hints):
    """The network's input, (B, 4, H, W): luma and hints, scaled so that it normalizes "free" to 0."""
    cbcr, painted = hints.split((2, 1), 1)
    return torch.cat([luma, MEAN + DEVIATION * cbcr / CHROMA_DEVIATION, MEAN + DEVIATION * painted], 1)


def spread(chroma, hints, luma, iterations: int = 32):
    """Chroma (B, 2, H, W) with the hinted colors spread over their areas. luma: (B, 1, H, W).

    Each pixel finds the nearest stroke along paths of horizontal and vertical runs, whose steps cost the
    square of the change of luma and a little for their length (a geodesic distance, as in Yatziv and Sapiro
    2006). Up to a cost of 0.5 a pixel takes the stroke's color; from 1.5 on it keeps its own. Without edges,
    the color reaches fully over a third of the picture's shorter side and fades out over the whole of it.
    """
    distance, nearest = _nearest_stroke(hints[:, 2:] > 0, neighbor_mean(luma), iterations)
    color = hints[:, :2].flatten(2).gather(2, nearest.flatten(2).expand(-1, 2, -1)).view_as(chroma)
    return chroma + (1.5 - distance).clamp(0, 1) * (color - chroma)


def _nearest_stroke(painted, luma, iterations: int):
    """Geodesic distance of each pixel to the nearest painted one, and that one's index; (B, 1, H, W) each.

    Exact for paths of at most `iterations` runs along each axis; stops as soon as nothing changes.
    """
    batch, _, height, width = painted.shape
    distance = torch.where(painted, 0.0, torch.inf)
    nearest = torch.arange(height * width, device=painted.device).view(1, 1, height, width)
    nearest = nearest.expand(batch, 1, -1, -1)
    costs = []  # (axis, cost of the path from the first pixel along it to each)
    for axis in (3, 2):
        steps = (luma.diff(dim=axis) / EDGE).square().clamp_max(MAX_EDGE_COST)
        steps = steps + STEP_COST / min(height, width)
        costs.append((axis, F.pad(steps, (1, 0) if axis == 3 else (0, 0, 1, 0)).cumsum(axis)))
    for _ in range(iterations):
        before = distance
        for axis, cost in costs:
            for sign in (1, -1):  # from the left and from the right; from above and from below
                origin = distance - sign * cost
                if sign == 1:
                    best, index = origin.cummin(axis)
                else:
                    best, index = origin.flip(axis).cummin(axis)
                    best, index = best.flip(axis), origin.shape[axis] - 1 - index.flip(axis)
                nearer = best + sign * cost < distance
                distance = torch.where(nearer, best + sign * cost, distance)
                nearest = torch.where(nearer, nearest.gather(axis, index), nearest)
        if torch.equal(distance, before):
            break
    return distance, nearest


def fix(chroma, cbcr, alpha, rim: int):
    """Chroma (B, 2, H, W) with exactly the hinted `cbcr` (B, 2, H, W) in strokes, fading out over `rim` px.

    alpha: (B, 1, H, W), 1 in a stroke, 0 outside.
    """
    near = box_mean(alpha, rim)
    color = torch.where(alpha > 0, cbcr, box_mean(cbcr * alpha, rim) / near.clamp_min(1e-6))
    return chroma + torch.maximum(alpha, (2 * near).clamp_max(1)) * (color - chroma)
