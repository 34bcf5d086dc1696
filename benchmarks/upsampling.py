"""Measures upsampling of chroma from the network's scale to the photograph's: guided by luma, and bilinear.

    python benchmarks/upsampling.py --data DIR               prints one JSON object

Two chromas are upsampled from the scale of the network's output, which is half its input's: the network's
(`ours`) and the photograph's own, downsampled (`truth`), whose whole error is due to upsampling. The error is
the mean squared error of 8-bit Cb and Cr against the photograph, over all pixels and near edges, where halos
appear: within 4 px of the tenth of the pixels with the steepest luma. `saved` is the difference to bilinear,
per photograph. Intervals are 95 % bootstrap intervals. Photographs are at most 512 px long, as in eval, and
colorized at a shorter side of 256 px (the default) and of 128 px (as a scan twice as large would be).
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import colorize
from benchmarks import record
from data.folder import validation_photos
from data.photo import read_photo
from data.pixels import luma, resize, rgb_to_ycbcr
from losses import metrics
from nets.ops.exposure import even_exposure
from nets.ops.guided import even, guided_upsample
from nets.ops.hints import with_hints


def bilinear(chroma, small, large):
    return F.interpolate(chroma, large.shape[-2:], mode="bilinear", align_corners=False)


def measure(pixels, net, short_side: int) -> dict[str, list[float]]:
    """Errors for one photograph (H, W, 3): "ours guided" etc. -> [everywhere, near edges]."""
    scale = min(1, 512 / max(pixels.shape))
    size = tuple(round(side * scale) for side in pixels.shape[1::-1])
    pixels = resize(pixels / np.float32(np.iinfo(pixels.dtype).max), size, "box").clip(0, 1)
    truth = torch.from_numpy(rgb_to_ycbcr(pixels)[..., 1:]).permute(2, 0, 1)[None]
    large = torch.from_numpy(luma(pixels))[None, None]
    small = network_scale(large, net, short_side)
    half, near = F.avg_pool2d(small, 2), near_edges(large)
    given = even_exposure(small)
    if net.channels == 4:
        given = with_hints(given, torch.zeros(1, 3, *small.shape[-2:]))
    errors = {}
    for name, chroma in (("ours", net(given)), ("truth", F.interpolate(truth, half.shape[-2:], mode="area"))):
        for method, upsample in (("guided", guided_upsample), ("bilinear", bilinear)):
            between = upsample(chroma, half, small)
            result = upsample(even(between, small) if name == "ours" else between, small, large)
            square = ((result - truth) * 255).square().mean(1)[0]
            errors[f"{name} {method}"] = [float(square.mean()), float(square[near].mean())]
    return errors


def network_scale(luma, net, short_side: int):
    """Luma (1, 1, H, W) at the size that the network gets."""
    scale = short_side / min(luma.shape[-2:])
    size = [net.size_divisor * max(1, round(side * scale / net.size_divisor)) for side in luma.shape[-2:]]
    return F.interpolate(luma, size, mode="bilinear", align_corners=False, antialias=True)


def near_edges(luma):
    """Where luma (1, 1, H, W) is within 4 px of the steepest tenth of its pixels: (H, W) bool."""
    padded = F.pad(luma, (0, 1, 0, 1), mode="replicate")
    steep = (padded[..., :-1, 1:] - luma).abs() + (padded[..., 1:, :-1] - luma).abs()
    return metrics.dilate((steep > steep.quantile(0.9))[0, 0], 4)


def summary(values: list[float]) -> str:
    """Mean and interval."""
    low, high = metrics.bootstrap(values)
    return f"{sum(values) / len(values):.2f} ({low:.2f} to {high:.2f})"


@torch.inference_mode()
def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="data folder; its val/, if there is one"
    )
    parser.add_argument(
        "--weights", type=Path, default=colorize.WEIGHTS, help="weights (default: the bundled ones)"
    )
    args = parser.parse_args()
    net = colorize.load(args.weights, torch.device("cpu")).predictor.net
    pictures = [read_photo(path).pixels for path in validation_photos(args.data)]
    photos = [pixels for pixels in pictures if pixels.ndim == 3]
    result = {"photos": len(photos)}
    for short_side in (256, 128):
        rows = [measure(pixels, net, short_side) for pixels in photos]
        table = result[f"short side {short_side}"] = {}
        for column, where in enumerate(("everywhere", "near edges")):
            table[where] = {name: summary([row[name][column] for row in rows]) for name in rows[0]}
            for name in ("ours", "truth"):
                saved = [row[f"{name} bilinear"][column] - row[f"{name} guided"][column] for row in rows]
                table[where][f"{name} saved"] = summary(saved)
    record.emit("upsampling", result, args.store)


if __name__ == "__main__":
    main()
