"""Compares the three phases of color training: the same steps from the same weights, with different losses.

    python benchmarks/phases.py --data DIR --weights l1.pt --vgg-weights imagenet [--steps 300] [-- OPTIONS]

Trains three times with `colorize.py train`: L1 alone; L1 with a discriminator; VGG-16 features with a
discriminator. Prints one JSON object with the results of `colorize.py eval` at the end of each. Finished runs
are not repeated, so the same command continues.
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import colorize
from benchmarks import record
from benchmarks.runs import run_options, train
from data.files import write_whole
from data.photo import encode, read_photo
from data.pixels import luma
from data.sheet import contact_sheet
from engine.processes import Processes

DISCRIMINATOR = ["--adversarial-weight", "0.01"]
PHASES = {
    "absolute error": [],
    "and discriminator": DISCRIMINATOR,
    "features in its place, and discriminator": [
        *DISCRIMINATOR,
        "--l1-weight",
        "0",
        "--perceptual-weight",
        "0.02",
    ],
}


def measure(net, data: Path) -> dict:
    """The result of `eval` for a network, without the rows of single photographs."""
    result = colorize.evaluate(net, data=data, processes=Processes("cpu"), stored={})
    return {name: value for name, value in result.items() if name != "rows"}


def draw(nets: dict, path: Path) -> None:
    """Both examples in the colors of each network, side by side; nets: name -> network."""
    colorizers = {name: colorize.Colorizer(net, torch.device("cpu")) for name, net in nets.items()}
    rows = []
    for example in ("grace_hopper", "astronaut"):
        grey = luma(read_photo(ROOT / "examples" / f"{example}.jpg").pixels)
        rows.append((example, {name: colorizer(grey) for name, colorizer in colorizers.items()}))
    write_whole(path, encode(contact_sheet(rows, 300), None, "JPEG"), overwrite=True)


def options(parser) -> None:
    run_options(parser, "runs/phases")
    parser.add_argument(
        "--vgg-weights", required=True, metavar="imagenet|FILE", help="torchvision's weights of VGG-16"
    )
    parser.add_argument(
        "--vgg-name", default="ImageNet", help="what they were trained on, for the record (default: ImageNet)"
    )
    parser.add_argument(
        "--discriminator-width",
        type=int,
        default=24,
        help="channels of the discriminator's first layer (default: 24)",
    )
    parser.add_argument("--steps", type=int, default=300, help="of each run (default: 300)")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="OUT.jpg",
        help="draw both examples in each one's colors (default: no)",
    )


def main() -> None:
    parser = record.parser(__doc__)
    options(parser)
    args = parser.parse_args()
    rows, nets = [], {}
    for number, (phase, words) in enumerate(PHASES.items(), 1):
        more = ["--steps", args.steps, *args.common, *words]
        more += ["--discriminator-width", args.discriminator_width] * bool(words)
        more += ["--vgg-weights", args.vgg_weights] * ("--perceptual-weight" in words)
        nets[phase] = train(colorize, args.data, args.weights, args.runs / str(number), *more)
        rows.append({"phase": phase, "options": " ".join(words), **measure(nets[phase], args.data)})
    if args.picture:
        draw(nets, args.picture)
    record.emit("phases", rows, args.store, steps=args.steps, vgg=args.vgg_name, common=" ".join(args.common))


if __name__ == "__main__":
    main()
