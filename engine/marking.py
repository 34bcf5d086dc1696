"""Options of damage detection, shared by segment.py and restore.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import options

MAX_SIDE = 1024  # px, working size: longer side of the copy in which damage is detected
DILATE = 2  # px of the working size, so that the anti-aliased edge of a crack is repaired too


def working_options(parser) -> None:
    """Options of the working size and test-time augmentation, shared by `infer`, `eval` and restore.py."""
    add = parser.add_argument
    text = "test-time augmentation: average the photograph and a smaller, mirrored view (default: on)"
    add("--tta", action=argparse.BooleanOptionalAction, default=True, help=text)
    text = f"longer side of the copy in which damage is detected (default: {MAX_SIDE} px, 64 to 65536)"
    add("--max-side", type=options.working_side, default=MAX_SIDE, metavar="PX", help=text)


def marking_options(parser) -> None:
    """Options that turn a probability into a mask, shared by `infer`, `sheet` and restore.py."""
    add = parser.add_argument
    text = "probability from which a pixel counts as damaged, above 0 to 1; below the default, the check "
    text += "that leaves undamaged photographs alone is off too (default: stored in the weights)"
    add("--threshold", type=options.threshold, metavar="P", help=text)
    text = f"dilate detected masks by this many px of the working size, 0 to 100 (default: {DILATE})"
    add("--dilate", type=options.dilation, default=DILATE, metavar="PX", help=text)
    working_options(parser)


def finding_options(parser) -> None:
    """Options of detection, shared by `infer` and restore.py."""
    marking_options(parser)
    infrared_option(parser)
    size_options(parser)
    add = parser.add_argument
    text = "never repair what these masks mark with 255; a folder is paired by stem (default: none)"
    add("--protect", type=Path, metavar="FILE_OR_FOLDER", help=text)
    text = "also write the damage probability, OUT/STEM_probability.png, 16 bits (default: no)"
    add("--probability", action="store_true", help=text)


def infrared_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--infrared`."""
    text = "infrared channel of a film scanner, in the file or in STEM_IR.tif beside it: auto adds the dust "
    text += "and scratches in it to the detected damage, only runs no network for detection, off ignores it "
    text += "(default: auto)"
    parser.add_argument("--infrared", choices=options.INFRARED, default="auto", help=text)


def size_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--smallest` and `--largest`."""
    add = parser.add_argument
    text = "drop detected marks whose area, after --dilate, is below this many px of the working size "
    add("--smallest", type=options.positive(float), metavar="PX", help=text + "(default: keep all)")
    text = "drop detected marks whose area is above this share of the photograph (default: keep all)"
    add("--largest", type=options.positive_share, metavar="SHARE", help=text)
