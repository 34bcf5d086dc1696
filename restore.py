"""Restores scanned old photographs: finds their defects, paints them in and gives back colour.

    python restore.py photo.jpg out/                         one photograph
    python restore.py scans/ out/ --recursive                a folder and all below it
    python restore.py photo.jpg out/ --only restored         without colour
    python restore.py photo.jpg out/ --mask edited_mask.png  from a mask drawn or corrected by hand
    python restore.py - - --only restored < in.png > out.png
    torchrun --nproc_per_node=4 restore.py scans/ out/       photographs shared out over processes

For each photograph there are in OUT: STEM_mask.png (what was repaired), STEM_restored, STEM_restored_color,
STEM_color (the original in colour, for the day when finding defects erred) and STEM.json (what was done).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import colorize
import engine
import inpaint
import segment
from data import batch

PICTURES = {"mask": "_mask.png", "restored": "_restored.{ext}",
            "restored_color": "_restored_color.{ext}", "color": "_color.{ext}"}  # fmt: skip


def restore(args) -> int:
    """Restores all photographs of the arguments; returns the exit status."""
    from data import layers
    from data.checkpoint import sha256
    from data.images import PhotoError, encode, luma

    wanted = [name for name in PICTURES if name in (args.only or PICTURES)]
    device = engine.pick_device(args.device)
    weights, threshold = {}, args.threshold
    if args.mask is None and wanted != ["color"]:
        weights[segment.STAGE] = sha256(args.segment_weights)
        finder, stored = segment.load(args.segment_weights, device, precision=args.precision, tta=args.tta,
                                      max_side=args.max_side, tile=args.tile, overlap=args.overlap)  # fmt: skip
        threshold = stored if threshold is None else threshold
    if {"restored", "restored_color"} & set(wanted):
        weights[inpaint.STAGE] = sha256(args.inpaint_weights)
        painter = inpaint.load(args.inpaint_weights, device, precision=args.precision, tile=args.tile,
                               overlap=args.overlap, grain=args.grain)  # fmt: skip
    if {"restored_color", "color"} & set(wanted):
        weights[colorize.STAGE] = sha256(args.colorize_weights)
        colorizer = colorize.load(args.colorize_weights, device, precision=args.precision)

    def work(photo, source):
        seconds, facts, files = {}, {"warnings": []}, {}

        def timed(stage, function, *arguments):
            began = time.perf_counter()
            result = function(*arguments)
            seconds[stage] = seconds.get(stage, 0) + time.perf_counter() - began
            return result

        if wanted != ["color"]:
            if args.mask is None:
                mask, _, notes = timed(segment.STAGE, segment.find, finder, photo, source, args, threshold)
            elif "mask" in source.companions:
                mask, notes = source.mask("mask", photo)
                notes += segment.protect(mask, photo, source)
            else:
                raise PhotoError(f"no mask for it in {args.mask}")
            facts = {"invented": (mask == 255).mean(), "warnings": notes}
            files["mask"] = encode(mask, None, "PNG")
        pixels = photo.pixels
        if {"restored", "restored_color"} & set(wanted):
            pixels = timed(inpaint.STAGE, painter, pixels, mask)
            files["restored"] = pixels, ""
        if "restored_color" in wanted:
            files["restored_color"] = timed(colorize.STAGE, colorizer, luma(pixels)), colorize.REMARK
        if "color" in wanted:
            same = pixels is photo.pixels and "restored_color" in files
            picture = files["restored_color"][0] if same else timed(colorize.STAGE, colorizer, luma(photo.pixels))
            files["color"] = picture, colorize.REMARK
        results = {PICTURES[name]: files[name] for name in wanted}
        if args.compare:
            panels = {name.replace("_", " + "): files[name][0] for name in wanted if name != "mask"}
            results["_compare.png"] = encode(layers.compare({"original": photo.pixels, **panels}), None, "PNG")
        return results, {**facts, "seconds": seconds}

    outputs = [PICTURES[name] for name in wanted] + ["_compare.png"] * args.compare
    return batch.run(args, work, outputs, {**segment.finding(args, threshold), "grain": args.grain}, weights,
                     {"mask": args.mask, "protect": args.protect}, commit=True, max_pixels=args.max_pixels,
                     rank=engine.rank(), world_size=engine.world())  # fmt: skip


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"photo-restore {engine.VERSION}")
    for stage in (segment, inpaint, colorize):
        parser.add_argument(f"--{stage.STAGE}-weights", type=Path, default=stage.WEIGHTS, metavar="FILE",
                            help=f"weights of the {stage.STAGE} stage (default: the bundled ones)")  # fmt: skip
    batch.infer_options(parser)
    segment.finding_options(parser)
    inpaint.painting_options(parser)
    parser.add_argument("--mask", type=Path, metavar="FILE_OR_FOLDER",
                        help="repair what these masks mark, 255, and find nothing; paired by stem (default: find defects)")  # fmt: skip
    parser.add_argument("--only", action="append", choices=PICTURES, help="write this picture alone; repeatable (default: all four)")
    parser.add_argument("--compare", action="store_true",
                        help="write OUT/STEM_compare.png too: original and results side by side (default: no)")  # fmt: skip
    parser.add_argument("--max-pixels", type=batch.count(1), default=batch.MAX_PIXELS, metavar="N",
                        help=f"refuse photographs of more pixels (default: {batch.MAX_PIXELS})")  # fmt: skip

    def run(args) -> int:
        batch.check(parser, args, stdout=len(args.only or ()) == 1 and not args.compare)
        return restore(args)

    parser.set_defaults(run=run)
    return engine.run_command(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
