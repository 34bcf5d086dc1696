"""Chooses the threshold of the segment network, and the confidence that counts as damage at all."""

import torch

from losses import metrics

NEARLY_BEST = 0.99  # share of the best mean Dice to keep, which allows a higher threshold
KEPT = 0.96  # share of that Dice to keep when doubtful photographs are left alone
PLAIN = 0.005  # share of damaged pixels from which anyone sees the damage
MOST_LEFT = 0.02  # share of the plainly damaged photographs that may be left alone


def search(counts: list, confidence: list[float], most: float) -> dict:
    """The settings of a network, {"threshold", "sure"}, from validation photographs with damage.

    The threshold is above 0, at which everything would be marked. counts: `metrics.histograms` of each
    photograph; confidence: confidence that it is damaged, 0 to 1; most: the highest confidence to require.
    """
    curves = torch.stack([metrics.dice_by_threshold(photo) for photo in counts])  # (N, BINS)
    mean = curves.mean(0)
    best = max(1, int((mean >= NEARLY_BEST * mean.max()).nonzero()[-1]))
    plain = [bool(photo[1].sum() >= PLAIN * photo.sum()) for photo in counts]
    return {
        "threshold": best / metrics.BINS,
        "sure": required_confidence(curves[:, best].tolist(), confidence, plain, most),
    }


def required_confidence(dice: list[float], confidence: list[float], plain: list[bool], most: float) -> float:
    """The highest confidence up to `most` to require; 0 if there is none.

    The photographs that have it keep nearly the mean Dice when all others are left alone, and of those with
    plain damage hardly any is left alone, since a check that protects undamaged photographs must not hide
    broken ones.
    """

    def keeps_enough(least: float) -> bool:
        kept = sum(score for score, value in zip(dice, confidence, strict=True) if value >= least)
        left = sum(value < least for value, is_plain in zip(confidence, plain, strict=True) if is_plain)
        return kept >= KEPT * sum(dice) and left <= MOST_LEFT * sum(plain)

    return max((x for x in [*confidence, most] if x <= most and keeps_enough(x)), default=0.0)
