"""Finds the defects of scanned photographs.

    python segment.py infer scans/ out/                      out/STEM_mask.png: 255 damaged, 0 clean
    python segment.py infer photo.jpg out/ --probability     and out/STEM_probability.png, 16 bit
    python segment.py train --data DIR --run-dir runs/segment
    torchrun --nproc_per_node=4 segment.py train --data DIR --run-dir runs/segment
    python segment.py eval --data DIR                        one JSON object on standard output
    python segment.py preview --data DIR samples.png         training samples with their masks
    python segment.py sheet --data DIR sheet.png             real photographs: photo | mask | overlay

The network is AlbuNet-18 with a stem that keeps the full resolution, so that cracks of two pixels survive.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import engine
from data import batch

if TYPE_CHECKING:
    import torch

STAGE = "segment"
WEIGHTS = Path(__file__).parent / "weights" / "segment.pt"
MAX_SIDE = 1024  # px, the working size of the longer side
# share of the working size, mirrored: their logits are averaged; the first one alone without tta
LOOKS = ((1.0, False), (0.85, True), (0.7, False))
# so small what is wide is seen as a whole; it counts where its logit is this much above that average
AFAR, AFAR_MARGIN = (0.35, 5.5)
DILATE = 2  # px of the working size: a crack's anti-aliased edge must not stay
# A photograph counts as damaged if so many px of the working size are this certain: an undamaged one has its
# doubtful places, too, and must come back as it was. Glitter, leaves and hair look damaged from afar as well,
# most damage does not: a share of the logits from afar is taken off. Weights store a lower certainty if this
# one costs too much.
SURE, SURE_PIXELS, SURE_AFAR = 0.96, 40, 0.3
# of the best mean Dice: the highest threshold, and then the highest certainty to ask for, that keep so much
NEARLY_BEST = 0.96


def build(options: dict):
    """The network from its constructor's arguments."""
    from nets.norm import NORMS
    from nets.unet import AlbuNet

    return AlbuNet(**{**options, "norm": NORMS[options.get("norm", "inplace")]})


def step(net, samples: dict, args, total) -> dict:
    """The losses of one batch: weighted cross-entropy and soft Dice."""
    from losses import segmentation

    logits = net(samples["luma"]).float()  # (B, 1, S, S)
    mask = samples["mask"]
    weight = segmentation.positive_weight(mask, total, args.positive_weight)
    bce = segmentation.bce(logits, mask, weight)
    dice = segmentation.soft_dice(logits, mask)
    return {"loss": bce + args.dice_weight * dice, "bce": bce, "dice": dice}


def train(args) -> int:
    from data.datasets import SegmentSamples
    from data.folder import measured_pairs

    options = engine.network(
        args,
        STAGE,
        {"channels": 1, "out_channels": 1, "stem": "full", "extra_levels": 2},
        depth=("encoder", 18),
        width=("width", 64),
        norm=("norm", "inplace"),
    )
    return engine.fit(
        args,
        STAGE,
        options,
        build,
        SegmentSamples,
        step,
        evaluate,
        lambda data: measured_pairs(data, args.hold_out),
    )


