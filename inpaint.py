"""Inpaints the areas of a photograph that a mask marks.

    python inpaint.py infer photo.jpg out/ --mask mask.png   out/photo_restored.png
    python inpaint.py infer scans/ out/ --mask masks/        masks paired by stem, as segment.py writes them
    python inpaint.py train --data DIR --run-dir runs/inpaint
    torchrun --nproc_per_node=4 inpaint.py train --data DIR --run-dir runs/inpaint
    python inpaint.py eval --data DIR                        prints one JSON object
    python inpaint.py sheet --data DIR OUT.png               labelled photographs: photo | mask | Telea | ours

White or a pure color in a mask is inpainted, the rest is kept bit for bit. The network is a UNet
of partial convolutions on luma. The chroma of color photographs is continued smoothly into the holes, so that
grey stays grey and sepia stays sepia.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from data.classics import opencv
from data.errors import PhotoError, UserError
from data.folder import thinned, validation_pairs, validation_photos
from data.images import read_role_mask
from data.marks import regions
from data.photo import read_labelled
from data.pixels import bands, luma, merge_chroma, rgb8, rgb_to_ycbcr
from engine import ballot, commands, options
from engine.launch import leave
from engine.options import OVERLAP, TILE
from engine.photos import Job, Picture, run

STAGE = "inpaint"
REMARK = "Damage painted in by a neural network, not evidence"
WEIGHTS = Path(__file__).parent / "weights" / "inpaint.pt"
BINS = ((0.0, 0.02), (0.02, 0.10), (0.10, 0.25))  # hole shares measured by eval
LARGE = 16_000_000  # px of a photograph above which tiles have at most LARGE_TILE px
LARGE_TILE = 512
# Loss weights (Liu et al. 2018): option -> default, and the loss
PIXEL_WEIGHTS = {
    "hole_weight": (6.0, "L1 loss in holes"),
    "valid_weight": (1.0, "L1 loss outside holes"),
    "tv_weight": (0.1, "total variation loss"),
}
FEATURE_WEIGHTS = {"perceptual_weight": 0.05, "style_weight": 120.0}


def build(network: dict):
    """The network from its constructor arguments."""
    from nets.norm import NORMS
    from nets.partial import PartialUNet

    return PartialUNet(**{**network, "norm": NORMS[network.get("norm", "batch")]})


def compute_losses(
    net, batch: dict, *, features=None, discriminator=None, total=None, **weights: float
) -> dict:
    """The losses of one batch (Liu et al. 2018, section 3.3); those on features and the adversarial one only
    with `features` and `discriminator`.

    batch: luma (B, 1, S, S) in [0, 1] and mask (B, 1, S, S), 1 valid, from `data.datasets.InpaintSamples`.
    weights: NAME_weight of each loss. total: unused, since every loss is a mean over the batch.
    """
    import torch

    from losses import adversarial, inpainting, perceptual

    truth, mask = batch["luma"], batch["mask"]
    painted = net(truth * mask, mask)  # (B, 1, S, S)
    composite = painted * (1 - mask) + truth * mask
    losses = {
        "hole": inpainting.hole(painted, truth, mask),
        "valid": inpainting.valid(painted, truth, mask),
        "tv": inpainting.total_variation(composite, mask),
    }
    if features is not None:
        with torch.no_grad():
            expected = features(truth)
        found = [features(painted), features(composite)]
        losses["perceptual"] = sum(perceptual.perceptual(x, expected) for x in found)
        losses["style"] = sum(perceptual.style(x, expected) for x in found)
    if discriminator is not None:
        ours, theirs = adversarial.hinge_in_holes(discriminator, composite, truth, mask)
        losses |= {"adversarial": ours, "discriminator": theirs}
    loss = sum(weights[f"{name}_weight"] * x for name, x in losses.items() if name != "discriminator")
    return {"loss": loss, **losses}


def train(args) -> int:
    from data.datasets import InpaintSamples
    from engine.networks import discriminator, load_features, network_options, starting_network
    from engine.training import Stage, fit
    from nets.features import LiteFeatures
    from nets.ops.precision import fastest
    from nets.sagan import PAINTING, Discriminator
    from nets.vgg import VGG16

    check(args)
    options.check_discriminator(args, Discriminator.size_divisor)
    network = network_options(
        starting_network(STAGE, args),
        args.weights,
        {"channels": 1},
        width=("width", args.width, 64),
        levels=("levels", args.levels, 8),
        widest=("widest", args.widest, 8),
        norm=("norm", args.norm, "batch"),
    )
    samples = partial(InpaintSamples, args.data, seed=args.seed, side=args.crop)
    weights = options.chosen(args, *PIXEL_WEIGHTS, *FEATURE_WEIGHTS, "adversarial_weight")
    on_features = args.perceptual_weight + args.style_weight > 0 and not args.dry_run
    features = load_features(args, VGG16, LiteFeatures) if on_features else None
    stage = Stage(
        STAGE,
        build,
        samples=partial(samples, hole_share=args.hole_share, masks=args.masks, mask_share=args.mask_share),
        losses=partial(compute_losses, **weights, features=features),
        evaluate=partial(evaluate, data=args.data, hole_share=args.hole_share),
        validation_set=partial(validation_photos, args.data),
        fastest=fastest,
        discriminator=discriminator(args, partial(Discriminator, PAINTING)),
    )
    return fit(stage, args, network)


def check(args) -> None:
    """Sets the default weights of feature losses, which depend on there being features. Raises UserError for
    inconsistent options.
    """
    for name, weight in FEATURE_WEIGHTS.items():
        if getattr(args, name) is None:
            setattr(args, name, weight if args.vgg_weights or args.features else 0.0)
    options.check_features(args, tuple(FEATURE_WEIGHTS))
    least, most = args.hole_share
    if least > most:
        raise UserError(f"--hole-share {least:g} {most:g}: the least must come first")
    if args.width == 1:
        raise UserError("--width 1: the first layer has half as many channels, so at least 2 are needed")


# ------------------------------------------------------------------------------------------- measuring


def evaluate(
    net, *, data: Path, processes, stored: dict | None = None, hole_share=(), vgg_weights=""
) -> dict:
    """PSNR, SSIM and texture on validation photographs with synthetic holes, by hole share, with OpenCV's
    methods for comparison.

    Without `stored` settings, as in training, only some photographs are used and `samples` has pictures.
    hole_share: (least, most) in training, to be stored. vgg_weights: of the VGG-16 whose features are
    compared, if any.
    """
    from data import evaluation
    from data.synthesis.textures import load_textures
    from engine.networks import load_vgg
    from losses import painting, summary
    from nets.vgg import VGG16

    vgg = load_vgg(vgg_weights, VGG16, processes.device) if vgg_weights else None
    training, photos = stored is None, validation_photos(data)
    photos = thinned(photos, 12) if training else photos
    textures = load_textures(data / "textures")
    painter = Painter(net, processes.device, grain=False)
    painters = {"ours": painter.grey, "telea": opencv("TELEA"), "navier_stokes": opencv("NS")}

    rows, samples = [], []
    for number, path in processes.shard(list(enumerate(photos))):
        truth = evaluation.read_grey(path)
        masks = evaluation.holes_by_share(truth.shape, number, BINS, textures)
        measures = [painting.measures(painters, truth, mask, vgg) for mask in masks]
        rows.append([{"photo": path.name, "bin": bin, **row} for bin, row in enumerate(measures)])
        if training and len(samples) < 6:  # pictures of the largest holes
            holed = np.where(masks[-1] > 0, np.float32(0), truth)
            samples.append((path.stem, (holed, painter.grey(holed, masks[-1]), truth)))

    rows = [row for photo in processes.gather(rows) for row in photo]
    result = {"photos": len(rows) // len(BINS), **summary.paintings(rows, list(painters), BINS)}
    if training:
        result["samples"] = dict(processes.gather(samples[:6])[:6])
    if painters["telea"] is None:
        result["telea_reason"] = "OpenCV is not installed"
    if vgg:
        result["vgg_weights"] = Path(vgg_weights).name
    stored = {"hole_share": list(hole_share)} if training else stored
    return {**result, "infer": stored, "rows": rows}


def sheet(args) -> list:
    """Rows of a contact sheet of the labelled validation photographs: photo | mask | Telea | ours."""
    from engine.processes import pick_device

    painter, telea = load(args.weights, pick_device(args.device), grain=args.grain), opencv("TELEA")
    rows = []
    for path, drawn in validation_pairs(args.data):
        photo, mask = read_labelled(path, drawn)
        scale, holes = np.float32(np.iinfo(photo.pixels.dtype).max), np.uint8(mask == 255)
        classic = telea(photo.pixels / scale, holes) if telea else "absent: OpenCV is not installed"
        cells = {"photo": photo.pixels, "mask": mask, "Telea": classic, "ours": painter(photo.pixels, mask)}
        rows.append((f"{path.stem}, {holes.mean():.1%} holes", cells))
    return rows


# ------------------------------------------------------------------------------------------- painting


class Painter:
    """Inpaints holes: (pixels, mask) to pixels of the same shape and dtype, changed where the mask is 255."""

    def __init__(
        self, net, device, precision="fp32", tile=TILE, overlap=OVERLAP, grain=True, hole_share=None
    ):
        """hole_share: (least, most) in training, None if unknown."""
        from nets.ops.precision import number_format
        from nets.ops.tiling import Tiling, ready

        self.net, self.tiling = ready(net, device), Tiling(tile, overlap)
        self.device, self.precision = device, number_format(precision, device)
        self.grain, self.hole_share = grain, hole_share

    def __call__(self, pixels, mask):
        from nets.ops.filling import continued

        if not (mask == 255).any():
            return pixels
        painted, result = self._grey(luma(pixels), mask), pixels.copy()
        chroma = continued(rgb_to_ycbcr(pixels)[..., 1:], mask == 255) if pixels.ndim == 3 else None
        for rows in bands(len(mask)):
            holes, target = mask[rows] == 255, result[rows]
            if chroma is None:
                target[holes] = np.rint(painted[rows][holes] * np.iinfo(pixels.dtype).max)
            else:  # the pixels of all holes as one row
                y, cbcr = painted[rows][holes][None], chroma[rows][holes][None]
                target[holes] = merge_chroma(y, cbcr, pixels.dtype)[0]
        return result

    def check(self, mask, given=True) -> list[str]:
        """Warnings about this mask, `given` or detected, for the report. Raises PhotoError if a given one
        covers the whole photograph.
        """
        share = (mask == 255).mean()
        if share == 1 and given:
            raise PhotoError("the mask covers the whole photograph: there is nothing to continue from")
        if share == 0:
            return [f"{'the mask is empty' if given else 'no damage was found'}: nothing was painted"]
        if self.hole_share and share > self.hole_share[1]:
            most = f"more than in training ({self.hole_share[1]:.1%}): check the repair"
            return [f"holes cover {share:.1%} of the photograph, {most}"]
        return []

    def grey(self, luma, mask):
        """Inpaints luma (H, W) float32 in [0, 1] where mask (H, W) uint8 is 255."""
        return self._grey(luma.copy(), mask)

    def _grey(self, luma, mask):
        """The same in place, for luma that is not used elsewhere."""
        import torch

        from nets.ops.filling import fill
        from nets.ops.grain import match_grain
        from nets.ops.tiling import inference

        picture = torch.from_numpy(luma)[None, None].to(self.device)
        valid = torch.from_numpy(mask != 255)[None, None].to(self.device)

        def run(tile, overlap):
            # A large scan leaves less memory: a tile of 1024 px takes half a gigabyte, and few tiles of a
            # scan have cracks.
            if tile > LARGE_TILE and luma.size > LARGE:
                tile, overlap = LARGE_TILE, min(overlap, LARGE_TILE // 8)
            fill(self.net, picture, valid, tile, overlap)

        with inference(self.device, self.precision):
            self.tiling.run(run)
            picture.clamp_(0, 1)
            return (match_grain(picture, valid) if self.grain else picture)[0, 0].cpu().numpy()


def load(weights: Path, device, **settings) -> Painter:
    """A Painter from a weights file. Raises WeightsError."""
    from engine.networks import load_net

    net, stored = load_net(weights, STAGE, build)
    return Painter(net, device, hole_share=stored.get("hole_share"), **settings)


def infer(args) -> int:
    from data.checkpoint import fingerprint
    from engine.processes import pick_device

    settings = options.chosen(args, "grain", "precision", "tile", "overlap")
    painter = load(args.weights, pick_device(args.device), **settings)

    def work(photo, source):
        mask, notes = read_role_mask(source.require("mask", args.mask), "mask", photo.size)
        notes += painter.check(mask)
        pixels, share = painter(photo.pixels, mask), (mask == 255).mean()
        facts = {"invented": share, "warnings": notes + painter.tiling.warned()}
        facts |= {"regions": regions(mask), "number_format": painter.precision}
        return {"_restored.{ext}": Picture(pixels, REMARK if share else "")}, facts

    job = Job(
        work,
        args.outputs,
        options=settings,
        weights={STAGE: fingerprint(args.weights)},
        companions={"mask": args.mask},
        max_pixels=args.max_pixels,
    )
    return run(args, job)


def vote(args) -> int:
    from engine.processes import pick_device

    device, telea = pick_device(args.device), opencv("TELEA")
    if args.include and telea is None:
        raise UserError("--include telea needs OpenCV: pip install opencv-python-headless")

    def holes(photo, source):
        mask, _ = read_role_mask(source.require("mask", args.mask), "mask", photo.size)
        if (share := (mask == 255).mean()) in (0, 1):
            what = "nothing" if share == 0 else "the whole photograph"
            raise PhotoError(f"the mask marks {what}: there is nothing to vote on")
        return np.where(mask == 255, np.uint8(255), np.uint8(0))

    def candidate(weights):
        painter = load(weights, device, precision=args.precision)
        return lambda photo, source: painter(photo.pixels, holes(photo, source))

    def classic(photo, source):
        mask = holes(photo, source)
        channels = np.moveaxis(rgb8(photo.pixels), -1, 0).astype(np.float32) / 255
        painted = np.stack([telea(channel, mask) for channel in channels], -1)
        return np.rint(painted * 255).astype(np.uint8)

    candidates = [candidate(weights) for weights in args.weights] + [classic] * bool(args.include)
    question = "Which picture is repaired best?"
    return ballot.vote(args, candidates, lambda photo: photo.pixels, question, {"mask": args.mask})


def painting_options(parser) -> None:
    """Options of inpainting, shared by `infer`, `sheet` and restore.py."""
    text = "add grain like that of the surroundings to inpainted areas (default: on)"
    parser.add_argument("--grain", action=argparse.BooleanOptionalAction, default=True, help=text)


def training_options(parser) -> None:
    """Options of `train` that only this stage has."""
    add, whole = parser.add_argument, options.positive(int)
    text = "how often the UNet halves the size"
    options.network_option(parser, "--levels", text, 8, type=whole)
    text = "width of the widest layers, in units of --width"
    options.network_option(parser, "--widest", text, 8, type=whole)
    text, names = "range of the share of holes in a training crop (default: 0.002 0.25)", ("LEAST", "MOST")
    add("--hole-share", type=options.positive_share, nargs=2, default=[0.002, 0.25], metavar=names, help=text)
    text = "folder of masks of real photographs, as written by segment.py infer (default: none)"
    add("--masks", type=Path, metavar="DIR", help=text)
    text = "share of the samples whose holes come from --masks and labelled/masks, if any (default: 0.25)"
    add("--mask-share", type=options.share, default=0.25, help=text)
    for name, (weight, text) in PIXEL_WEIGHTS.items():
        text = f"weight of the {text} (default: {weight})"
        add(f"--{name.replace('_', '-')}", type=options.loss_weight, default=weight, help=text)
    for name, weight in FEATURE_WEIGHTS.items():
        text = f"weight of the {name.split('_')[0]} loss on features"
        text += f" (default: {weight:g} with --vgg-weights or --features, else 0)"
        add(f"--{name.replace('_', '-')}", type=options.loss_weight, help=text)
    options.feature_options(parser)
    options.discriminator_options(parser)


def mask_option(parser) -> None:
    """The option for the masks to inpaint, of `infer` and `vote`."""
    text = "the areas to inpaint, white or in a pure color; a folder is paired by stem"
    parser.add_argument("--mask", type=Path, required=True, metavar="FILE_OR_FOLDER", help=text)


def main(argv=None) -> int:
    parser, subparsers = commands.stage_parser(__doc__)
    training = commands.train_command(subparsers, STAGE, train, batch_size=16, crop=256, freeze_bn_from=0.8)
    training_options(training)
    measuring = commands.eval_command(subparsers, STAGE, build, evaluate, WEIGHTS)
    options.vgg_option(measuring, "for the distance of features, besides PSNR and SSIM")
    painting_options(commands.sheet_command(subparsers, STAGE, sheet, WEIGHTS))
    inferring = commands.infer_command(subparsers, infer, WEIGHTS, "_restored.{ext}")
    mask_option(inferring)
    painting_options(inferring)
    mask_option(ballot.vote_command(subparsers, vote, include="telea"))
    ballot.tally_command(subparsers)
    return commands.run_command(parser, argv)


if __name__ == "__main__":
    leave(main())
