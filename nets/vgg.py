"""VGG-16's convolutions (Simonyan and Zisserman 2015, configuration D), frozen, as features for losses.

Parameter names are torchvision's, so that `torchvision.models.vgg16().state_dict()` loads strictly, with its
classifier, which is left out, or without.
"""

import torch
from torch import nn

from nets.resnet import RGB_DEVIATION, RGB_MEAN

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (channels, convolutions) before each max pool


class VGG16(nn.Module):
    """Pictures (B, 1 or 3, H, W) in [0, 1], luma or sRGB, to a list of features, one for each of `layers` in
    their order.

    layers: "relu1_1" to "relu5_3", of stride 1, 1, 2, 2, 4, ..., or "pool1" to "pool5" of stride 2 to 32;
    what lies behind the deepest is not computed. The mean and deviation of ImageNet are applied inside.
    Gradients flow to the picture and never to the weights. state: torchvision's. Raises ValueError, one line,
    if it does not fit.
    """

    def __init__(self, state: dict, layers=("pool1", "pool2", "pool3")):
        super().__init__()
        modules, self.places, inputs = [], {}, 3
        for block, (width, count) in enumerate(BLOCKS, 1):
            for number in range(1, count + 1):
                self.places[f"relu{block}_{number}"] = len(modules) + 1
                modules += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
            self.places[f"pool{block}"] = len(modules)
            modules.append(nn.MaxPool2d(2))
        if unknown := [name for name in layers if name not in self.places]:
            raise ValueError(f"no layer {unknown[0]!r} in VGG-16; there are {', '.join(self.places)}")
        self.features, self.layers = nn.Sequential(*modules), tuple(layers)
        for name, values in (("mean", RGB_MEAN), ("deviation", RGB_DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        try:
            self.load_state_dict({name: x for name, x in state.items() if not name.startswith("classifier.")})
        except (RuntimeError, AttributeError) as error:  # AttributeError: an entry that is no tensor
            raise ValueError(
                f"not a torchvision VGG-16 ({str(error).strip().splitlines()[-1].strip()})"
            ) from None
        self.requires_grad_(False)

    def forward(self, x):
        x = (x - self.mean) / self.deviation  # luma becomes three channels
        wanted, seen = {self.places[name] for name in self.layers}, {}
        for place in range(max(wanted) + 1):
            x = self.features[place](x)
            if place in wanted:
                seen[place] = x
        return [seen[self.places[name]] for name in self.layers]
