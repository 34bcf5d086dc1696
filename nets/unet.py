"""AlbuNet: a pretrained encoder with a UNet decoder, optionally with the context of a second encoder.

UNet: Ronneberger et al. 2015; with a pretrained encoder: Shvets et al. 2018.
"""

import torch
import torch.nn.functional as F
from torch import nn

from nets.efficientnet import SCALES, EfficientNetLite
from nets.norm import NormAct
from nets.resnet import DEVIATION, MEAN, ResNet


class DecoderBlock(nn.Module):
    """Upsamples a deep feature to the size of a skip and combines both.

    The deep feature is narrowed before it is upsampled: at the finest scale this halves the decoder's cost.
    """

    def __init__(self, deep_channels: int, skip_channels: int, out_channels: int, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(deep_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels + skip_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = norm(out_channels)

    def forward(self, deep, skip):
        x = self.conv1(deep)
        x = self.bn1(x)
        x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
        x = torch.cat([x, skip], 1)
        x = self.conv2(x)
        return self.bn2(x)


class Context(nn.Module):
    """Features of a second, pretrained encoder, added to the levels of the first.

    At half the resolution the second encoder has a wide receptive field, and from ImageNet it recognizes
    eyes, jewelry, leaves and lettering. Its features, at strides 4 to 64 of the input, are added to the
    levels of the same stride (beyond the last level, to the last one) through 1x1 convolutions that start at
    0. So adding a context to a trained network changes nothing until it is trained further.

    strides, channels: of the levels to which features are added.
    """

    size_divisor = 64

    def __init__(self, variant: str, in_channels: int, strides: list[int], channels: list[int]):
        super().__init__()
        self.encoder = EfficientNetLite(variant, in_channels)
        self.levels = [strides.index(min(2 * stride, strides[-1])) for stride in self.encoder.strides]
        self.joins = nn.ModuleList(
            nn.Conv2d(count, channels[level], 1)
            for count, level in zip(self.encoder.channels_out, self.levels, strict=True)
        )
        for join in self.joins:
            nn.init.zeros_(join.weight)
            nn.init.zeros_(join.bias)

    def forward(self, x):
        """Normalized input (B, C, H, W) to {level: [features to add to that level]}."""
        x = F.avg_pool2d(x, 2)
        added = {level: [] for level in self.levels}
        for feature, join, level in zip(self.encoder(x), self.joins, self.levels, strict=True):
            added[level].append(join(feature))
        return added


def _add_context(feature, added):
    """A feature (B, C, H, W) plus those in the list `added`, which are resized to it."""
    for other in added:
        if other.shape[-2:] != feature.shape[-2:]:
            other = F.interpolate(other, feature.shape[-2:], mode="bilinear", align_corners=False)
        feature = feature + other
    return feature


class AlbuNet(nn.Module):
    """(B, channels, H, W) in [0, 1] to (B, out_channels, H / s, W / s), linear: logits of damage, or chroma.

    s is 1 for the stem "full" and 2 for "imagenet". H and W must be multiples of `size_divisor`. depth: 18,
    34 or 50, of the ResNet encoder; or "lite0" to "lite2", an EfficientNet-Lite with the strides of the
    imagenet stem, where `width` is that of the decoder only. extra_levels: pooled levels below the encoder,
    which widen the receptive field at hardly any cost. context: a second encoder, "lite0" to "lite2".
    """

    def __init__(
        self,
        depth: int | str = 18,
        width: int = 64,
        channels: int = 1,
        out_channels: int = 1,
        stem: str = "full",
        extra_levels: int = 2,
        norm=NormAct,
        context: str | None = None,
    ):
        super().__init__()
        is_lite = depth in SCALES
        self.encoder = (
            EfficientNetLite(depth, channels) if is_lite else ResNet(depth, width, channels, stem, norm)
        )
        encoded = self.encoder.channels_out
        strides = [*self.encoder.strides, *(self.encoder.strides[-1] << n + 1 for n in range(extra_levels))]
        deepest = min(encoded[-1], 8 * width)
        level_channels = encoded + [deepest] * extra_levels
        self.channels = channels
        self.size_divisor = strides[-1]
        self.centers = nn.ModuleList(  # the extra levels; weights files have their kernels under this name
            nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(above, deepest, 3, padding=1, bias=False), norm(deepest))
            for above in level_channels[len(encoded) - 1 : -1]
        )
        *skips, deep = level_channels
        self.decoder = nn.ModuleList()
        for level in reversed(range(len(skips))):
            # Decoder widths follow the scale: under the imagenet stem, 1/2 and 1/4 share a width.
            decoded = width << max(level - (1 if stem == "imagenet" else 0), 0)
            if not is_lite:  # the features of a Lite encoder are thin
                decoded = min(skips[level], decoded)
            self.decoder.append(DecoderBlock(deep, skips[level], decoded, norm))
            deep = decoded
        self.head = nn.Conv2d(deep, out_channels, 3, padding=1)
        self.context = None
        if context:
            self.context = Context(context, channels, strides, level_channels)
            self.size_divisor = max(self.size_divisor, Context.size_divisor)

    def load_state_dict(self, state_dict, *args, **kwargs):
        """Also loads the state of the same network without a context; the context then keeps its weights."""
        if self.context is not None and not any(name.startswith("context.") for name in state_dict):
            own = {f"context.{name}": x for name, x in self.context.state_dict().items()}
            state_dict = {**state_dict, **own}
        return super().load_state_dict(state_dict, *args, **kwargs)

    def forward(self, x):
        x = (x - MEAN) / DEVIATION
        added = {} if self.context is None else self.context(x)
        features = [
            _add_context(feature, added.get(level, ())) for level, feature in enumerate(self.encoder(x))
        ]
        for center in self.centers:
            x = center(features[-1])
            x = _add_context(x, added.get(len(features), ()))
            features.append(x)
        x = features.pop()
        for block in self.decoder:
            x = block(x, features.pop())
        return self.head(x)
