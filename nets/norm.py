"""Batch normalization with its activation in one module, and its folding into convolutions for inference.

The norm layer of every network is a class that is passed in (`norm=NormAct`), called as `norm(channels)` or
`norm(channels, slope=...)`; parameter names are those of `torch.nn.BatchNorm2d`, so torchvision's checkpoints
fit. `InPlaceABN` computes the same from the same weights, keeps half as many activations for backward and
shares its statistics over all processes.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import distributed, nn
from torch.autograd.function import once_differentiable


class NormAct(nn.BatchNorm2d):
    """act(batchnorm(x) + shortcut), where act is leaky ReLU of `slope`: 0 is ReLU, 1 is no activation. With a
    `ceiling` it is ReLU up to that value: 6 for ReLU6 (Sandler et al. 2018, MobileNetV2).

    x and shortcut: (B, C, H, W). The shortcut belongs here because in a residual block the addition stands
    between the normalization and the activation (He et al. 2016, figure 2).
    """

    def __init__(self, channels: int, slope: float = 0.0, eps: float = 1e-5, ceiling: float | None = None):
        super().__init__(channels, eps)
        self.slope, self.ceiling = slope, ceiling

    @property
    def gamma(self):
        """The factor of each channel, (C,)."""
        return self.weight

    def forward(self, x, shortcut=None):
        x = super().forward(x)
        return activate(x if shortcut is None else x.add_(shortcut), self.slope, self.ceiling)

    def extra_repr(self):
        return f"{self.num_features}, slope={self.slope}"


class InPlaceABN(NormAct):
    """In-place activated, synchronized batch normalization (Rota Bulo et al. 2018); called as NormAct is.

    The buffer of x is overwritten with the output, and the output is all that is kept for backward, which
    computes what it needs by inverting activation and addition: a network of convolutions and norms keeps one
    activation per layer instead of two. x must be a tensor that nobody else reads, such as the output of a
    convolution. The inversion asks for a slope above 0 and for |gamma| >= 1e-3: gamma nearer to 0 is used as
    1e-3 with its sign (0 as positive), while its gradient is that of an unclamped gamma, so that it can grow
    again.

    Statistics are those of the batch over all processes of torch.distributed, each weighted with its number
    of pixels; all processes must call the layer equally often. Gradients of gamma and beta are this process's
    share, as with torch.nn.SyncBatchNorm: their sum over the processes belongs to the sum of the losses, and
    DistributedDataParallel's mean to the mean of the losses. Statistics are float32 for bf16 and fp16
    activations.
    """

    def __init__(self, channels: int, slope: float = 0.01):
        if not slope > 0:
            raise ValueError(
                f"InPlaceABN inverts its activation and needs a slope above 0, not {slope}; NormAct takes 0"
            )
        super().__init__(channels, slope)

    @property
    def gamma(self):
        return _clamped(self.weight)

    def forward(self, x, shortcut=None):
        if self.training:
            mean, var, count = _statistics(x.detach())
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1).clamp_min(1), self.momentum)
        else:
            mean, var, count = self.running_mean, self.running_var, None
        invstd = torch.rsqrt(var + self.eps)
        return _InPlaceABN.apply(x, shortcut, self.weight, self.bias, mean, invstd, count, self.slope)


NORMS = {"batch": NormAct, "inplace": InPlaceABN}  # the values of `--norm`


class _InPlaceABN(torch.autograd.Function):
    """y = act(z), z = gamma (x - mean) invstd + beta + shortcut, in the buffer of x.

    mean, invstd: (C,). count: pixels that they were measured on, over all processes; None if they are
    constants.
    """

    @staticmethod
    def forward(ctx, x, shortcut, weight, beta, mean, invstd, count, slope):
        scale = _clamped(weight) * invstd
        _affine_(x, scale, beta - mean * scale)
        if shortcut is not None:
            x.add_(shortcut)
        activate(x, slope)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, shortcut, weight, beta, invstd, count)
        ctx.slope = slope
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        y, shortcut, weight, beta, invstd, count = ctx.saved_tensors
        gamma = _clamped(weight)
        # Two new buffers: y and grad belong to others, who may read them again.
        grad = torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True)  # dL/dz
        z = F.leaky_relu(y, 1 / ctx.slope)
        if shortcut is not None:
            z.sub_(shortcut)
        # Now z = gamma x_hat + beta. One pass for grad gamma invstd and the sums of grad (z - beta) and of
        # grad.
        grad_x, dot, grad_beta = torch.ops.aten.native_batch_norm_backward(
            grad, z, gamma * invstd, beta, torch.ones_like(beta), None, None, False, 0.0, [True, True, True]
        )
        grad_gamma = dot / gamma
        if count is not None:  # the statistics depend on x as well: Ioffe and Szegedy 2015, section 3
            along, level = _total(torch.cat([grad_gamma, grad_beta])).div_(count).chunk(2)
            scale = -invstd * along
            _affine_(z, scale, -gamma * invstd * level - scale * beta)
            grad_x.add_(z)
        return grad_x, None if shortcut is None else grad, grad_gamma, grad_beta, None, None, None, None


def _clamped(weight):
    return torch.where(weight < 0, weight.clamp(max=-1e-3), weight.clamp(min=1e-3))


def _affine_(x, scale, shift):
    """x scale + shift by channel, in place. The kernel of BatchNorm takes one pass and float32 factors for
    bf16 x.
    """
    zero, one, unused = (
        torch.zeros_like(scale),
        torch.ones_like(scale),
        [scale.new_empty(0), scale.new_empty(0)],
    )
    torch.native_batch_norm(x, scale, shift, zero, one, False, 0.0, 0.0, out=(x, *unused))


def _statistics(x):
    """Mean and biased variance (C,) of the pixels of all processes, and their number as a tensor of one
    element.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    scratch = torch.zeros(2, x.shape[1], dtype=dtype, device=x.device)  # torch.var_mean is many times slower
    mean, var = torch.batch_norm_update_stats(x, *scratch, 0.0)
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if _joined() else (0, 1)
    # Each process fills its row of a table of zeros, so that the sum is the whole table. Unlike a sum of
    # squares it loses no digits where the mean is large.
    table = mean.new_zeros(world, 2 * len(mean) + 1)
    table[rank] = torch.cat([mean, var, mean.new_full((1,), x.numel() / len(mean))])
    means, variances, counts = _total(table).split([len(mean), len(mean), 1], 1)
    count = counts.sum(0)
    shares = counts / count
    mean = (shares * means).sum(0)
    return mean, (shares * (variances + (means - mean) ** 2)).sum(0), count


