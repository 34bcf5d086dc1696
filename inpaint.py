"""Paints the holes of a mask into photographs.

    python inpaint.py infer photo.jpg out/ --mask mask.png   out/photo_restored.png
    python inpaint.py infer scans/ out/ --mask masks/        masks paired by stem, as segment.py writes them
    python inpaint.py train --data DIR --run-dir runs/inpaint
    torchrun --nproc_per_node=4 inpaint.py train --data DIR --run-dir runs/inpaint
    python inpaint.py eval --data DIR                        one JSON object on standard output

A mask is 8-bit grey of the photo's size: 255 is painted, 0 is kept bit for bit. The network is a UNet of partial
convolutions and works on luma; the chroma of colour photographs continues smoothly into holes, so that grey stays grey
and sepia stays sepia.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import engine
from data import batch

STAGE = "inpaint"
WEIGHTS = Path(__file__).parent / "weights" / "inpaint.pt"
BINS = ((0.0, 0.02), (0.02, 0.10), (0.10, 0.25))  # hole shares that eval measures


def build(options: dict):
    """The network from its constructor's arguments."""
    from nets.norm import NORMS
    from nets.partial import PartialUNet

    return PartialUNet(**{**options, "norm": NORMS[options.get("norm", "batch")]})


def step(net, samples: dict, args, total) -> dict:
    """The losses of one batch: absolute error in holes and outside, and total variation along holes."""
    from losses import inpainting

    truth, mask = samples["luma"], samples["mask"]
    painted = net(truth * mask, mask)  # (B, 1, S, S)
    hole = inpainting.hole(painted, truth, mask)
    valid = inpainting.valid(painted, truth, mask)
    variation = inpainting.total_variation(painted * (1 - mask) + truth * mask, mask)
    loss = args.hole_weight * hole + args.valid_weight * valid + args.tv_weight * variation
    return {"loss": loss, "hole": hole, "valid": valid, "tv": variation}


def train(args) -> int:
    from data.datasets import InpaintSamples, validation_photos

    options = engine.network(args, STAGE, {"channels": 1}, width=("width", 64), levels=("levels", 8), widest=("widest", 8),
                             norm=("norm", "batch"))  # fmt: skip
    return engine.fit(args, STAGE, options, build, InpaintSamples, step, evaluate, validation_photos)


