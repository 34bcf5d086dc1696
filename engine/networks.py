"""Which network a command runs or trains, and the weights it starts from.

Stage scripts pass their classes and `build` functions, as nothing here knows the networks themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from data import checkpoint
from data.errors import UserError, WeightsError
from data.published import published_encoder, published_vgg16


def load_net(weights: Path, stage: str, build: Callable[[dict], nn.Module]) -> tuple[nn.Module, dict]:
    """(network in evaluation mode, its `infer` settings) of a weights file. Raises WeightsError."""
    content = checkpoint.read_weights(weights, stage)
    try:
        net = build(content["build"])
    except (TypeError, ValueError, KeyError) as error:  # written by another version
        raise WeightsError(f"{weights}: not a network of this version of photo-restore ({error})") from None
    checkpoint.load_state(net, content, weights)
    return net.eval(), content["infer"]


def network_options(stage: str, weights: Path | None, fixed: dict, **choices) -> dict:
    """The network's constructor arguments: the `fixed` ones, and name -> (option, value, default) for those
    to choose.

    A value of None stands for what the `weights` file brings, or the default. Raises UserError for a value
    that contradicts the file.
    """
    build = checkpoint.read_weights(weights, stage)["build"] if weights else {}
    chosen = dict(fixed)
    for name, (option, value, default) in choices.items():
        if value is not None and name in build and build[name] != value:
            raise UserError(f"--{option} {value}: the network of {weights} has {build[name]}")
        chosen[name] = build.get(name, default) if value is None else value
    return chosen


def load_encoder(net: nn.Module, source: str, depth: int) -> None:
    """Starts `net.encoder` from published weights, as `--encoder-weights` names them. Raises UserError."""
    state = published_encoder(source, depth)
    try:
        net.encoder.load_imagenet(state)
    except ValueError as error:
        raise UserError(f"--encoder-weights {source}: {error}") from None


def load_vgg(vgg: type[nn.Module], source: str, device: torch.device) -> nn.Module:
    """VGG-16, whose class is `vgg`, with the weights that `--vgg-weights` names. Raises UserError."""
    try:
        net = vgg(published_vgg16(source))
    except ValueError as error:
        raise UserError(f"--vgg-weights {source}: {error}") from None
    return net.to(device, memory_format=torch.channels_last)
