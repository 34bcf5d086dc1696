"""AlbuNet: a ResNet encoder with a UNet decoder (Ronneberger et al. 2015; Shvets et al. 2018 for the
combination).
"""

import torch
import torch.nn.functional as F
from torch import nn

from nets.norm import NormAct
from nets.resnet import DEVIATION, MEAN, ResNet


class DecoderBlock(nn.Module):
    """Brings a deep feature up by two and joins it with the skip of that scale.

    The deep feature is narrowed before it is enlarged: at the finest scale this halves the cost of the
    decoder.
    """

    def __init__(self, deep: int, skip: int, outputs: int, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(deep, outputs, 3, padding=1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs + skip, outputs, 3, padding=1, bias=False)
        self.bn2 = norm(outputs)

    def forward(self, deep, skip):
        deep = self.bn1(self.conv1(deep))
        deep = F.interpolate(deep, skip.shape[-2:], mode="bilinear", align_corners=False)
        return self.bn2(self.conv2(torch.cat([deep, skip], 1)))


class AlbuNet(nn.Module):
    """(B, channels, H, W) in [0, 1] to (B, classes, H / s, W / s), where s is 1 for the full stem and 2 for
    imagenet.

    Below the encoder lie `centers` pooled levels, which widen the context at almost no cost. H and W must be
    multiples of `multiple`. The output is linear: logits of defects, or chroma.
    """

    def __init__(self, depth=18, width=64, channels=1, classes=1, stem="full", centers=2, norm=NormAct):
        super().__init__()
        self.encoder = ResNet(depth, width, channels, stem, norm)
        skips = self.encoder.channels_out
        self.multiple = self.encoder.strides[-1] << centers
        center = min(skips[-1], 8 * width)
        self.centers = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(inputs, center, 3, padding=1, bias=False), norm(center))
            for inputs in ([skips[-1]] + [center] * (centers - 1))[:centers]
        )
        pyramid = skips + [center] * (centers - 1)
        # Decoder widths follow the scale, not the encoder: 1/2 and 1/4 share a width under the imagenet stem.
        shift = 1 if stem == "imagenet" else 0
        deep, blocks = center if centers else pyramid.pop(), []
        for level in reversed(range(len(pyramid))):
            outputs = min(pyramid[level], width << max(level - shift, 0))
            blocks.append(DecoderBlock(deep, pyramid[level], outputs, norm))
            deep = outputs
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Conv2d(deep, classes, 3, padding=1)

    def forward(self, x):
        features = self.encoder((x - MEAN) / DEVIATION)
        for center in self.centers:
            features.append(center(features[-1]))
        x = features.pop()
        for block in self.decoder:
            x = block(x, features.pop())
        return self.head(x)
