"""Batch normalization and its activation in one module, and its folding into convolutions for inference.

Every network takes its norm layer as a class (`norm=NormAct`) and calls it as `norm(channels)` or
`norm(channels, slope=...)`. Parameter names are those of `torch.nn.BatchNorm2d`, so torchvision's checkpoints
load. `InPlaceABN` computes the same from the same weights, but keeps half as many activations for backward
and shares its statistics across processes.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import distributed, nn
from torch.autograd.function import once_differentiable

MIN_GAMMA = 1e-3  # InPlaceABN divides by gamma: rounding errors grow by 1 / gamma


class NormAct(nn.BatchNorm2d):
    """act(batchnorm(x) + shortcut), where act is leaky ReLU of `slope`: 0 is ReLU, 1 is no activation.

    ceiling: if given, act is ReLU clipped at this value; 6 is ReLU6 (Sandler et al. 2018, MobileNetV2).
    x and shortcut: (B, C, H, W). The shortcut is an argument because a residual block adds it between
    normalization and activation (He et al. 2016, figure 2).
    """

    def __init__(self, channels: int, slope: float = 0.0, eps: float = 1e-5, ceiling: float | None = None):
        super().__init__(channels, eps)
        self.slope = slope
        self.ceiling = ceiling

    @property
    def gamma(self):
        """The scale of each channel, (C,)."""
        return self.weight

    def forward(self, x, shortcut=None):
        x = super().forward(x)
        if shortcut is not None:
            x = x.add_(shortcut)
        return activate(x, self.slope, self.ceiling)

    def extra_repr(self):
        return f"{self.num_features}, slope={self.slope}"


class InPlaceABN(NormAct):
    """In-place activated, synchronized batch normalization (Rota Bulo et al. 2018); called like NormAct.

    The output overwrites the buffer of x and is all that is kept for backward, which inverts the activation
    and the addition: one activation per layer in place of two. Nobody else may read x: pass the output of a
    convolution. Inversion needs slope > 0 and |gamma| >= MIN_GAMMA: a smaller gamma is replaced by MIN_GAMMA
    with its sign (0 counts as positive), but receives the gradient of an unclamped gamma, so it can grow
    again. Raises ValueError for a slope of 0 or below.

    In training, mean and variance are those of the batch across all processes of torch.distributed, weighted
    by pixel count, so all processes must call the layer equally often. Gradients of gamma and beta are those
    of this process, as with torch.nn.SyncBatchNorm: summed across processes they belong to the sum of the
    losses, and averaged by DistributedDataParallel to the mean. Statistics are float32 for bf16 and fp16
    activations.
    """

    def __init__(self, channels: int, slope: float = 0.01):
        if not slope > 0:
            raise ValueError(f"InPlaceABN inverts its activation: slope must be above 0, not {slope}")
        super().__init__(channels, slope)

    @property
    def gamma(self):
        return _clamp_gamma(self.weight)

    def forward(self, x, shortcut=None):
        if self.training:
            mean, var, count = _batch_statistics(x.detach())
            self._update_running(mean, var, count)
        else:
            mean, var, count = self.running_mean, self.running_var, None
        invstd = torch.rsqrt(var + self.eps)
        return _InPlaceABN.apply(x, shortcut, self.weight, self.bias, mean, invstd, count, self.slope)

    @torch.no_grad()
    def _update_running(self, mean, var, count) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(
            var * count / (count - 1).clamp_min(1), self.momentum
        )  # unbiased, as BatchNorm


NORMS = {"batch": NormAct, "inplace": InPlaceABN}  # the values of `--norm`


class _InPlaceABN(torch.autograd.Function):
    """y = act(z), z = gamma (x - mean) invstd + beta + shortcut, in the buffer of x.

    mean, invstd: (C,). count: the number of pixels that they were measured on, across all processes; None if
    they are constants.
    """

    @staticmethod
    def forward(ctx, x, shortcut, weight, beta, mean, invstd, count, slope):
        scale = _clamp_gamma(weight) * invstd
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
        gamma = _clamp_gamma(weight)
        # New buffers for both: other layers may still read y and grad.
        grad_z = torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True)
        z = F.leaky_relu(y, 1 / ctx.slope)
        if shortcut is not None:
            z.sub_(shortcut)  # now z = gamma x_hat + beta
        # One pass for three results: grad_z gamma invstd, sum of grad_z (z - beta), sum of grad_z.
        # The statistics are given as running and as saved ones, since CUDA asks for the latter too.
        statistics = (beta, torch.ones_like(beta)) * 2
        grad_x, dot, grad_beta = torch.ops.aten.native_batch_norm_backward(
            grad_z, z, gamma * invstd, *statistics, False, 0.0, [True, True, True]
        )
        grad_gamma = dot / gamma
        if count is not None:  # the statistics depend on x as well: Ioffe and Szegedy 2015, section 3
            mean_grad_gamma, mean_grad_beta = (
                _sum_processes(torch.cat([grad_gamma, grad_beta])).div_(count).chunk(2)
            )
            scale = -invstd * mean_grad_gamma
            _affine_(z, scale, -gamma * invstd * mean_grad_beta - scale * beta)
            grad_x.add_(z)
        grad_shortcut = None if shortcut is None else grad_z
        return grad_x, grad_shortcut, grad_gamma, grad_beta, None, None, None, None


def _clamp_gamma(weight):
    """weight (C,), its magnitude at least MIN_GAMMA, its sign kept; 0 counts as positive."""
    return torch.where(weight < 0, weight.clamp(max=-MIN_GAMMA), weight.clamp(min=MIN_GAMMA))


def _affine_(x, scale, shift):
    """scale x + shift by channel, in place.

    BatchNorm's kernel takes one pass, and float32 factors for bf16 x, which plain arithmetic would not.
    """
    zero = torch.zeros_like(scale)
    one = torch.ones_like(scale)
    unused = scale.new_empty(0), scale.new_empty(0)
    torch.native_batch_norm(x, scale, shift, zero, one, False, 0.0, 0.0, out=(x, *unused))


def _batch_statistics(x):
    """Mean (C,), biased variance (C,) and number (1,) of the pixels of all processes."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    scratch = torch.zeros(2, x.shape[1], dtype=dtype, device=x.device)  # torch.var_mean is many times slower
    mean, var = torch.batch_norm_update_stats(x, *scratch, 0.0)
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if _distributed() else (0, 1)
    # Each process fills its row of a table of zeros: the sum is the whole table. Adding up squares instead
    # would lose digits where the mean is large.
    table = mean.new_zeros(world, 2 * len(mean) + 1)
    table[rank] = torch.cat([mean, var, mean.new_full((1,), x.numel() / len(mean))])
    means, variances, counts = _sum_processes(table).split([len(mean), len(mean), 1], 1)
    count = counts.sum(0)
    weights = counts / count
    mean = (weights * means).sum(0)
    var = (weights * (variances + (means - mean) ** 2)).sum(0)
    return mean, var, count


