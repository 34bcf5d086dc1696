"""The critic of SAGAN (Zhang et al. 2019, "Self-Attention Generative Adversarial Networks"): are these
colours real?
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from nets.ops.hints import CHROMA_DEVIATION
from nets.resnet import DEVIATION, MEAN


class SelfAttention(nn.Module):
    """x + gamma * o(x), where o gathers from everywhere in the picture what resembles x here; (B, C, H, W) to
    the same.

    Section 3 of the paper, with its narrowing to C / 8. gamma starts at 0: first the neighbourhood is
    learned, then what is far away.
    """

    def __init__(self, channels: int):
        super().__init__()
        narrow = max(1, channels // 8)
        self.query, self.key, self.value = (
            spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False)) for _ in range(3)
        )
        self.out = spectral_norm(nn.Conv2d(narrow, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        tokens = [layer(x).flatten(2).mT for layer in (self.query, self.key, self.value)]  # (B, H W, C / 8)
        gathered = F.scaled_dot_product_attention(*tokens, scale=1.0)
        return x + self.gamma * self.out(gathered.mT.unflatten(2, x.shape[-2:]))


class Critic(nn.Module):
    """Luma (B, 1, H, W) in [0, 1] and CbCr (B, 2, H, W) in [-0.5, 0.5] to scores (B, 1, H / 16, W / 16).

    A score is of the colours around its place: above 0 for those of photographs. Four convolutions of stride
    2, attention behind the last two, spectral norm on every layer. H and W are multiples of 16. `width` 64 is
    the published size.
    """

    multiple = 16

    def __init__(self, width: int = 64):
        super().__init__()
        layers, inputs = [], 3
        for level in range(4):
            outputs = width << level
            layers += [
                spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, padding=1)),
                nn.LeakyReLU(0.1, inplace=True),
            ]
            if level >= 2:
                layers.append(SelfAttention(outputs))
            inputs = outputs
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(8 * width, 1, 3, padding=1)))

    def forward(self, luma, cbcr):
        # A layer of spectral norm 1 enlarges nothing: small inputs would stay small scores. And norms need
        # single precision.
        with torch.autocast(luma.device.type, enabled=False):
            return self.layers(
                torch.cat([(luma.float() - MEAN) / DEVIATION, cbcr.float() / CHROMA_DEVIATION], 1)
            )
