"""Exposure that all photographs get before the network sees them."""

import torch

from nets.ops.exposure import even_exposure


def test_even_exposure():
    x = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0)) ** 2
    even = even_exposure(x)
    assert torch.allclose(even.flatten(1).quantile(0.01, 1), torch.tensor(0.05), atol=0.01)
    assert torch.allclose(even.mean((1, 2, 3)), torch.tensor(0.45), atol=0.05)
    assert torch.equal(even[:1], even_exposure(x[:1]))  # each picture for itself
    order = x[0].flatten().argsort()
    assert (even[0].flatten()[order].diff() >= 0).all()
    for other in (x**0.6, x**1.5, 0.2 + 0.5 * x):
        assert (even_exposure(other) - even).abs().max() < 0.08
    for level in (0.0, 0.5, 1.0):
        noise = level + 0.001 * torch.randn(1, 1, 40, 40)
        assert even_exposure(noise.clamp(0, 1)).std() < 0.02
