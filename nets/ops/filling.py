"""Fills holes of any size with an inpainting network: coarse to fine, in tiles and bands of rows."""

import torch
import torch.nn.functional as F

from nets.ops.tiling import strips
from nets.partial import diffuse

REACH = 24  # px; deeper parts of a hole are filled at half the scale first
BAND = 256  # rows processed at a time, so that temporaries stay small compared to the picture; even


def fill(net, picture, valid, tile: int, overlap: int):
    """Fills picture (1, 1, H, W) in place where `valid`, bool, is False; returns it.

    net(picture, mask) fills holes that are not too deep. So the inner part of a large hole comes from half
    the scale, and its rim is filled at this one. tile, overlap: px.
    """
    known = _fill_inner(net, picture, valid, tile, overlap)
    top = 0
    for strip in strips(
        lambda x: net(x[:, :1], x[:, 1:]),
        _Input(picture, known),
        net.size_divisor,
        tile,
        overlap,
        wanted=lambda x: bool((x[:, 1] == 0).any()),
    ):
        rows = slice(top, top + strip.shape[-2])
        picture[..., rows, :] = torch.where(known[..., rows, :], picture[..., rows, :], strip)
        top = rows.stop
    return picture


class _Input:
    """The network's input, tile by tile, (1, 2, h, w): the picture, 0 where unknown, and 1 where known."""

    def __init__(self, picture, known):
        self.picture, self.known, self.shape = picture, known, picture.shape

    def __getitem__(self, index):
        known = self.known[index].float()
        return torch.cat([self.picture[index] * known, known], 1)


def _fill_inner(net, picture, valid, tile: int, overlap: int):
    """Fills the inner parts of large holes from half the scale; returns where the picture is then known."""
    height, width = picture.shape[-2:]
    inner = torch.cat([_inner(valid, rows) for rows in _bands(height)], 2)
    if not inner.any() or max(height, width) <= 2 * REACH:
        return valid
    half = fill(net, *_halved(picture, valid), tile, overlap)
    for rows in _bands(height):
        if inner[..., rows, :].any():
            first = max(0, rows.start // 2 - 1)
            large = half[..., first : rows.stop // 2 + 1, :]
            large = F.interpolate(large, scale_factor=2, mode="bilinear", align_corners=False)
            large = large[..., rows.start - 2 * first : rows.stop - 2 * first, :width]
            picture[..., rows, :] = torch.where(inner[..., rows, :], large, picture[..., rows, :])
    return valid | inner


def _inner(valid, rows: slice):
    """Where no valid pixel is within REACH, in these rows: (1, 1, rows, W) bool."""
    first = max(0, rows.start - REACH)
    near = valid[..., first : rows.stop + REACH, :]
    if near.all():
        return torch.zeros_like(valid[..., rows, :])
    span = 2 * REACH + 1  # a wide maximum, separated by direction
    near = F.max_pool2d(near.float(), (span, 1), 1, (REACH, 0))[
        ..., rows.start - first : rows.stop - first, :
    ]
    return F.max_pool2d(near, (1, span), 1, (0, REACH)) == 0


def _halved(picture, valid):
    """Picture and valid at half the size: the means of valid pixels, and where there are any."""
    shares, means = [], []
    for rows in _bands(picture.shape[-2]):
        shares.append(_mean(valid[..., rows, :].float()))
        means.append(_mean(picture[..., rows, :] * valid[..., rows, :]))
    share = torch.cat(shares, 2)
    return torch.cat(means, 2) / share.clamp_min(1e-6), share > 0


def _mean(x):
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _bands(height: int) -> list[slice]:
    return [slice(top, min(top + BAND, height)) for top in range(0, height, BAND)]


@torch.inference_mode()
def continued(chroma, holes):
    """Chroma (H, W, 2) float32 continued smoothly into holes (H, W) bool; NumPy arrays."""
    x = torch.from_numpy(chroma.transpose(2, 0, 1).copy())[None]
    return diffuse(x, torch.from_numpy(~holes)[None, None].float())[0].permute(1, 2, 0).numpy()
