"""Gives colour to photographs. The colours are a guess, never evidence.

    python colorize.py infer scans/ out/                     out/STEM_color.png
    python colorize.py train --data DIR --run-dir runs/colorize
    torchrun --nproc_per_node=4 colorize.py train --data DIR --run-dir runs/colorize
    python colorize.py eval --data DIR                       one JSON object on standard output

The network is AlbuNet-50: luma in, Cb and Cr (BT.601, full range) out. The photo keeps its own luma.
"""

from __future__ import annotations

import sys
from pathlib import Path

import engine
from data import batch

STAGE = "colorize"
WEIGHTS = Path(__file__).parent / "weights" / "colorize.pt"
REMARK = "Colours estimated by a neural network, not evidence"
SHORT_SIDE = 256  # px, the network's scale: that of the training crops, which hold most of a photograph


def build(options: dict):
    """The network from its constructor's arguments."""
    from nets.norm import NORMS
    from nets.unet import AlbuNet

    return AlbuNet(**{**options, "norm": NORMS[options.get("norm", "batch")]})


def step(net, samples: dict, args, total) -> dict:
    """The loss of one batch: absolute error of chroma at the network's output scale, half the input's."""
    import torch.nn.functional as F
    from losses.colorization import chroma_l1

    cbcr = net(samples["luma"]).float()  # (B, 2, S / 2, S / 2)
    truth = F.avg_pool2d(samples["cbcr"], 2)
    return {"loss": chroma_l1(cbcr, truth, args.chroma_weight)}


def train(args) -> int:
    from data.datasets import ColorizeSamples, validation_photos

    options = engine.network(args, STAGE, {"channels": 1, "classes": 2, "stem": "imagenet", "centers": 0},
                             depth=("encoder", 50), width=("width", 64), norm=("norm", "batch"))  # fmt: skip
    return engine.fit(args, STAGE, options, build, ColorizeSamples, step, evaluate, validation_photos)


