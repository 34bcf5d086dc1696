"""Detects damage in photographs, and writes it as masks.

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

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import UserError
from data.evaluation import damaged_photos, hard_negatives, with_lookalike
from data.files import refuse_existing, write_whole
from data.folder import damage_in, images_in, measured_scans, pairs_in, thinned, validation
from data.images import read_protection
from data.infrared import AUTO, mark
from data.labelled import Labelled
from data.marks import ANY_SIZE, Found, drop, regions
from data.photo import Photo, encode, probability_file, read_labelled, read_named
from data.pixels import luma, resize
from data.sheet import grid, overlay, side_by_side
from engine import commands, marking, options
from engine.launch import leave
from engine.marking import DILATE, MAX_SIDE
from engine.options import OVERLAP, TILE
from engine.pairing import BESIDE
from engine.photos import Job, run

if TYPE_CHECKING:
    from losses.detection import Case
    from nets.finder import Finder

STAGE = "segment"
WEIGHTS = Path(__file__).parent / "weights" / "segment.pt"
# Confidence that a photograph is damaged, below which nothing is marked in it. Weights store a lower one if
# this one costs too much Dice.
MIN_CONFIDENCE = 0.975


def build(network: dict):
    """The network from its constructor arguments."""
    from nets.norm import NORMS
    from nets.unet import AlbuNet

    return AlbuNet(**{**network, "norm": NORMS[network.get("norm", "inplace")]})


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
    from engine.networks import load_encoders, network_options, starting_network
    from engine.training import Stage, fit
    from nets.ops.precision import fastest

    network = network_options(
        starting_network(STAGE, args),
        args.weights,
        {"channels": 1, "out_channels": 1, "stem": "full", "extra_levels": 2},
        depth=("encoder", args.encoder, 18),
        width=("width", args.width, 64),
        norm=("norm", args.norm, "inplace"),
        context=("context", args.context, "none"),
    )
    if network["context"] == "none":
        del network["context"]
        if args.context_weights:
            raise UserError("--context-weights needs --context")
    options.check_corrections(args.corrections, args.photos)
    labelled = options.chosen(args, "hold_out", "corrections", "photos")
    drawn = {"seed": args.seed, "side": args.crop, "labelled_share": args.labelled_share, **labelled}
    published = {"encoder": args.encoder_weights, "context": args.context_weights}
    stage = Stage(
        STAGE,
        build,
        samples=partial(SegmentSamples, args.data, **drawn),
        losses=partial(compute_losses, **options.chosen(args, "positive_weight", "dice_weight")),
        evaluate=partial(evaluate, data=args.data, tta=True, **labelled),  # as `infer` detects
        validation_set=partial(damaged_photos, args.data, **labelled),
        fastest=fastest,
        initialize=partial(load_encoders, network=network, **published),
    )
    return fit(stage, args, network)


# ------------------------------------------------------------------------------------------- measuring


def evaluate(
    net, *, data: Path, processes, stored=None, tta=False, max_side=MAX_SIDE, hold_out=None, **corrections
) -> dict:
    """Evaluates a network on the validation photographs, which the processes share.

    Without `stored` settings, as in training, they are searched and returned, only a few undamaged
    photographs are used, and `samples` has pictures. With them, the slow parts are included: all undamaged
    photographs, also with each kind of hard negative. hold_out: the fold "I/N" of labelled/ and
    negatives/ to evaluate on, in place of val/. corrections: as for `data.labelled.measured_photos`. Raises
    UserError if there is no damage to evaluate on.
    """
    from losses import detection, operating_point, summary

    options.check_corrections(**corrections)
    training, confidence = stored is None, stored.get("sure", MIN_CONFIDENCE) if stored else None
    damage = {} if training else damage_in(data, hold_out)
    finder = make_finder(net, processes.device, tta=tta, max_side=max_side, min_confidence=confidence)
    labelled = processes.shard(damaged_photos(data, hold_out, **corrections))
    cases = [detect(finder, photo) for photo in labelled]

    histograms = processes.gather([detection.histogram(finder, case) for case in cases])
    damaged = [row for row in histograms if row["damaged"]]
    if training:
        counts, confidences = [row["counts"] for row in damaged], [row["confidence"] for row in damaged]
        stored = operating_point.search(counts, confidences, MIN_CONFIDENCE)
        finder.min_confidence = stored["sure"]

    threshold = stored["threshold"]
    rows = processes.gather([detection.overlap(finder, case, threshold) for case in cases])
    clean, scans = undamaged(data, hold_out, training)
    alarms, scan_alarms = (
        processes.gather([alarm(finder, path, threshold) for path in processes.shard(paths)])
        for paths in (clean, scans)
    )

    found = [row for row, curve in zip(rows, histograms, strict=True) if curve["damaged"]]
    result = {"infer": stored, **summary.defects(found, histograms)}
    result |= summary.false_alarms(alarms) | summary.false_alarms(scan_alarms, "scans")
    if training:
        shown = [strip(finder, *pair) for pair in zip(labelled[:6], cases, strict=False)]
        result["samples"] = dict(processes.gather(shown)[:6])
    else:
        result["groups"] = summary.by_damage(found, damage)
        if clean:
            result["negatives"] = negatives(finder, threshold, clean, processes)
    return {**result, "rows": rows, "clean_rows": alarms, "scan_rows": scan_alarms}


def undamaged(data: Path, hold_out: str | None, training: bool) -> tuple[list[Path], list[Path]]:
    """The clean photographs, few in training, and the old scans to count false alarms on."""
    clean = images_in(validation(data) / "clean") if training or not hold_out else []
    return thinned(clean, 12) if training else clean, measured_scans(data, hold_out)


def detect(finder: Finder, photo: Labelled) -> Case:
    """A labelled photograph with the network's output. Raises PhotoError."""
    import torch

    from losses.detection import Case

    grey, mask = photo.read()
    return Case(photo.name, torch.from_numpy(mask), finder(grey))


