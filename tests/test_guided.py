"""Chroma that keeps to the edges of luma."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nets.ops.guided import even, guided_upsample


def by_hand(chroma, luma, reach, edge, turns):
    """The domain transform of `even`, pixel by pixel, of (H, W) arrays."""
    padded = np.pad(luma, 1, mode="edge")
    luma = (padded[1:-1, :-2] + padded[1:-1, 2:] + padded[:-2, 1:-1] + padded[2:, 1:-1]) / 4
    for turn in range(turns):
        radius = reach * 3 * 2.0 ** (turns - 1 - turn) / (4.0**turns - 1) ** 0.5
        for _ in "rows", "columns":
            result = np.empty_like(chroma)
            for row in range(len(chroma)):
                place = np.concatenate([[0], np.cumsum(1 + reach / edge * np.abs(np.diff(luma[row])))])
                for column, here in enumerate(place):
                    result[row, column] = chroma[
                        row, (place >= here - radius) & (place <= here + radius)
                    ].mean()
            chroma, luma = result.T, luma.T
    return chroma


def test_even_is_the_domain_transform():
    rng = np.random.default_rng(0)
    chroma, luma = rng.normal(0, 0.1, (2, 14, 19)), rng.random((14, 19)) * 0.2
    x = [torch.from_numpy(x)[None] for x in (chroma, luma[None])]
    found = even(*x, reach=4, edge=0.1, iterations=2)[0]
    for channel in range(2):
        np.testing.assert_allclose(found[channel], by_hand(chroma[channel], luma, 4, 0.1, 2), atol=1e-12)


def test_even_stops_at_edges_and_calms_blots():
    luma, chroma = torch.full((1, 1, 60, 80), 0.3), torch.full((1, 2, 60, 80), 0.1)
    luma[..., 40:], chroma[..., 40:] = 0.8, -0.2
    chroma[..., 28:33, 18:23] = 0.4  # a blot on the left
    found = even(chroma, luma)
    assert (found[..., 30, 20] < 0.13).all()
    assert (found[..., 45:] + 0.2).abs().max() < 0.01
    assert found[..., :36].min() > 0.09
    torch.testing.assert_close(even(torch.full_like(chroma, 0.2), luma), torch.full_like(chroma, 0.2))


@pytest.mark.parametrize("large", [(80, 120), (83, 117), (20, 30), (7, 5)])
def test_constant_chroma_stays_constant(large):
    torch.manual_seed(0)
    chroma = torch.tensor([0.3, -0.2]).view(1, 2, 1, 1).expand(1, 2, 20, 30)
    output = guided_upsample(chroma, torch.rand(1, 1, 20, 30), torch.rand(1, 1, *large))
    assert output.shape == (1, 2, *large)
    torch.testing.assert_close(output, chroma[..., :1, :1].expand_as(output), rtol=0, atol=1e-4)


def test_flat_luma_gives_the_plain_smooth_chroma():
    chroma = torch.linspace(-0.3, 0.3, 32).expand(1, 1, 32, 32)
    output = guided_upsample(chroma, torch.full((1, 1, 32, 32), 0.5), torch.full((1, 1, 128, 128), 0.5))
    expected = F.interpolate(chroma, (128, 128), mode="bilinear", align_corners=False)
    torch.testing.assert_close(output[..., 30:98], expected[..., 30:98], rtol=0, atol=1e-3)


def test_chroma_follows_the_edges_of_luma():
    """A slanted edge between a dark blue and a light red field, eight times enlarged: no color bleeds over
    it.
    """
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    right = (x + 0.4 * y > 170).float()[None, None]
    luma, truth = 0.2 + 0.5 * right, torch.cat([0.2 - 0.4 * right, -0.2 + 0.4 * right], 1)
    small, chroma = F.avg_pool2d(luma, 8), F.avg_pool2d(truth, 8)
    guided = (guided_upsample(chroma, small, luma) - truth).abs()
    bilinear = (F.interpolate(chroma, (256, 256), mode="bilinear", align_corners=False) - truth).abs()
    assert guided.mean() < 0.25 * bilinear.mean()
    assert guided.max() < 0.5 * bilinear.max()
