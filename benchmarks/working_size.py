"""Measures detection against the working size, and what each view of test-time augmentation contributes.

    python benchmarks/working_size.py --data DIR [--weights FILE]      prints one JSON object

Every labelled photograph of DIR/val (with `--train` of DIR itself) is resized to a longer side of each of the
`--sides`; the probability found there is resized to the photograph's own size. The last rows follow the rule
of `infer`: at most `--max-side`, small photographs enlarged. For each: the mean Dice at the stored threshold
with its 95 % bootstrap interval, the best mean Dice at any one threshold, the ROC AUC over all pixels, and
the share of pixels marked on DIR/val/clean (every `--every`-th photograph).
"""

import sys
from math import inf
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import segment
from benchmarks import record
from data.checkpoint import fingerprint
from data.folder import images_in, pairs_in, validation
from data.photo import read_labelled, read_named
from data.pixels import luma
from engine.processes import pick_device
from losses import metrics
from nets.finder import COARSE_SCALE, TTA_VIEWS
from nets.ops import detection


def measure(finder, photos, clean, threshold: float) -> dict:
    """Dice and false alarms of a finder with its present settings."""
    dice, counts = [], []
    for grey, mask in photos:
        prediction, size = finder(grey), mask.shape[::-1]
        counts.append(metrics.histograms(finder.enlarge(prediction.probability, size), mask))
        dice.append(metrics.overlap(finder.mask(prediction, size, threshold), mask)["dice"])
    curve = torch.stack([metrics.dice_by_threshold(count) for count in counts]).mean(0)
    marked = [float(finder.mask(finder(grey), grey.shape[::-1], threshold).float().mean()) for grey in clean]
    return {
        "dice": round(sum(dice) / len(dice), 4),
        "dice_95": [round(x, 4) for x in metrics.bootstrap(dice)],
        "best_dice": round(float(curve.max()), 4),
        "best_threshold": float(curve.argmax()) / metrics.BINS,
        "roc_auc": round(metrics.roc_auc(torch.stack(counts).sum(0)), 4),
        "n": len(dice),
        "clean_marked": round(sum(marked) / max(1, len(marked)), 5),
        "n_clean": len(marked),
    }


def photographs(data: Path, labelled: Path, every: int) -> tuple[list, list]:
    """Damaged photographs as (luma, mask), and luma of every `every`-th photograph of val/clean."""
    damaged = []
    for path, drawn in pairs_in(labelled):
        photo, mask = read_labelled(path, drawn)
        mask = torch.from_numpy(mask)
        if (mask > 128).any():
            damaged.append((luma(photo.pixels), mask))
    clean = images_in(validation(data) / "clean")[::every]
    return damaged, [luma(read_named(path).pixels) for path in clean]


def cases(sides: list[int], rule: tuple[int, int]):
    """(least side, most, number of views, margin of the coarse scale) of each row; rule: (least, most)."""
    margin = detection.COARSE_MARGIN
    for side in sides:
        yield side, side, 1, inf
    for views, coarse in ((1, inf), (1, margin), (2, margin), (2, inf)):
        yield *rule, views, coarse


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder")
    parser.add_argument(
        "--weights", type=Path, default=segment.WEIGHTS, metavar="FILE", help="default: the bundled weights"
    )
    parser.add_argument(
        "--sides", type=int, nargs="*", default=[384, 512, 768, 1024, 1280], help="longer sides in px"
    )
    parser.add_argument(
        "--every", type=int, default=4, help="which of the clean photographs to search (default: every 4th)"
    )
    parser.add_argument(
        "--train", action="store_true", help="the labelled photographs of DIR itself, which were trained on"
    )
    args = parser.parse_args()
    folder = args.data if args.train else validation(args.data)
    photos, clean = photographs(args.data, folder / "labelled", args.every)
    finder, threshold = segment.load(args.weights, pick_device("cpu"), tta=False)
    rows = []
    for least, most, views, margin in cases(args.sides, (finder.least_side, finder.max_side)):
        finder.least_side, finder.max_side = least, most
        finder.views, finder.coarse_margin = TTA_VIEWS[:views], margin
        facts = {"least_side": least, "max_side": most, "views": finder.views}
        facts["coarse_scale"] = margin < inf and COARSE_SCALE
        rows.append({**facts, **measure(finder, photos, clean, threshold)})
        print(rows[-1], file=sys.stderr)
    facts = {"weights_sha256": fingerprint(args.weights), "threshold": threshold}
    record.emit("working_size", rows, args.store, **facts)


if __name__ == "__main__":
    main()
