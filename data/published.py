"""Published weights: torchvision's own verified downloads, or files of the same layout."""

from __future__ import annotations

from pathlib import Path

from data.checkpoint import read
from data.errors import WeightsError


def published_encoder(source: str, depth: int) -> dict:
    """A torchvision ResNet's state: "imagenet" is torchvision's own verified download, else `source` is a
    file.
    """
    if source != "imagenet":
        return read(Path(source))
    from torchvision.models import get_model_weights

    return get_model_weights(f"resnet{depth}").IMAGENET1K_V1.get_state_dict(check_hash=True)


def published_vgg16(source: str) -> dict:
    """A torchvision VGG-16's state: "imagenet" is torchvision's own verified download, else `source` is a
    file.
    """
    if source != "imagenet":
        return read(Path(source))
    from torchvision.models import VGG16_Weights

    try:
        return VGG16_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, or another hash
        raise WeightsError(f"cannot be downloaded ({error}): give a file") from None
