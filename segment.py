"""Detects damage in photographs: the network, its threshold, and the dilation of the mask.

    python segment.py infer scans/ out/                      out/STEM_mask.png: 255 damaged, 0 intact
    python segment.py infer photo.jpg out/ --probability     also out/STEM_probability.png, 16 bits
    python segment.py train --data DIR --run-dir runs/segment
    torchrun --nproc_per_node=4 segment.py train --data DIR --run-dir runs/segment
    python segment.py eval --data DIR                        prints one JSON object
    python segment.py preview --data DIR samples.png         training samples with their masks
    python segment.py sheet --data DIR sheet.png             real photographs: photo | mask | overlay

The network is AlbuNet-18 with a stem at full resolution, which keeps cracks of two pixels.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data.errors import UserError
from data.files import write_whole
from data.folder import images_in, measured_pairs, pairs_in, thinned, validation
from data.images import ImageLike, read_role_mask
from data.photo import Photo, encode, read_mask, read_photo
from data.pixels import luma, resize
from data.sheet import grid, overlay
from engine import commands, options
from engine.photos import Job, run

if TYPE_CHECKING:
    import torch

STAGE = "segment"
WEIGHTS = Path(__file__).parent / "weights" / "segment.pt"
MAX_SIDE = 1024  # px, working size: longer side of the copy in which damage is detected
# Views of test-time augmentation, (share of the working size, mirrored); their logits are averaged. Without
# it, only the first.
LOOKS = ((1.0, False), (0.85, True), (0.7, False))
# Scale at which wide damage is recognized as a whole, and how far its logit must be above the average to
# count.
AFAR, AFAR_MARGIN = (0.35, 5.5)
DILATE = 2  # px of the working size, so that the anti-aliased edge of a crack is repaired too
# A photograph counts as damaged if this many px of the working size have this confidence, since undamaged
# photographs have doubtful places too and must come back unchanged. A share of the coarse logits is
# subtracted, since glitter, leaves and hair look damaged at the coarse scale too and most damage does not.
# Weights store a lower confidence if this one costs too much Dice.
SURE, SURE_PIXELS, SURE_AFAR = 0.96, 40, 0.3


def build(options: dict):
    """The network from its constructor arguments."""
    from nets.norm import NORMS
    from nets.unet import AlbuNet

    return AlbuNet(**{**options, "norm": NORMS[options.get("norm", "inplace")]})


def compute_losses(net, batch: dict, *, total, positive_weight: float | str, dice_weight: float) -> dict:
    """The losses of one batch: weighted cross-entropy and soft Dice.

    batch: luma (B, 1, S, S) float32 in [0, 1] and mask (B, 1, S, S) uint8, from
    `data.datasets.SegmentSamples`. total: sums a tensor over all processes.
    """
    from losses import segmentation

    logits = net(batch["luma"]).float()  # (B, 1, S, S)
    mask = batch["mask"]
    weight = segmentation.positive_weight(mask, total, positive_weight)
    bce = segmentation.bce(logits, mask, weight)
    dice = segmentation.soft_dice(logits, mask)
    return {"loss": bce + dice_weight * dice, "bce": bce, "dice": dice}


def train(args) -> int:
    from data.datasets import SegmentSamples
    from engine.networks import load_encoders, network_options
    from engine.training import Stage, fit

    network = network_options(
        STAGE,
        args.weights,
        {"channels": 1, "out_channels": 1, "stem": "full", "extra_levels": 2},
        depth=("encoder", args.encoder, 18),
        width=("width", args.width, 64),
        norm=("norm", args.norm, "inplace"),
        context=("context", args.context, "none"),
    )
    samples = partial(SegmentSamples, args.data, seed=args.seed, side=args.crop)
    weights = {"positive_weight": args.positive_weight, "dice_weight": args.dice_weight}
    if network["context"] == "none":
        del network["context"]
    stage = Stage(
        STAGE,
        build,
        samples=partial(samples, labelled_share=args.labelled_share, hold_out=args.hold_out),
        losses=partial(compute_losses, **weights),
        evaluate=partial(evaluate, data=args.data, hold_out=args.hold_out),
        validation_set=partial(measured_pairs, args.data, args.hold_out),
        initialize=partial(
            load_encoders, network=network, encoder=args.encoder_weights, context=args.context_weights
        ),
    )
    if args.context_weights and "context" not in network:
        raise UserError("--context-weights needs --context")
    return fit(stage, args, network)


# ------------------------------------------------------------------------------------------- measuring


class Case(NamedTuple):
    """A labelled photograph with the network's output."""

    path: Path
    mask: torch.Tensor  # (H, W) uint8: 255 damaged, 0 intact, 128 ignored
    seen: Seen


