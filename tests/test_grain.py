import pytest
import torch
import torch.nn.functional as F

from nets.ops.grain import match_grain


def grainy(deviation, coarse=False):
    noise = torch.randn(1, 1, 300, 300, generator=torch.Generator().manual_seed(1))
    if coarse:
        noise = F.avg_pool2d(noise, 3, 1, 1)
        noise = noise / noise.std()
    picture = (0.5 + deviation * noise).clamp(0, 1)
    valid = torch.ones_like(picture)
    valid[..., 100:180, 80:220] = 0
    return torch.where(valid > 0, picture, torch.tensor(0.5)), valid


@pytest.mark.parametrize(
    "deviation, coarse, tolerance", [(0.05, False, 0.05), (0.02, False, 0.05), (0.05, True, 0.3)]
)
def test_strength_is_that_of_the_surroundings(deviation, coarse, tolerance):
    picture, valid = grainy(deviation, coarse)
    hole = match_grain(picture, valid)[..., 110:170, 90:210]
    assert abs(float(hole.std()) / deviation - 1) < tolerance


def test_coarse_grain_stays_coarse():
    picture, valid = grainy(0.05, coarse=True)
    hole = match_grain(picture, valid)[..., 110:170, 90:210] - 0.5
    # 0.67 where it was measured
    assert float((hole[..., 1:] * hole[..., :-1]).mean() / hole.square().mean()) > 0.4


def test_valid_pixels_are_untouched_and_grain_is_seeded():
    picture, valid = grainy(0.05)
    first, second = match_grain(picture.clone(), valid), match_grain(picture.clone(), valid)
    assert torch.equal(first, second)
    assert torch.equal(first[valid > 0], picture[valid > 0])


def test_grain_follows_luma():
    picture, valid = grainy(0.05)
    # no grain in the dark
    picture[..., :150] = torch.where(valid[..., :150] > 0, picture[..., :150] * 0 + 0.2, torch.tensor(0.2))
    hole = match_grain(picture, valid)
    assert hole[..., 110:170, 90:140].std() < 0.01 < 0.04 < hole[..., 110:170, 160:210].std()


def test_foliage_is_not_grain():
    """Where all dark areas are full of fine texture, dark holes get hardly more grain than the rest."""
    picture, valid = grainy(0.01)
    leaves = 0.2 + 0.1 * torch.randn(1, 1, 300, 100, generator=torch.Generator().manual_seed(3))
    picture[..., :100] = torch.where(valid[..., :100] > 0, leaves.clamp(0, 1), torch.tensor(0.2))
    hole = match_grain(picture, valid)[..., 110:170, 84:98]
    assert 0.005 < hole.std() < 0.02


def test_nothing_to_measure_leaves_the_picture():
    picture = torch.full((1, 1, 40, 40), 0.5)
    assert torch.equal(match_grain(picture.clone(), torch.zeros_like(picture)), picture)


def test_bands_do_not_show():
    """A hole across several bands: the mean below the grain is that of the painted picture, not of the
    grained one.
    """
    noise = torch.randn(1, 1, 700, 64, generator=torch.Generator().manual_seed(2))
    valid = torch.ones_like(noise)
    valid[..., 16:48] = 0
    picture = torch.where(valid > 0, 0.5 + 0.05 * noise, torch.linspace(0.2, 0.8, 700)[:, None])
    grained = match_grain(picture.clone(), valid) - picture
    rows = grained[..., 20:44].std(-1).flatten()
    for edge in (256, 512):
        assert abs(rows[edge - 4 : edge + 4].mean() / rows[edge - 60 : edge - 10].mean() - 1) < 0.25
