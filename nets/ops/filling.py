"""Fills holes of any size with an inpainting network: coarse to fine, in windows around them."""

import torch
import torch.nn.functional as F

from nets.ops.tiling import bands, padded
from nets.ops.windows import Grid, shares, windows
from nets.partial import diffuse

REACH = 24  # px; deeper parts of a hole are filled at half the scale first


def fill(net, picture, valid, tile: int, overlap: int, wanted=None):
    """Fills picture (1, 1, H, W) in place where `valid`, bool, is False; returns it.

    net(picture, mask) fills holes that are not too deep. So the inner part of a large hole comes from half
    the scale, and its rim is filled at this one. The network sees only windows around holes, whose sides are
    at most `tile` px and which overlap by `overlap` px; where a hole lies in several, their results are
    blended. wanted: bool, where the result is needed; None: everywhere.
    """
    known = _fill_inner(net, picture, valid, tile, overlap)
    holes = ~known if wanted is None else wanted & ~known
    picture.masked_fill_(holes, 0)  # the sum of what the windows add
    grid = Grid(tuple(picture.shape[-2:]), net.size_divisor, tile, overlap)
    found = windows(holes[0, 0], grid)
    for number, window in enumerate(found):
        mask = known[window.seen].float()
        pair = torch.cat([picture[window.seen] * mask, mask], 1)
        painted = padded(lambda x: net(x[:, :1], x[:, 1:]), pair, net.size_divisor).float()
        share = shares(found, number, grid.context, picture.device)
        painted = painted if share is None else painted * share
        picture[window.seen].add_(painted * holes[window.seen])
    return picture


def _fill_inner(net, picture, valid, tile: int, overlap: int):
    """Fills the inner parts of large holes from half the scale; returns where the picture is then known."""
    height, width = picture.shape[-2:]
    deep = torch.cat([inner(valid, rows) for rows in bands(height)], 2)
    if not deep.any() or max(height, width) <= 2 * REACH:
        return valid
    parts = (deep[..., rows, :].float() for rows in bands(height))
    wanted = torch.cat([F.max_pool2d(part, 2, ceil_mode=True) > 0 for part in parts], 2)
    wanted = _spread(_spread(wanted, 3, 1), 2, 1)  # enlarging also takes the neighbors
    half = fill(net, *_halved(picture, valid), tile, overlap, wanted)
    for rows in bands(height):
        if deep[..., rows, :].any():
            first = max(0, rows.start // 2 - 1)
            large = half[..., first : rows.stop // 2 + 1, :]
            large = F.interpolate(large, scale_factor=2, mode="bilinear", align_corners=False)
            large = large[..., rows.start - 2 * first : rows.stop - 2 * first, :width]
            picture[..., rows, :] = torch.where(deep[..., rows, :], large, picture[..., rows, :])
    return valid | deep


def inner(valid, rows: slice):
    """Where no valid pixel is within REACH, in these rows: (1, 1, rows, W) bool."""
    first = max(0, rows.start - REACH)
    near = valid[..., first : rows.stop + REACH, :]
    if near.all():
        return torch.zeros_like(valid[..., rows, :])
    near = _spread(_spread(near, 3), 2)
    return ~near[..., rows.start - first : rows.stop - first, :]


def _spread(x, axis: int, reach: int = REACH):
    """Where x, bool, is True within `reach` px along an axis: by growing distances, 40 times as fast as max
    pooling.
    """
    length, done = x.shape[axis], 0
    while done < reach:
        step = min(2 * done + 1, reach - done, length)  # what is covered so far leaves no gap
        wider = x.clone()
        wider.narrow(axis, step, length - step).logical_or_(x.narrow(axis, 0, length - step))
        wider.narrow(axis, 0, length - step).logical_or_(x.narrow(axis, step, length - step))
        x, done = wider, done + step
    return x


def _halved(picture, valid):
    """Picture and valid at half the size: the means of valid pixels, and where there are any."""
    shares, means = [], []
    for rows in bands(picture.shape[-2]):
        shares.append(_mean(valid[..., rows, :].float()))
        means.append(_mean(picture[..., rows, :] * valid[..., rows, :]))
    share = torch.cat(shares, 2)
    return torch.cat(means, 2) / share.clamp_min(1e-6), share > 0


def _mean(x):
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


@torch.inference_mode()
def continued(chroma, holes):
    """Chroma (H, W, 2) float32 continued smoothly into holes (H, W) bool; NumPy arrays."""
    x = torch.from_numpy(chroma.transpose(2, 0, 1).copy())[None]
    return diffuse(x, torch.from_numpy(~holes)[None, None].float())[0].permute(1, 2, 0).numpy()
