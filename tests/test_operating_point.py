"""Where a network of defects is cut off."""

import pytest
import torch

from losses import metrics, operating_point


@pytest.mark.parametrize(
    "dice, confidence, expected",
    [
        ([0.5, 0.5], [0.99, 0.999], 0.96),
        ([0.5, 0.4], [0.99, 0.6], 0.6),
        ([0.5, 0.02], [0.99, 0.6], 0.96),  # of that one hardly anything is found anyway
        ([0.5, 0.4, 0.01], [0.9, 0.95, 0.3], 0.9),
        ([0.0], [0.2], 0.96),
        ([float("nan")], [float("nan")], 0.0),
    ],
)
def test_confidence_is_what_nearly_all_damage_reaches(dice, confidence, expected):
    assert operating_point.required_confidence(dice, confidence, [False] * len(dice), 0.96) == expected


def test_plain_damage_is_not_left_alone():
    """However little of it is found: 0.02 of Dice would not be missed, a peeled portrait would."""
    dice, confidence = [0.5, 0.02], [0.99, 0.6]
    assert operating_point.required_confidence(dice, confidence, [True, False], 0.96) == 0.96
    assert operating_point.required_confidence(dice, confidence, [True, True], 0.96) == 0.6
    dice, confidence = [0.5] * 49 + [0.02], [0.99] * 49 + [0.6]  # one of 50
    assert operating_point.required_confidence(dice, confidence, [True] * 50, 0.96) == 0.96


def test_the_threshold_is_never_0():
    mask = torch.zeros(10, 10, dtype=torch.uint8)
    mask[:5] = 255
    found = operating_point.search([metrics.histograms(torch.zeros(10, 10), mask)], [0.99], 0.96)
    assert found["threshold"] > 0


def test_the_threshold_is_the_highest_with_nearly_the_best_dice():
    """Damage at 0.9 and a little at 0.5, the clean rest at 0.1: the little is not worth a lower threshold."""
    probability = torch.full((100, 100), 0.1005)
    mask = torch.zeros(100, 100, dtype=torch.uint8)
    mask[:20] = 255
    probability[:20] = 0.9005
    mask[20, :20], probability[20, :20] = 255, 0.5005
    found = operating_point.search([metrics.histograms(probability, mask)], [0.99], 0.96)
    assert found == {"threshold": 0.9, "sure": 0.96}
