"""Grain for painted holes: noise of the strength and coarseness that the rest of the photograph has."""

import torch
import torch.nn.functional as F

LEVELS = 8  # of luma, each with a strength of its own: film grain depends on density
WINDOW = 5  # px of the mean that separates grain from picture


def match_grain(picture, valid, seed: int = 0):
    """Adds grain to holes. picture: (1, 1, H, W) luma in [0, 1], painted; valid: (1, 1, H, W), 1 outside holes.

    Grain is measured where valid pixels are flat: its robust deviation (1.4826 times the median of what a small mean
    leaves) for each level of luma, and the correlation of neighbours. Valid pixels come back as they are.
    """
    smooth = _mean(picture)
    rest = picture - smooth
    slope = (_mean(smooth.roll(1, -1)) - smooth).abs() + (_mean(smooth.roll(1, -2)) - smooth).abs()
    known = F.max_pool2d(1 - valid, 2 * WINDOW + 1, 1, WINDOW) == 0
    if int(known.sum()) < 1000:
        return picture
    flat = known & (slope <= slope[known].median())
    level = (smooth * LEVELS).long().clamp(0, LEVELS - 1)
    overall = _deviation(rest[flat])
    strength = torch.stack([_deviation(rest[flat & (level == k)], overall) for k in range(LEVELS)])
    noise = _noise(rest, flat, seed)
    # The strength of a pixel lies between those of its two nearest levels.
    place = (smooth.clamp(0, 1) * LEVELS - 0.5).clamp(0, LEVELS - 1)
    low = place.floor().long()
    share = place - low
    strength = strength[low] * (1 - share) + strength[(low + 1).clamp_max(LEVELS - 1)] * share
    return torch.where(valid > 0, picture, (picture + strength * noise).clamp(0, 1))


def _mean(x):
    return F.avg_pool2d(x, WINDOW, 1, WINDOW // 2, count_include_pad=False)


def _deviation(rest, fallback=None):
    """Robust deviation of `rest`; of too few pixels the fallback."""
    if fallback is not None and len(rest) < 500:
        return fallback
    return 1.4826 * rest.abs().median()


def _noise(rest, flat, seed: int):
    """Noise whose deviation, after the small mean is taken off, is 1, and whose neighbours correlate as those of `rest`."""
    both = flat[..., 1:] & flat[..., :-1]
    correlation = (rest[..., 1:] * rest[..., :-1])[both].mean() / rest[flat].square().mean().clamp_min(1e-12)
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same grain on every device
    white = torch.randn(rest.shape, generator=generator).to(rest.device)
    trial, best = white[..., :256, :256], None
    for side in (0.0, 0.1, 0.2, 0.35, 0.6, 1.0):
        kernel = torch.tensor([side, 1.0, side], device=rest.device)
        kernel = (kernel[:, None] * kernel[None, :])[None, None]
        x = F.conv2d(trial, kernel, padding=1)
        x = x - _mean(x)
        deviation = x.square().mean().sqrt()
        error = ((x[..., 1:] * x[..., :-1]).mean() / deviation**2 - correlation).abs()
        if best is None or error < best[0]:
            best = error, kernel / deviation
    return F.conv2d(white, best[1], padding=1)
