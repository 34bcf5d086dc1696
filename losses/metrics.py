"""Metrics that `eval` reports.

Pictures are (C, H, W) float in [0, 1], hand-made masks (H, W) uint8: 255 damaged, 0 intact, 128 ignored.
Results are Python floats.
"""

import math

import torch
import torch.nn.functional as F

IGNORE = 128  # mask value of pixels that are neither trained on nor measured
DEGREE = math.pi / 180  # in radians
BINS = 1000  # bins of the probability histograms; thresholds are searched on their edges


def histograms(probability, mask):
    """Histograms of probability in [0, 1] over intact and over damaged pixels: (2, BINS) int64."""
    bins = (probability * BINS).long().clamp(0, BINS - 1)
    clean = torch.bincount(bins[mask < IGNORE], minlength=BINS)
    damaged = torch.bincount(bins[mask > IGNORE], minlength=BINS)
    return torch.stack([clean, damaged])


def roc_auc(counts):
    """Area under the ROC curve from histograms (2, BINS); ties count half. None if a class is missing."""
    clean, damaged = counts.double()
    if clean.sum() == 0 or damaged.sum() == 0:
        return None
    below = torch.cumsum(clean, 0) - clean
    return float((damaged * (below + clean / 2)).sum() / clean.sum() / damaged.sum())


def average_precision(counts):
    """Area under the precision-recall curve from histograms (2, BINS), as a sum of steps, as in scikit-learn.
    None without damage.
    """
    clean, damaged = counts.double().flip(1).cumsum(1)
    if damaged[-1] == 0:
        return None
    precision = damaged / (clean + damaged).clamp_min(1)
    steps = torch.diff(damaged, prepend=torch.zeros(1).double())
    return float((precision * steps).sum() / damaged[-1])


def dice_by_threshold(counts):
    """Dice at every threshold i / BINS ("at least") from the histograms of one photograph: (BINS,) double."""
    clean, damaged = counts.double().flip(1).cumsum(1).flip(1)
    return 2 * damaged / (clean + damaged + damaged[0]).clamp_min(1)


def overlap(marked, mask):
    """Dice and IoU of a boolean (H, W) mask against a hand-made one, as {"dice": ..., "iou": ...}."""
    counted = mask != IGNORE
    marked, truth = marked[counted], mask[counted] > IGNORE
    both, either = int((marked & truth).sum()), int((marked | truth).sum())
    return {"dice": 2 * both / max(both + either, 1), "iou": both / max(either, 1)}


def tolerant_dice(marked, mask, radius: int = 2):
    """Harmonic mean of precision and recall, each against the other mask dilated by a disc of `radius` px."""
    counted = mask != IGNORE
    truth, marked = (mask > IGNORE) & counted, marked & counted
    precision = int((marked & dilate(truth, radius)).sum()) / max(int(marked.sum()), 1)
    recall = int((truth & dilate(marked, radius)).sum()) / max(int(truth.sum()), 1)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def dilate(mask, radius: int):
    """A boolean (H, W) mask dilated by a disc of `radius` px."""
    if radius == 0:
        return mask
    span = torch.arange(-radius, radius + 1)
    disc = (span[:, None] ** 2 + span[None, :] ** 2 <= radius**2).float()
    return F.conv2d(mask[None, None].float(), disc[None, None].to(mask.device), padding=radius)[0, 0] > 0.5


def psnr(picture, truth, where=None):
    """Peak signal-to-noise ratio in dB over the pixels of the boolean (H, W) `where`, by default all."""
    error = (picture - truth) ** 2
    error = error.mean() if where is None else error[..., where].mean()
    return 10 * math.log10(1 / max(float(error), 1e-10))


def seam(picture, truth, where):
    """Mean absolute error, of 255, along the inner rim of the boolean (H, W) `where`; a step there is a
    visible seam.
    """
    rim = where & dilate(~where, 1)
    return float((picture - truth)[..., rim].abs().mean()) * 255


def ssim(picture, truth, where=None):
    """Structural similarity, averaged over the boolean (H, W) `where`, by default over all pixels.

    Wang et al. 2004: Gaussian window of 11 px with deviation 1.5, K1 = 0.01, K2 = 0.03.
    """
    mean_x, mean_y = _gaussian_mean(picture), _gaussian_mean(truth)
    var_x = _gaussian_mean(picture**2) - mean_x**2
    var_y = _gaussian_mean(truth**2) - mean_y**2
    covariance = _gaussian_mean(picture * truth) - mean_x * mean_y
    score = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
    score = score / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
    return float(score.mean() if where is None else score[..., where].mean())


def _gaussian_mean(picture):
    """Means of (C, H, W) in a Gaussian window of 11 px with deviation 1.5; the border is reflected, or
    repeated in pictures too thin for it.
    """
    span = torch.arange(11.0) - 5
    window = torch.exp(-(span**2) / (2 * 1.5**2))
    window = (window / window.sum())[:, None] * (window / window.sum())[None, :]
    mode = "reflect" if min(picture.shape[-2:]) > 5 else "replicate"
    picture = F.pad(picture[:, None], (5, 5, 5, 5), mode=mode)
    return F.conv2d(picture, window[None, None])[:, 0]