def evaluate(net, args, processes, infer: dict | None = None) -> dict:
    """PSNR and SSIM on validation photographs with synthetic holes, OpenCV's classics beside; by hole share."""
    import numpy as np
    import torch
    from data import defects
    from data.datasets import validation_photos
    from data.images import luma, read_photo, resize
    from losses import metrics

    painter = Painter(net, processes.device, grain=False)
    photos = validation_photos(args.data)
    textures = defects.load_textures(args.data / "textures")
    painters = {"ours": painter.grey, "telea": _opencv("TELEA"), "navier_stokes": _opencv("NS")}
    rows, samples = [], []
    for number, path in processes.share(list(enumerate(photos if infer is not None else photos[:: max(1, len(photos) // 12)]))):
        truth = luma(read_photo(path).pixels)
        scale = 512 / max(truth.shape)
        if scale < 1:
            truth = resize(truth, tuple(round(side * scale) for side in truth.shape[::-1]), "box")
        truth = np.round(truth * 255) / 255  # what a file of 8 bits holds
        measured = []
        for bin, share in enumerate(BINS):
            holes = defects.holes(truth.shape, np.random.default_rng([7, number, bin]), (max(share[0], 0.002), share[1]), textures)
            where, row = torch.from_numpy(holes > 0), {"photo": path.name, "bin": bin, "share": float((holes > 0).mean())}
            for name, paint in painters.items():
                if paint is None:
                    row[name] = None
                    continue
                painted = torch.from_numpy(paint(np.where(holes > 0, 0, truth).astype(np.float32), holes))[None]
                target = torch.from_numpy(truth.astype(np.float32))[None]
                row[name] = {"hole_psnr": metrics.psnr(painted, target, where), "psnr": metrics.psnr(painted, target),
                             "hole_ssim": metrics.ssim(painted, target, where), "ssim": metrics.ssim(painted, target)}  # fmt: skip
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
    """OpenCV's inpainting of luma in [0, 1] under holes (255), or None where OpenCV is absent."""
    try:
        import cv2
    except ImportError:
        return None
    import numpy as np

    flag = getattr(cv2, f"INPAINT_{method}")
    return lambda luma, holes: cv2.inpaint(np.round(luma * 255).astype("uint8"), holes, 3, flag).astype("float32") / 255


class Painter:
    """Paints holes: (pixels, mask) to pixels of the same shape and type, changed only where the mask is 255."""

    reach = 24  # px: what lies deeper in a hole is painted at half the scale first

    def __init__(self, net, device, precision="fp32", tile=512, overlap=64, grain=True):
        from nets.inference import ready

        self.net = ready(net, device)
        self.device, self.precision, self.tile, self.overlap, self.grain = device, precision, tile, overlap, grain

    def __call__(self, pixels, mask):
        import numpy as np
        from data.images import luma, merge_chroma, rgb_to_ycbcr

        where = mask == 255
        if not where.any():
            return pixels
        result, painted = pixels.copy(), self.grey(luma(pixels), mask)
        if pixels.ndim == 2:
            result[where] = np.rint(painted[where] * np.iinfo(pixels.dtype).max)
        else:
            chroma = self._smooth(rgb_to_ycbcr(pixels)[..., 1:], where)
            result[where] = merge_chroma(painted[where][None], chroma[where][None], pixels.dtype)[0]
        return result

    def grey(self, luma, mask):
        """Paints luma (H, W) float32 in [0, 1] where mask (H, W) uint8 is 255."""
        import torch
        from nets.grain import match_grain
        from nets.inference import inference

        picture = torch.from_numpy(luma)[None, None].to(self.device)
        valid = torch.from_numpy((mask != 255).astype("float32"))[None, None].to(self.device)
        with inference(self.device, self.precision):
            painted = self._fill(picture, valid).clamp(0, 1)
            return (match_grain(painted, valid) if self.grain else painted)[0, 0].cpu().numpy()

    def _fill(self, picture, valid):
        """Coarse to fine: the inner part of a large hole comes from half the scale, its rim is painted at this one."""
        import torch
        import torch.nn.functional as F
        from nets.inference import tiled

        height, width = picture.shape[-2:]
        span, reach = 2 * self.reach + 1, self.reach
        rows = F.max_pool2d(valid, (span, 1), 1, (reach, 0))  # a wide maximum, one direction after the other
        deep = F.max_pool2d(rows, (1, span), 1, (0, reach)) == 0
        if deep.any() and max(height, width) > 2 * self.reach:
            share = F.avg_pool2d(valid, 2, ceil_mode=True, count_include_pad=False)
            half = F.avg_pool2d(picture * valid, 2, ceil_mode=True, count_include_pad=False) / share.clamp_min(1e-6)
            half = self._fill(half, (share > 0).float())
            inner = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
            picture, known = torch.where(deep, inner, picture), valid.maximum(deep.float())
        else:
            known = valid
        both = torch.cat([picture * known, known], 1)
        painted = tiled(lambda x: self.net(x[:, :1], x[:, 1:]), both, self.net.multiple, self.tile, self.overlap,
                        wanted=lambda x: bool((x[:, 1] == 0).any()))  # fmt: skip
        return torch.where(known > 0, picture, painted)

    def _smooth(self, chroma, where):
        """Chroma (H, W, 2) continued smoothly into holes."""
        import torch
        from nets.partial import diffuse

        x = torch.from_numpy(chroma.transpose(2, 0, 1).copy())[None]
        with torch.inference_mode():
            return diffuse(x, torch.from_numpy(~where)[None, None].float())[0].permute(1, 2, 0).numpy()


def load(weights: Path, device, **settings) -> Painter:
    """A Painter from a weights file. Raises WeightsError."""
    net, _ = engine.load_net(weights, STAGE, build)
    return Painter(net, device, **settings)


def infer(args) -> int:
    from data.checkpoint import sha256
    from data.images import PhotoError

    painter = load(args.weights, engine.pick_device(args.device), precision=args.precision, tile=args.tile,
                   overlap=args.overlap, grain=args.grain)  # fmt: skip

    def work(photo, source):
        if "mask" not in source.companions:
            raise PhotoError(f"no mask for it in {args.mask}")
        mask, notes = source.mask("mask", photo)
        facts = {"invented": (mask == 255).mean(), "warnings": notes}
        return {"_restored.{ext}": (painter(photo.pixels, mask), "")}, facts

    return batch.run(args, work, ["_restored.{ext}"], {"grain": args.grain}, {STAGE: sha256(args.weights)}, {"mask": args.mask},
                     rank=engine.rank(), world_size=engine.world())  # fmt: skip


def painting_options(parser) -> None:
    """Options of painting, shared by `infer` and restore.py."""
    parser.add_argument("--grain", action=argparse.BooleanOptionalAction, default=True,
                        help="give painted areas the grain of their surroundings (default: on)")  # fmt: skip


def main(argv=None) -> int:
    parser, commands = engine.stage_parser(__doc__)
    options = engine.train_command(commands, STAGE, train, batch_size=16, crop=256, freeze_bn_from=0.8)
    engine.network_option(options, "--levels", "scales of the UNet, each half the last", 8, type=engine.positive(int))
    engine.network_option(options, "--widest", "widest layer in units of --width", 8, type=engine.positive(int))
    options.add_argument("--hole-share", type=float, nargs=2, default=[0.002, 0.25], metavar=("LEAST", "MOST"),
                         help="share of a training crop that is holes (default: 0.002 0.25)")  # fmt: skip
    for name, weight, text in (("hole", 6.0, "error in holes"), ("valid", 1.0, "error outside holes"), ("tv", 0.1, "variation")):
        options.add_argument(f"--{name}-weight", type=float, default=weight, help=f"weight of the {text} (default: {weight})")
    engine.eval_command(commands, STAGE, build, evaluate, WEIGHTS)
    options = batch.infer_command(commands, infer, WEIGHTS)
    options.add_argument("--mask", type=Path, required=True, metavar="FILE_OR_FOLDER",
                         help="what to paint: 255 damaged, 0 clean; a folder is paired by stem")  # fmt: skip
    painting_options(options)
    return engine.run_command(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
