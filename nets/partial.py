"""Partial convolution and its UNet (Liu et al. 2018), which inpaints holes.

"Image Inpainting for Irregular Holes Using Partial Convolutions". Masks in this file are 1 where a pixel is
valid and 0 in holes, (B, 1, H, W), of the dtype of the picture.
"""

from functools import reduce
from itertools import chain

import torch
import torch.nn.functional as F
from torch import nn

from nets.norm import NormAct, activate
from nets.ops.smoothing import neighbor_mean


class PartialConv2d(nn.Conv2d):
    """A convolution over valid pixels only: W (x mask) inside / valid + b.

    Takes one or more pairs (x, mask) and concatenates their channels: a skip and an upsampled branch have
    different holes, and each counts with its own channels. `valid` counts the valid inputs of a window,
    `inside` those inside the picture, so with a full mask the layer equals `Conv2d`, at the borders too.
    Windows without valid pixels give 0 and stay holes. Returns (output, mask of the output); the module keeps
    no state.
    """

    def forward(self, *pairs):
        valid = self._window_sum(sum(x.shape[1] * mask.float() for x, mask in pairs))
        inside = self._window_sum(torch.full_like(pairs[0][1][:1], self.in_channels, dtype=torch.float32))
        x = _JoinMasked.apply(*chain(*pairs)) if len(pairs) > 1 else pairs[0][0] * pairs[0][1]
        x = self._conv_forward(x, self.weight, None)  # not shared, so the rest is done in place
        mask = (valid > 0).to(x.dtype)
        x.mul_((mask * inside / valid.clamp_min(1)).to(x.dtype))
        if self.bias is not None:
            x.addcmul_(self.bias.to(x.dtype)[:, None, None], mask)
        return x, mask

    def _window_sum(self, x):
        """Sums of x (B, 1, H, W) over the windows of the convolution, rows first; faster than pooling."""
        (height, width), (down, right), (top, left) = self.kernel_size, self.stride, self.padding
        x = F.pad(x, (left, left, top, top))
        x = x.unfold(2, height, down).sum(-1)
        return x.unfold(3, width, right).sum(-1)


class _JoinMasked(torch.autograd.Function):
    """torch.cat([x * mask, ...], 1) of (x, mask, x, mask, ...), without a buffer for each product."""

    @staticmethod
    def forward(ctx, *pairs):
        xs, masks = pairs[::2], pairs[1::2]
        ctx.save_for_backward(*masks)
        ctx.channels = [x.shape[1] for x in xs]
        batch, _, height, width = xs[0].shape
        joined = torch.empty(
            (batch, sum(ctx.channels), height, width),
            dtype=reduce(torch.promote_types, (x.dtype for x in xs)),
            device=xs[0].device,
            memory_format=torch.channels_last,
        )
        for x, mask, part in zip(xs, masks, joined.split(ctx.channels, 1)):
            torch.mul(x, mask, out=part)
        return joined

    @staticmethod
    def backward(ctx, grad):
        parts = zip(grad.split(ctx.channels, 1), ctx.saved_tensors)
        return tuple(chain.from_iterable((part * mask, None) for part, mask in parts))


class PartialBlock(nn.Module):
    """Partial convolution, batch normalization (if `norm` is given) and leaky ReLU.

    slope: of the leaky ReLU; None is the norm's own, or 0 without a norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        slope: float | None = None,
        norm=NormAct,
    ):
        super().__init__()
        self.conv = PartialConv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=norm is None
        )
        settings = {} if slope is None else {"slope": slope}
        self.bn = norm(out_channels, **settings) if norm is not None else None
        self.slope = slope or 0.0

    def forward(self, *pairs):
        x, mask = self.conv(*pairs)
        x = activate(x, self.slope) if self.bn is None else self.bn(x)
        return x, mask


class PartialUNet(nn.Module):
    """Fills holes: picture (B, channels, H, W) in [0, 1] and mask (B, 1, H, W) to the inpainted picture.

    The output is added to the smooth fill of `diffuse`, so that even the untrained network continues flat
    areas, and training is spent on edges and texture. For the same reason the network gets local contrast
    (the picture minus a wide mean), not brightness. Unlike the published network it has a layer at full
    resolution, since most holes of old photographs are thin. H and W must be multiples of `size_divisor`.
    levels: number of times the size is halved. `width` 64, 8 levels and `widest` 8 (largest width, as a
    multiple of `width`) are the published size.
    """

    mean_levels = 4  # the wide mean is taken over squares of 2 ** 4 px

    def __init__(self, width: int = 64, channels: int = 1, levels: int = 8, widest: int = 8, norm=NormAct):
        super().__init__()
        self.size_divisor = 1 << levels
        widths = [width // 2] + [min(width << level, width * widest) for level in range(levels)]
        self.encoder = nn.ModuleList()
        for level, (above, out_channels) in enumerate(zip([channels, *widths], widths)):
            kernel = 5 if level < 3 else 3
            stride = 2 if level else 1
            block = PartialBlock(above, out_channels, kernel, stride, norm=norm if level else None)
            self.encoder.append(block)
        self.decoder = nn.ModuleList()
        for level in reversed(range(levels)):
            joined = widths[level + 1] + widths[level]
            self.decoder.append(PartialBlock(joined, widths[level], 3, slope=0.2, norm=norm))
        self.head = PartialConv2d(widths[0] + channels, channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, picture, mask):
        smooth = diffuse(picture.float(), mask.float())
        contrast = 4 * (picture - self._wide_mean(smooth)), mask
        pair = contrast
        skips = []
        for block in self.encoder:
            pair = block(pair)
            skips.append(pair)
        pair = skips.pop()
        for block in self.decoder:
            pair = block(_double(pair), skips.pop())
        painted, _ = self.head(pair, contrast)
        return smooth + painted.float() / 4

    def _wide_mean(self, x):
        mean = F.avg_pool2d(x, 1 << self.mean_levels, ceil_mode=True, count_include_pad=False)
        return F.interpolate(mean, x.shape[-2:], mode="bilinear", align_corners=False)


def _double(pair):
    return tuple(F.interpolate(x, scale_factor=2, mode="nearest") for x in pair)


def diffuse(picture, mask, sweeps: int = 4):
    """Fills holes smoothly from their rims: Laplace's equation, solved approximately by a multigrid cascade.

    picture: (B, C, H, W) float; mask: (B, 1, H, W) float, 1 valid. Valid pixels do not change. The picture at
    half the size, each pixel the mean of its valid ones, is filled in the same way, upsampled into the holes,
    and smoothed by `sweeps` Jacobi steps (the first half is the pull-push of Gortler et al. 1996).
    """
    height, width = picture.shape[-2:]
    if max(height, width) > 1:
        coarse_valid = F.avg_pool2d(mask, 2, ceil_mode=True, count_include_pad=False)
        coarse = F.avg_pool2d(picture * mask, 2, ceil_mode=True, count_include_pad=False)
        coarse = coarse / coarse_valid.clamp_min(1e-6)
        coarse = diffuse(coarse, (coarse_valid > 0).to(mask.dtype), sweeps)
        filling = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        filling = filling[..., :height, :width]
    else:
        filling = torch.full_like(picture, 0.5)  # no pixel is valid: middle grey
    filled = torch.where(mask > 0, picture, filling)
    for _ in range(sweeps):
        filled = torch.where(mask > 0, picture, neighbor_mean(filled))
    return filled
