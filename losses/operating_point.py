"""Where a network of defects is cut off: its threshold, and how certain damage must be at all."""

import torch

from losses import metrics

# Of the best mean Dice: the highest threshold, and then the highest certainty to ask for, that keep so much
NEARLY_BEST = 0.96


def search(counts: list, certainty: list[float], most: float) -> dict:
    """The settings to use a network with: {"threshold", "sure"}, from validation photographs with damage.

    counts: of each photograph, `metrics.histograms`; certainty: how certain it is that there is damage in it,
    0 to 1; most: the highest certainty that is worth asking for.
    """
    curves = torch.stack([metrics.dice_by_threshold(photo) for photo in counts])  # (N, BINS)
    mean = curves.mean(0)
    best = int((mean >= NEARLY_BEST * mean.max()).nonzero()[-1])
    return {"threshold": best / metrics.BINS, "sure": surest(curves[:, best].tolist(), certainty, most)}


def surest(dice: list[float], certainty: list[float], most: float) -> float:
    """The highest certainty up to `most` to ask for: if photographs that are less certain are left alone, the
    others keep nearly the mean Dice. 0 if there is none.
    """

    def kept(least: float) -> float:
        return sum(score for score, sure in zip(dice, certainty, strict=True) if sure >= least)

    enough = NEARLY_BEST * sum(dice)
    return max((x for x in [*certainty, most] if x <= most and kept(x) >= enough), default=0.0)
