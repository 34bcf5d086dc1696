"""Measures against other libraries, brute force and hand-made values."""

import math

import numpy as np
import pytest
import torch

from losses import metrics

color = pytest.importorskip("skimage.color")
skmetrics = pytest.importorskip("skimage.metrics")


def scores(seed=0, n=3000, separation=1.0):
    """Probabilities on the edges of the histogram's bins, so that binning loses nothing, and truth with
    ignored pixels.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 0, 0, 255, 128], n).astype(np.uint8)
    logits = rng.normal(0, 1, n) + separation * (truth == 255)
    bins = np.minimum((metrics.BINS / (1 + np.exp(-logits))).astype(int), metrics.BINS - 1)
    return (bins + 0.5) / metrics.BINS, truth


def counts_of(probability, truth):
    return metrics.histograms(
        torch.from_numpy(probability).float().view(30, -1), torch.from_numpy(truth).view(30, -1)
    )


def test_histograms_leave_ignored_pixels_out():
    probability = torch.tensor([[0.0, 0.2505, 1.0, 0.5]])
    counts = metrics.histograms(probability, torch.tensor([[0, 255, 255, 128]], dtype=torch.uint8))
    assert counts.sum() == 3
    assert counts[0, 0] == 1
    assert counts[1, 250] == 1
    assert counts[1, metrics.BINS - 1] == 1


@pytest.mark.parametrize("separation", [-1.0, 0.0, 0.7, 4.0])
def test_roc_auc_is_the_probability_of_the_right_order(separation):
    probability, truth = scores(separation=separation)
    damaged, clean = probability[truth == 255], probability[truth == 0]
    pairs = (damaged[:, None] > clean).mean() + 0.5 * (damaged[:, None] == clean).mean()
    assert metrics.roc_auc(counts_of(probability, truth)) == pytest.approx(pairs, abs=1e-9)


@pytest.mark.parametrize("separation", [-1.0, 0.0, 0.7, 4.0])
def test_average_precision_is_the_sum_of_steps(separation):
    probability, truth = scores(separation=separation)
    probability, damaged = probability[truth != 128], truth[truth != 128] == 255
    expected, before = 0.0, 0.0
    for threshold in sorted(set(probability), reverse=True):
        found = probability >= threshold
        recall, precision = (found & damaged).sum() / damaged.sum(), damaged[found].mean()
        expected, before = expected + precision * (recall - before), recall
    assert metrics.average_precision(counts_of(*scores(separation=separation))) == pytest.approx(
        expected, abs=1e-9
    )


def test_areas_of_a_perfect_and_of_a_useless_finder():
    perfect, useless = torch.zeros(2, 2, metrics.BINS, dtype=torch.long)
    perfect[0, 100], perfect[1, 900] = 70, 30
    useless[0, 500], useless[1, 500] = 70, 30
    assert metrics.roc_auc(perfect) == 1
    assert metrics.average_precision(perfect) == 1
    assert metrics.roc_auc(useless) == 0.5
    assert metrics.average_precision(useless) == pytest.approx(0.3)
    useless[1] = 0
    assert metrics.roc_auc(useless) is None
    assert metrics.average_precision(useless) is None


def test_dice_for_every_threshold():
    probability, truth = scores(separation=1.5)
    curve = metrics.dice_by_threshold(counts_of(probability, truth))
    assert curve.shape == (metrics.BINS,)
    for i in (0, 1, 250, 640, 999):
        found = torch.from_numpy(probability >= i / metrics.BINS)
        assert float(curve[i]) == pytest.approx(
            metrics.overlap(found, torch.from_numpy(truth))["dice"], abs=1e-12
        )


def test_overlap_by_hand():
    mask = torch.tensor([[255, 255, 0, 0, 128]], dtype=torch.uint8)
    found = torch.tensor([[True, False, True, False, True]])
    assert metrics.overlap(found, mask) == {"dice": 2 * 1 / (2 + 2), "iou": 1 / 3}
    assert metrics.overlap(mask == 255, mask) == {"dice": 1, "iou": 1}
    assert metrics.overlap(found & False, mask) == {"dice": 0, "iou": 0}


def line(row, size=40):
    mask = torch.zeros(size, size, dtype=torch.uint8)
    mask[row, 5:35] = 255
    return mask


def test_tolerant_dice_forgives_two_pixels():
    truth = line(20)
    for shift, least, most in ((0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 0, 0), (10, 0, 0)):
        assert least <= metrics.tolerant_dice(line(20 + shift) > 0, truth) <= most
    assert metrics.overlap(line(21) > 0, truth)["dice"] == 0  # plain Dice does not
    # Half of the line found, nothing wrong found: precision 1; recall counts the 2 px beyond the end as well.
    half = line(20) > 0
    half[:, 20:] = False
    recall = (15 + 2) / 30
    assert metrics.tolerant_dice(half, truth) == pytest.approx(2 * recall / (1 + recall))


def test_tolerant_dice_leaves_ignored_pixels_out():
    truth = line(20)
    truth[:, :20] = 128
    found = line(20) > 0
    found[:10, :20] = True  # nonsense where nobody looked
    assert metrics.tolerant_dice(found, truth) == 1
    assert metrics.tolerant_dice(found & False, truth) == 0


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_dilation_is_by_a_disc(radius):
    from skimage.morphology import dilation, disk

    mask = np.random.default_rng(0).random((30, 41)) > 0.97
    expected = dilation(mask, disk(radius))
    np.testing.assert_array_equal(metrics.dilate(torch.from_numpy(mask), radius).numpy(), expected)


def pictures(portrait, seed=0):
    truth = portrait[:64, 60:140].astype(np.float64) / 255
    noise = np.random.default_rng(seed).normal(0, 0.1, truth.shape)
    return np.clip(truth + noise, 0, 1), truth


def tensor(picture):
    return torch.from_numpy(picture).float().permute(2, 0, 1)


def test_psnr_equals_scikit_image(portrait):
    noisy, truth = pictures(portrait)
    expected = skmetrics.peak_signal_noise_ratio(truth, noisy, data_range=1)
    assert metrics.psnr(tensor(noisy), tensor(truth)) == pytest.approx(expected, abs=1e-3)
    where = torch.zeros(64, 80, dtype=torch.bool)
    where[10:30, 20:50] = True
    inside = skmetrics.peak_signal_noise_ratio(truth[10:30, 20:50], noisy[10:30, 20:50], data_range=1)
    assert metrics.psnr(tensor(noisy), tensor(truth), where) == pytest.approx(inside, abs=1e-3)
    half = torch.full((1, 4, 4), 0.5)
    assert metrics.psnr(half, half + 0.1) == pytest.approx(20, abs=1e-4)
    assert math.isfinite(metrics.psnr(half, half))


def test_ssim_equals_scikit_image(portrait):
    noisy, truth = (x.mean(-1) for x in pictures(portrait))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, full = skmetrics.structural_similarity(truth, noisy, full=True, **options)
    ours = [torch.from_numpy(x).float()[None] for x in (noisy, truth)]
    inner = torch.zeros(64, 80, dtype=torch.bool)
    inner[5:-5, 5:-5] = True  # borders are a matter of definition
    assert metrics.ssim(*ours, inner) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)
    assert metrics.ssim(*ours) == pytest.approx(full.mean(), abs=0.01)
    assert 0.2 < full.mean() < 0.9
    assert metrics.ssim(ours[1], ours[1]) == pytest.approx(1)


def test_chroma_mse_is_in_steps_of_8_bit():
    truth = torch.zeros(2, 4, 4)
    cbcr = truth.clone()
    cbcr[0] = 3 / 255
    assert metrics.chroma_mse(cbcr, truth) == pytest.approx(4.5, rel=1e-5)


def test_colorfulness_by_hand():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (32, 32, 3)).astype(np.float64)
    rg, yb = rgb[..., 0] - rgb[..., 1], (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert metrics.colorfulness(tensor(rgb / 255)) == pytest.approx(expected, rel=2e-3)
    assert metrics.colorfulness(torch.rand(1, 8, 8).expand(3, 8, 8)) == pytest.approx(0, abs=1e-3)


def test_lab_equals_scikit_image():
    rgb = np.random.default_rng(0).random((20, 30, 3))
    rgb[0] = np.linspace(0, 0.1, 30)[:, None]  # near black another formula holds
    ours = metrics.lab(torch.from_numpy(rgb).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, color.rgb2lab(rgb), atol=0.01)


def test_ciede2000_equals_scikit_image(portrait):
    rng = np.random.default_rng(0)
    pairs = [(rng.random((40, 40, 3)), rng.random((40, 40, 3))), pictures(portrait)]
    grey = np.repeat(rng.random((40, 40, 1)), 3, -1)
    pairs += [(grey, rng.random((40, 40, 3))), (grey, grey[::-1].copy())]
    for a, b in pairs:
        expected = color.deltaE_ciede2000(color.rgb2lab(a), color.rgb2lab(b)).mean()
        assert metrics.ciede2000(tensor(a), tensor(b)) == pytest.approx(expected, rel=1e-3)
    assert metrics.ciede2000(tensor(grey), tensor(grey)) == 0


def test_bootstrap():
    values = list(np.random.default_rng(0).normal(0.4, 0.1, 50))
    low, high = metrics.bootstrap(values)
    assert metrics.bootstrap(values) == [low, high]
    assert metrics.bootstrap(values, seed=1) != [low, high]
    assert low < np.mean(values) < high
    assert high - low == pytest.approx(2 * 1.96 * np.std(values) / 50**0.5, rel=0.1)
    assert metrics.bootstrap([0.5]) is None
    assert metrics.bootstrap([]) is None
    assert metrics.bootstrap([0.25] * 5) == [0.25, 0.25]


def test_seam_is_the_error_along_the_rim_of_a_hole():
    truth = torch.zeros(1, 9, 9)
    where = torch.zeros(9, 9, dtype=torch.bool)
    where[2:7, 2:7] = True
    picture = truth.clone()
    picture[:, 3:6, 3:6] = 1.0  # inside, away from the rim
    assert metrics.seam(picture, truth, where) == 0
    picture[:, 2, 2:7] = 0.2  # one of four sides: 5 of 16 pixels
    assert metrics.seam(picture, truth, where) == pytest.approx(255 * 0.2 * 5 / 16)


@pytest.mark.parametrize("shape", [(1, 3, 40), (1, 40, 5), (1, 1, 1)])
def test_ssim_of_thin_pictures(shape):
    picture = torch.rand(shape)
    assert metrics.ssim(picture, picture) == pytest.approx(1)
    assert metrics.ssim(picture, 1 - picture) < 1
