"""Paints the holes of a mask into photographs.

    python inpaint.py infer photo.jpg out/ --mask mask.png   out/photo_restored.png
    python inpaint.py infer scans/ out/ --mask masks/        masks paired by stem, as segment.py writes them
    python inpaint.py train --data DIR --run-dir runs/inpaint
    torchrun --nproc_per_node=4 inpaint.py train --data DIR --run-dir runs/inpaint
    python inpaint.py eval --data DIR                        one JSON object on standard output
    python inpaint.py sheet --data DIR OUT.png               labelled photographs: photo | mask | Telea | ours

A mask is 8-bit grey of the photo's size: 255 is painted, 0 is kept bit for bit. The network is a UNet of
partial convolutions and works on luma; the chroma of colour photographs continues smoothly into holes, so
that grey stays grey and sepia stays sepia.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import engine
from data import ballot, batch

STAGE = "inpaint"
REMARK = "Damage painted in by a neural network, not evidence"
WEIGHTS = Path(__file__).parent / "weights" / "inpaint.pt"
BINS = ((0.0, 0.02), (0.02, 0.10), (0.10, 0.25))  # hole shares that eval measures
# px of a photograph from which tiles have at most this side, and the side
LARGE, LARGE_TILE = (16_000_000, 512)
FEATURE_WEIGHTS = {"perceptual_weight": 0.05, "style_weight": 120.0}  # of Liu et al. 2018


def build(options: dict):
    """The network from its constructor's arguments."""
    from nets.norm import NORMS
    from nets.partial import PartialUNet

    return PartialUNet(**{**options, "norm": NORMS[options.get("norm", "batch")]})


def step(net, samples: dict, args, total, vgg=None) -> dict:
    """The losses of one batch (Liu et al. 2018, section 3.3); those on features only with `vgg`, which gives
    them.
    """
    import torch

    from losses import inpainting, perceptual

    truth, mask = samples["luma"], samples["mask"]
    painted = net(truth * mask, mask)  # (B, 1, S, S)
    composite = painted * (1 - mask) + truth * mask
    losses = {
        "hole": inpainting.hole(painted, truth, mask),
        "valid": inpainting.valid(painted, truth, mask),
        "tv": inpainting.total_variation(composite, mask),
    }
    if vgg is not None:
        with torch.no_grad():
            expected = vgg(truth)
        seen = [vgg(painted), vgg(composite)]
        losses["perceptual"] = sum(perceptual.perceptual(features, expected) for features in seen)
        losses["style"] = sum(perceptual.style(features, expected) for features in seen)
    return {"loss": sum(getattr(args, f"{name}_weight") * loss for name, loss in losses.items()), **losses}


def train(args) -> int:
    from data.datasets import InpaintSamples
    from data.folder import validation_photos
    from nets.vgg import VGG16

    for name, weight in FEATURE_WEIGHTS.items():
        if getattr(args, name) is None:
            setattr(args, name, weight if args.vgg_weights else 0.0)
    on_features = any(getattr(args, name) > 0 for name in FEATURE_WEIGHTS)
    if on_features and not args.vgg_weights:
        raise ValueError("--perceptual-weight and --style-weight need --vgg-weights")
    losses = step
    if on_features and not args.dry_run:
        losses = partial(step, vgg=engine.pretrained(VGG16, args.vgg_weights, args.device))
    options = engine.network(
        args,
        STAGE,
        {"channels": 1},
        width=("width", 64),
        levels=("levels", 8),
        widest=("widest", 8),
        norm=("norm", "batch"),
    )
    return engine.fit(args, STAGE, options, build, InpaintSamples, losses, evaluate, validation_photos)


