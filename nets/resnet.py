"""ResNet encoders (He et al. 2016, "Deep Residual Learning for Image Recognition"), as a pyramid of features.

Parameter names are torchvision's, so that `torchvision.models.resnet18().state_dict()` without `fc.*` loads
strictly into `ResNet(18)`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from nets.norm import NormAct

# Our networks take (x - MEAN) / DEVIATION in every channel, near ImageNet's luma; torchvision's take each
# colour of RGB by its own mean and deviation, which `from_imagenet` folds into the first layer.
MEAN, DEVIATION = 0.449, 0.226
RGB_MEAN, RGB_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x))
        return self.bn2(self.conv2(x), shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is on the 3x3, as in torchvision."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, norm):
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = norm(outputs)
        self.downsample = _shortcut(inputs, outputs, stride, norm)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x))
        x = self.bn2(self.conv2(x))
        return self.bn3(self.conv3(x), shortcut)


def _shortcut(inputs: int, outputs: int, stride: int, norm):
    if stride == 1 and inputs == outputs:
        return None
    convolution = nn.Conv2d if inputs >= 16 else NarrowShortcut
    return nn.Sequential(convolution(inputs, outputs, 1, stride, bias=False), norm(outputs, slope=1.0))


class NarrowShortcut(nn.Conv2d):
    """A strided 1x1 convolution that first leaves out the pixels between strides; equal to `Conv2d`.

    On CPU, oneDNN's weight gradient of a strided one writes past its buffer in channels last if there are
    fewer than 16 channels (uxlfoundation/oneDNN#6035, not mended in torch 2.14): narrow networks crashed in
    training.
    """

    def forward(self, x):
        return F.conv2d(x[..., :: self.stride[0], :: self.stride[1]], self.weight, self.bias)


LAYOUTS = {18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)), 50: (Bottleneck, (3, 4, 6, 3))}


class ResNet(nn.Module):
    """The encoder: (B, channels, H, W) to a list of features, finest first.

    stem "imagenet": 7x7 convolution of stride 2 and a max pool; features at strides 2, 4, 8, 16, 32. stem
    "full": 3x3 convolution of stride 1 and no pool, so that a crack of two pixels survives; strides 1, 2, 4,
    8. `channels_out` and `strides` describe the features. `width` is that of the first layer: 64 is the
    published size.
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
        inputs = width
        for level, count in enumerate(counts):
            blocks = []
            for index in range(count):
                stride = 2 if level > 0 and index == 0 else 1
                blocks.append(block(inputs, width << level, stride, norm))
                inputs = (width << level) * block.expansion
            setattr(self, f"layer{level + 1}", nn.Sequential(*blocks))
        deep = [(width << level) * block.expansion for level in range(4)]
        self.channels_out = [width, *deep] if stem == "imagenet" else deep
        self.strides = [2, 4, 8, 16, 32] if stem == "imagenet" else [1, 2, 4, 8]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        stem = self.bn1(self.conv1(x))
        x = self.layer1(self.maxpool(stem))
        features = [stem, x] if self.stem == "imagenet" else [x]
        for layer in (self.layer2, self.layer3, self.layer4):
            features.append(layer(features[-1]))
        return features

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """A network that takes hints too starts from weights that know luma alone: hint kernels are 0."""
        kernel = state_dict.get(prefix + "conv1.weight")
        if kernel is not None and kernel.shape[1] == 1 < self.conv1.in_channels:
            state_dict[prefix + "conv1.weight"] = F.pad(kernel, (0, 0, 0, 0, 0, self.conv1.in_channels - 1))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def load_imagenet(self, state: dict) -> None:
        """Starts from the state of torchvision's ResNet of the same depth. Raises ValueError if it does not
        fit.
        """
        if self.conv1.out_channels != 64:
            raise ValueError(f"published weights need --width 64, not {self.conv1.out_channels}")
        try:
            self.load_state_dict(from_imagenet(state, self.conv1.in_channels, self.stem))
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"not a torchvision ResNet of the same depth ({reason})") from None


def from_imagenet(state: dict, channels: int, stem: str) -> dict:
    """A torchvision ResNet's state as that of our encoder of width 64, for 1, 3 or 4 input channels and both
    stems.

    channels 1: the three kernels summed, so that grey gives what R = G = B = grey gave. channels 4: luma and
    three hint channels, whose kernels start at 0. The difference of means is a constant that the first norm's
    mean takes up. stem "full": the 7x7 kernel, which steps by two pixels, is reduced by area to 3x3, its sum
    kept.
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
        edges = torch.arange(8).double()
        bins = torch.arange(4).double() * 7 / 3
        share = (
            torch.minimum(edges[None, 1:], bins[1:, None]) - torch.maximum(edges[None, :-1], bins[:-1, None])
        ).clamp_min(0)
        kernel = share @ kernel @ share.T  # (3, 7) (64, C, 7, 7) (7, 3)
    state["conv1.weight"] = kernel.float()
    return state
