"""Losses of the segment stage: weighted binary cross-entropy and soft Dice.

logits: (B, 1, H, W) float; mask: (B, 1, H, W) uint8, 255 damaged, 0 intact, 128 ignored.
"""

import torch
import torch.nn.functional as F

from losses.metrics import IGNORE

MAX_POSITIVE_WEIGHT = 10.0  # limit of "auto", since a batch may have hardly any damage


def positive_weight(mask, total, weight: float | str) -> torch.Tensor:
    """The weight of a damaged pixel relative to an intact one, a scalar.

    weight: a number, or "auto": intact / damaged pixels of the global batch, between 1 and
    MAX_POSITIVE_WEIGHT. total: sums a tensor over all processes.
    """
    if weight != "auto":
        return torch.tensor(float(weight), device=mask.device)
    clean, damaged = total(torch.stack([(mask < IGNORE).sum(), (mask > IGNORE).sum()]).double())
    return (clean / damaged.clamp_min(1)).clamp(1, MAX_POSITIVE_WEIGHT).float()


def bce(logits, mask, weight):
    """Binary cross-entropy, the mean over counted pixels; damaged ones are weighted by `weight`."""
    target = (mask > IGNORE).float()
    counted = (mask != IGNORE).float()
    loss = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    return (loss * counted).sum() / counted.sum().clamp_min(1)


def soft_dice(logits, mask):
    """1 - Dice of the probabilities (Milletari et al. 2016), over the pixels of the whole batch."""
    target = (mask > IGNORE).float()
    counted = (mask != IGNORE).float()
    probability = torch.sigmoid(logits) * counted
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
