"""The measures that `eval` reports. Pictures are (C, H, W) float in [0, 1]; results are Python floats."""

import math

import torch
import torch.nn.functional as F

BINS = 1000  # of the probability histograms; the threshold is searched on their edges


def histograms(probability, mask):
    """Counts of probability over clean and over damaged pixels: (2, BINS) int64; mask 128 is left out."""
    bins = (probability * BINS).long().clamp(0, BINS - 1)
    return torch.stack([torch.bincount(bins[chosen], minlength=BINS) for chosen in (mask < 128, mask > 128)])


def roc_auc(counts):
    """Area under the ROC curve from histograms (2, BINS); ties count half. None when a class is missing."""
    clean, damaged = counts.double()
    if clean.sum() == 0 or damaged.sum() == 0:
        return None
    below = torch.cumsum(clean, 0) - clean
    return float((damaged * (below + clean / 2)).sum() / clean.sum() / damaged.sum())


def average_precision(counts):
    """Area under the precision-recall curve as a sum of steps (scikit-learn's definition). None without
    damage.
    """
    clean, damaged = counts.double().flip(1).cumsum(1)
    if damaged[-1] == 0:
        return None
    precision = damaged / (clean + damaged).clamp_min(1)
    return float((precision * torch.diff(damaged, prepend=torch.zeros(1).double())).sum() / damaged[-1])


def dice_by_threshold(counts):
    """Dice for every threshold i / BINS ("at least"), (BINS,) double, of one photo's histograms."""
    clean, damaged = counts.double().flip(1).cumsum(1).flip(1)
    return 2 * damaged / (clean + damaged + damaged[0]).clamp_min(1)


def overlap(found, mask):
    """Dice and IoU of a boolean mask against a hand-made one (uint8, 128 ignored); both (H, W)."""
    found, truth = found[mask != 128], mask[mask != 128] > 128
    both, either = int((found & truth).sum()), int((found | truth).sum())
    return {"dice": 2 * both / max(both + either, 1), "iou": both / max(either, 1)}


def tolerant_dice(found, mask, radius: int = 2):
    """Harmonic mean of precision and recall, each against the other mask dilated by a disc of `radius` px."""
    counted = mask != 128
    truth, found = (mask > 128) & counted, found & counted
    precision = int((found & dilate(truth, radius)).sum()) / max(int(found.sum()), 1)
    recall = int((truth & dilate(found, radius)).sum()) / max(int(truth.sum()), 1)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def dilate(mask, radius: int):
    """Dilates a boolean (H, W) mask by a disc of `radius` px."""
    if radius == 0:
        return mask
    span = torch.arange(-radius, radius + 1)
    disc = (span[:, None] ** 2 + span[None, :] ** 2 <= radius**2).float()
    return F.conv2d(mask[None, None].float(), disc[None, None].to(mask.device), padding=radius)[0, 0] > 0.5


def psnr(picture, truth, where=None):
    """Peak signal-to-noise ratio in dB over the pixels of the boolean (H, W) `where` (all by default)."""
    error = (picture - truth) ** 2
    error = error.mean() if where is None else error[..., where].mean()
    return 10 * math.log10(1 / max(float(error), 1e-10))


def seam(picture, truth, where):
    """Mean absolute error, of 255, along the rim inside the boolean (H, W) `where`: a step that the eye sees
    as a seam.
    """
    rim = where & dilate(~where, 1)
    return float((picture - truth)[..., rim].abs().mean()) * 255


def ssim(picture, truth, where=None):
    """Structural similarity (Wang et al. 2004: Gaussian window of 11 px, deviation 1.5), averaged over
    `where`.
    """
    span = torch.arange(11.0) - 5
    window = torch.exp(-(span**2) / (2 * 1.5**2))
    window = (window / window.sum())[:, None] * (window / window.sum())[None, :]
    blur = lambda x: F.conv2d(F.pad(x[:, None], (5,) * 4, mode="reflect"), window[None, None])[:, 0]  # noqa: E731
    mean_x, mean_y = blur(picture), blur(truth)
    var_x, var_y = blur(picture**2) - mean_x**2, blur(truth**2) - mean_y**2
    covariance = blur(picture * truth) - mean_x * mean_y
    score = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
    score = score / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
    return float(score.mean() if where is None else score[..., where].mean())


def chroma_mse(cbcr, truth):
    """Mean squared error of 8-bit Cb and Cr; both (2, H, W) in [-0.5, 0.5]."""
    return float(((cbcr - truth) * 255).square().mean())


def colourfulness(rgb):
    """Hasler and Suesstrunk 2003, of (3, H, W) in [0, 1] scaled to 8 bit: 0 is grey, 100 very colourful."""
    red, green, blue = rgb * 255
    rg, yb = red - green, (red + green) / 2 - blue
    return float(torch.sqrt(rg.var() + yb.var()) + 0.3 * torch.sqrt(rg.mean() ** 2 + yb.mean() ** 2))


def lab(rgb):
    """sRGB (3, ...) in [0, 1] to CIELAB under D65 (IEC 61966-2-1, CIE 15)."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = rgb.new_tensor(
        [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    )
    xyz = torch.tensordot(matrix / rgb.new_tensor([0.95047, 1.0, 1.08883])[:, None], linear, 1)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(rgb, truth):
    """Mean CIEDE2000 colour difference (Sharma, Wu, Dalal 2005) of two sRGB pictures."""
    (l1, a1, b1), (l2, a2, b2) = lab(rgb.double()), lab(truth.double())
    mean_c7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - torch.sqrt(mean_c7 / (mean_c7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)
    grey = c1 * c2 == 0
    dh = h2 - h1
    dh = torch.where(dh > math.pi, dh - 2 * math.pi, torch.where(dh < -math.pi, dh + 2 * math.pi, dh))
    dh = torch.where(grey, torch.zeros_like(dh), dh)
    mean_h = torch.where((h1 - h2).abs() > math.pi, (h1 + h2 + 2 * math.pi) / 2, (h1 + h2) / 2) % (
        2 * math.pi
    )
    mean_h = torch.where(grey, h1 + h2, mean_h)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * torch.sqrt(c1 * c2) * torch.sin(dh / 2)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    degree = math.pi / 180
    t = 1 - 0.17 * torch.cos(mean_h - 30 * degree) + 0.24 * torch.cos(2 * mean_h)
    t = t + 0.32 * torch.cos(3 * mean_h + 6 * degree) - 0.20 * torch.cos(4 * mean_h - 63 * degree)
    sl = 1 + 0.015 * (mean_l - 50) ** 2 / torch.sqrt(20 + (mean_l - 50) ** 2)
    sc, sh = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    turn = 30 * degree * torch.exp(-(((mean_h / degree - 275) / 25) ** 2))
    rt = -2 * torch.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * torch.sin(2 * turn)
    total = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh)
    return float(torch.sqrt(total.clamp_min(0)).mean())


def bootstrap(values, draws: int = 2000, seed: int = 0):
    """95 % interval of the mean of `values` (a list, one per photo), by resampling; None for
    fewer than two.
    """
    if len(values) < 2:
        return None
    rows = torch.tensor(values, dtype=torch.double)
    chosen = torch.randint(len(values), (draws, len(values)), generator=torch.Generator().manual_seed(seed))
    means = rows[chosen].mean(1)
    return [float(torch.quantile(means, q)) for q in (0.025, 0.975)]
