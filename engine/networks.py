"""Builds networks from options or a weights file, and puts published weights into them.

Stage scripts pass in their classes and `build` functions, since this module does not import networks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from data import checkpoint
from data.errors import UserError, WeightsError
from data.published import published_encoder, published_vgg16
from data.run_folder import check_stage, read_options
from engine.optim import Discriminator
from engine.processes import Processes, pick_device


class Settings(dict):
    """The `infer` settings of a weights file. A missing one raises WeightsError."""

    def __init__(self, content: dict, weights: Path):
        super().__init__(content)
        self.weights = weights

    def __missing__(self, name: str):
        raise WeightsError(f"{self.weights}: its settings for infer have no {name!r}: give other weights")


def load_net(weights: Path, stage: str, build: Callable[[dict], nn.Module]) -> tuple[nn.Module, dict]:
    """(network in evaluation mode, its `infer` settings) from a weights file. Raises WeightsError."""
    content = checkpoint.read_weights(weights, stage)
    net = build_net(build, content["build"], weights)
    checkpoint.load_state(net, content, weights)
    return net.eval(), Settings(content["infer"], weights)


def build_net(build: Callable[[dict], nn.Module], network: dict, weights: Path | None) -> nn.Module:
    """The network of these constructor arguments. weights: the file that they are from, if any.

    Raises WeightsError if another version of the program wrote them.
    """
    try:
        return build(network)
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        if weights is None:
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        what = "not a network of this version of photo-restore"
        raise WeightsError(f"{weights}: {what} ({reason})") from None


def starting_network(stage: str, args) -> dict:
    """Constructor arguments of the network of `--weights`; empty for a new network. Raises WeightsError.

    A run that goes on has them in args.json: it no longer needs the file, which may be gone.
    """
    if not args.weights:
        return {}
    if (args.run_dir / "last.pt").exists() and (stored := read_options(args.run_dir)):
        check_stage(args.run_dir, stored.get("stage", stage), stage)
        return stored["network"]
    return checkpoint.read_weights(args.weights, stage)["build"]


def network_options(build: dict, weights: Path | None, fixed: dict, **choices) -> dict:
    """The network's constructor arguments: the `fixed` ones, and name -> (option, value, default) for the
    others.

    None as a value means the value in `build`, of `starting_network`, or else the default. Raises UserError
    for a value that contradicts it, with the name of the `weights` file.
    """
    chosen = dict(fixed)
    for name, (option, value, default) in choices.items():
        if value is not None and name in build and build[name] != value:
            raise UserError(f"--{option} {value}: the network of {weights} has {build[name]}")
        chosen[name] = build.get(name, default) if value is None else value
    return chosen


def load_encoders(
    net: nn.Module, network: dict, encoder: str | None = None, context: str | None = None
) -> None:
    """Initializes `net.encoder` and the encoder of `net.context` with published weights. Raises UserError.

    network: constructor arguments. encoder, context: values of `--encoder-weights` and `--context-weights`,
    "imagenet" or a file; None keeps random weights.
    """
    if encoder:
        _load_published(net.encoder, network["depth"], "--encoder-weights", encoder)
    if context:
        _load_published(net.context.encoder, network["context"], "--context-weights", context)


def _load_published(encoder: nn.Module, name: int | str, option: str, source: str) -> None:
    try:
        encoder.load_published(published_encoder(source, name))
    except ValueError as error:
        raise UserError(f"{option} {source}: {error}") from None


def discriminator(args, build: Callable[..., nn.Module]) -> Callable[[Processes], Discriminator] | None:
    """What makes the discriminator of a stage by `options.discriminator_options`; None without one.

    build: build(width=) -> the network.
    """

    def make(processes: Processes) -> Discriminator:
        return Discriminator(
            build(width=args.discriminator_width),
            args.discriminator_lr,
            processes,
            args.discriminator_weights,
        )

    return make if args.adversarial_weight else None


def load_features(args, vgg: type[nn.Module], lite: type[nn.Module]) -> nn.Module:
    """The frozen network whose features losses compare, of `--features` or else `--vgg-weights`.

    vgg, lite: classes of VGG-16 and of EfficientNet-Lite features. It is on the device that training with
    `--device` takes. Raises UserError.
    """
    device = pick_device(args.device, training=True)
    if not args.features:
        return load_vgg(args.vgg_weights, vgg, device)
    try:
        net = lite(published_encoder("imagenet", args.features), args.features)
    except ValueError as error:
        raise UserError(f"--features {args.features}: {error}") from None
    return net.to(device, memory_format=torch.channels_last)


def load_vgg(source: str, vgg: Callable[[dict], nn.Module], device: torch.device) -> nn.Module:
    """VGG-16 with the weights of `--vgg-weights`; vgg(state) -> the network. Raises UserError."""
    try:
        net = vgg(published_vgg16(source))
    except ValueError as error:
        raise UserError(f"--vgg-weights {source}: {error}") from None
    return net.to(device, memory_format=torch.channels_last)