def evaluate(
    net, *, data: Path, processes, infer: dict | None = None, tta=False, max_side=MAX_SIDE, hold_out=None
) -> dict:
    """Evaluates a network on the validation photographs, which the processes share.

    Without `infer`, as in training, the settings are searched and returned in it, only a few undamaged
    photographs are used, and `samples` has pictures. With it, the slow parts are included: all undamaged
    photographs, also with each kind of hard negative. hold_out: the fold "I/N" of labelled/ to evaluate on,
    in place of val/. Raises UserError if there is no damage to evaluate on.
    """
    from losses import operating_point, summary

    training, sure = infer is None, infer.get("sure", SURE) if infer else None
    finder = Finder(net, processes.device, tta=tta, max_side=max_side, sure=sure)
    cases = [look_at(finder, *pair) for pair in processes.share(measured_pairs(data, hold_out))]

    histograms = processes.gather([histogram(finder, case) for case in cases])
    damaged = [row for row in histograms if row["damaged"]]
    if not damaged:
        raise UserError(f"{validation(data) / 'labelled'}: no mask marks any damage to measure on")
    if training:
        counts, certainty = [row["counts"] for row in damaged], [row["certainty"] for row in damaged]
        infer = operating_point.search(counts, certainty, SURE)
        finder.sure = infer["sure"]

    threshold = infer["threshold"]
    rows = processes.gather([overlap(finder, case, threshold) for case in cases])
    clean = images_in(validation(data) / "clean")
    clean = thinned(clean, 12) if training else clean
    alarms = processes.gather([alarm(finder, path, threshold) for path in processes.share(clean)])

    found = [row for row, labelled in zip(rows, histograms, strict=True) if labelled["damaged"]]
    result = {"infer": infer, **summary.defects(found, histograms), **summary.false_alarms(alarms)}
    if training:
        result["samples"] = dict(processes.gather([strip(finder, case) for case in cases[:6]])[:6])
    elif alarms:
        result["negatives"] = negatives(finder, threshold, clean, processes)
    return {**result, "rows": rows, "clean_rows": alarms}


def look_at(finder: Finder, path: Path, mask_path: Path) -> Case:
    import torch

    photo = read_photo(path)
    mask, _ = read_mask(mask_path, photo.size)
    return Case(path, torch.from_numpy(mask), finder(luma(photo.pixels)))


def histogram(finder: Finder, case: Case) -> dict:
    """Histograms of the probability over intact and damaged pixels, from which curves are computed."""
    from losses import metrics

    return {
        "damaged": bool((case.mask > 128).any()),
        "counts": metrics.histograms(finder.enlarge(case.seen.probability, case.mask.shape[::-1]), case.mask),
        "certainty": case.seen.certainty,
    }


def overlap(finder: Finder, case: Case, threshold: float) -> dict:
    """Agreement of the detected mask with the hand-made one."""
    from losses import metrics

    found = finder.found(case.seen, case.mask.shape[::-1], threshold)
    return {
        "photo": case.path.name,
        **metrics.overlap(found, case.mask),
        "tolerant_dice": metrics.tolerant_dice(found, case.mask),
        "marked": float(found.float().mean()),
    }


def alarm(finder: Finder, path: Path, threshold: float) -> dict:
    """Shares of the pixels marked in an undamaged photograph, before and after the default dilation."""
    photo = read_photo(path)
    seen = finder(luma(photo.pixels))
    found, widened = (finder.found(seen, photo.size, threshold, dilate) for dilate in (0, DILATE))
    marked, widened = (float(mask.float().mean()) for mask in (found, widened))
    return {"photo": path.name, "marked": marked, "widened": widened}


def strip(finder: Finder, case: Case) -> tuple:
    """(name, pictures) of a case: photograph, probability and mask."""
    grey = luma(read_photo(case.path).pixels)
    probability = finder.enlarge(case.seen.probability, grey.shape[::-1])
    return case.path.stem, (grey, probability.numpy(), case.mask.numpy())


