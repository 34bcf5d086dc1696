"""Training losses against values worked out by hand."""

import math

import pytest
import torch

from losses import colorization, inpainting, segmentation

SOFT = [0.5, 2.0, -1.0]  # logits


def log_sigmoid(x):
    return -math.log(1 + math.exp(-x))


def total(x):
    return x


def test_bce_by_hand():
    logits = torch.tensor(SOFT).view(1, 1, 1, 3)
    mask = torch.tensor([255, 0, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    expected = (-4 * log_sigmoid(0.5) - log_sigmoid(-2.0) - 4 * log_sigmoid(-1.0)) / 3
    assert float(segmentation.bce(logits, mask, torch.tensor(4.0))) == pytest.approx(expected, rel=1e-6)


def test_soft_dice_by_hand():
    logits = torch.tensor(SOFT).view(1, 1, 1, 3)
    mask = torch.tensor([255, 0, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    p = [1 / (1 + math.exp(-x)) for x in SOFT]
    expected = 1 - (2 * (p[0] + p[2]) + 1) / (sum(p) + 2 + 1)
    assert float(segmentation.soft_dice(logits, mask)) == pytest.approx(expected, rel=1e-6)
    right = torch.tensor([40.0, -40.0, 40.0]).view(1, 1, 1, 3)
    assert float(segmentation.soft_dice(right, mask)) == pytest.approx(0, abs=1e-6)
    assert float(segmentation.soft_dice(-right, mask)) == pytest.approx(1 - 1 / 4, rel=1e-6)


def losses_of(logits, mask):
    weight = segmentation.positive_weight(mask, total, "auto")
    return segmentation.bce(logits, mask, weight) + segmentation.soft_dice(logits, mask)


def test_ignored_pixels_have_no_influence():
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    mask = (torch.rand(2, 1, 8, 8) > 0.7).to(torch.uint8) * 255
    mask[:, :, :, 5:] = segmentation.IGNORE
    loss = losses_of(logits, mask)
    loss.backward()
    assert (logits.grad[..., 5:] == 0).all()
    assert (logits.grad[..., :5] != 0).all()
    other = torch.where(mask == 128, 50.0, logits.detach())
    assert torch.equal(losses_of(other, mask), loss.detach())
    torch.testing.assert_close(losses_of(logits.detach()[..., :5], mask[..., :5]), loss.detach())


def test_a_batch_without_counted_pixels_is_zero_and_finite():
    logits = torch.randn(1, 1, 4, 4, requires_grad=True)
    mask = torch.full((1, 1, 4, 4), 128, dtype=torch.uint8)
    loss = losses_of(logits, mask)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    "damaged, given, expected",
    [
        (10, "auto", 9.0),
        (5, "auto", 10.0),
        (80, "auto", 1.0),
        (0, "auto", 10.0),
        (100, "auto", 1.0),
        (80, 100, 100.0),
        (10, 0.5, 0.5),
    ],
)
def test_positive_weight_is_given_or_clean_over_damaged_within_limits(damaged, given, expected):
    mask = torch.zeros(1, 1, 10, 10, dtype=torch.uint8)
    mask.view(-1)[:damaged] = 255
    weight = segmentation.positive_weight(mask, total, given)
    assert float(weight) == expected
    assert weight.dtype == torch.float32


def test_positive_weight_is_that_of_the_global_batch():
    parts = torch.zeros(2, 1, 1, 10, 10, dtype=torch.uint8)
    parts[0].view(-1)[:30] = 255
    parts[1].view(-1)[:20] = 128

    def both(counts):  # as if the other process had the other part
        return torch.tensor([70 + 80, 30 + 0]).double()

    for part in parts:
        assert float(segmentation.positive_weight(part, both, "auto")) == 5
    assert float(segmentation.positive_weight(parts.flatten(0, 1), total, "auto")) == 5


def test_hole_and_valid_share_the_error_out():
    truth, painted = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    painted[0, 0] = torch.tensor([[0.1, 0.2], [0.3, 0.5]])
    painted[0, 1, 1, 1] = -0.1
    assert float(inpainting.hole(painted, truth, mask)) == pytest.approx((0.5 + 0.1) / 2)
    assert float(inpainting.valid(painted, truth, mask)) == pytest.approx((0.1 + 0.2 + 0.3) / 6)
    full = torch.ones_like(mask)
    assert float(inpainting.hole(painted, truth, full)) == 0
    assert float(inpainting.valid(painted, truth, 1 - full)) == 0


def test_total_variation_counts_pairs_that_touch_a_hole():
    painted = torch.tensor([[0.0, 0.2, 0.9], [0.1, 0.4, 0.7]]).view(1, 1, 2, 3)
    mask = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]).view(1, 1, 2, 3)
    pairs = abs(0.2 - 0.0) + abs(0.9 - 0.2) + abs(0.4 - 0.2)
    assert float(inpainting.total_variation(painted, mask)) == pytest.approx(pairs / 1)
    assert float(inpainting.total_variation(painted, torch.ones_like(mask))) == 0


def test_chroma_l1_by_hand():
    truth = torch.tensor([[0.3, 0.0], [0.4, 0.0]]).view(1, 2, 1, 2)  # one pixel of chroma 0.5, one grey
    cbcr = torch.tensor([[0.1, 0.2], [0.4, -0.2]]).view(1, 2, 1, 2)
    assert float(colorization.chroma_l1(cbcr, truth)) == pytest.approx((0.2 + 0.0 + 0.2 + 0.2) / 4)
    weighted = (0.2 * 4 + 0.4 * 1) / (2 * (4 + 1))  # 1 + 6 * 0.5 = 4
    assert float(colorization.chroma_l1(cbcr, truth, 6.0)) == pytest.approx(weighted)
    assert float(colorization.chroma_l1(truth, truth, 6.0)) == 0
