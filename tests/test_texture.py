"""Measures of texture: what they call equal, what a blur costs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import save, square

from benchmarks import published
from losses import summary
from losses.texture import feature_distance, high_frequency_ratio
from nets.vgg import BLOCKS, VGG16


@pytest.fixture(scope="module")
def vgg():
    """Random kernels: enough to tell textures apart."""
    generator, state, place, inputs = torch.Generator().manual_seed(0), {}, 0, 3
    for width, count in BLOCKS:
        for _ in range(count):
            kernel = torch.randn(width, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            state[f"features.{place}.weight"], state[f"features.{place}.bias"] = kernel, torch.zeros(width)
            inputs, place = width, place + 2
        place += 1
    return VGG16(state, ("pool1", "pool2"))


@pytest.fixture
def scene():
    """(truth, where): noise texture with a square hole."""
    truth = torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(1))
    where = torch.zeros(96, 96, dtype=torch.bool)
    where[30:60, 30:60] = True
    return truth, where


def filled(truth, where, filling):
    return torch.where(where, filling, truth)


def test_the_truth_has_no_distance(vgg, scene):
    truth, where = scene
    assert feature_distance(vgg, truth, truth, where) == 0


def test_other_texture_is_nearer_than_a_blur_though_psnr_says_otherwise(vgg, scene):
    truth, where = scene
    other = filled(truth, where, torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(2)))
    blur = filled(truth, where, truth.mean())
    assert (blur - truth).square().sum() < (other - truth).square().sum()
    assert feature_distance(vgg, other, truth, where) < feature_distance(vgg, blur, truth, where)


def test_what_is_far_from_the_hole_does_not_count(vgg, scene):
    truth, where = scene
    changed = truth.clone()
    changed[:, :4] = 0
    assert feature_distance(vgg, changed, truth, where) == 0


def test_texture_that_goes_on_has_ratio_one(scene):
    truth, where = scene
    assert high_frequency_ratio(truth, where) == pytest.approx(1, abs=0.1)


def test_a_blur_has_ratio_zero_and_twice_the_contrast_four(scene):
    truth, where = scene
    blur = filled(truth, where, F.avg_pool2d(truth, 31, 1, 15))
    assert high_frequency_ratio(blur, where) < 0.05
    double = filled(truth, where, 2 * truth)
    assert high_frequency_ratio(double, where) == pytest.approx(4, rel=0.1)


def test_the_median_of_ratios_and_the_mean_of_distances():
    rows = [{"high_frequency": ratio, "feature_distance": ratio or 0.5} for ratio in (9.0, None, 0.25, 0.5)]
    found = summary.textures(rows)
    assert found["high_frequency"] == 0.5
    assert found["feature_distance"] == pytest.approx((9 + 0.5 + 0.25 + 0.5) / 4)
    assert len(found["feature_distance_95"]) == 2
    assert summary.textures([{"high_frequency": None}]) == {"high_frequency": None}


def test_the_published_protocol_measures_texture(vgg, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "SIDE", 64)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    save(tmp_path / "photo.png", noise)
    save(tmp_path / "bin1_a.png", square(64, 64, np.s_[20:40, 20:40]))
    painters = {"ours": lambda pixels, mask: pixels, "absent": None}
    result = published.painting([tmp_path / "photo.png"], [tmp_path / "bin1_a.png"], painters, vgg)
    row = result["10-20"]["ours"]
    assert row["n"] == 1
    assert row["high_frequency"] == 0  # black
    assert row["feature_distance"] > 0
    assert row["hole_psnr"] < row["psnr"]


def test_flat_surroundings_have_no_ratio(scene):
    _, where = scene
    assert high_frequency_ratio(torch.full((1, 96, 96), 0.5), where) is None
    assert high_frequency_ratio(torch.rand(1, 96, 96), torch.ones(96, 96, dtype=torch.bool)) is None
