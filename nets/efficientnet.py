"""EfficientNet-Lite encoders (Tan and Le 2019, "EfficientNet"; the Lite variants of 2020 for edge devices),
as a pyramid of features.

The Lite variants have ReLU6 in place of swish and no squeeze-and-excitation, and their stem and head are not
scaled. Parameter names are those of the published PyTorch weights without the leading underscores.
"""

import math

import torch.nn.functional as F
from torch import nn

from nets.norm import NormAct
from nets.resnet import DEVIATION, MEAN

# Blocks of MobileNetV2's kind, level by level: repeats, kernel, stride, expansion, output channels (Tan and
# Le, table 1).
BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}  # factors of width and of depth
EPS = 1e-3  # of the norms, as in the published weights
# After these levels of BLOCKS the resolution is halved, or the network ends: strides 2, 4, 8, 16 and 32.
LAST_OF_STRIDE = (0, 1, 2, 4, 6)


class SamePadding(nn.Conv2d):
    """A convolution without bias and with TensorFlow's "same" padding, which at stride 2 has one more pixel
    below and right.

    Input height and width must be multiples of the stride.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, padding=0, groups=groups, bias=False)
        total = kernel - stride
        self.sides = (total // 2, total - total // 2) * 2  # left, right, top, bottom

    def forward(self, x):
        return super().forward(F.pad(x, self.sides) if any(self.sides) else x)


class MBConv(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1 without activation; a shortcut where the shape
    stays (Sandler et al. 2018, MobileNetV2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        width = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        if expansion > 1:
            self.expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
            self.bn0 = NormAct(width, eps=EPS, ceiling=6.0)
        self.depthwise_conv = SamePadding(width, width, kernel, stride, groups=width)
        self.bn1 = NormAct(width, eps=EPS, ceiling=6.0)
        self.project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn2 = NormAct(outputs, slope=1.0, eps=EPS)

    def forward(self, x):
        shortcut = x if self.shortcut else None
        if hasattr(self, "expand_conv"):
            x = self.bn0(self.expand_conv(x))
        x = self.bn1(self.depthwise_conv(x))
        return self.bn2(self.project_conv(x), shortcut)


class EfficientNetLite(nn.Module):
    """The encoder: (B, channels, H, W) to features at strides 2, 4, 8, 16 and 32, finest first.

    The input is normalized as for our ResNet: (x - MEAN) / DEVIATION. H and W must be multiples of 32. Norms
    keep the statistics that they were loaded with, in training too: batches of a laptop are too small to
    measure them anew. `lr_scale` tells the optimizer to change published weights more slowly than what is
    new.
    """

    lr_scale = 0.3
    strides = (2, 4, 8, 16, 32)

    def __init__(self, variant: str = "lite0", channels: int = 3):
        super().__init__()
        if variant not in SCALES:
            raise ValueError(f"no EfficientNet {variant!r}; there are {', '.join(SCALES)}")
        wide, deep = SCALES[variant]
        self.conv_stem = SamePadding(channels, STEM_CHANNELS, 3, 2)
        self.bn0 = NormAct(STEM_CHANNELS, eps=EPS, ceiling=6.0)
        self.blocks, self.taps, self.channels_out = nn.ModuleList(), [], []
        inputs = STEM_CHANNELS
        for level, (repeats, kernel, stride, expansion, outputs) in enumerate(BLOCKS):
            outputs = _rounded(outputs * wide)
            repeats = repeats if level in (0, len(BLOCKS) - 1) else math.ceil(repeats * deep)
            for index in range(repeats):
                self.blocks.append(MBConv(inputs, outputs, kernel, 1 if index else stride, expansion))
                inputs = outputs
            if level in LAST_OF_STRIDE:
                self.taps.append(len(self.blocks) - 1)
                self.channels_out.append(outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def train(self, mode: bool = True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, NormAct):
                module.eval()
        return self

    def forward(self, x):
        x, features = self.bn0(self.conv_stem(x)), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                features.append(x)
        return features

    def load_published(self, state: dict) -> None:
        """Starts from the published state of the same variant. Raises ValueError if it does not fit."""
        try:
            self.load_state_dict(from_published(state, self.conv_stem.in_channels))
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"not the EfficientNet-Lite of the same variant ({reason})") from None


def _rounded(channels: float) -> int:
    """To a multiple of 8, and not below nine tenths, as the published networks are scaled."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def from_published(state: dict, channels: int) -> dict:
    """Published weights as the state of our encoder with 1, 3 or 4 input channels.

    The published network takes 2 x - 1; the difference to our normalization goes into the first kernel and
    the first norm's mean. channels 1: the RGB kernels are summed, so that grey gives what R = G = B = grey
    gave. channels 4: luma and three hint channels, whose kernels start at 0.
    """
    heads = ("_conv_head.", "_bn1.", "_fc.")
    state = {
        name.replace("._", ".").removeprefix("_"): x
        for name, x in state.items()
        if not name.startswith(heads)
    }
    kernel = state["conv_stem.weight"].double()  # (32, 3, 3, 3)
    state["bn0.running_mean"] = state["bn0.running_mean"] - (kernel.sum((1, 2, 3)) * (2 * MEAN - 1)).float()
    kernel = 2 * DEVIATION * kernel
    if channels != 3:
        kernel = kernel.sum(1, keepdim=True)
        kernel = F.pad(kernel, (0, 0, 0, 0, 0, channels - 1))
    state["conv_stem.weight"] = kernel.float()
    return state