def alarm(finder: Finder, path: Path, threshold: float) -> dict:
    """Shares of the pixels marked in an undamaged photograph, before and after the default dilation."""
    photo = read_named(path)
    prediction = finder(luma(photo.pixels))
    found, widened = (finder.mask(prediction, photo.size, threshold, dilate) for dilate in (0, DILATE))
    marked, widened = (float(mask.float().mean()) for mask in (found, widened))
    return {"photo": path.name, "marked": marked, "widened": widened}


def strip(finder: Finder, photo: Labelled, case: Case) -> tuple:
    """(name, pictures) of a case: photograph, probability and mask."""
    grey, mask = photo.read()
    probability = finder.enlarge(case.prediction.probability, case.size)
    return Path(photo.name).stem, (grey, probability.numpy(), mask)


def negatives(finder: Finder, threshold: float, clean: list, processes) -> dict:
    """kind of hard negative -> share of its pixels that are marked, on up to five undamaged photographs per
    kind.
    """
    from losses import summary

    rows = []
    for kind, path, seed in processes.shard(hard_negatives(clean)):
        grey, changed = with_lookalike(path, kind, seed, finder.working_size)
        drawn = np.abs(changed - grey) > 0.02
        found = finder.mask(finder(changed), grey.shape[::-1], threshold).numpy()
        rows.append((kind, int((found & drawn).sum()), int(drawn.sum())))
    return summary.marked_by_kind(processes.gather(rows))


# ------------------------------------------------------------------------------------------- detecting


def make_finder(net, device, **settings) -> Finder:
    """The predictor of a network, which may be in training. settings: of `nets.finder.Finder`."""
    from nets.finder import Finder

    defaults = {"max_side": MAX_SIDE, "min_confidence": MIN_CONFIDENCE, "tile": TILE, "overlap": OVERLAP}
    return Finder(net, device, resize, **{**defaults, **settings})