def negatives(finder: Finder, threshold: float, clean: list, processes) -> dict:
    """kind of hard negative -> share of its pixels that are marked, on up to ten undamaged photographs per
    kind.
    """
    from data.synthesis import lookalikes

    cases = [(kind, path) for kind in lookalikes.KINDS for path in thinned(clean, 10)[:10]]
    rows = []
    for number, (kind, path) in processes.share(list(enumerate(cases))):
        grey = luma(read_photo(path).pixels)
        # sizes in px at the network's scale
        grey = np.clip(resize(grey, finder.working_size(grey.shape[::-1]), "bicubic"), 0, 1)
        changed = lookalikes.hard_negative(grey, np.random.default_rng([5, number]), [kind])
        drawn = np.abs(changed - grey) > 0.02
        found = finder.found(finder(changed), grey.shape[::-1], threshold).numpy()
        rows.append((kind, int((found & drawn).sum()), int(drawn.sum())))
    marked, total = dict.fromkeys(lookalikes.KINDS, 0), dict.fromkeys(lookalikes.KINDS, 0)
    for kind, found, drawn in processes.gather(rows):
        marked[kind] += found
        total[kind] += drawn
    return {kind: marked[kind] / max(1, total[kind]) for kind in lookalikes.KINDS}


# ------------------------------------------------------------------------------------------- finding


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(width, height) times `scale`, at least 1."""
    return tuple(max(1, round(side * scale)) for side in size)


def brought(luma, size: tuple[int, int]):
    """Luma (H, W) resized to (width, height)."""
    return (
        luma
        if size == luma.shape[::-1]
        else resize(luma, size, "bicubic" if size > luma.shape[::-1] else "box")
    )


class Seen(NamedTuple):
    """The probability of damage (h, w) at the working size, and the confidence that there is any."""

    probability: torch.Tensor
    certainty: float


class Finder:
    """Detects damage in one photograph: luma (H, W) in [0, 1] to `Seen`.

    Photographs are resized to a longer side of at most `max_side` px, and small ones enlarged to
    `least_side`, since the network knows cracks of 1.5 to 6 px. tta: average the logits of several views,
    some smaller, where large damage is recognized better, some mirrored. Confident detections at the coarse
    scale are added. sure: confidence required to mark anything in a photograph; None turns the check off.
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
        """(width, height) of the copy of a photograph of `size` in which damage is detected."""
        longer = max(size)
        scale = min(self.max_side, max(longer, min(self.least_side, 3 * longer))) / longer
        return scaled(size, scale)

    def __call__(self, luma):
        import torch

        from nets.ops.tiling import inference

        size = self.working_size(luma.shape[::-1])
        with inference(self.device, self.precision):
            logits = self.mean(luma, size, self.looks)
            small = brought(
                luma, scaled(size, AFAR)
            )  # once for both views, since resizing a large scan takes time
            afar = self.mean(small, size, [(AFAR, False), (AFAR, True)])
            certain = (logits - SURE_AFAR * afar).flatten().topk(min(SURE_PIXELS, logits.numel())).values[-1]
            probability = torch.sigmoid(torch.maximum(logits, afar - self.afar_margin))
        return Seen(probability, float(torch.sigmoid(certain)))

    def mean(self, luma, size: tuple[int, int], looks):
        """The mean logits of the views `looks`, (share of `size`, mirrored) each, resized to `size`: (h, w)
        float32.
        """
        total = 0
        for share, mirrored in looks:
            total += self.enlarge(self.look(luma, scaled(size, share), mirrored), size)
        return total / len(looks)

    def look(self, luma, size: tuple[int, int], mirrored=False):
        """The network's logits for a photograph resized to `size`, (h, w) float32. mirrored: for its mirror
        image, mirrored back.
        """
        import torch

        from nets.ops.tiling import tiled

        x = torch.from_numpy(brought(luma, size))[None, None]
        x = (x.flip(-1) if mirrored else x).to(self.device, memory_format=torch.channels_last)
        logits = self.tiling.run(partial(tiled, self.net, x, self.net.size_divisor))[0, 0].float().cpu()
        return logits.flip(-1) if mirrored else logits

    def enlarge(self, probability, size: tuple[int, int]):
        """The probability, or the logits, resized to a photograph's (width, height)."""
        import torch.nn.functional as F

        if probability.shape[::-1] == tuple(size):
            return probability
        return F.interpolate(probability[None, None], size[::-1], mode="bilinear", align_corners=False)[0, 0]

    def found(self, seen: Seen, size: tuple[int, int], threshold: float, dilate: int = 0):
        """The damage of a photograph of `size`, (H, W) bool: probability of at least `threshold`, dilated by
        `dilate` px of the working size; empty for a photograph that counts as undamaged.

        The probability itself is dilated, before upsampling, so that large photographs get smooth outlines.
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

    A threshold below the stored one turns the confidence check off: everything above it is marked, in any
    photograph.
    """
    from engine.networks import load_net

    net, infer = load_net(weights, STAGE, build)
    threshold = infer["threshold"] if threshold is None else threshold
    sure = infer.get("sure", SURE) if threshold >= infer["threshold"] else None
    return Finder(net, device, sure=sure, **settings), threshold