def evaluate(net, args, processes, infer: dict | None = None) -> dict:
    """PSNR and SSIM on validation photographs with synthetic holes, OpenCV's classics beside;
    by hole share.
    """
    import numpy as np
    import torch

    from data.folder import validation_photos
    from data.photo import read_photo
    from data.pixels import luma, resize
    from data.synthesis.holes import draw_holes
    from data.synthesis.textures import load_textures
    from losses import metrics

    painter = Painter(net, processes.device, grain=False)
    photos = validation_photos(args.data)
    textures = load_textures(args.data / "textures")
    painters = {"ours": painter.grey, "telea": _opencv("TELEA"), "navier_stokes": _opencv("NS")}
    rows, samples = [], []
    for number, path in processes.share(
        list(enumerate(photos if infer is not None else photos[:: max(1, len(photos) // 12)]))
    ):
        truth = luma(read_photo(path).pixels)
        scale = 512 / max(truth.shape)
        if scale < 1:
            truth = resize(truth, tuple(round(side * scale) for side in truth.shape[::-1]), "box")
        truth = np.round(truth * 255) / 255  # what a file of 8 bits holds
        measured = []
        for bin, share in enumerate(BINS):
            rng = np.random.default_rng([7, number, bin])
            holes = draw_holes(truth.shape, rng, (max(share[0], 0.002), share[1]), textures)
            where, row = (
                torch.from_numpy(holes > 0),
                {"photo": path.name, "bin": bin, "share": float((holes > 0).mean())},
            )
            for name, paint in painters.items():
                if paint is None:
                    row[name] = None
                    continue
                painted = torch.from_numpy(paint(np.where(holes > 0, 0, truth).astype(np.float32), holes))[
                    None
                ]
                target = torch.from_numpy(truth.astype(np.float32))[None]
                row[name] = {
                    "hole_psnr": metrics.psnr(painted, target, where),
                    "psnr": metrics.psnr(painted, target),
                    "hole_ssim": metrics.ssim(painted, target, where),
                    "ssim": metrics.ssim(painted, target),
                    "seam": metrics.seam(painted, target, where),
                }
            measured.append(row)
        rows.append(measured)
        if infer is None:  # of the largest holes
            holed = np.where(holes > 0, 0, truth).astype(np.float32)
            samples.append((path.stem, (holed, painter.grey(holed, holes), truth)))
    rows = [row for measured in processes.gather(rows) for row in measured]
    result = {"photos": len(rows) // len(BINS)}
    if infer is None:
        result["samples"] = dict(processes.gather(samples)[:6])
    for bin, share in enumerate(BINS):
        for name in painters:
            seen = [row[name] for row in rows if row["bin"] == bin and row[name]]
            key = f"{name}_{share[0]:.0%}_{share[1]:.0%}".replace("%", "")
            result[key] = {m: sum(s[m] for s in seen) / len(seen) for m in seen[0]} if seen else None
            if seen:
                result[key]["hole_psnr_95"] = metrics.bootstrap([s["hole_psnr"] for s in seen])
    if painters["telea"] is None:
        result["telea_reason"] = "OpenCV is not installed"
    ours = [row["ours"]["hole_psnr"] for row in rows]
    result["score"] = sum(ours) / len(ours)
    return {**result, "infer": {"hole_share": list(getattr(args, "hole_share", ()))}, "rows": rows}


def _opencv(method: str):
    """OpenCV's inpainting of luma or RGB in [0, 1] where `holes` (H, W) uint8 is not 0; None where OpenCV is
    absent.
    """
    try:
        import cv2
    except ImportError:
        return None
    import numpy as np

    flag = getattr(cv2, f"INPAINT_{method}")
    return lambda pixels, holes: (
        cv2.inpaint(np.round(pixels * 255).astype("uint8"), holes, 3, flag).astype("float32") / 255
    )


def sheet(args) -> list:
    """Rows of a contact sheet of the labelled validation photographs: photo | mask | Telea | ours."""
    import numpy as np

    from data.errors import PhotoError
    from data.folder import validation_pairs
    from data.photo import read_mask, read_photo

    painter, telea, rows = (
        load(args.weights, engine.pick_device(args.device), grain=args.grain),
        _opencv("TELEA"),
        [],
    )
    for path, drawn in validation_pairs(args.data):
        try:
            photo = read_photo(path)
            mask, _ = read_mask(drawn, photo.size)
        except PhotoError as error:
            raise PhotoError(f"{path} or its mask: {error}") from None
        scale, holes = np.float32(np.iinfo(photo.pixels.dtype).max), np.uint8(mask == 255)
        classic = telea(photo.pixels / scale, holes) if telea else "absent: OpenCV is not installed"
        cells = {"photo": photo.pixels, "mask": mask, "Telea": classic, "ours": painter(photo.pixels, mask)}
        rows.append((f"{path.stem}, {holes.mean():.1%} holes", cells))
    return rows


class Known:
    """Tiles of what the network sees, (1, 2, h, w): the picture, 0 where it is not known, and
    1 where it is.
    """

    def __init__(self, picture, known):
        self.picture, self.known, self.shape = picture, known, picture.shape

    def __getitem__(self, here):
        import torch

        known = self.known[here].float()
        return torch.cat([self.picture[here] * known, known], 1)


class Painter:
    """Paints holes: (pixels, mask) to pixels of the same shape and type, changed only where
    the mask is 255.
    """

    reach = 24  # px: what lies deeper in a hole is painted at half the scale first

    def __init__(self, net, device, precision="fp32", tile=512, overlap=64, grain=True, hole_share=None):
        from nets.ops.tiling import Tiling, ready

        # (least, most) of training, None if not known
        self.net, self.hole_share = (ready(net, device), hole_share)
        self.device, self.precision, self.grain = device, precision, grain
        self.tiling = Tiling(tile, overlap)

    def __call__(self, pixels, mask):
        import numpy as np

        from data.pixels import bands, luma, merge_chroma, rgb_to_ycbcr

        if not (mask == 255).any():
            return pixels
        painted, result = self._grey(luma(pixels), mask), pixels.copy()
        chroma = None if pixels.ndim == 2 else self._smooth(rgb_to_ycbcr(pixels)[..., 1:], mask == 255)
        for rows in bands(len(mask)):
            where, here = mask[rows] == 255, result[rows]
            if chroma is None:
                here[where] = np.rint(painted[rows][where] * np.iinfo(pixels.dtype).max)
            else:
                here[where] = merge_chroma(
                    painted[rows][where][None], chroma[rows][where][None], pixels.dtype
                )[0]
        return result

    def check(self, mask, given=True) -> list[str]:
        """What a report should say of painting this mask. Raises PhotoError if one that was `given` leaves
        nothing.
        """
        from data.errors import PhotoError

        share = (mask == 255).mean()
        if share == 1 and given:
            raise PhotoError("the mask covers the whole photograph: there is nothing to continue from")
        if share == 0:
            return ["the mask is empty: nothing was painted"]
        if self.hole_share and share > self.hole_share[1]:
            return [
                f"{share:.1%} of the photograph are holes, more than the {self.hole_share[1]:.1%} of "
                f"training: look at them"
            ]
        return []

    def grey(self, luma, mask):
        """Paints luma (H, W) float32 in [0, 1] where mask (H, W) uint8 is 255."""
        return self._grey(luma.copy(), mask)

    def _grey(self, luma, mask):
        """The same in place, for luma that nobody else needs."""
        import torch

        from nets.ops.grain import match_grain
        from nets.ops.tiling import inference

        picture = torch.from_numpy(luma)[None, None].to(self.device)
        valid = torch.from_numpy(mask != 255)[None, None].to(self.device)

        def fill(tile, overlap):
            # Beside a large scan there is less room: a tile of 1024 px takes half a gigabyte, and no scan is
            # all cracks.
            large = tile > LARGE_TILE and luma.size > LARGE
            self._fill(
                picture, valid, *((LARGE_TILE, min(overlap, LARGE_TILE // 8)) if large else (tile, overlap))
            )

        with inference(self.device, self.precision):
            self.tiling.run(fill)
            picture.clamp_(0, 1)
            return (match_grain(picture, valid) if self.grain else picture)[0, 0].cpu().numpy()

    def _fill(self, picture, valid, tile, overlap):
        """Paints picture (1, 1, H, W) in place where valid, of bool, is not; and returns it.

        Coarse to fine: the inner part of a large hole comes from half the scale, its rim is painted at this
        one.
        """
        import torch
        import torch.nn.functional as F

        from data.pixels import bands
        from nets.ops.tiling import strips

        height, width = picture.shape[-2:]
        span, reach, known = 2 * self.reach + 1, self.reach, valid

        def deep(rows):  # where no valid pixel is in reach
            first = max(0, rows.start - reach)
            near = valid[..., first : rows.stop + reach, :]
            if near.all():
                return torch.zeros_like(valid[..., rows, :])
            near = F.max_pool2d(near.float(), (span, 1), 1, (reach, 0))[
                ..., rows.start - first : rows.stop - first, :
            ]
            # a wide maximum, one direction after the other
            return F.max_pool2d(near, (1, span), 1, (0, reach)) == 0

        inner = torch.cat([deep(rows) for rows in bands(height)], 2)
        if inner.any() and max(height, width) > 2 * self.reach:
            mean = lambda x: F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)  # noqa: E731
            share = torch.cat([mean(valid[..., rows, :].float()) for rows in bands(height)], 2)
            half = torch.cat(
                [mean(picture[..., rows, :] * valid[..., rows, :]) for rows in bands(height)], 2
            ) / share.clamp_min(1e-6)
            half = self._fill(half, share > 0, tile, overlap)
            for rows in bands(height):
                if inner[..., rows, :].any():
                    first = max(0, rows.start // 2 - 1)
                    large = half[..., first : rows.stop // 2 + 1, :]
                    large = F.interpolate(large, scale_factor=2, mode="bilinear", align_corners=False)
                    large = large[..., rows.start - 2 * first : rows.stop - 2 * first, :width]
                    picture[..., rows, :] = torch.where(inner[..., rows, :], large, picture[..., rows, :])
            known = valid | inner
            del share, half
        del inner
        top = 0
        for strip in strips(
            lambda x: self.net(x[:, :1], x[:, 1:]),
            Known(picture, known),
            self.net.size_divisor,
            tile,
            overlap,
            wanted=lambda x: bool((x[:, 1] == 0).any()),
        ):
            rows = slice(top, top + strip.shape[-2])
            picture[..., rows, :] = torch.where(known[..., rows, :], picture[..., rows, :], strip)
            top = rows.stop
        return picture

    def _smooth(self, chroma, where):
        """Chroma (H, W, 2) continued smoothly into holes."""
        import torch

        from nets.partial import diffuse

        x = torch.from_numpy(chroma.transpose(2, 0, 1).copy())[None]
        with torch.inference_mode():
            return diffuse(x, torch.from_numpy(~where)[None, None].float())[0].permute(1, 2, 0).numpy()


def load(weights: Path, device, **settings) -> Painter:
    """A Painter from a weights file. Raises WeightsError."""
    net, stored = engine.load_net(weights, STAGE, build)
    return Painter(net, device, hole_share=stored.get("hole_share"), **settings)


def infer(args) -> int:
    from data.checkpoint import fingerprint
    from data.errors import PhotoError

    painter = load(
        args.weights,
        engine.pick_device(args.device),
        precision=args.precision,
        tile=args.tile,
        overlap=args.overlap,
        grain=args.grain,
    )

    def work(photo, source):
        if "mask" not in source.companions:
            raise PhotoError(f"no mask for it in {args.mask}")
        mask, notes = source.mask("mask", photo)
        notes += painter.check(mask)
        pixels, share = painter(photo.pixels, mask), (mask == 255).mean()
        facts = {"invented": share, "warnings": notes + painter.tiling.warned()}
        return {"_restored.{ext}": (pixels, REMARK if share else "")}, facts

    return batch.run(
        args,
        work,
        ["_restored.{ext}"],
        {"grain": args.grain},
        {STAGE: fingerprint(args.weights)},
        {"mask": args.mask},
        program=engine.PROGRAM,
        rank=engine.rank(),
        world_size=engine.world(),
    )


def vote(args) -> int:
    import numpy as np

    from data.errors import PhotoError
    from data.pixels import rgb8

    device, telea = engine.pick_device(args.device), _opencv("TELEA")
    if args.include and telea is None:
        raise ValueError("--include telea needs OpenCV: pip install opencv-python-headless")

    def holes(photo, source):
        if "mask" not in source.companions:
            raise PhotoError(f"no mask for it in {args.mask}")
        return np.where(source.mask("mask", photo)[0] == 255, np.uint8(255), np.uint8(0))

    def candidate(weights):
        painter = load(weights, device, precision=args.precision)
        return lambda photo, source: painter(photo.pixels, holes(photo, source))

    def classic(photo, source):
        channels = np.moveaxis(rgb8(photo.pixels), -1, 0).astype(np.float32) / 255
        return np.rint(
            np.stack([telea(channel, holes(photo, source)) for channel in channels], -1) * 255
        ).astype(np.uint8)

    candidates = [candidate(weights) for weights in args.weights] + [classic] * bool(args.include)
    return ballot.vote(
        args, candidates, lambda photo: photo.pixels, "Which picture is repaired best?", {"mask": args.mask}
    )


def painting_options(parser) -> None:
    """Options of painting, shared by `infer`, `sheet` and restore.py."""
    parser.add_argument(
        "--grain",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give painted areas the grain of their surroundings (default: on)",
    )


def main(argv=None) -> int:
    parser, commands = engine.stage_parser(__doc__)
    options = engine.train_command(commands, STAGE, train, batch_size=16, crop=256, freeze_bn_from=0.8)
    engine.network_option(
        options, "--levels", "scales of the UNet, each half the last", 8, type=engine.positive(int)
    )
    engine.network_option(
        options, "--widest", "widest layer in units of --width", 8, type=engine.positive(int)
    )
    options.add_argument(
        "--hole-share",
        type=float,
        nargs=2,
        default=[0.002, 0.25],
        metavar=("LEAST", "MOST"),
        help="share of a training crop that is holes (default: 0.002 0.25)",
    )
    options.add_argument(
        "--masks",
        type=Path,
        metavar="DIR",
        help="folder of masks of real photographs, as segment.py infer writes them (default: none)",
    )
    options.add_argument(
        "--mask-share",
        type=engine.share,
        default=0.25,
        help="share of the samples with holes from --masks and labelled/masks, if any (default: 0.25)",
    )
    for name, weight, text in (
        ("hole", 6.0, "error in holes"),
        ("valid", 1.0, "error outside holes"),
        ("tv", 0.1, "variation"),
    ):
        options.add_argument(
            f"--{name}-weight",
            type=engine.loss_weight,
            default=weight,
            help=f"weight of the {text} (default: {weight})",
        )
    for name, weight in FEATURE_WEIGHTS.items():
        option = name.replace("_", "-")
        options.add_argument(
            f"--{option}",
            type=engine.loss_weight,
            help=f"weight of the {option.split('-')[0]} loss on VGG-16's features "
            f"(default: {weight:g} with --vgg-weights, else 0)",
        )
    options.add_argument(
        "--vgg-weights",
        metavar="imagenet|FILE",
        help="torchvision's VGG-16 for the losses on features, downloaded or from a file (default: none)",
    )
    engine.eval_command(commands, STAGE, build, evaluate, WEIGHTS)
    painting_options(engine.sheet_command(commands, STAGE, sheet, WEIGHTS))
    options = batch.infer_command(commands, infer, WEIGHTS)
    options.add_argument(
        "--mask",
        type=Path,
        required=True,
        metavar="FILE_OR_FOLDER",
        help="what to paint: 255 damaged, 0 clean; a folder is paired by stem",
    )
    painting_options(options)
    options = ballot.vote_command(commands, vote, include="telea")
    options.add_argument(
        "--mask",
        type=Path,
        required=True,
        metavar="FILE_OR_FOLDER",
        help="what to paint: 255 damaged, 0 clean; a folder is paired by stem",
    )
    ballot.tally_command(commands)
    return engine.run_command(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
