"""The features of a frozen EfficientNet-Lite, which losses compare."""

from torch import nn

from nets.efficientnet import EfficientNetLite
from nets.resnet import DEVIATION, MEAN

LEVELS = 4  # features at strides 2 to 16; the deepest one sees little of where things are


class LiteFeatures(nn.Module):
    """Pictures (B, 1 or 3, H, W) in [0, 1], luma or sRGB, to the features of an EfficientNet-Lite at strides
    2, 4, 8 and 16, finest first. H and W must be multiples of 16.

    Gradients flow to the picture, never to the weights. state: published weights. Raises ValueError, one
    line, for a state that does not fit.
    """

    def __init__(self, state: dict, variant: str):
        super().__init__()
        self.encoder = EfficientNetLite(variant)
        self.encoder.load_published(state)
        self.encoder.blocks = self.encoder.blocks[: self.encoder.feature_blocks[LEVELS - 1] + 1]
        self.requires_grad_(False)
        self.eval()

    def forward(self, x):
        x = (x - MEAN) / DEVIATION
        return self.encoder(x.expand(-1, 3, -1, -1))
