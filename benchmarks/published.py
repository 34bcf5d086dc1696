"""Measures inpainting by the published protocol: irregular masks by share of holes, 512 x 512 px.

    python benchmarks/published.py painting --masks DIR --photos DIR [--vgg-weights hed] [--limit N]

--masks: NVIDIA's irregular test masks (Liu et al. 2018), white = hole, named `binK_*.png` or in folders
`binK`; K is 0 for 1-10 % of holes, 1 for 10-20 %, ... 5 for 50-60 %. Other masks are sorted into these bins
by their own share. --photos: color photographs; the central square of each is resized to 512 px. Mask n is
applied to photograph n, modulo their number. PSNR and SSIM are those of the whole picture, `hole_psnr` that
inside the hole; Telea and Navier-Stokes are OpenCV's, with a radius of 3 px. Intervals are 95 % bootstrap
intervals over masks.

The published columns were measured on other pictures (Places2): they show the range, not a ranking.
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import inpaint
from benchmarks import record
from data.classics import opencv
from data.folder import images_in
from engine import options
from engine.networks import load_vgg
from losses import metrics, summary, texture
from nets.vgg import VGG16

SIDE = 512  # px
BINS = ((0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))  # share of holes
# Whole-picture PSNR in dB on Places2 at 512 px, by bin: AOT-GAN (Zeng et al. 2022), and partial convolutions
# (Liu et al. 2018) as two later papers measured them.
PUBLISHED = {
    "AOT-GAN": ((34.79,), (29.49,), (26.03,), (23.58,)),
    "PConv": ((33.75, 34.34), (27.71, 28.32), (24.54, 25.25), (22.01, 22.89)),
}


def bin_of(path: Path, hole: np.ndarray) -> int | None:
    """The bin in the file's or folder's name, else that of the hole's share; None outside all bins."""
    named = re.match(r"bin(\d)", path.name) or re.match(r"bin(\d)$", path.parent.name)
    if named:
        return int(named[1])
    share = hole.mean()
    return next((index for index, (least, most) in enumerate(BINS) if least <= share < most), None)


def read_mask(path: Path) -> np.ndarray:
    """Where the hole is: (SIDE, SIDE) bool."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.NEAREST)) > 128


def read_square(path: Path) -> np.ndarray:
    """The central square of a photograph: (SIDE, SIDE, 3) uint8."""
    with Image.open(path) as picture:
        short = min(picture.size)
        left, top = (picture.width - short) // 2, (picture.height - short) // 2
        box = (left, top, left + short, top + short)
        return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box))


def classic(method: str):
    """OpenCV's inpainting of RGB (H, W, 3) uint8; None if OpenCV is not installed."""
    paint = opencv(method)
    return paint and (lambda pixels, mask: np.rint(paint(pixels / 255, mask) * 255).astype(np.uint8))


def measure(painted: np.ndarray, truth: np.ndarray, hole: np.ndarray, vgg) -> dict:
    """All measures of one painted picture."""
    ours, target = (torch.from_numpy(x.copy()).permute(2, 0, 1).float() / 255 for x in (painted, truth))
    where = torch.from_numpy(hole)
    return {
        "psnr": metrics.psnr(ours, target),
        "ssim": metrics.ssim(ours, target),
        "hole_psnr": metrics.psnr(ours, target, where),
        **texture.measures(ours, target, where, vgg),
    }


def summarized(rows: list[dict]) -> dict:
    """Means with intervals; of the ratio of texture the median."""
    result = {"n": len(rows)}
    for name in ("psnr", "ssim", "hole_psnr"):
        values = [row[name] for row in rows]
        result |= {name: summary.mean(values), f"{name}_95": metrics.bootstrap(values)}
    return {**result, **summary.textures(rows)}


def painting(photos: list[Path], masks: list[Path], painters: dict, vgg=None) -> dict:
    """bin -> painter -> summary. painters: name -> paint(RGB, mask of 255 in holes), or None."""
    rows = {}
    for number, path in enumerate(masks):
        hole = read_mask(path)
        index = bin_of(path, hole)
        if index is None:
            continue
        truth, mask = read_square(photos[number % len(photos)]), hole.astype(np.uint8) * 255
        holed = np.where(hole[..., None], np.uint8(0), truth)
        for name, paint in painters.items():
            if paint is None:
                continue
            rows.setdefault(index, {}).setdefault(name, []).append(
                measure(paint(holed, mask), truth, hole, vgg)
            )
    return {
        f"{100 * BINS[index][0]:.0f}-{100 * BINS[index][1]:.0f}": {
            **{name: summarized(own) for name, own in by_painter.items()},
            "published": {name: by_bin[index] for name, by_bin in PUBLISHED.items() if index < len(by_bin)},
        }
        for index, by_painter in sorted(rows.items())
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("what", choices=["painting"])
    parser.add_argument(
        "--masks", type=Path, required=True, metavar="DIR", help="irregular masks, white = hole"
    )
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="color photographs")
    parser.add_argument("--weights", type=Path, default=inpaint.WEIGHTS, metavar="FILE")
    options.vgg_option(parser, "for the distance of features")
    parser.add_argument(
        "--grain", action=argparse.BooleanOptionalAction, default=False, help="as inpaint.py infer"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="about N masks, evenly chosen (default: all)")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    photos, masks = images_in(args.photos), images_in(args.masks)
    if not photos or not masks:
        sys.exit(f"{args.masks if photos else args.photos}: no pictures")
    if args.limit:
        masks = masks[:: max(1, len(masks) // args.limit)]
    device = torch.device(args.device)
    painters = {
        "ours": inpaint.load(args.weights, device, grain=args.grain),
        "telea": classic("TELEA"),
        "navier_stokes": classic("NS"),
    }
    vgg = load_vgg(args.vgg_weights, VGG16, device) if args.vgg_weights else None
    settings = {
        "side": SIDE,
        "grain": args.grain,
        "vgg_weights": args.vgg_weights and Path(args.vgg_weights).name,
    }
    results = painting(photos, masks, painters, vgg)
    record.emit("published_painting", results, args.store, device, **settings)


if __name__ == "__main__":
    main()