def load(weights: Path, device, threshold: float | None = None, **settings) -> tuple[Finder, float]:
    """A Finder and its threshold from a weights file. Raises WeightsError.

    A threshold below the stored one turns the confidence check off: everything above it is marked, in any
    photograph.
    """
    from engine.networks import load_net

    net, stored = load_net(weights, STAGE, build)
    threshold = stored["threshold"] if threshold is None else threshold
    confidence = stored.get("sure", MIN_CONFIDENCE) if threshold >= stored["threshold"] else None
    return make_finder(net, device, min_confidence=confidence, **settings), threshold


def find(
    finder: Finder | None,
    photo: Photo,
    threshold,
    dilate: int,
    infrared=AUTO,
    max_side=MAX_SIDE,
    sizes=ANY_SIZE,
) -> Found:
    """The damage of a photograph. Raises PhotoError.

    finder: None for infrared alone, without a probability. dilate: px of the working size by which the mask
    is widened. infrared: as in `data.infrared.mark`. sizes: smallest and largest mark of the widened mask, as
    in `data.marks.drop`, where the copy is the working size.
    """
    from nets.finder import working_size

    mask, probability, notes = np.zeros(photo.pixels.shape[:2], np.uint8), None, []
    if finder:
        prediction = finder(luma(photo.pixels))
        probability, notes = prediction.probability, finder.tiling.warned()
        mask = finder.mask(prediction, photo.size, threshold, dilate).byte().mul_(255).numpy()
    scale = max(photo.size) / max(working_size(photo.size, max_side))
    shown, count, said = mark(photo, infrared, math.ceil(dilate * scale))
    if shown is not None:
        mask[shown] = 255
    if finder and finder.min_confidence is not None and not mask.any() and (probability >= threshold).any():
        note = "no damage is certain enough, so nothing was marked; a --threshold below that of the weights "
        said = [note + "marks possible damage too", *said]
    dropped = drop(mask, *sizes, scale)
    if dropped and any(dropped.values()) and not mask.any():
        said.append("all marks were dropped by --smallest or --largest, so nothing is repaired")
    if shown is not None:
        shown &= mask == 255
    return Found(mask, probability, shown, notes + said, {"infrared": count, "dropped": dropped})


def report_options(finder: Finder | None, threshold: float | None, infrared="auto", **others) -> dict:
    """The options that decide a mask, for the report. finder: None if unused. infrared: auto is left out."""
    others |= {} if infrared == "auto" else {"infrared": infrared}
    return {"threshold": threshold, "sure": finder and finder.min_confidence, **others}


def infer(args) -> int:
    from data.checkpoint import fingerprint
    from engine.processes import pick_device

    settings = options.chosen(args, "tta", "max_side", "precision", "tile", "overlap")
    sizes = {name: value for name, value in options.chosen(args, "smallest", "largest").items() if value}
    finder, threshold, alone = None, None, args.infrared == "only"
    if alone and args.probability:
        raise UserError("--probability: --infrared only does not run the network")
    if not alone:
        finder, threshold = load(args.weights, pick_device(args.device), args.threshold, **settings)

    def work(photo, source):
        protected, said = read_protection(source.companions.get("protect"), photo.size)
        infrared = args.infrared, source.companions.get("infrared")
        limits = args.smallest, args.largest
        found = find(finder, photo, threshold, args.dilate, infrared, args.max_side, limits)
        found.mask[protected] = 0
        files = {"_mask.png": encode(found.mask, None, "PNG")}
        if args.probability:
            probability = finder.enlarge(found.probability, photo.size)
            files["_probability.png"] = probability_file(probability.numpy())
        facts = {"regions": regions(found.mask), "number_format": finder and finder.precision, **found.facts}
        return files, {"warnings": found.notes + said, **facts}

    job = Job(
        work,
        args.outputs,
        options=report_options(finder, threshold, args.infrared, **sizes, dilate=args.dilate, **settings),
        weights={} if alone else {STAGE: fingerprint(args.weights)},
        companions={"protect": args.protect, "infrared": BESIDE if args.infrared != "off" else None},
        max_pixels=args.max_pixels,
    )
    return run(args, job)


