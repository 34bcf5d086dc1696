"""The discriminator of SAGAN (Zhang et al. 2019, "Self-Attention Generative Adversarial Networks")."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from nets.ops.hints import CHROMA_DEVIATION
from nets.resnet import DEVIATION, MEAN

# What a discriminator judges: (mean, standard deviation) of each channel
COLORS = ((MEAN, DEVIATION), (0.0, CHROMA_DEVIATION), (0.0, CHROMA_DEVIATION))  # luma, Cb, Cr
PAINTING = ((MEAN, DEVIATION), (0.0, 1.0))  # luma; 1 in holes and 0 elsewhere


class SelfAttention(nn.Module):
    """x + gamma * o(x), where o gathers what resembles x from the whole picture; (B, C, H, W) to the same.

    Section 3 of the paper, narrowed to C / 8 channels. gamma starts at 0: the neighborhood is learned first,
    then what is far away.
    """

    def __init__(self, channels: int):
        super().__init__()
        narrow = max(1, channels // 8)
        self.query = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))
        self.key = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))
        self.value = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))
        self.out = spectral_norm(nn.Conv2d(narrow, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        query = self.query(x).flatten(2).mT  # (B, H W, C / 8)
        key = self.key(x).flatten(2).mT
        value = self.value(x).flatten(2).mT
        gathered = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        gathered = gathered.mT.unflatten(2, x.shape[-2:])
        return x + self.gamma * self.out(gathered)


class Discriminator(nn.Module):
    """Pictures (B, C, H, W) to scores (B, 1, H / 16, W / 16).

    A score judges the picture around its square of 16 x 16 px; above 0 means real. Four convolutions of
    stride 2, attention after the last two, spectral norm on every layer. H and W must be multiples of 16.
    channels: (mean, standard deviation) of each of the C, such as `COLORS`. width: 64 as published.
    """

    size_divisor = 16

    def __init__(self, channels: tuple[tuple[float, float], ...], width: int = 64):
        super().__init__()
        mean, deviation = torch.tensor(channels).T[..., None, None]  # (C, 1, 1) each
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        layers, in_channels = [], len(channels)
        for level in range(4):
            out_channels = width << level
            layers.append(spectral_norm(nn.Conv2d(in_channels, out_channels, 4, 2, padding=1)))
            layers.append(nn.LeakyReLU(0.1, inplace=True))
            if level >= 2:
                layers.append(SelfAttention(out_channels))
            in_channels = out_channels
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(8 * width, 1, 3, padding=1)))

    def forward(self, x):
        # Layers of spectral norm 1 do not amplify, so inputs are scaled to standard deviation 1; otherwise
        # scores would be small. Spectral norms need single precision.
        with torch.autocast(x.device.type, enabled=False):
            return self.layers((x.float() - self.mean) / self.deviation)
