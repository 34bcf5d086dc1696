"""ResNet encoders (He et al. 2016, "Deep Residual Learning for Image Recognition") as feature pyramids.

Parameter names are torchvision's, so `torchvision.models.resnet18().state_dict()` without `fc.*` loads
strictly into `ResNet(18)`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from nets.norm import NormAct

# Our networks normalize every channel by (x - MEAN) / DEVIATION, close to ImageNet's luma. torchvision's
# normalize R, G and B each by its own mean and deviation; `from_imagenet` folds the difference into the stem.
MEAN = 0.449
DEVIATION = 0.226
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_DEVIATION = (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = _downsample(in_channels, width, stride, norm)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.conv2(x)
        return self.bn2(x, shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the 3x3 has the stride, as in torchvision."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, norm):
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = norm(out_channels)
        self.downsample = _downsample(in_channels, out_channels, stride, norm)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.conv2(x)
        x = self.bn2(x)
        x = self.conv3(x)
        return self.bn3(x, shortcut)


def _downsample(in_channels: int, out_channels: int, stride: int, norm):
    """The projection of a shortcut whose shape changes, else None."""
    if stride == 1 and in_channels == out_channels:
        return None
    convolution = nn.Conv2d if in_channels >= 16 else NarrowShortcut
    return nn.Sequential(
        convolution(in_channels, out_channels, 1, stride, bias=False), norm(out_channels, slope=1.0)
    )


class NarrowShortcut(nn.Conv2d):
    """A strided 1x1 convolution that drops the pixels between strides first; equal to `Conv2d`.

    On CPU, oneDNN's weight gradient of a strided 1x1 convolution of fewer than 16 channels in channels-last
    format writes past its buffer (uxlfoundation/oneDNN#6035, still open in torch 2.14): training of narrow
    networks crashed.
    """

    def forward(self, x):
        x = x[..., :: self.stride[0], :: self.stride[1]]
        return F.conv2d(x, self.weight, self.bias)


# depth -> block, number of blocks in each of the four layers (He et al. 2016, table 1)
LAYOUTS = {18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)), 50: (Bottleneck, (3, 4, 6, 3))}


class ResNet(nn.Module):
    """The encoder: (B, channels, H, W), normalized, to a list of features, finest first.

    stem: "imagenet" is a 7x7 convolution of stride 2 and a max pool, features at strides 2, 4, 8, 16 and 32;
    "full" is a 3x3 convolution of stride 1 without a pool, so that a crack 2 px wide survives, features at
    strides 1, 2, 4 and 8. width: of the first layer, 64 as published. `channels_out` and `strides` describe
    the features. Raises ValueError for an unknown depth or stem.
    """

    def __init__(
        self, depth: int = 18, width: int = 64, channels: int = 3, stem: str = "imagenet", norm=NormAct
    ):
        super().__init__()
        if depth not in LAYOUTS:
            raise ValueError(f"no ResNet of depth {depth}; there are {', '.join(map(str, LAYOUTS))}")
        if stem not in ("imagenet", "full"):
            raise ValueError(f"no stem {stem!r}; there are imagenet and full")
        block, counts = LAYOUTS[depth]
        self.stem = stem
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(channels, width, 7, 2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = norm(width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if stem == "imagenet" else nn.Identity()
        in_channels = width
        for level, count in enumerate(counts):
            stride = 1 if level == 0 else 2
            setattr(
                self, f"layer{level + 1}", _layer(block, in_channels, width << level, count, stride, norm)
            )
            in_channels = (width << level) * block.expansion
        layers_out = [(width << level) * block.expansion for level in range(4)]
        self.channels_out = [width, *layers_out] if stem == "imagenet" else layers_out
        self.strides = [2, 4, 8, 16, 32] if stem == "imagenet" else [1, 2, 4, 8]
        initialize(self)

    def forward(self, x):
        x = self.conv1(x)
        stem = self.bn1(x)
        x = self.maxpool(stem)
        features = [stem] if self.stem == "imagenet" else []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features

    def _load_from_state_dict(self, state_dict, prefix, *args):
        pad_inputs(state_dict, prefix + "conv1.weight", self.conv1.in_channels)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def load_published(self, state: dict) -> None:
        """Loads torchvision's state of the same depth. Raises ValueError, one line, if it does not fit."""
        if self.conv1.out_channels != 64:
            raise ValueError(f"published weights need --width 64, not {self.conv1.out_channels}")
        try:
            self.load_state_dict(from_imagenet(state, self.conv1.in_channels, self.stem))
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"not a torchvision ResNet of the same depth ({reason})") from None


def pad_inputs(state_dict: dict, name: str, channels: int) -> None:
    """Weights trained on luma alone start a network that takes hints too: its kernels of hints are 0.

    name: of the kernel of the first convolution; channels: those of the network's input.
    """
    kernel = state_dict.get(name)
    if kernel is not None and kernel.shape[1] == 1 < channels:
        state_dict[name] = F.pad(kernel, (0, 0, 0, 0, 0, channels - 1))


def _layer(block, in_channels: int, width: int, count: int, stride: int, norm) -> nn.Sequential:
    """`count` blocks, of which the first has the stride."""
    blocks = [block(in_channels, width, stride, norm)]
    for _ in range(count - 1):
        blocks.append(block(width * block.expansion, width, 1, norm))
    return nn.Sequential(*blocks)


def initialize(net: nn.Module) -> None:
    """Draws the kernels of all convolutions for ReLU networks (He et al. 2015), in order of definition."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def from_imagenet(state: dict, channels: int, stem: str) -> dict:
    """The state of a torchvision ResNet as that of our encoder of width 64.

    channels: of our input. 1: the three kernels are summed, so that grey gives what R = G = B = grey gave;
    3: RGB; 4: luma and three hint channels, whose kernels are 0. The difference in mean is a constant, which
    goes into the mean of the first norm. stem: "full" reduces the 7x7 kernel of stride 2 by area to 3x3 and
    keeps its sum.
    """
    state = {name: x for name, x in state.items() if not name.startswith("fc.")}
    kernel = state["conv1.weight"].double()  # (64, 3, 7, 7)
    deviation = kernel.new_tensor(RGB_DEVIATION)[:, None, None]
    offset = (MEAN - kernel.new_tensor(RGB_MEAN)[:, None, None]) / deviation
    state["bn1.running_mean"] = state["bn1.running_mean"] - (kernel * offset).sum((1, 2, 3)).float()
    kernel = kernel * DEVIATION / deviation
    if channels != 3:
        kernel = kernel.sum(1, keepdim=True)
        kernel = torch.cat([kernel, kernel.new_zeros(len(kernel), channels - 1, 7, 7)], 1)
    if stem == "full":
        coverage = _coverage(7, 3)
        kernel = coverage @ kernel @ coverage.T  # (3, 7) (64, C, 7, 7) (7, 3)
    state["conv1.weight"] = kernel.float()
    return state


def _coverage(fine: int, coarse: int):
    """How much of each of `fine` equal bins lies in each of `coarse` wider ones: (coarse, fine)."""
    edges = torch.arange(fine + 1).double()
    bins = torch.arange(coarse + 1).double() * fine / coarse
    right = torch.minimum(edges[None, 1:], bins[1:, None])
    left = torch.maximum(edges[None, :-1], bins[:-1, None])
    return (right - left).clamp_min(0)
