"""Adds color to photographs. The colors are guesses, never evidence.

    python colorize.py infer scans/ out/                   out/STEM_color.png
    python colorize.py infer photo.png out/ --hints h.png  known colors, painted on a transparent layer
    python colorize.py eval --data DIR                     prints one JSON object
    python colorize.py sheet --data DIR OUT.png            old photographs; portraits: grey | ours | truth
    python colorize.py vote PHOTOS BALLOT --weights A.pt B.pt --include grey   a page for blind votes
    python colorize.py tally BALLOT VOTES.json

Training has three phases, each starting from the weights of the one before: L1; a discriminator joins; VGG-16
features replace L1.

    python colorize.py train --data DIR --run-dir runs/l1
    python colorize.py train --data DIR --run-dir runs/gan --weights runs/l1/best-STEP.pt --lr 1e-4 \\
        --adversarial-weight 0.01
    python colorize.py train --data DIR --run-dir runs/vgg --weights runs/gan/best-STEP.pt --lr 1e-4 \\
        --adversarial-weight 0.01 --discriminator-weights runs/gan/last.pt --l1-weight 0 \\
        --perceptual-weight 0.02 --vgg-weights imagenet
    torchrun --nproc_per_node=4 colorize.py train --data DIR --run-dir runs/l1

The network is AlbuNet-50. It takes luma, and color hints if trained with them, and predicts Cb and Cr
(BT.601, full range). The photograph keeps its luma.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from data import evaluation, findings
from data.color import into_profile, tones
from data.errors import UserError
from data.folder import evenly_chosen, images_in, validation, validation_photos
from data.hints import Hints, simulate
from data.images import read_role_hints
from data.photo import read_named
from data.pixels import bands, luma, merge_chroma, resize, rgb_to_ycbcr
from engine import ballot, commands, options
from engine.launch import leave
from engine.photos import Job, Picture, color_depth, run

STAGE = "colorize"
WEIGHTS = Path(__file__).parent / "weights" / "colorize.pt"
REMARK = "Colors estimated by a neural network, not evidence"
LARGE = 4_000_000  # px of a photograph from which it is colorized in bands
SHORT_SIDE = 256  # px, the network's scale, as in training crops, which contain most of a photograph
# Loss weights: option -> default, and the loss
LOSS_WEIGHTS = {
    "l1_weight": (1.0, "L1 loss of chroma"),
    "perceptual_weight": (0.0, "squared differences of features"),
}


def build(network: dict):
    """The network from its constructor arguments."""
    from nets.norm import NORMS
    from nets.unet import AlbuNet

    return AlbuNet(**{**network, "norm": NORMS[network.get("norm", "batch")]})


def compute_losses(
    net,
    batch: dict,
    *,
    chroma_weight: float,
    l1_weight: float,
    adversarial_weight: float = 0.0,
    perceptual_weight: float = 0.0,
    features=None,
    discriminator=None,
    total=None,
) -> dict:
    """The losses of one batch at the network's output scale, half the input's.

    batch: luma (B, 1, S, S), cbcr (B, 2, S, S), optionally hints (B, 3, S, S), from
    `datasets.ColorizeSamples`. The discriminator and `features` see true and predicted colors over the same
    luma, so only colors can differ. total: unused, since every loss is a mean over the batch.
    """
    import torch
    import torch.nn.functional as F

    from losses import adversarial, colorization, perceptual
    from nets.ops.exposure import even_exposure
    from nets.ops.hints import with_hints

    x = even_exposure(batch["luma"])
    cbcr = net(with_hints(x, batch["hints"]) if "hints" in batch else x).float()  # (B, 2, S / 2, S / 2)
    luma, truth = F.avg_pool2d(batch["luma"], 2), F.avg_pool2d(batch["cbcr"], 2)
    losses = {"l1": colorization.chroma_l1(cbcr, truth, chroma_weight)}
    loss = l1_weight * losses["l1"]
    if features is not None:
        with torch.no_grad():
            expected = features(colorization.rgb(luma, truth))
        losses["perceptual"] = perceptual.feature_mse(features(colorization.rgb(luma, cbcr)), expected)
        loss = loss + perceptual_weight * losses["perceptual"]
    if discriminator is not None:
        fake, real = (torch.cat([luma, colors], 1) for colors in (cbcr, truth))
        ours, theirs = adversarial.hinge(discriminator, fake, real)
        losses |= {"adversarial": ours, "discriminator": theirs}
        loss = loss + adversarial_weight * ours
    return {"loss": loss, **losses}


def train(args) -> int:
    from data.datasets import ColorizeSamples
    from engine.networks import discriminator, load_encoders, load_features, network_options, starting_network
    from engine.training import Stage, fit
    from nets.features import LiteFeatures
    from nets.ops.precision import fastest
    from nets.sagan import COLORS, Discriminator
    from nets.vgg import VGG16

    check(args)
    options.check_discriminator(args, 2 * Discriminator.size_divisor)  # it judges at half the scale
    base = starting_network(STAGE, args)
    network = network_options(
        base,
        args.weights,
        {
            "channels": channels(args, base),
            "out_channels": 2,
            "stem": "imagenet",
            "extra_levels": 0,
        },
        depth=("encoder", args.encoder, 50),
        width=("width", args.width, 64),
        norm=("norm", args.norm, "batch"),
    )
    samples = partial(ColorizeSamples, args.data, seed=args.seed, side=args.crop)
    weights = options.chosen(args, "chroma_weight", "adversarial_weight", *LOSS_WEIGHTS)
    on_features = args.perceptual_weight and not args.dry_run
    features = load_features(args, VGG16, LiteFeatures) if on_features else None
    stage = Stage(
        STAGE,
        build,
        samples=partial(samples, hint_share=args.hint_share),
        losses=partial(compute_losses, **weights, features=features),
        evaluate=partial(evaluate, data=args.data),
        validation_set=partial(evaluation.color_photos, args.data, few=True),
        fastest=fastest,
        initialize=partial(load_encoders, network=network, encoder=args.encoder_weights),
        discriminator=discriminator(args, partial(Discriminator, COLORS)),
    )
    return fit(stage, args, network)


def check(args) -> None:
    """Raises UserError for inconsistent loss weights."""
    if not args.l1_weight + args.adversarial_weight + args.perceptual_weight:
        raise UserError(
            "nothing to train on: all of --l1-weight, --adversarial-weight and --perceptual-weight are 0"
        )
    options.check_features(args, ("perceptual_weight",))


def channels(args, base: dict) -> int:
    """Input channels of the network: 4 with hints, 1 without. Raises UserError if the network that training
    starts from, of `starting_network`, takes hints and the samples would have none.
    """
    if args.hint_share:
        return 4
    if base.get("channels") == 4:
        raise UserError(
            f"--hint-share 0: the network of {args.weights} takes hints, and would forget what they are"
        )
    return 1


# ------------------------------------------------------------------------------------------- measuring


def evaluate(net, *, data: Path, processes, stored: dict | None = None) -> dict:
    """Metrics of chroma and color on the validation photographs, with the grey picture for comparison.

    Without `stored` settings, as in training, only some photographs are used and `samples` has pictures. With
    them, the slow parts are included: CIEDE2000, the error with a few simulated hints, and `color_small/`.
    Raises UserError if no photograph has color.
    """
    import torch

    from losses import metrics, summary

    training = stored is None
    photos = evaluation.color_photos(data, few=training)
    colorizer = Colorizer(net, processes.device, **(stored or {}))
    rows, samples = [], []
    for number, path in processes.shard(list(enumerate(photos))):
        pixels = evaluation.read_color(path)
        if pixels is None:
            continue
        grey = luma(pixels)
        picture = merge_chroma(grey, colorizer.chroma(grey))
        ours, truth = planes(picture), planes(pixels)
        flat = torch.from_numpy(grey).expand(3, -1, -1)
        row = {
            "photo": path.name,
            "group": evaluation.color_group(path),
            **metrics.coloring(ours, truth, flat),
        }
        if training:
            samples.append((path.stem, (grey, picture, pixels)))
        else:
            row["ciede2000"] = metrics.ciede2000(ours[0], truth[0])
            row["ciede2000_grey"] = metrics.ciede2000(flat, truth[0])
            row["mse_hints"] = hinted_mse(colorizer, grey, truth[1], number)
        rows.append(row)

    rows, samples = processes.gather(rows), processes.gather(samples[:6])
    result = summary.colors(rows)
    if training:
        result["samples"] = dict(samples[:6])
    return {**result, "infer": stored or {}, "rows": rows}


def planes(pixels) -> tuple:
    """Pixels (H, W, 3) uint8 as RGB (3, H, W) in [0, 1] and CbCr (2, H, W) in [-0.5, 0.5]."""
    import torch

    rgb = torch.from_numpy(pixels.astype("float32") / 255).permute(2, 0, 1)
    return rgb, torch.from_numpy(rgb_to_ycbcr(pixels)[..., 1:].copy()).permute(2, 0, 1)


def hinted_mse(colorizer: Colorizer, grey, truth, number: int) -> float:
    """The error of chroma with simulated hints, which are the same every time for photograph `number`.

    grey: luma (H, W); truth: CbCr (2, H, W).
    """
    from losses import metrics

    strokes = simulate(truth.numpy(), np.random.default_rng([3, number]))
    hints = Hints(strokes[:2].transpose(1, 2, 0), strokes[2])
    _, cbcr = planes(merge_chroma(grey, colorizer.chroma(grey, hints)))
    return metrics.chroma_mse(cbcr, truth)


# ------------------------------------------------------------------------------------------- colorizing


class Colorizer:
    """Colorizes one photograph: luma (H, W) in [0, 1] to RGB (H, W, 3), uint8 or uint16, of the same luma.

    hints: data.hints.Hints of its size. Painted colors are kept and spread up to the next luma edges; a
    network trained with hints uses them too. vivid: factor of the network's chroma, since a network answers
    uncertainty with medians, which are paler than photographs.
    """

    def __init__(self, net, device, precision="fp32", short_side=SHORT_SIDE, vivid=1.0):
        from nets.chroma import ChromaPredictor

        self.predictor = ChromaPredictor(net, device, resize, precision, short_side, vivid)

    def __call__(self, luma, hints: Hints | None = None, dtype="uint8"):
        if hints is not None or luma.size <= LARGE:
            return merge_chroma(luma, self.chroma(luma, hints), dtype)
        result, rows = np.empty((*luma.shape, 3), dtype), bands(len(luma))
        for band, chroma in zip(rows, self.predictor.in_bands(luma, rows), strict=True):
            result[band] = merge_chroma(luma[band], chroma, dtype)
        return result

    def in_profile(self, pixels, icc: bytes | None, hints: Hints | None = None, dtype="uint8"):
        """A photograph (H, W) or (H, W, 3) in color, in its own profile; sRGB if that is grey or missing."""
        picture = self(tones(pixels, icc), hints, dtype)
        return into_profile(picture, pixels, icc, dtype)

    def chroma(self, luma, hints: Hints | None = None):
        """Cb and Cr (H, W, 2) float32 in [-0.5, 0.5] of luma (H, W)."""
        return self.predictor(luma, hints)


def load(weights: Path, device, **settings) -> Colorizer:
    """A Colorizer from a weights file. Raises WeightsError."""
    from engine.networks import load_net

    net, stored = load_net(weights, STAGE, build)
    return Colorizer(net, device, **{**stored, **settings})


def infer(args) -> int:
    from data.checkpoint import fingerprint
    from engine.processes import pick_device

    colorizer = load(args.weights, pick_device(args.device), precision=args.precision)
    used = colorizer.predictor.precision

    def work(photo, source):
        hints, notes = read_role_hints(source.companions.get("hints"), photo.size)
        dtype, depth_notes = color_depth(photo, args.format)
        picture = Picture(colorizer.in_profile(photo.pixels, photo.icc, hints, dtype), REMARK)
        warnings = findings.cautions(photo, coloring=True, detecting=False) + depth_notes + notes
        return {"_color.{ext}": picture}, {"warnings": warnings, "number_format": used}

    job = Job(
        work,
        args.outputs,
        options={"precision": args.precision},
        weights={STAGE: fingerprint(args.weights)},
        companions={"hints": args.hints},
        max_pixels=args.max_pixels,
    )
    return run(args, job)


def sheet(args) -> list:
    """Rows of a contact sheet: 12 old photographs with our colors, then 12 validation portraits, grey | ours
    | truth.
    """
    from engine.processes import pick_device

    colorizer = load(args.weights, pick_device(args.device))
    clean = validation_photos(args.data)
    portraits = [path for path in clean if path.parent.name == "people"] or clean
    old = evenly_chosen(images_in(validation(args.data) / "old"), 12)
    rows = [("old photographs", sheet_row(colorizer, old[n : n + 3])) for n in range(0, len(old), 3)]
    portraits = evenly_chosen(portraits, 12)
    return rows + [
        ("portraits", sheet_row(colorizer, portraits[n : n + 2], truth=True))
        for n in range(0, len(portraits), 2)
    ]


def sheet_row(colorizer: Colorizer, paths: list[Path], truth=False) -> dict:
    """label -> picture: for each photograph its luma, our colors and, if requested, its own."""
    cells = {}
    for path in paths:
        photo = read_named(path)
        grey = tones(photo.pixels, photo.icc)
        cells |= {path.stem: grey, f"{path.stem}, ours": colorizer(grey)}
        if truth:
            cells[f"{path.stem}, truth"] = photo.pixels
    return cells


def vote(args) -> int:
    from engine.processes import pick_device

    device = pick_device(args.device)

    def grey(photo, source=None):  # only luma, without the true colors
        return np.rint(tones(photo.pixels, photo.icc) * 255).astype(np.uint8)

    def candidate(weights):
        colorizer = load(weights, device, precision=args.precision)
        return lambda photo, source: colorizer(tones(photo.pixels, photo.icc))

    candidates = [candidate(weights) for weights in args.weights] + [grey] * bool(args.include)
    return ballot.vote(args, candidates, grey, "Which picture has the most believable colors?")


def hints_option(parser) -> None:
    """The option for known colors, shared by `infer` and restore.py."""
    text = "known colors, painted on a transparent layer; a folder is paired by stem (default: none)"
    parser.add_argument("--hints", type=Path, metavar="FILE_OR_FOLDER", help=text)


def training_options(parser) -> None:
    """Options of `train` that only this stage has."""
    options.encoder_options(parser, 50, options.LITE)
    add = parser.add_argument
    text = "extra weight of colorful pixels in the L1 loss (default: 6)"
    add("--chroma-weight", type=options.loss_weight, default=6.0, help=text)
    for name, (weight, text) in LOSS_WEIGHTS.items():
        text = f"weight of the {text} (default: {weight:g})"
        add(f"--{name.replace('_', '-')}", type=options.loss_weight, default=weight, help=text)
    options.feature_options(parser)
    options.discriminator_options(parser)
    text = "share of the samples with color hints, 0 for a network without hints (default: 0.5)"
    add("--hint-share", type=options.share, default=0.5, help=text)


def main(argv=None) -> int:
    parser, subparsers = commands.stage_parser(__doc__)
    training_options(commands.train_command(subparsers, STAGE, train, batch_size=32, crop=256))
    commands.eval_command(subparsers, STAGE, build, evaluate, WEIGHTS)
    hints_option(commands.infer_command(subparsers, infer, WEIGHTS, "_color.{ext}", tiled=False))
    commands.sheet_command(subparsers, STAGE, sheet, WEIGHTS)
    ballot.vote_command(subparsers, vote, include="grey")
    ballot.tally_command(subparsers)
    return commands.run_command(parser, argv)


if __name__ == "__main__":
    leave(main())