def find(finder: Finder, photo: Photo, threshold: float, dilate: int):
    """The mask, the probability of damage, and notes for the report.

    dilate: px of the working size by which the mask is widened. The mask is (H, W) uint8, 255 damaged and 0
    intact; the probability is (h, w), at the working size.
    """
    seen = finder(luma(photo.pixels))
    mask = finder.found(seen, photo.size, threshold, dilate).byte().mul_(255).numpy()
    notes = finder.tiling.warned()
    if finder.sure is not None and not mask.any() and bool((seen.probability >= threshold).any()):
        notes.append(
            "nothing is surely damaged, so nothing was marked; a --threshold below that of the weights "
            "marks what may be"
        )
    return mask, seen.probability, notes


def protect(mask: np.ndarray, image: ImageLike | None) -> list[str]:
    """Clears in `mask` (H, W) what the mask `image` marks, if one is given; returns notes for the report.

    Raises PhotoError.
    """
    if image is None:
        return []
    protected, notes = read_role_mask(image, "protect", mask.shape[::-1])
    mask[protected == 255] = 0
    return notes


def infer(args) -> int:
    from data.checkpoint import fingerprint
    from engine.processes import pick_device

    finder, threshold = load(
        args.weights,
        pick_device(args.device),
        args.threshold,
        precision=args.precision,
        tta=args.tta,
        max_side=args.max_side,
        tile=args.tile,
        overlap=args.overlap,
    )

    def work(photo, source):
        mask, probability, notes = find(finder, photo, threshold, args.dilate)
        notes += protect(mask, source.companions.get("protect"))
        files = {"_mask.png": encode(mask, None, "PNG")}
        if args.probability:
            files["_probability.png"] = probability_file(finder.enlarge(probability, photo.size).numpy())
        return files, {"warnings": notes}

    job = Job(
        work,
        outputs=["_mask.png"] + ["_probability.png"] * args.probability,
        options=report_options(
            finder,
            threshold,
            dilate=args.dilate,
            tta=args.tta,
            max_side=args.max_side,
            precision=args.precision,
            tile=args.tile,
            overlap=args.overlap,
        ),
        weights={STAGE: fingerprint(args.weights)},
        companions={"protect": args.protect},
    )
    return run(args, job)


def probability_file(probability) -> bytes:
    """A 16-bit PNG of (H, W) in [0, 1]."""
    return encode((probability * 65535).round().astype("uint16"), None, "PNG")


def sheet(args) -> list:
    """Rows of a contact sheet, photo | mask | overlay.

    Shows the labelled validation photographs, every fourth undamaged one of `clean/`, and those of `old/`. In
    the overlay, detections are red; with a hand-made mask, green is in both and blue only in that mask.
    """
    from engine.processes import pick_device

    finder, threshold = load(
        args.weights, pick_device(args.device), args.threshold, tta=args.tta, max_side=args.max_side
    )
    folder, rows = validation(args.data), []
    unlabelled = images_in(folder / "clean")[::4] + images_in(folder / "old")
    for path, drawn in [*pairs_in(folder / "labelled"), *((path, None) for path in unlabelled)]:
        photo = read_photo(path)
        grey = luma(photo.pixels)
        found = finder.found(finder(grey), photo.size, threshold, args.dilate).numpy()
        truth = read_mask(drawn, photo.size)[0] == 255 if drawn else np.zeros_like(found)
        title = f"{path.stem}: {found.mean():.2%} marked"
        title += f", by hand {truth.mean():.2%}" if drawn else ""
        mask, shown = found.astype(np.float32), overlay(grey, found, truth)
        rows.append((title, {"photo": photo.pixels, "mask": mask, "overlay": shown}))
    if not rows:
        raise UserError(f"{folder}: no photographs in labelled/, clean/ or old/")
    return rows


def preview(args) -> int:
    """Writes a sheet of training samples, each with its mask."""
    from data.datasets import SegmentSamples

    samples = SegmentSamples(args.data, seed=args.seed, side=args.crop, labelled_share=args.labelled_share)
    pairs = [samples[number] for number in range(args.count)]
    cells = [
        np.hstack([(pair["luma"][0].numpy() * 255).astype("uint8"), pair["mask"][0].numpy()])
        for pair in pairs
    ]
    write_whole(args.out, encode(grid(cells), None, "PNG"), args.overwrite)
    return 0