def evaluate(net, args, processes, infer: dict | None = None) -> dict:
    """Chroma and colour measures on the validation photographs, the grey picture beside."""
    import numpy as np
    import torch
    from data.datasets import validation_photos
    from data.images import luma, merge_chroma, read_photo, resize, rgb_to_ycbcr
    from losses import metrics

    colorizer = Colorizer(net, processes.device)
    photos = validation_photos(args.data)
    rows, samples = [], []
    for path in processes.share(photos if infer is not None else photos[:: max(1, len(photos) // 16)]):
        pixels = read_photo(path).pixels
        if pixels.ndim == 2:
            continue
        if pixels.dtype != np.uint8:
            pixels = np.rint(pixels / 257).astype("uint8")
        if max(pixels.shape) > 512:
            height, width = (round(side * 512 / max(pixels.shape)) for side in pixels.shape[:2])
            pixels = (resize(pixels.astype("float32"), (width, height), "box") + 0.5).clip(0, 255).astype("uint8")
        grey = luma(pixels)
        picture = merge_chroma(grey, colorizer.chroma(grey))
        ours, truth = (torch.from_numpy(x.astype("float32") / 255).permute(2, 0, 1) for x in (picture, pixels))
        flat = torch.from_numpy(grey).expand(3, -1, -1)
        cbcr, true_cbcr = (torch.from_numpy(rgb_to_ycbcr(x)[..., 1:].copy()).permute(2, 0, 1) for x in (picture, pixels))
        row = {"photo": path.name, "group": path.parent.name, "mse": metrics.chroma_mse(cbcr, true_cbcr),
               "mse_grey": metrics.chroma_mse(0 * true_cbcr, true_cbcr), "psnr": metrics.psnr(ours, truth),
               "psnr_grey": metrics.psnr(flat, truth), "colourfulness": metrics.colourfulness(ours),
               "colourfulness_truth": metrics.colourfulness(truth)}  # fmt: skip
        for name, x in (("", cbcr), ("_truth", true_cbcr)):
            row["cb" + name], row["cr" + name] = (float(mean) * 255 for mean in x.mean((1, 2)))
        if infer is not None:  # slow: not in every evaluation of a training run
            row["ciede2000"], row["ciede2000_grey"] = metrics.ciede2000(ours, truth), metrics.ciede2000(flat, truth)
        rows.append(row)
        if infer is None:
            samples.append((path.stem, (grey, picture, pixels)))
    rows, samples = processes.gather(rows), processes.gather(samples)
    if not rows:
        raise ValueError(f"{args.data}: no colour photographs to measure on")
    result = {"photos": len(rows), **_means(rows)}
    result["mse_95"] = metrics.bootstrap([row["mse"] for row in rows])
    groups = {"people": [r for r in rows if r["group"] == "people"], "others": [r for r in rows if r["group"] != "people"]}
    for name, members in groups.items():
        if members:
            result[name] = _means(members)
    if infer is None:
        result["samples"] = dict(samples[:6])
    return {**result, "score": -result["mse"] / max(result["mse_grey"], 1e-6), "infer": {}, "rows": rows}


def _means(rows: list[dict]) -> dict:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0] if name not in ("photo", "group")}


class Colorizer:
    """Colours one photograph: luma (H, W) in [0, 1] to RGB (H, W, 3) uint8 of the same luma."""

    def __init__(self, net, device, precision="fp32", short_side=SHORT_SIDE):
        from nets.inference import ready

        self.net = ready(net, device)
        self.device, self.precision, self.short_side = device, precision, short_side

    def __call__(self, luma):
        from data.images import merge_chroma

        return merge_chroma(luma, self.chroma(luma))

    def chroma(self, luma):
        """Cb and Cr (H, W, 2) float32 in [-0.5, 0.5] of luma (H, W)."""
        import numpy as np
        import torch
        import torch.nn.functional as F
        from data.images import resize
        from nets.guided import guided_upsample
        from nets.inference import inference, padded

        # A long strip is brought to a bounded length too: at most four times the short side.
        scale = min(self.short_side / min(luma.shape), 4 * self.short_side / max(luma.shape))
        size = tuple(max(8, round(side * scale)) for side in luma.shape[::-1])
        small = np.clip(resize(luma, size, "box" if scale < 1 else "bicubic"), 0, 1)
        small = torch.from_numpy(small)[None, None].to(self.device, memory_format=torch.channels_last)
        large = torch.from_numpy(luma)[None, None].to(self.device)

        def run(x):
            return F.interpolate(self.net(x), scale_factor=2, mode="bilinear", align_corners=False)

        with inference(self.device, self.precision):
            chroma = padded(run, small, self.net.multiple).float()
            return guided_upsample(chroma, small, large)[0].permute(1, 2, 0).clamp(-0.5, 0.5).cpu().numpy()


def load(weights: Path, device, **settings) -> Colorizer:
    """A Colorizer from a weights file. Raises WeightsError."""
    net, _ = engine.load_net(weights, STAGE, build)
    return Colorizer(net, device, **settings)


def infer(args) -> int:
    from data.checkpoint import sha256
    from data.images import luma

    colorizer = load(args.weights, engine.pick_device(args.device), precision=args.precision)

    def work(photo, source):
        return {"_color.{ext}": (colorizer(luma(photo.pixels)), REMARK)}, {}

    return batch.run(args, work, ["_color.{ext}"], {}, {STAGE: sha256(args.weights)},
                     rank=engine.rank(), world_size=engine.world())  # fmt: skip


def main(argv=None) -> int:
    parser, commands = engine.stage_parser(__doc__)
    options = engine.train_command(commands, STAGE, train, batch_size=32, crop=256)
    engine.encoder_options(options, 50)
    options.add_argument("--chroma-weight", type=float, default=6.0,
                         help="how much more a colourful pixel counts than a grey one (default: 6)")  # fmt: skip
    engine.eval_command(commands, STAGE, build, evaluate, WEIGHTS)
    batch.infer_command(commands, infer, WEIGHTS)
    return engine.run_command(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
