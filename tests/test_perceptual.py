"""Losses on features against values worked out by hand."""

import pytest
import torch

from losses import perceptual

# (B, C, H, W)
X = [torch.tensor([[1.0, 2.0], [0.0, -1.0]]).view(1, 2, 1, 2), torch.tensor([3.0]).view(1, 1, 1, 1)]
Y = [torch.tensor([[0.0, 2.0], [1.0, 1.0]]).view(1, 2, 1, 2), torch.tensor([1.0]).view(1, 1, 1, 1)]


def test_gram_by_hand():
    expected = torch.tensor([[1 + 4, 0 - 2], [0 - 2, 0 + 1]]) / (2 * 1 * 2)
    torch.testing.assert_close(perceptual.gram(X[0]), expected[None])


def test_gram_does_not_see_where():
    x = torch.randn(2, 3, 4, 5)
    shuffled = x.flatten(2)[..., torch.randperm(20)].view(2, 3, 4, 5)
    torch.testing.assert_close(perceptual.gram(shuffled), perceptual.gram(x))
    # nor how many pixels there are
    torch.testing.assert_close(perceptual.gram(torch.cat([x, x], 3)), perceptual.gram(x))
    # each picture of the batch its own
    assert (perceptual.gram(x[:1]) - perceptual.gram(x[1:])).abs().max() > 0.01


def test_losses_by_hand():
    assert float(perceptual.perceptual(X, Y)) == pytest.approx((1 + 0 + 1 + 2) / 4 + 2)
    assert float(perceptual.feature_mse(X, Y)) == pytest.approx((1 + 0 + 1 + 4) / 4 + 4)
    grams = [[5 / 4, -2 / 4, -2 / 4, 1 / 4], [4 / 4, 2 / 4, 2 / 4, 2 / 4]]
    assert float(perceptual.style(X, Y)) == pytest.approx(
        sum(abs(a - b) for a, b in zip(*grams)) / 4 + (9 - 1)
    )


@pytest.mark.parametrize("loss", [perceptual.perceptual, perceptual.style, perceptual.feature_mse])
def test_the_truth_itself_costs_nothing(loss):
    assert float(loss(X, X)) == 0 < float(loss(X, Y))
    with pytest.raises(ValueError):
        loss(X, Y[:1])


@pytest.mark.parametrize("loss", [perceptual.perceptual, perceptual.style, perceptual.feature_mse])
def test_gradients(loss):
    x = torch.randn(1, 3, 2, 2, dtype=torch.double, requires_grad=True)
    truth = [torch.randn(1, 3, 2, 2, dtype=torch.double)]
    assert torch.autograd.gradcheck(lambda x: loss([x], truth), x)


def test_gram_keeps_its_digits_under_autocast():
    x = 1 + 0.01 * torch.randn(1, 4, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        gram = perceptual.gram(x)
        assert perceptual.gram(x.bfloat16()).dtype == torch.float32
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, perceptual.gram(x), rtol=0, atol=0)