def report_options(finder: Finder | None, threshold: float | None, **others) -> dict:
    """The options that decide a mask, for the report. finder: None if masks are given or not needed."""
    return {"threshold": threshold, "sure": finder and finder.sure, **others}


def working_options(parser) -> None:
    """Options of the working size and test-time augmentation, shared by `infer`, `eval` and restore.py."""
    parser.add_argument(
        "--tta",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="test-time augmentation: average smaller and mirrored views, takes twice as long (default: on)",
    )
    parser.add_argument(
        "--max-side",
        type=options.positive(int),
        default=MAX_SIDE,
        metavar="PX",
        help=f"longer side of the copy in which damage is detected (default: {MAX_SIDE} px)",
    )


def marking_options(parser) -> None:
    """Options that turn a probability into a mask, shared by `infer`, `sheet` and restore.py."""
    parser.add_argument(
        "--threshold",
        type=options.share,
        metavar="P",
        help="probability from which a pixel counts as damaged, 0 to 1; a value below the default also turns "
        "off the check that leaves undamaged photographs alone (default: stored in the weights)",
    )
    parser.add_argument(
        "--dilate",
        type=options.count(0),
        default=DILATE,
        metavar="PX",
        help=f"dilate detected masks by this many px of the working size (default: {DILATE})",
    )
    working_options(parser)


def finding_options(parser) -> None:
    """Options of detection, shared by `infer` and restore.py."""
    marking_options(parser)
    parser.add_argument(
        "--protect",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="never repair what these masks mark with 255; a folder is paired by stem (default: none)",
    )
    parser.add_argument(
        "--probability",
        action="store_true",
        help="also write the damage probability, OUT/STEM_probability.png, 16 bits (default: no)",
    )


def fold(text: str) -> str:
    """An argparse type: "I/N" with 1 <= I <= N and N > 1."""
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts or parts < 2:
        raise ValueError
    return text


def positive_weight(text: str) -> float | str:
    """An argparse type: "auto", or a number above 0."""
    return text if text == "auto" else options.positive(float)(text)


LABELLED_SHARE = {
    "type": options.share,
    "default": 0.25,
    "metavar": "SHARE",
    "help": "share of the samples from labelled/, 0 to 1 (default: 0.25)",
}


def training_options(parser) -> None:
    """Options of `train` that only this stage has."""
    options.encoder_options(parser, 18)
    options.context_options(parser)
    parser.add_argument("--labelled-share", **LABELLED_SHARE)
    parser.add_argument(
        "--hold-out",
        type=fold,
        metavar="I/N",
        help="cross-validation: evaluate on every N-th labelled pair, starting with the I-th, and train on "
        "the others (default: evaluate on val/)",
    )
    parser.add_argument(
        "--positive-weight",
        type=positive_weight,
        default="auto",
        metavar="auto|N",
        help="weight of damaged pixels relative to intact ones; auto: intact / damaged pixels of the global "
        "batch, 1 to 10 (default: auto)",
    )
    parser.add_argument(
        "--dice-weight", type=options.loss_weight, default=1.0, help="weight of soft Dice (default: 1)"
    )


def preview_options(parser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT.png", help="output file")
    options.data_option(parser, STAGE)
    parser.add_argument("--count", type=options.count(1), default=12, help="number of samples (default: 12)")
    parser.add_argument(
        "--crop", type=options.count(32), default=256, help="side of the samples, in px (default: 256)"
    )
    parser.add_argument("--seed", type=options.count(0), default=0, help="seed of the samples (default: 0)")
    parser.add_argument("--labelled-share", **LABELLED_SHARE)
    options.overwrite_option(parser, "OUT.png")


def main(argv=None) -> int:
    parser, subparsers = commands.stage_parser(__doc__)
    training_options(
        commands.train_command(subparsers, STAGE, train, batch_size=16, crop=256, norm="inplace")
    )
    working_options(commands.eval_command(subparsers, STAGE, build, evaluate, WEIGHTS))
    marking_options(commands.sheet_command(subparsers, STAGE, sheet, WEIGHTS))
    finding_options(commands.infer_command(subparsers, infer, WEIGHTS))
    drawing = subparsers.add_parser(
        "preview", help="draw training samples with their masks", allow_abbrev=False
    )
    preview_options(drawing)
    drawing.set_defaults(run=preview)
    return commands.run_command(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
