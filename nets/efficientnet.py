"""EfficientNet-Lite encoders (Tan and Le 2019, "EfficientNet") as feature pyramids.

The Lite variants of 2020, for edge devices, have ReLU6 in place of swish and no squeeze-and-excitation; their
stem and head are not scaled. Parameter names are those of the published PyTorch weights without the leading
underscores.
"""

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import nn

from nets.norm import NormAct
from nets.resnet import DEVIATION, MEAN, initialize, pad_inputs


class Level(NamedTuple):
    """A run of equal blocks; the first one has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


LEVELS = (  # Tan and Le 2019, table 1
    Level(1, 3, 1, 1, 16),
    Level(2, 3, 2, 6, 24),
    Level(2, 5, 2, 6, 40),
    Level(3, 3, 2, 6, 80),
    Level(3, 5, 1, 6, 112),
    Level(4, 5, 2, 6, 192),
    Level(1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}  # factors of width and of depth
EPS = 1e-3  # of the norms, as in the published weights
FEATURE_LEVELS = (0, 1, 2, 4, 6)  # the last level of each stride: 2, 4, 8, 16 and 32


class SamePadding(nn.Conv2d):
    """A convolution without bias and with TensorFlow's "same" padding: at stride 2, one pixel more right and
    below than left and above.

    Input height and width must be multiples of the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(in_channels, out_channels, kernel, stride, padding=0, groups=groups, bias=False)
        total = kernel - stride
        self.sides = (total // 2, total - total // 2) * 2  # left, right, top, bottom

    def forward(self, x):
        if any(self.sides):
            x = F.pad(x, self.sides)
        return super().forward(x)


class MBConv(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection without activation; a shortcut if the shape stays
    the same (Sandler et al. 2018, MobileNetV2).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        width = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.expand_conv = None
        if expansion > 1:
            self.expand_conv = nn.Conv2d(in_channels, width, 1, bias=False)
            self.bn0 = NormAct(width, eps=EPS, ceiling=6.0)
        self.depthwise_conv = SamePadding(width, width, kernel, stride, groups=width)
        self.bn1 = NormAct(width, eps=EPS, ceiling=6.0)
        self.project_conv = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn2 = NormAct(out_channels, slope=1.0, eps=EPS)

    def forward(self, x):
        shortcut = x if self.has_shortcut else None
        if self.expand_conv is not None:
            x = self.expand_conv(x)
            x = self.bn0(x)
        x = self.depthwise_conv(x)
        x = self.bn1(x)
        x = self.project_conv(x)
        return self.bn2(x, shortcut)


class EfficientNetLite(nn.Module):
    """The encoder: (B, channels, H, W), normalized, to features at strides 2, 4, 8, 16 and 32, finest first.

    The input is normalized as for our ResNet: (x - MEAN) / DEVIATION. H and W must be multiples of 32. Norms
    keep the statistics that were loaded, in training too: batches that fit a laptop are too small to measure
    them again. `lr_scale` tells the optimizer to change published weights more slowly than new ones. Raises
    ValueError for an unknown variant.
    """

    lr_scale = 0.3
    strides = (2, 4, 8, 16, 32)

    def __init__(self, variant: str = "lite0", channels: int = 3):
        super().__init__()
        if variant not in SCALES:
            raise ValueError(f"no EfficientNet {variant!r}; there are {', '.join(SCALES)}")
        self.conv_stem = SamePadding(channels, STEM_CHANNELS, 3, 2)
        self.bn0 = NormAct(STEM_CHANNELS, eps=EPS, ceiling=6.0)
        self.blocks = nn.ModuleList()
        self.feature_blocks, self.channels_out = [], []  # blocks that end in a feature
        in_channels = STEM_CHANNELS
        for index, level in enumerate(_scaled_levels(*SCALES[variant])):
            for number in range(level.repeats):
                stride = 1 if number else level.stride
                self.blocks.append(MBConv(in_channels, level.channels, level.kernel, stride, level.expansion))
                in_channels = level.channels
            if index in FEATURE_LEVELS:
                self.feature_blocks.append(len(self.blocks) - 1)
                self.channels_out.append(level.channels)
        initialize(self)

    def train(self, mode: bool = True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, NormAct):
                module.eval()
        return self

    def forward(self, x):
        x = self.conv_stem(x)
        x = self.bn0(x)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.feature_blocks:
                features.append(x)
        return features

    def _load_from_state_dict(self, state_dict, prefix, *args):
        pad_inputs(state_dict, prefix + "conv_stem.weight", self.conv_stem.in_channels)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def load_published(self, state: dict) -> None:
        """Loads the published state of the same variant; ValueError, one line, if it does not fit."""
        try:
            self.load_state_dict(from_published(state, self.conv_stem.in_channels))
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"not the EfficientNet-Lite of the same variant ({reason})") from None


def _scaled_levels(width: float, depth: float) -> list[Level]:
    """LEVELS with channels times `width` and repeats times `depth`; Lite keeps the repeats of both ends."""
    ends = (0, len(LEVELS) - 1)
    return [
        level._replace(
            channels=_round_channels(level.channels * width),
            repeats=level.repeats if index in ends else math.ceil(level.repeats * depth),
        )
        for index, level in enumerate(LEVELS)
    ]


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8 that is not below nine tenths, as in the published networks."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def from_published(state: dict, channels: int) -> dict:
    """Published weights as the state of our encoder with 1, 3 or 4 input channels.

    The published network takes 2 x - 1; the difference to our normalization goes into the first kernel and
    the mean of the first norm. channels 1: the RGB kernels are summed, so that grey gives what
    R = G = B = grey gave. channels 4: luma and three hint channels, whose kernels are 0.
    """
    head = ("_conv_head.", "_bn1.", "_fc.")
    state = {
        name.replace("._", ".").removeprefix("_"): x for name, x in state.items() if not name.startswith(head)
    }
    kernel = state["conv_stem.weight"].double()  # (32, 3, 3, 3)
    state["bn0.running_mean"] = state["bn0.running_mean"] - (kernel.sum((1, 2, 3)) * (2 * MEAN - 1)).float()
    kernel = 2 * DEVIATION * kernel
    if channels != 3:
        kernel = kernel.sum(1, keepdim=True)
        kernel = F.pad(kernel, (0, 0, 0, 0, 0, channels - 1))
    state["conv_stem.weight"] = kernel.float()
    return state