def _sum_processes(x):
    """The sum of x over all processes, in place."""
    if _distributed():
        distributed.all_reduce(x)
    return x


def _distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class Activation(nn.Module):
    """What remains of a NormAct after folding: act(x + shortcut)."""

    def __init__(self, slope: float, ceiling: float | None = None):
        super().__init__()
        self.slope = slope
        self.ceiling = ceiling

    def forward(self, x, shortcut=None):
        if shortcut is not None:
            x = x.add_(shortcut)
        return activate(x, self.slope, self.ceiling)


def activate(x, slope: float, ceiling: float | None = None):
    """Leaky ReLU in place: `slope` 0 is ReLU, 1 the identity; with a `ceiling`, ReLU clipped there."""
    if ceiling is not None:
        return F.hardtanh_(x, 0.0, ceiling)
    if slope == 1.0:
        return x
    return F.relu_(x) if slope == 0.0 else F.leaky_relu_(x, slope)


@torch.no_grad()
def fold(net: nn.Module) -> nn.Module:
    """Folds every NormAct of `net` into the convolution before it, in place, for inference; returns `net`.

    A norm is folded into the module before it under the same parent: `conv1` and `bn1`, or neighbors in a
    Sequential. Outputs are equal up to rounding: gamma (W x + b - mean) / sqrt(var + eps) + beta is a
    convolution again. Raises ValueError for a norm that follows no convolution.
    """
    for parent in list(net.modules()):
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(norm, NormAct):
                _fold_pair(conv, norm, name)
                setattr(parent, name, Activation(norm.slope, norm.ceiling))
    return net


def _fold_pair(conv: nn.Module, norm: NormAct, name: str) -> None:
    if not isinstance(getattr(conv, "weight", None), nn.Parameter) or conv.weight.dim() != 4:
        raise ValueError(f"the norm layer {name} does not follow a convolution")
    scale = norm.gamma / torch.sqrt(norm.running_var + norm.eps)
    bias = torch.zeros_like(norm.bias) if conv.bias is None else conv.bias
    conv.weight.mul_(scale[:, None, None, None])
    conv.bias = nn.Parameter((bias - norm.running_mean) * scale + norm.bias)
