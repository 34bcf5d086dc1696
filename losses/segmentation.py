"""The loss of the segment stage: binary cross-entropy with a positive weight, and soft Dice."""

import torch
import torch.nn.functional as F

IGNORE = 128  # mask value that neither trains nor measures
MOST = 10.0


def positive_weight(mask, total, weight: float | str) -> torch.Tensor:
    """What a damaged pixel counts against a clean one: `weight`, or with "auto" clean / defect pixels of the
    global batch, 1 to `MOST`, as a batch may hold hardly any damage. `total` sums a tensor over all
    processes.

    mask: (B, 1, H, W) uint8, 255 damaged, 0 clean, 128 ignored.
    """
    if weight != "auto":
        return torch.tensor(float(weight), device=mask.device)
    counts = total(torch.stack([(mask < IGNORE).sum(), (mask > IGNORE).sum()]).double())
    return (counts[0] / counts[1].clamp_min(1)).clamp(1, MOST).float()


def bce(logits, mask, weight):
    """Binary cross-entropy (scalar, mean over counted pixels); a damaged pixel counts `weight` times."""
    target, counted = (mask > IGNORE).float(), (mask != IGNORE).float()
    loss = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    return (loss * counted).sum() / counted.sum().clamp_min(1)


def soft_dice(logits, mask):
    """1 - Dice of the probabilities (Milletari et al. 2016), over the pixels of the whole batch."""
    target, counted = (mask > IGNORE).float(), (mask != IGNORE).float()
    probability = torch.sigmoid(logits) * counted
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
