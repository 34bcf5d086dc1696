"""The convolutions of VGG-16 (Simonyan and Zisserman 2015, configuration D), frozen, as features for losses.

Parameter names are torchvision's, so `torchvision.models.vgg16().state_dict()` loads strictly, with or
without its classifier, which is dropped.
"""

import torch
from torch import nn

from nets.resnet import RGB_DEVIATION, RGB_MEAN

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (channels, convolutions) before each max pool


class VGG16(nn.Module):
    """Pictures (B, 1 or 3, H, W) in [0, 1], luma or sRGB, to a list of features, in the order of `layers`.

    layers: "relu1_1" to "relu5_3", at strides 1, 1, 2, 2, 4, ..., or "pool1" to "pool5" at strides 2 to 32;
    layers beyond the deepest of them are not computed. ImageNet's mean and deviation are applied inside.
    Gradients flow to the picture, never to the weights. state: torchvision's.
    Raises ValueError, one line, for an unknown layer or a state that does not fit.
    """

    def __init__(self, state: dict, layers=("pool1", "pool2", "pool3")):
        super().__init__()
        modules, self.indices, in_channels = [], {}, 3
        for block, (channels, count) in enumerate(BLOCKS, 1):
            for number in range(1, count + 1):
                modules.append(nn.Conv2d(in_channels, channels, 3, padding=1))
                modules.append(nn.ReLU(inplace=True))
                self.indices[f"relu{block}_{number}"] = len(modules) - 1
                in_channels = channels
            modules.append(nn.MaxPool2d(2))
            self.indices[f"pool{block}"] = len(modules) - 1
        if unknown := [name for name in layers if name not in self.indices]:
            raise ValueError(f"no layer {unknown[0]!r} in VGG-16; there are {', '.join(self.indices)}")
        self.features = nn.Sequential(*modules)
        self.layers = tuple(layers)
        self.register_buffer("mean", torch.tensor(RGB_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(RGB_DEVIATION)[:, None, None], persistent=False)
        try:
            self.load_state_dict({name: x for name, x in state.items() if not name.startswith("classifier.")})
        except (RuntimeError, AttributeError) as error:  # AttributeError: an entry that is no tensor
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"not a torchvision VGG-16 ({reason})") from None
        self.requires_grad_(False)

    def forward(self, x):
        x = (x - self.mean) / self.deviation  # luma becomes three channels
        wanted = [self.indices[name] for name in self.layers]
        outputs = {}
        for index in range(max(wanted) + 1):
            x = self.features[index](x)
            if index in wanted:
                outputs[index] = x
        return [outputs[index] for index in wanted]
