"""Restores scanned photographs: detects damage, inpaints it and adds color.

    python restore.py photo.jpg out/                         one photograph
    python restore.py scans/ out/ --recursive                a folder and its subfolders
    python restore.py photo.jpg out/ --only restored         no color
    python restore.py photo.jpg out/ --mask edited_mask.png  repair what this mask marks
    python restore.py photo.jpg out/ --psd                   also a Photoshop file with all steps as layers
    python restore.py - - --only restored < in.png > out.png
    torchrun --nproc_per_node=4 restore.py scans/ out/       photographs shared by four processes

Writes for each photograph: STEM_mask.png (the repaired area), STEM_restored, STEM_restored_color, STEM_color
(color only, in case the detected damage is wrong) and STEM.json (a report; data/report.py explains its keys).
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import colorize
import inpaint
import segment
from data import batch
from engine import PROGRAM, commands, options

PICTURES = {
    "mask": "_mask.png",
    "restored": "_restored.{ext}",
    "restored_color": "_restored_color.{ext}",
    "color": "_color.{ext}",
}


def layered(photo, files: dict, mask, probability, weights: dict) -> bytes:
    """A Photoshop file of the pictures in `files` (name -> pixels, remark, stages) over the original.

    probability: (H, W) in [0, 1] of damage, or None. Original and Repairs give the restored picture, with
    Color on top the restored one in color; Original with Color of original gives the original in color.
    """
    from data import xmp
    from data.psd import Layer, photoshop

    stack = [Layer("Original", photo.pixels)]
    if "restored" in files:
        stack.append(Layer("Repairs", files["restored"][0], (mask == 255).astype("uint8") * 255))
    if "color" in files:
        stack.append(
            Layer("Color of original", files["color"][0], color=True, visible="restored" not in files)
        )
    if "restored_color" in files:
        stack.append(Layer("Color", files["restored_color"][0], color=True))
    if probability is not None:
        stack.append(Layer("Probability", (probability * 255).round().astype("uint8"), visible=False))
    shown = [name for name in ("restored_color", "restored", "color") if name in files]
    pixels, remark, *stages = files[shown[0]] if shown else (photo.pixels, "")
    packet = xmp.stamp(photo.xmp, remark, batch.tool(PROGRAM, weights, stages)) if remark else photo.xmp
    return photoshop(photo, stack, pixels, packet)


def restore(args) -> int:
    """Restores all photographs of the arguments; returns the exit status."""
    from data import findings
    from data.checkpoint import fingerprint
    from data.errors import PhotoError
    from data.photo import encode, read_photo
    from data.pixels import luma
    from data.sheet import compare
    from engine.processes import pick_device, rank, world

    wanted = [name for name in PICTURES if name in (args.only or PICTURES)]
    device = pick_device(args.device)
    weights, finder, threshold = {}, None, None
    if args.mask is None and wanted != ["color"]:
        weights[segment.STAGE] = fingerprint(args.segment_weights)
        finder, threshold = segment.load(
            args.segment_weights,
            device,
            args.threshold,
            precision=args.precision,
            tta=args.tta,
            max_side=args.max_side,
            tile=args.tile,
            overlap=args.overlap,
        )
    if {"restored", "restored_color"} & set(wanted):
        weights[inpaint.STAGE] = fingerprint(args.inpaint_weights)
        painter = inpaint.load(
            args.inpaint_weights,
            device,
            precision=args.precision,
            tile=args.tile,
            overlap=args.overlap,
            grain=args.grain,
        )
    if {"restored_color", "color"} & set(wanted):
        weights[colorize.STAGE] = fingerprint(args.colorize_weights)
        colorizer = colorize.load(args.colorize_weights, device, precision=args.precision)

    def work(photo, source):
        files, mask, probability, seconds, measured = {}, None, None, {}, {}
        coloring = bool({"restored_color", "color"} & set(wanted))
        hints, notes = colorize.known(photo, source) if coloring else (None, [])
        dtype, said = batch.color_depth(photo, args.format) if coloring else (None, [])
        warnings = findings.cautions(photo, coloring) + said + notes
        facts = {"seconds": seconds, "measured": measured, "warnings": warnings}

        def timed(stage, function, *arguments):
            began = time.perf_counter()
            result = function(*arguments)
            seconds[stage] = seconds.get(stage, 0) + time.perf_counter() - began
            return result

        def written(pixels):
            return read_photo(encode(pixels, None, "JPEG")).pixels if args.format == "jpg" else pixels

        if wanted != ["color"]:
            if args.mask is None:
                mask, found, notes = timed(
                    segment.STAGE, segment.find, finder, photo, source, args, threshold
                )
                probability = (
                    finder.enlarge(found, photo.size).numpy() if args.psd or args.probability else None
                )
            elif "mask" in source.companions:
                mask, notes = source.mask("mask", photo)
                notes += segment.protect(mask, photo, source)
            else:
                raise PhotoError(f"no mask for it in {args.mask}")
            warnings += notes
            facts |= {"invented": (mask == 255).mean(), "regions": findings.regions(mask)}
            files["mask"] = encode(mask, None, "PNG")
        pixels, painted = photo.pixels, []  # painted: by which stages, where anything was
        if {"restored", "restored_color"} & set(wanted):
            warnings += painter.check(mask, given=args.mask is not None)
            pixels = timed(inpaint.STAGE, painter, pixels, mask)
            warnings += painter.tiling.warned()
            painted = (
                [stage for stage in (segment.STAGE, inpaint.STAGE) if stage in weights]
                if facts["invented"]
                else []
            )
            measured["outside_mask"] = findings.difference(photo.pixels, written(pixels), mask != 255)
            files["restored"] = pixels, inpaint.REMARK if painted else "", *painted
        for name, base, stages in (("restored_color", pixels, painted), ("color", photo.pixels, [])):
            if name in wanted:
                same = base is pixels and "restored_color" in files
                picture = (
                    files["restored_color"][0]
                    if same
                    else timed(colorize.STAGE, colorizer, luma(base), hints, dtype)
                )
                measured[f"luma_{name}"] = findings.luma_difference(base, written(picture))
                remark = "; ".join([inpaint.REMARK] * bool(stages) + [colorize.REMARK])
                files[name] = picture, remark, *stages, colorize.STAGE
        results = {PICTURES[name]: files[name] for name in wanted}
        if args.compare:
            panels = {name.replace("_", " + "): files[name][0] for name in wanted if name != "mask"}
            results["_compare.png"] = encode(compare({"original": photo.pixels, **panels}), None, "PNG")
        if args.probability:
            results["_probability.png"] = segment.probability_file(probability)
        if args.psd:
            results[".{psd}"] = layered(photo, files, mask, probability, weights)
        return results, facts

    outputs = (
        [PICTURES[name] for name in wanted]
        + ["_compare.png"] * args.compare
        + ["_probability.png"] * args.probability
        + [".{psd}"] * args.psd
    )
    return batch.run(
        args,
        work,
        outputs,
        {**segment.finding(args, finder, threshold), "grain": args.grain},
        weights,
        {"mask": args.mask, "protect": args.protect, "hints": args.hints},
        commit=True,
        max_pixels=args.max_pixels,
        rank=rank(),
        world_size=world(),
        program=PROGRAM,
    )


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=PROGRAM)
    for stage in (segment, inpaint, colorize):
        parser.add_argument(
            f"--{stage.STAGE}-weights",
            type=Path,
            default=stage.WEIGHTS,
            metavar="FILE",
            help=f"weights file of the {stage.STAGE} stage (default: the bundled one)",
        )
    options.infer_options(parser)
    segment.finding_options(parser)
    inpaint.painting_options(parser)
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="repair what these masks mark with 255 and skip detection; a folder is paired by stem (default: "
        "detect damage)",
    )
    colorize.hints_option(parser)
    parser.add_argument(
        "--only",
        action="append",
        choices=PICTURES,
        help="write only this picture; repeatable (default: all four)",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="also write OUT/STEM_compare.png, original and results side by side (default: no)",
    )
    parser.add_argument(
        "--psd",
        action="store_true",
        help="also write OUT/STEM.psd (.psb if very large) with every step as a layer (default: no)",
    )
    parser.add_argument(
        "--max-pixels",
        type=options.count(1),
        default=batch.MAX_PIXELS,
        metavar="N",
        help=f"largest number of pixels of a photograph (default: {batch.MAX_PIXELS})",
    )

    def run(args) -> int:
        single = len(args.only or ()) == 1 and not args.compare and not args.psd and not args.probability
        options.check(parser, args, stdout=single)
        if args.probability and (args.mask or set(args.only or ()) == {"color"}):
            parser.error("--probability: nothing is searched for defects here")
        if args.psd and not find_spec("psd_tools"):
            parser.error("--psd needs psd-tools: pip install psd-tools")
        return restore(args)

    parser.set_defaults(run=run)
    return commands.run_command(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