def _total(x):
    """The sum of x over all processes, in place."""
    if _joined():
        distributed.all_reduce(x)
    return x


def _joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class Activation(nn.Module):
    """What is left of a NormAct after folding: act(x + shortcut)."""

    def __init__(self, slope: float, ceiling: float | None = None):
        super().__init__()
        self.slope, self.ceiling = slope, ceiling

    def forward(self, x, shortcut=None):
        return activate(x if shortcut is None else x.add_(shortcut), self.slope, self.ceiling)


def activate(x, slope: float, ceiling: float | None = None):
    """Leaky ReLU in place: `slope` 0 is ReLU, 1 the identity. With a `ceiling`, ReLU cut off there: 6 is
    ReLU6."""
    if ceiling is not None:
        return F.hardtanh_(x, 0.0, ceiling)
    if slope == 1.0:
        return x
    return F.relu_(x) if slope == 0.0 else F.leaky_relu_(x, slope)


@torch.no_grad()
def fold(net: nn.Module) -> nn.Module:
    """Folds every NormAct of `net` into the convolution before it, in place, for inference; returns `net`.

    A pair is a convolution and the norm that follows it under the same parent: `conv1` and `bn1`, or
    neighbours in a Sequential. Outputs stay equal to rounding: gamma (W x + b - mean) / sqrt(var + eps) +
    beta is a convolution again.
    """
    for parent in list(net.modules()):
        children = list(parent.named_children())
        for (_, conv), (name, norm) in pairwise(children):
            if not isinstance(norm, NormAct):
                continue
            if not isinstance(getattr(conv, "weight", None), nn.Parameter) or conv.weight.dim() != 4:
                raise ValueError(f"the norm layer {name} does not follow a convolution")
            scale = norm.gamma / torch.sqrt(norm.running_var + norm.eps)
            bias = torch.zeros_like(norm.bias) if conv.bias is None else conv.bias
            conv.weight.mul_(scale[:, None, None, None])
            conv.bias = nn.Parameter((bias - norm.running_mean) * scale + norm.bias)
            setattr(parent, name, Activation(norm.slope, norm.ceiling))
    return net