def sheet(args) -> list:
    """Rows of a contact sheet, photo | mask | overlay.

    Shows the labelled validation photographs, every fourth undamaged one of `clean/`, and those of `old/`. In
    the overlay, detections are red; with a hand-made mask, green is in both and blue only in that mask.
    """
    from engine.processes import pick_device

    settings = options.chosen(args, "tta", "max_side")
    finder, threshold = load(args.weights, pick_device(args.device), args.threshold, **settings)
    folder, rows = validation(args.data), []
    unlabelled = images_in(folder / "clean")[::4] + images_in(folder / "old")
    for path, drawn in [*pairs_in(folder / "labelled"), *((path, None) for path in unlabelled)]:
        photo, truth = read_labelled(path, drawn) if drawn else (read_named(path), None)
        grey = luma(photo.pixels)
        found = finder.mask(finder(grey), photo.size, threshold, args.dilate).numpy()
        truth = np.zeros_like(found) if truth is None else truth == 255
        title = f"{path.stem}: {found.mean():.2%} marked"
        title += f", by hand {truth.mean():.2%}" if drawn else ""
        cells = {"mask": found.astype(np.float32), "overlay": overlay(grey, found, truth)}
        rows.append((title, {"photo": photo.pixels, **cells}))
    if not rows:
        raise UserError(f"{folder}: no photographs in labelled/, clean/ or old/")
    return rows


def preview(args) -> int:
    """Writes a sheet of training samples, each with its mask."""
    from data.datasets import SegmentSamples

    refuse_existing(args.out, args.overwrite)
    samples = SegmentSamples(args.data, seed=args.seed, side=args.crop, labelled_share=args.labelled_share)
    pairs = [samples[number] for number in range(args.count)]
    picture = grid([side_by_side(pair["luma"][0].numpy(), pair["mask"][0].numpy()) for pair in pairs])
    write_whole(args.out, encode(picture, None, "PNG"), args.overwrite)
    return 0


def training_options(parser) -> None:
    """Options of `train` that only this stage has."""
    options.encoder_options(parser, 18)
    options.context_options(parser)
    add = parser.add_argument
    options.labelled_share_option(parser)
    options.hold_out_option(parser, ", and train on the others")
    options.corrections_options(parser)
    text = "weight of damaged pixels relative to intact ones; auto: intact / damaged pixels of the global "
    text += "batch, 1 to 10 (default: auto)"
    add("--positive-weight", type=options.auto_or_positive, default="auto", metavar="auto|N", help=text)
    text = "weight of soft Dice (default: 1)"
    add("--dice-weight", type=options.loss_weight, default=1.0, help=text)


def preview_options(parser) -> None:
    add = parser.add_argument
    add("out", type=options.png, metavar="OUT.png", help="output file")
    options.data_option(parser, STAGE)
    add("--count", type=options.count(1), default=12, help="number of samples (default: 12)")
    text = "side of the samples, in px (default: 256)"
    add("--crop", type=options.count(32, options.MOST_SIDE), default=256, help=text)
    add("--seed", type=options.count(0), default=0, help="seed of the samples (default: 0)")
    options.labelled_share_option(parser)
    options.overwrite_option(parser, "OUT.png")


def main(argv=None) -> int:
    parser, subparsers = commands.stage_parser(__doc__)
    training = commands.train_command(subparsers, STAGE, train, batch_size=16, crop=256, norm="inplace")
    training_options(training)
    evaluation = commands.eval_command(subparsers, STAGE, build, evaluate, WEIGHTS)
    marking.working_options(evaluation)
    options.hold_out_option(evaluation)
    options.corrections_options(evaluation, "evaluate")
    marking.marking_options(commands.sheet_command(subparsers, STAGE, sheet, WEIGHTS))
    marking.finding_options(commands.infer_command(subparsers, infer, WEIGHTS, "_mask.png"))
    drawing = subparsers.add_parser("preview", help="draw training samples and masks", allow_abbrev=False)
    preview_options(drawing)
    drawing.set_defaults(run=preview)
    return commands.run_command(parser, argv)


if __name__ == "__main__":
    leave(main())
