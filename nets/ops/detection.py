"""From the logits of a segmentation network to a mask: averaged views, confidence, threshold, dilation."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F

from nets.ops.tiling import tiled

# Margin by which a coarse logit must exceed the fine one to count, as it does in wide damage alone
COARSE_MARGIN = 8.5
# A plain wall can look like lost emulsion to a network that sees no edge of it, but not at the coarse scale.
# So marks in which a square of about 2 * WIDE px fits count only as far as the coarse logit plus this margin.
WIDE, DENIED_MARGIN = 12, 6.5
CELL = 4  # px
# A photograph counts as damaged if this share of its px at the working size, 40 of 512 x 384, have the
# required confidence, since undamaged photographs have doubtful places too, the larger the more, and must
# come back unchanged. A share of the coarse logits is subtracted, since glitter, leaves and hair look damaged
# at the coarse scale too and most damage does not.
CONFIDENT_SHARE = 2e-4
COARSE_SHARE = 0.8


class Prediction(NamedTuple):
    """A network's result for one photograph."""

    probability: torch.Tensor  # (h, w) float32 in [0, 1], of damage, at the working size
    confidence: float  # 0 to 1, that there is any damage


def view_logits(net, luma, device, tiling, mirrored: bool = False):
    """Logits (h, w) float32 on the CPU for luma (h, w). mirrored: for its mirror image, mirrored back."""
    x = (luma.flip(-1) if mirrored else luma)[None, None].to(device, memory_format=torch.channels_last)
    logits = tiling.run(partial(tiled, net, x, net.size_divisor))[0, 0].float().cpu()
    return logits.flip(-1) if mirrored else logits


def predict(fine, coarse, margin: float = COARSE_MARGIN) -> Prediction:
    """fine, coarse: logits (h, w) at the working size, the coarse ones computed at a much smaller scale."""
    fine = fine - denied(fine, coarse)
    count = max(1, round(CONFIDENT_SHARE * fine.numel()))
    confident = (fine - COARSE_SHARE * coarse).flatten().topk(count).values[-1]
    probability = torch.sigmoid(torch.maximum(fine, coarse - margin))
    return Prediction(probability, float(torch.sigmoid(confident)))


def denied(fine, coarse):
    """By how much the coarse logits lower the fine ones, (h, w), in wide marks and just around them.

    Computed in cells of CELL px, which takes a tenth of the time.
    """
    reach, (height, width) = WIDE // CELL, fine.shape
    smallest = -F.max_pool2d(-fine[None], CELL, ceil_mode=True)[0]
    mean = F.avg_pool2d(coarse[None], CELL, ceil_mode=True, count_include_pad=False)[0]
    opened = dilated(-dilated(-smallest, reach), reach)
    excess = dilated((opened - mean - DENIED_MARGIN).clamp_min(0), 1)
    return excess.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)[:height, :width]


def damage_mask(probability, size: tuple[int, int], threshold: float, dilate: int = 0):
    """Where the probability (h, w) is at least `threshold`, at `size` (width, height): (H, W) bool.

    dilate: px of (h, w). The probability itself is dilated, before upsampling, so that large photographs get
    smooth outlines.
    """
    return enlarge(dilated(probability, dilate), size) >= threshold


def dilated(x, reach: int):
    """The largest value within a square of `reach` px to each side of every pixel, (h, w)."""
    return F.max_pool2d(x[None], 2 * reach + 1, 1, reach)[0] if reach else x


def enlarge(x, size: tuple[int, int]):
    """Probabilities or logits (h, w) resized bilinearly to `size` (width, height)."""
    if x.shape[::-1] == tuple(size):
        return x
    return F.interpolate(x[None, None], size[::-1], mode="bilinear", align_corners=False)[0, 0]
