"""Partial convolution and its UNet (Liu et al. 2018, "Image Inpainting for Irregular Holes Using Partial
Convolutions").

Masks here are 1 where a pixel is valid and 0 in holes, (B, 1, H, W), of the same dtype as the picture.
"""

from functools import reduce
from itertools import chain

import torch
import torch.nn.functional as F
from torch import nn

from nets.norm import NormAct, activate


class PartialConv2d(nn.Conv2d):
    """A convolution that sees only valid pixels: W (x m) / share + b, where share is the valid part of the
    window.

    Takes one or more (x, mask) pairs, whose channels are joined: a skip and an upsampled branch have
    different holes, and the share counts each with its own channels, exactly. Windows with no valid pixel
    give 0 and stay holes. Pixels outside the picture are left out of the share, so with a full mask the layer
    equals `Conv2d`, borders too. Returns (output, mask of the output); nothing is kept on the module.
    """

    def forward(self, *pairs):
        x = _Joined.apply(*chain(*pairs)) if len(pairs) > 1 else pairs[0][0] * pairs[0][1]
        # inputs of each window
        valid = self._window_sum(sum(x_.shape[1] * mask.float() for x_, mask in pairs))
        inside = self._window_sum(torch.full_like(pairs[0][1][:1], self.in_channels, dtype=torch.float32))
        x = self._conv_forward(x, self.weight, None)  # read by nobody else: the rest is done in place
        mask = (valid > 0).to(x.dtype)
        x.mul_((mask * inside / valid.clamp_min(1)).to(x.dtype))
        if self.bias is not None:
            x.addcmul_(self.bias.to(x.dtype)[:, None, None], mask)
        return x, mask

    def _window_sum(self, x):
        """Sums of x (B, 1, H, W) over the windows of the convolution, rows first; faster than pooling."""
        (height, width), (down, right), (top, left) = self.kernel_size, self.stride, self.padding
        x = F.pad(x, (left, left, top, top))
        return x.unfold(2, height, down).sum(-1).unfold(3, width, right).sum(-1)


class _Joined(torch.autograd.Function):
    """torch.cat([x * mask, ...], 1) of (x, mask, x, mask, ...), without the products between."""

    @staticmethod
    def forward(ctx, *pairs):
        xs, masks = pairs[::2], pairs[1::2]
        ctx.save_for_backward(*masks)
        ctx.channels = [x.shape[1] for x in xs]
        batch, _, height, width = xs[0].shape
        dtype = reduce(torch.promote_types, (x.dtype for x in xs))
        joined = torch.empty(
            batch,
            sum(ctx.channels),
            height,
            width,
            dtype=dtype,
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
    """Partial convolution, batch normalization (if asked) and leaky ReLU; without a `slope`
    that of the norm.
    """

    def __init__(self, inputs, outputs, kernel, stride=1, slope=None, norm=NormAct):
        super().__init__()
        self.conv = PartialConv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=norm is None)
        settings = {} if slope is None else {"slope": slope}
        self.bn = norm(outputs, **settings) if norm is not None else None
        self.slope = slope or 0.0

    def forward(self, *pairs):
        x, mask = self.conv(*pairs)
        return (activate(x, self.slope) if self.bn is None else self.bn(x)), mask


class PartialUNet(nn.Module):
    """Fills holes: picture (B, channels, H, W) in [0, 1] and mask (B, 1, H, W) to the picture with its holes
    painted.

    The network paints what `diffuse` cannot: its output is added to the smooth filling, so that already the
    untrained network continues flat areas, and training is spent on edges and texture. For the same reason it
    is shown local contrast, the picture less its wide mean, and not brightness. Unlike the published network
    it has a layer at full resolution: most holes of old photographs are thin. H and W must be multiples of
    `multiple`; `levels` counts the halvings. `width` 64 with 8 levels and `widest` 8 is the published size.
    """

    wide = 4  # halvings of the wide mean

    def __init__(self, width=64, channels=1, levels=8, widest=8, norm=NormAct):
        super().__init__()
        widths = [width // 2] + [min(width << level, width * widest) for level in range(levels)]
        self.multiple = 1 << levels
        self.encoder = nn.ModuleList(
            PartialBlock(
                inputs, outputs, 5 if level < 3 else 3, stride=2 if level else 1, norm=norm if level else None
            )
            for level, (inputs, outputs) in enumerate(zip([channels, *widths], widths))
        )
        self.decoder = nn.ModuleList(
            PartialBlock(widths[level + 1] + widths[level], widths[level], 3, slope=0.2, norm=norm)
            for level in reversed(range(levels))
        )
        self.head = PartialConv2d(widths[0] + channels, channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, picture, mask):
        smooth = diffuse(picture.float(), mask.float())
        mean = F.avg_pool2d(smooth, 1 << self.wide, ceil_mode=True, count_include_pad=False)
        mean = F.interpolate(mean, picture.shape[-2:], mode="bilinear", align_corners=False)
        contrast = pair = 4 * (picture - mean), mask
        pairs = []
        for block in self.encoder:
            pair = block(pair)
            pairs.append(pair)
        pair = pairs.pop()
        for block in self.decoder:
            pair = block(_double(pair), pairs.pop())
        painted, _ = self.head(pair, contrast)
        return smooth + painted.float() / 4


def _double(pair):
    return tuple(F.interpolate(x, scale_factor=2, mode="nearest") for x in pair)


def diffuse(picture, mask, sweeps: int = 4):
    """Fills holes smoothly from their rims: an approximate solution of Laplace's equation by one multigrid
    cascade.

    picture: (B, C, H, W) float; mask: (B, 1, H, W) float, 1 valid. Valid pixels come back as they are. The
    coarser picture holds the mean of the valid pixels, is filled in the same way, enlarged into the hole and
    smoothed by `sweeps` Jacobi steps (Gortler et al. 1996 call the first half pull-push).
    """
    height, width = picture.shape[-2:]
    if max(height, width) > 1:
        coarse_mask = F.avg_pool2d(mask, 2, ceil_mode=True, count_include_pad=False)
        coarse = F.avg_pool2d(
            picture * mask, 2, ceil_mode=True, count_include_pad=False
        ) / coarse_mask.clamp_min(1e-6)
        coarse = diffuse(coarse, (coarse_mask > 0).to(mask.dtype), sweeps)
        filling = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[
            ..., :height, :width
        ]
    else:
        filling = torch.full_like(picture, 0.5)  # nothing valid at all: middle grey
    for _ in range(sweeps + 1):
        filled = torch.where(mask > 0, picture, filling)
        padded = F.pad(filled, (1, 1, 1, 1), mode="replicate")
        filling = (
            padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
        ) / 4
    return filled