def evaluate(net, args, processes, infer: dict | None = None) -> dict:
    """Measures a network on the validation photographs; each process takes its share of them.

    Without `infer` the threshold is searched, the highest with nearly the best mean Dice, and returned in
    `infer`. With it also what takes longer is measured: all undamaged photographs, and them with each kind of
    hard negative.
    """
    import torch

    from data.folder import images_in, measured_pairs, validation
    from data.photo import read_mask, read_photo
    from data.pixels import luma
    from losses import metrics

    finder = Finder(
        net,
        processes.device,
        tta=getattr(args, "tta", False),
        max_side=getattr(args, "max_side", MAX_SIDE),
        sure=infer.get("sure", SURE) if infer else None,
    )
    training, pairs = infer is None, measured_pairs(args.data, getattr(args, "hold_out", None))
    clean, rows, samples = images_in(validation(args.data) / "clean"), [], []
    clean, looked_at = clean[:: max(1, len(clean) // 12)] if training else clean, []
    for path, mask_path in processes.share(pairs):
        photo = read_photo(path)
        mask, grey = torch.from_numpy(read_mask(mask_path, photo.size)[0]), luma(photo.pixels)
        seen = finder(grey)
        enlarged = finder.enlarge(seen.probability, photo.size)
        if training:
            samples.append((path.stem, (grey, enlarged.numpy(), mask.numpy())))
        counts = metrics.histograms(enlarged, mask)
        looked_at.append((path.name, seen, mask))
        rows.append(
            {
                "photo": path.name,
                "damaged": bool((mask > 128).any()),
                "counts": counts,
                "certainty": seen.certainty,
            }
        )
    rows = processes.gather(rows)
    if not any(row["damaged"] for row in rows):
        raise ValueError(f"{validation(args.data) / 'labelled'}: no mask marks any damage to measure on")
    each = torch.stack([metrics.dice_by_threshold(row["counts"]) for row in rows if row["damaged"]])
    curves = each.mean(0)
    if infer is None:
        best = int((curves >= NEARLY_BEST * curves.max()).nonzero()[-1])
        infer = {
            "threshold": best / metrics.BINS,
            "sure": surest(each[:, best].tolist(), [row["certainty"] for row in rows if row["damaged"]]),
        }
        finder.sure = infer["sure"]
    threshold = infer["threshold"]
    pooled = torch.stack([row.pop("counts") for row in rows]).sum(0)
    measured = []
    for name, seen, mask in looked_at:
        found = finder.found(seen, mask.shape[::-1], threshold)
        measured.append(
            {
                "photo": name,
                **metrics.overlap(found, mask),
                "tolerant_dice": metrics.tolerant_dice(found, mask),
                "marked": float(found.float().mean()),
            }
        )
    measured = processes.gather(measured)
    alarms = []
    for path in processes.share(clean):
        photo = read_photo(path)
        seen = finder(luma(photo.pixels))
        found, widened = (finder.found(seen, photo.size, threshold, dilate) for dilate in (0, DILATE))
        alarms.append(
            {
                "photo": path.name,
                "marked": float(found.float().mean()),
                "widened": float(widened.float().mean()),
            }
        )
    alarms = processes.gather(alarms)
    damaged = [row for row, seen in zip(measured, rows) if seen["damaged"]]
    result = {"score": sum(row["dice"] for row in damaged) / len(damaged), "infer": infer}
    for name in ("dice", "iou", "tolerant_dice"):
        values = [row[name] for row in damaged]
        result[name] = sum(values) / len(values)
        result[name + "_95"] = metrics.bootstrap(values)
    result |= {
        "best_threshold": float(curves.argmax()) / metrics.BINS,
        "best_dice": float(curves.max()),
        "roc_auc": metrics.roc_auc(pooled),
        "average_precision": metrics.average_precision(pooled),
        "photos": len(damaged),
    }
    if alarms:
        result["clean_marked"] = sum(row["marked"] for row in alarms) / len(alarms)
        result["clean_marked_95"] = metrics.bootstrap([row["marked"] for row in alarms])
        result["clean_widened"] = sum(row["widened"] for row in alarms) / len(alarms)
        result["clean_without_mark"] = sum(row["marked"] == 0 for row in alarms) / len(alarms)
        result["clean_photos"] = len(alarms)
        if not training:
            result["negatives"] = negatives(finder, threshold, clean, processes)
    if training:
        result["samples"] = dict(processes.gather(samples)[:6])
    return {**result, "rows": measured, "clean_rows": alarms}


def surest(dice: list[float], certainty: list[float]) -> float:
    """The highest certainty up to `SURE` to ask for: damaged photographs, with `dice` found, of which it
    leaves those alone that are less certain, keep nearly the mean Dice.
    """
    kept = lambda least: sum(found for found, sure in zip(dice, certainty) if sure >= least)  # noqa: E731
    return max(
        (least for least in [*certainty, SURE] if least <= SURE and kept(least) >= NEARLY_BEST * sum(dice)),
        default=0.0,
    )


def negatives(finder: Finder, threshold: float, clean: list, processes) -> dict:
    """kind of hard negative -> share of its pixels that are marked, on up to ten undamaged photographs for
    each kind.
    """
    import numpy as np

    from data.photo import read_photo
    from data.pixels import luma, resize
    from data.synthesis import lookalikes

    cases = [(kind, path) for kind in lookalikes.KINDS for path in clean[:: max(1, len(clean) // 10)][:10]]
    rows = []
    for number, (kind, path) in processes.share(list(enumerate(cases))):
        grey = luma(read_photo(path).pixels)
        # sizes are px of the network's scale
        grey = np.clip(resize(grey, finder.working_size(grey.shape[::-1]), "bicubic"), 0, 1)
        changed = lookalikes.hard_negative(grey, np.random.default_rng([5, number]), [kind])
        there = np.abs(changed - grey) > 0.02
        found = finder.found(finder(changed), grey.shape[::-1], threshold).numpy()
        rows.append((kind, int((found & there).sum()), int(there.sum())))
    rows = processes.gather(rows)
    total = {
        kind: [sum(column) for column in zip(*(row[1:] for row in rows if row[0] == kind), strict=True)]
        for kind in lookalikes.KINDS
    }
    return {kind: marked / max(1, there) for kind, (marked, there) in total.items()}


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(width, height) times `scale`, at least 1."""
    return tuple(max(1, round(side * scale)) for side in size)


def brought(luma, size: tuple[int, int]):
    """Luma (H, W) at another (width, height); itself, if it has that one."""
    from data.pixels import resize

    return (
        luma
        if size == luma.shape[::-1]
        else resize(luma, size, "bicubic" if size > luma.shape[::-1] else "box")
    )


class Seen(NamedTuple):
    """What was seen of a photograph: the probability of damage (h, w) at the working size, and how certain it
    is that there is any.
    """

    probability: torch.Tensor
    certainty: float


class Finder:
    """Predicts the defects of one photograph: luma (H, W) in [0, 1] to what is `Seen` of it.

    Photographs are brought to a longer side of at most `max_side` px, and small ones are enlarged to
    `least_side`: the network knows cracks of 1.5 to 6 px. `tta` averages the logits of several `LOOKS`, some
    smaller, where what is large is seen better, some mirrored. What is very sure `AFAR` counts as well.
    `sure`: how certain damage must be in a photograph, or nothing in it is marked; None: all is.
    """

    least_side = 512

    def __init__(
        self,
        net,
        device,
        precision="fp32",
        tta=True,
        max_side=MAX_SIDE,
        tile=1024,
        overlap=128,
        sure: float | None = SURE,
    ):
        from nets.ops.tiling import Tiling, ready

        self.net, self.tiling = ready(net, device), Tiling(tile, overlap)
        self.device, self.precision, self.max_side, self.sure = device, precision, max_side, sure
        self.looks, self.afar_margin = LOOKS if tta else LOOKS[:1], AFAR_MARGIN

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) at which a photo of `size` is looked at."""
        longer = max(size)
        scale = min(self.max_side, max(longer, min(self.least_side, 3 * longer))) / longer
        return scaled(size, scale)

    def __call__(self, luma):
        import torch

        from nets.ops.tiling import inference

        size = self.working_size(luma.shape[::-1])
        with inference(self.device, self.precision):
            logits = self.mean(luma, size, self.looks)
            small = brought(luma, scaled(size, AFAR))  # once for both looks: of a large scan it takes time
            afar = self.mean(small, size, [(AFAR, False), (AFAR, True)])
            certain = (logits - SURE_AFAR * afar).flatten().topk(min(SURE_PIXELS, logits.numel())).values[-1]
            probability = torch.sigmoid(torch.maximum(logits, afar - self.afar_margin))
        return Seen(probability, float(torch.sigmoid(certain)))

    def mean(self, luma, size: tuple[int, int], looks):
        """The mean logits of `looks`, (share of `size`, mirrored) each, at a photo brought to `size`: (h, w)
        float32.
        """
        total = 0
        for share, mirrored in looks:
            total += self.enlarge(self.look(luma, scaled(size, share), mirrored), size)
        return total / len(looks)

    def look(self, luma, size: tuple[int, int], mirrored=False):
        """The network's logits of a photo brought to `size`, (h, w) float32; `mirrored`: as seen in its
        mirror image.
        """
        import torch

        from nets.ops.tiling import tiled

        x = torch.from_numpy(brought(luma, size))[None, None]
        x = (x.flip(-1) if mirrored else x).to(self.device, memory_format=torch.channels_last)
        logits = self.tiling.run(partial(tiled, self.net, x, self.net.size_divisor))[0, 0].float().cpu()
        return logits.flip(-1) if mirrored else logits

    def enlarge(self, probability, size: tuple[int, int]):
        """The probability, or the logits, at a photo's (width, height)."""
        import torch.nn.functional as F

        if probability.shape[::-1] == tuple(size):
            return probability
        return F.interpolate(probability[None, None], size[::-1], mode="bilinear", align_corners=False)[0, 0]

    def found(self, seen: Seen, size: tuple[int, int], threshold: float, dilate: int = 0):
        """Where a photo of `size` is damaged, (H, W) bool: probability at least `threshold`, widened by
        `dilate` px of the working size; nowhere in a photo that counts as undamaged.

        The probability itself is widened before it is enlarged, so that large photos get smooth outlines.
        """
        import torch
        import torch.nn.functional as F

        if self.sure is not None and seen.certainty < self.sure:
            return torch.zeros(size[::-1], dtype=torch.bool)
        probability = seen.probability
        if dilate:
            probability = F.max_pool2d(probability[None], 2 * dilate + 1, 1, dilate)[0]
        return self.enlarge(probability, size) >= threshold


def load(weights: Path, device, threshold: float | None = None, **settings) -> tuple[Finder, float]:
    """A Finder and its threshold from a weights file. Raises WeightsError.

    Whoever asks for more by a threshold below that of the weights is obeyed: then all that reaches it is
    marked, in any photo.
    """
    net, infer = engine.load_net(weights, STAGE, build)
    threshold = infer["threshold"] if threshold is None else threshold
    sure = infer.get("sure", SURE) if threshold >= infer["threshold"] else None
    return Finder(net, device, sure=sure, **settings), threshold


def find(finder: Finder, photo, source, args, threshold: float):
    """The final mask (H, W) uint8 of a photo, after dilation and protection, its probability, and notes for
    the report.
    """
    from data.pixels import luma

    seen = finder(luma(photo.pixels))
    mask = finder.found(seen, photo.size, threshold, args.dilate).byte().mul_(255).numpy()
    notes = finder.tiling.warned()
    if finder.sure is not None and not mask.any() and bool((seen.probability >= threshold).any()):
        notes.append(
            "nothing is surely damaged, so nothing was marked; a --threshold below that of the weights "
            "marks what may be"
        )
    return mask, seen.probability, notes + protect(mask, photo, source)


def protect(mask, photo, source) -> list[str]:
    """Clears in `mask` what the photo's `--protect` mask marks; returns notes for the report."""
    if "protect" not in source.companions:
        return []
    protected, notes = source.mask("protect", photo)
    mask[protected == 255] = 0
    return notes


def infer(args) -> int:
    from data.checkpoint import fingerprint
    from data.photo import encode

    finder, threshold = load(
        args.weights,
        engine.pick_device(args.device),
        args.threshold,
        precision=args.precision,
        tta=args.tta,
        max_side=args.max_side,
        tile=args.tile,
        overlap=args.overlap,
    )
    outputs = ["_mask.png", "_probability.png"] if args.probability else ["_mask.png"]

    def work(photo, source):
        mask, probability, notes = find(finder, photo, source, args, threshold)
        files = {"_mask.png": encode(mask, None, "PNG")}
        if args.probability:
            files["_probability.png"] = probability_file(finder.enlarge(probability, photo.size).numpy())
        return files, {"warnings": notes}

    return batch.run(
        args,
        work,
        outputs,
        finding(args, finder, threshold),
        {STAGE: fingerprint(args.weights)},
        {"protect": args.protect},
        program=engine.PROGRAM,
        rank=engine.rank(),
        world_size=engine.world(),
    )


def probability_file(probability) -> bytes:
    """A 16-bit PNG of (H, W) in [0, 1]."""
    from data.photo import encode

    return encode((probability * 65535).round().astype("uint16"), None, "PNG")


def sheet(args) -> list:
    """Rows of a contact sheet, photo | mask | overlay: the labelled validation photographs, every fourth
    undamaged one of `clean/`, and those of `old/`.

    In the overlay red is what was found; where there is a hand-made mask, green is found in both and blue in
    that alone.
    """
    import numpy as np

    from data.folder import images_in, pairs_in, validation
    from data.photo import read_mask, read_photo
    from data.pixels import luma

    finder, threshold = load(
        args.weights, engine.pick_device(args.device), args.threshold, tta=args.tta, max_side=args.max_side
    )
    folder, rows = validation(args.data), []
    unlabelled = images_in(folder / "clean")[::4] + images_in(folder / "old")
    for path, drawn in [*pairs_in(folder / "labelled"), *((path, None) for path in unlabelled)]:
        photo = read_photo(path)
        grey = luma(photo.pixels)
        found = finder.found(finder(grey), photo.size, threshold, args.dilate).numpy()
        truth = read_mask(drawn, photo.size)[0] == 255 if drawn else np.zeros_like(found)
        overlay = np.repeat(0.7 * grey[..., None], 3, 2)
        for where, colour in (
            (found & ~truth, (1, 0.1, 0.1)),
            (found & truth, (0.1, 0.9, 0.2)),
            (truth & ~found, (0.2, 0.4, 1)),
        ):
            overlay[where] = colour
        cells = {"photo": photo.pixels, "mask": found.astype(np.float32), "overlay": overlay}
        rows.append(
            (
                f"{path.stem}: {found.mean():.2%} marked"
                + (f", by hand {truth.mean():.2%}" if drawn else ""),
                cells,
            )
        )
    if not rows:
        raise ValueError(f"{folder}: no photographs in labelled/, clean/ or old/")
    return rows


def preview(args) -> int:
    """Writes a sheet of training samples, picture and mask side by side."""
    import numpy as np

    from data.datasets import SegmentSamples
    from data.files import write_whole
    from data.photo import encode

    samples = SegmentSamples(args)
    pairs = [samples[number] for number in range(args.count)]
    cells = [
        np.hstack([(pair["luma"][0].numpy() * 255).astype("uint8"), pair["mask"][0].numpy()])
        for pair in pairs
    ]
    columns = max(1, min(args.count, 1600 // (2 * args.crop)))
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    sheet = np.vstack([np.hstack(cells[row : row + columns]) for row in range(0, len(cells), columns)])
    write_whole(args.out, encode(sheet, None, "PNG"), args.overwrite)
    return 0


def finding(args, finder: Finder | None, threshold: float | None) -> dict:
    """The options that decide a mask, for the report; without a finder masks are given, or not needed."""
    return {
        "threshold": threshold,
        "sure": finder and finder.sure,
        "dilate": args.dilate,
        "tta": args.tta,
        "max_side": args.max_side,
    }


def working_options(parser) -> None:
    """Options of the working size and test-time augmentation, shared by `infer`, `eval` and restore.py."""
    parser.add_argument(
        "--tta",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look at smaller and mirrored versions of the photo too: twice the time (default: on)",
    )
    parser.add_argument(
        "--max-side",
        type=engine.positive(int),
        default=MAX_SIDE,
        metavar="PX",
        help=f"working size of the longer side for finding defects (default: {MAX_SIDE} px)",
    )


def marking_options(parser) -> None:
    """What makes a mask of a probability, shared by `infer`, `sheet` and restore.py."""
    parser.add_argument(
        "--threshold",
        type=engine.share,
        metavar="P",
        help="probability from which a pixel is damaged, 0 to 1 (default: that stored in the weights, and "
        "none in "
        "photographs where nothing is surely damaged)",
    )
    parser.add_argument(
        "--dilate",
        type=batch.count(0),
        default=DILATE,
        metavar="PX",
        help=f"widen found masks by this many px of the working size (default: {DILATE})",
    )
    working_options(parser)


def finding_options(parser) -> None:
    """Options of finding defects, shared by `infer` and restore.py."""
    marking_options(parser)
    parser.add_argument(
        "--protect",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="masks of what must not be repaired, 255, paired by stem (default: none)",
    )
    parser.add_argument(
        "--probability",
        action="store_true",
        help="write the probability too, as OUT/STEM_probability.png, 16 bit (default: no)",
    )


def fold(text: str) -> str:
    """An argparse type: "I/N" with 1 <= I <= N and N > 1."""
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts or parts < 2:
        raise ValueError
    return text


def positive_weight(text: str) -> float | str:
    """An argparse type: "auto", or a number above 0."""
    return text if text == "auto" else engine.positive(float)(text)


def main(argv=None) -> int:
    parser, commands = engine.stage_parser(__doc__)
    labelled = {
        "type": engine.share,
        "default": 0.25,
        "metavar": "SHARE",
        "help": "share of samples that come from labelled/, 0 to 1 (default: 0.25)",
    }
    options = engine.train_command(commands, STAGE, train, batch_size=16, crop=256, norm="inplace")
    engine.encoder_options(options, 18)
    options.add_argument("--labelled-share", **labelled)
    options.add_argument(
        "--hold-out",
        type=fold,
        metavar="I/N",
        help="cross-validation: measure on every N-th labelled pair from the I-th on, and train on the "
        "others "
        "(default: measure on val/)",
    )
    options.add_argument(
        "--positive-weight",
        type=positive_weight,
        default="auto",
        metavar="auto|N",
        help="what a damaged pixel counts against a clean one; auto: clean over damaged pixels of the "
        "global batch, 1 "
        "to 10 (default: auto)",
    )
    options.add_argument(
        "--dice-weight", type=engine.loss_weight, default=1.0, help="weight of soft Dice (default: 1)"
    )
    working_options(engine.eval_command(commands, STAGE, build, evaluate, WEIGHTS))
    marking_options(engine.sheet_command(commands, STAGE, sheet, WEIGHTS))
    finding_options(batch.infer_command(commands, infer, WEIGHTS))
    options = commands.add_parser(
        "preview", help="draw training samples with their masks", allow_abbrev=False
    )
    options.add_argument("out", type=Path, metavar="OUT.png", help="the sheet to write")
    options.add_argument(
        "--data",
        type=Path,
        default=Path("datasets") / STAGE,
        metavar="DIR",
        help=f"data folder (default: datasets/{STAGE})",
    )
    options.add_argument("--count", type=batch.count(1), default=12, help="how many samples (default: 12)")
    options.add_argument(
        "--crop", type=batch.count(32), default=256, help="side of the samples in px (default: 256)"
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the samples (default: 0)")
    options.add_argument("--labelled-share", **labelled)
    options.add_argument(
        "--overwrite", action="store_true", help="replace OUT.png if it exists (default: no)"
    )
    options.set_defaults(run=preview)
    return engine.run_command(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