def painting(painted, truth, where):
    """The metrics of an inpainted picture, in holes and over all of it; `where` (H, W) bool, true in
    holes.
    """
    return {
        "hole_psnr": psnr(painted, truth, where),
        "psnr": psnr(painted, truth),
        "hole_ssim": ssim(painted, truth, where),
        "ssim": ssim(painted, truth),
        "seam": seam(painted, truth, where),
    }


def chroma_mse(cbcr, truth):
    """Mean squared error of 8-bit Cb and Cr; both (2, H, W) in [-0.5, 0.5]."""
    return float(((cbcr - truth) * 255).square().mean())


def coloring(ours, truth, flat):
    """The metrics of a colorized picture, and those of the grey one for comparison.

    ours, truth: (RGB (3, H, W) in [0, 1], CbCr (2, H, W) in [-0.5, 0.5]) each; flat: (3, H, W), luma only.
    Means of Cb and Cr are of 255.
    """
    (rgb, cbcr), (true_rgb, true_cbcr) = ours, truth
    row = {
        "mse": chroma_mse(cbcr, true_cbcr),
        "mse_grey": chroma_mse(0 * true_cbcr, true_cbcr),
        "psnr": psnr(rgb, true_rgb),
        "psnr_grey": psnr(flat, true_rgb),
        "colorfulness": colorfulness(rgb),
        "colorfulness_truth": colorfulness(true_rgb),
    }
    for name, x in (("", cbcr), ("_truth", true_cbcr)):
        row["cb" + name], row["cr" + name] = (float(mean) * 255 for mean in x.mean((1, 2)))
    return row


def colorfulness(rgb):
    """Colorfulness of (3, H, W) in [0, 1] (Hasler and Suesstrunk 2003): 0 is grey, 100 very colorful."""
    red, green, blue = rgb * 255
    rg, yb = red - green, (red + green) / 2 - blue
    return float(torch.sqrt(rg.var() + yb.var()) + 0.3 * torch.sqrt(rg.mean() ** 2 + yb.mean() ** 2))


def lab(rgb):
    """sRGB (3, ...) in [0, 1] to CIELAB under D65 (IEC 61966-2-1, CIE 15): (3, ...)."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = rgb.new_tensor(
        [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    )
    white = rgb.new_tensor([0.95047, 1.0, 1.08883])
    xyz = torch.tensordot(matrix / white[:, None], linear, 1)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(rgb, truth):
    """Mean CIEDE2000 color difference of two sRGB pictures (Sharma, Wu, Dalal 2005, equations 2 to 22)."""
    (l1, a1, b1), (l2, a2, b2) = lab(rgb.double()), lab(truth.double())
    g = 0.5 * (1 - _chroma_ratio((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    dh, mean_h = _hues(torch.atan2(b1, a1), torch.atan2(b2, a2), c1 * c2 == 0)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * torch.sqrt(c1 * c2) * torch.sin(dh / 2)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * torch.cos(mean_h - 30 * DEGREE) + 0.24 * torch.cos(2 * mean_h)
    t = t + 0.32 * torch.cos(3 * mean_h + 6 * DEGREE) - 0.20 * torch.cos(4 * mean_h - 63 * DEGREE)
    sl = 1 + 0.015 * (mean_l - 50) ** 2 / torch.sqrt(20 + (mean_l - 50) ** 2)
    sc, sh = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    turn = 30 * DEGREE * torch.exp(-(((mean_h / DEGREE - 275) / 25) ** 2))
    rt = -2 * _chroma_ratio(mean_c) * torch.sin(2 * turn)
    total = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh)
    return float(torch.sqrt(total.clamp_min(0)).mean())


def _chroma_ratio(chroma):
    """sqrt(C^7 / (C^7 + 25^7)), near 0 for greys and near 1 for vivid colors."""
    return torch.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def _hues(h1, h2, grey):
    """Difference h2 - h1 and mean of hue angles in radians, both the short way round; grey has no hue."""
    h1, h2 = h1 % (2 * math.pi), h2 % (2 * math.pi)
    difference = h2 - h1
    difference = torch.where(difference > math.pi, difference - 2 * math.pi, difference)
    difference = torch.where(difference < -math.pi, difference + 2 * math.pi, difference)
    difference = torch.where(grey, torch.zeros_like(difference), difference)
    apart = (h1 - h2).abs() > math.pi
    mean = torch.where(apart, (h1 + h2 + 2 * math.pi) / 2, (h1 + h2) / 2) % (2 * math.pi)
    return difference, torch.where(grey, h1 + h2, mean)


def bootstrap(values, draws: int = 2000, seed: int = 0):
    """95 % bootstrap interval [low, high] of the mean of `values`; None for fewer than two values."""
    if len(values) < 2:
        return None
    rows = torch.tensor(values, dtype=torch.double)
    chosen = torch.randint(len(values), (draws, len(values)), generator=torch.Generator().manual_seed(seed))
    means = rows[chosen].mean(1)
    return [float(torch.quantile(means, q)) for q in (0.025, 0.975)]
