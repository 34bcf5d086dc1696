"""AlbuNet: a pretrained encoder with a UNet decoder (Ronneberger et al. 2015; Shvets et al. 2018 for the
combination), optionally with the context of a second encoder.
"""

import torch
import torch.nn.functional as F
from torch import nn

from nets.efficientnet import SCALES, EfficientNetLite
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


class Context(nn.Module):
    """What a second, pretrained encoder adds to the levels of the first one: it looks at half the scale and
    knows eyes, jewellery, leaves and lettering when it sees them.

    Its features, of stride 4 to 64 of the input, join the levels of the same stride through 1x1 convolutions
    that start at zero: a trained network to which a context is added begins with what it can. Features of a
    larger stride than the last level's join that. strides, channels: of the levels.
    """

    size_divisor = 64

    def __init__(self, variant: str, inputs: int, strides: list[int], channels: list[int]):
        super().__init__()
        self.encoder = EfficientNetLite(variant, inputs)
        self.levels = [strides.index(min(2 * stride, strides[-1])) for stride in self.encoder.strides]
        self.joins = nn.ModuleList(
            nn.Conv2d(count, channels[level], 1)
            for count, level in zip(self.encoder.channels_out, self.levels, strict=True)
        )
        for join in self.joins:
            nn.init.zeros_(join.weight)
            nn.init.zeros_(join.bias)

    def forward(self, x):
        """Normalized input (B, C, H, W) to {level: [features to add to it]}."""
        added = {level: [] for level in self.levels}
        features = self.encoder(F.avg_pool2d(x, 2))
        for feature, join, level in zip(features, self.joins, self.levels, strict=True):
            added[level].append(join(feature))
        return added


def _joined(feature, added):
    """A feature (B, C, H, W) plus those of `added`, which may be smaller."""
    for other in added:
        if other.shape[-2:] != feature.shape[-2:]:
            other = F.interpolate(other, feature.shape[-2:], mode="bilinear", align_corners=False)
        feature = feature + other
    return feature


class AlbuNet(nn.Module):
    """(B, channels, H, W) in [0, 1] to (B, classes, H / s, W / s), where s is 1 for the full stem and 2 for
    imagenet.

    depth: of the ResNet encoder, 18, 34 or 50; or "lite0" to "lite2", an EfficientNet-Lite, which has the
    strides of the imagenet stem; then `width` is the decoder's alone. Below the encoder lie `centers` pooled
    levels, which widen the view at almost no cost. context: a second encoder to add, "lite0" to "lite2". H
    and W must be multiples of `multiple`. The output is linear: logits of defects, or chroma.
    """

    def __init__(
        self, depth=18, width=64, channels=1, classes=1, stem="full", centers=2, norm=NormAct, context=None
    ):
        super().__init__()
        lite = depth in SCALES
        self.encoder = (
            EfficientNetLite(depth, channels) if lite else ResNet(depth, width, channels, stem, norm)
        )
        skips = self.encoder.channels_out
        self.channels, self.multiple = channels, self.encoder.strides[-1] << centers
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
            outputs = width << max(level - shift, 0)
            outputs = outputs if lite else min(pyramid[level], outputs)  # a Lite encoder's features are thin
            blocks.append(DecoderBlock(deep, pyramid[level], outputs, norm))
            deep = outputs
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Conv2d(deep, classes, 3, padding=1)
        self.context = None
        if context:
            strides = list(self.encoder.strides) + [
                self.encoder.strides[-1] << index + 1 for index in range(centers)
            ]
            self.context = Context(context, channels, strides, skips + [center] * centers)
            self.multiple = max(self.multiple, Context.size_divisor)

    def forward(self, x):
        x = (x - MEAN) / DEVIATION
        added = {} if self.context is None else self.context(x)
        features = [_joined(feature, added.get(level, ())) for level, feature in enumerate(self.encoder(x))]
        for center in self.centers:
            feature = center(features[-1])
            features.append(_joined(feature, added.get(len(features), ())))
        x = features.pop()
        for block in self.decoder:
            x = block(x, features.pop())
        return self.head(x)
