"""Grain for painted holes: noise of the strength and coarseness that the rest of the photograph has."""

import torch
import torch.nn.functional as F

LEVELS = 8  # of luma, each with a strength of its own: film grain depends on density
WINDOW = 5  # px of the mean that separates grain from picture
SAMPLE = 4_000_000  # px on which grain is measured; of a larger picture evenly spaced bands
BAND = 256  # rows that are handled at a time, so that temporaries stay small beside the picture


def match_grain(picture, valid, seed: int = 0):
    """Adds grain to holes, in place. picture: (1, 1, H, W) luma in [0, 1], painted; valid: (1, 1, H, W), 1 or
    True outside holes.

    Grain is measured where valid pixels are flat: its robust deviation (1.4826 times the median of what a
    small mean leaves) for each level of luma, and the correlation of neighbours. Valid pixels stay as they
    are. Returns the picture.
    """
    height, width = picture.shape[-2:]
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same grain on every device
    draw = lambda rows: torch.randn(1, 1, rows, width, generator=generator).to(picture.device)  # noqa: E731
    # the noise of one band after the other
    above, here = (picture.new_zeros(1, 1, 1, width), draw(min(BAND, height)))
    measured = _measure(*_sample(picture, valid), here[..., :256, :256])
    if measured is None:
        return picture
    (strength, kernel), halo = measured, WINDOW // 2
    before = picture[..., :0, :]  # what was painted above the band, without its grain
    for top in range(0, height, BAND):
        below = (
            draw(min(BAND, height - top - BAND)) if top + BAND < height else picture.new_zeros(1, 1, 1, width)
        )
        rows = slice(top, top + BAND)
        part, inside = picture[..., rows, :], valid[..., rows, :] > 0
        painted = torch.cat([before, picture[..., top : top + BAND + halo, :]], 2)
        if not bool(inside.all()):
            smooth = _mean(painted)[..., before.shape[-2] :, :][..., : part.shape[-2], :]
            noise = F.conv2d(F.pad(torch.cat([above, here, below[..., :1, :]], 2), (1, 1)), kernel)
            # The strength of a pixel lies between those of its two nearest levels.
            place = (smooth.clamp(0, 1) * LEVELS - 0.5).clamp(0, LEVELS - 1)
            low = place.floor().long()
            share = place - low
            amount = strength[low] * (1 - share) + strength[(low + 1).clamp_max(LEVELS - 1)] * share
            part.copy_(torch.where(inside, part, (part + amount * noise).clamp(0, 1)))
        before = painted[..., : before.shape[-2] + part.shape[-2], :][..., -halo:, :].clone()
        above, here = here[..., -1:, :], below
    return picture


def _sample(picture, valid):
    """Both as they are, or about eight bands, one below the other, if they are larger than SAMPLE."""
    height, width = picture.shape[-2:]
    rows = max(4 * WINDOW, SAMPLE // (8 * width))
    count = max(1, SAMPLE // (rows * width))
    if height * width <= SAMPLE or count * rows >= height:
        return picture, valid.float()
    tops = [round(number * (height - rows) / max(count - 1, 1)) for number in range(count)]
    return tuple(
        torch.cat([x[..., top : top + rows, :].float() for top in tops], 2) for x in (picture, valid)
    )


def _measure(picture, valid, white):
    """Strength of each level (LEVELS,), and the kernel that makes grain of white noise; None if too little is
    valid.
    """
    smooth = _mean(picture)
    rest = picture - smooth
    slope = (_mean(smooth.roll(1, -1)) - smooth).abs() + (_mean(smooth.roll(1, -2)) - smooth).abs()
    known = F.max_pool2d(1 - valid, 2 * WINDOW + 1, 1, WINDOW) == 0
    if int(known.sum()) < 1000:
        return None
    flat = known & (slope <= slope[known].median())
    level = (smooth * LEVELS).long().clamp(0, LEVELS - 1)
    overall = _deviation(rest[flat])
    return torch.stack([_deviation(rest[flat & (level == k)], overall) for k in range(LEVELS)]), _kernel(
        rest, flat, white
    )


def _mean(x):
    return F.avg_pool2d(x, WINDOW, 1, WINDOW // 2, count_include_pad=False)


def _deviation(rest, fallback=None):
    """Robust deviation of `rest`; of too few pixels the fallback."""
    if fallback is not None and len(rest) < 500:
        return fallback
    return 1.4826 * rest.abs().median()


def _kernel(rest, flat, trial):
    """Makes of white noise, of which `trial` is some, noise whose deviation is 1 after the small mean is
    taken off, and whose neighbours correlate as those of `rest`.
    """
    both = flat[..., 1:] & flat[..., :-1]
    correlation = (rest[..., 1:] * rest[..., :-1])[both].mean() / rest[flat].square().mean().clamp_min(1e-12)
    best = None
    for side in (0.0, 0.1, 0.2, 0.35, 0.6, 1.0):
        kernel = torch.tensor([side, 1.0, side], device=rest.device)
        kernel = (kernel[:, None] * kernel[None, :])[None, None]
        x = F.conv2d(trial, kernel, padding=1)
        x = x - _mean(x)
        deviation = x.square().mean().sqrt()
        error = ((x[..., 1:] * x[..., :-1]).mean() / deviation**2 - correlation).abs()
        if best is None or error < best[0]:
            best = error, kernel / deviation
    return best[1]
