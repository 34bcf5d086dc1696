"""Adds grain to inpainted holes, as strong and as coarse as in the rest of the photograph."""

import torch
import torch.nn.functional as F

from nets.ops.tiling import BAND

LEVELS = 8  # luma levels, each with its own strength, since film grain depends on density
WINDOW = 5  # px, window of the mean that separates grain from picture
MIN_VALID = 1000  # px away from holes to measure on; with fewer, no grain is added
MIN_LEVEL = 500  # px of a level; with fewer, it gets the strength of the whole picture
SAMPLE = 4_000_000  # px to measure grain on; larger pictures are sampled in evenly spaced bands
# Grain of one level, at most, in units of that of the whole picture; tones that are only found in foliage or
# crowds would otherwise count as grainy
MOST = 1.5
SAME = 1e-4  # luma; a step of 16 bits is less, one of 8 bits more
# weights of the neighbors in the kernels to try, from fine to coarse grain
SIDES = (0.0, 0.1, 0.2, 0.35, 0.6, 1.0)


def match_grain(picture, valid, seed: int = 0):
    """Adds grain to holes, in place, and returns the picture.

    picture: (1, 1, H, W) luma in [0, 1], inpainted; valid: (1, 1, H, W), 1 or True outside holes. Grain is
    measured where valid pixels are flat: its robust standard deviation for each level of luma (1.4826 times
    the median absolute difference from a small mean), and the correlation of neighbors. Valid pixels do not
    change.
    """
    height, width = picture.shape[-2:]
    generator = torch.Generator().manual_seed(seed)  # on the CPU, so that every device gets the same grain

    def draw(top: int):
        """White noise of the band at `top`; below the picture a row of zeros."""
        if top >= height:
            return picture.new_zeros(1, 1, 1, width)
        rows = min(BAND, height - top)
        return torch.randn(1, 1, rows, width, generator=generator).to(picture.device)

    noise_above, noise = picture.new_zeros(1, 1, 1, width), draw(0)
    measured = _measure(*_sample(picture, valid), noise[..., :256, :256])
    if measured is None:
        return picture
    strength, kernel = measured
    halo = WINDOW // 2
    above = picture[..., :0, :]  # the rows above the band, before grain was added
    for top in range(0, height, BAND):
        noise_below = draw(top + BAND)
        band = picture[..., top : top + BAND, :]
        inside = valid[..., top : top + BAND, :] > 0
        painted = torch.cat([above, picture[..., top : top + BAND + halo, :]], 2)
        first, last = above.shape[-2], above.shape[-2] + band.shape[-2]
        if not bool(inside.all()):
            smooth = _mean(painted)[..., first:last, :]
            white = torch.cat([noise_above, noise, noise_below[..., :1, :]], 2)
            grain = _strength(smooth, strength) * F.conv2d(F.pad(white, (1, 1)), kernel)
            band.copy_(torch.where(inside, band, (band + grain).clamp(0, 1)))
        above = painted[..., :last, :][..., -halo:, :].clone()
        noise_above, noise = noise[..., -1:, :], noise_below
    return picture


def _sample(picture, valid):
    """Both unchanged or, if they are larger than SAMPLE, about eight bands of them, stacked."""
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
    """The strength at each level, (LEVELS,), and the kernel that makes grain from noise like `white`.

    None if too few pixels are valid.
    """
    smooth = _mean(picture)
    residual = picture - smooth
    slope = (_mean(smooth.roll(1, -1)) - smooth).abs() + (_mean(smooth.roll(1, -2)) - smooth).abs()
    known = F.max_pool2d(1 - valid, 2 * WINDOW + 1, 1, WINDOW) == 0
    varied = known & (residual.abs() > SAME)  # not a border in a single tone
    if int(varied.sum()) < MIN_VALID:
        return None
    flat = known & (slope <= slope[varied].median())
    level = (smooth * LEVELS).long().clamp(0, LEVELS - 1)
    overall = _deviation(residual[flat & varied])
    of_levels = (residual[flat & (level == k)] for k in range(LEVELS))
    strength = [_deviation(values) if len(values) >= MIN_LEVEL else overall for values in of_levels]
    strength = torch.stack(strength).clamp_max(MOST * overall)
    return strength, _kernel(residual, flat, white)


def _strength(smooth, strength):
    """The strength at each pixel, interpolated between its two nearest levels of luma."""
    position = (smooth.clamp(0, 1) * LEVELS - 0.5).clamp(0, LEVELS - 1)
    low = position.floor().long()
    fraction = position - low
    return strength[low] * (1 - fraction) + strength[(low + 1).clamp_max(LEVELS - 1)] * fraction


def _mean(x):
    return F.avg_pool2d(x, WINDOW, 1, WINDOW // 2, count_include_pad=False)


def _deviation(residual):
    """The robust standard deviation."""
    return 1.4826 * residual.abs().median()


def _kernel(residual, flat, white):
    """The 3 x 3 kernel that turns white noise into grain of standard deviation 1 after subtracting the small
    mean.

    Among the kernels with SIDES, the one whose neighbors correlate most like those of `residual` where it is
    `flat`, tried on the noise `white`.
    """
    both = flat[..., 1:] & flat[..., :-1]
    products = (residual[..., 1:] * residual[..., :-1])[both]
    correlation = products.mean() / residual[flat].square().mean().clamp_min(1e-12)
    best_error = best = None
    for side in SIDES:
        kernel = torch.tensor([side, 1.0, side], device=residual.device)
        kernel = (kernel[:, None] * kernel[None, :])[None, None]
        x = F.conv2d(white, kernel, padding=1)
        x = x - _mean(x)
        deviation = x.square().mean().sqrt()
        error = ((x[..., 1:] * x[..., :-1]).mean() / deviation**2 - correlation).abs()
        if best is None or error < best_error:
            best_error, best = error, kernel / deviation
    return best
