"""Chooses the threshold of the segment network, and the confidence that counts as damage at all."""

import torch

from losses import metrics

# Share of the best mean Dice to keep: it allows a higher threshold, and then a higher required confidence.
NEARLY_BEST = 0.96


def search(counts: list, certainty: list[float], most: float) -> dict:
    """The settings of a network, {"threshold", "sure"}, from validation photographs with damage.

    counts: `metrics.histograms` of each photograph; certainty: confidence that it is damaged, 0 to 1; most:
    the highest confidence to require.
    """
    curves = torch.stack([metrics.dice_by_threshold(photo) for photo in counts])  # (N, BINS)
    mean = curves.mean(0)
    best = int((mean >= NEARLY_BEST * mean.max()).nonzero()[-1])
    return {"threshold": best / metrics.BINS, "sure": surest(curves[:, best].tolist(), certainty, most)}


def surest(dice: list[float], certainty: list[float], most: float) -> float:
    """The highest confidence up to `most` to require: the photographs that have it keep nearly the mean Dice
    when all others are left alone. 0 if there is none.
    """

    def kept(least: float) -> float:
        return sum(score for score, sure in zip(dice, certainty, strict=True) if sure >= least)

    enough = NEARLY_BEST * sum(dice)
    return max((x for x in [*certainty, most] if x <= most and kept(x) >= enough), default=0.0)
