"""A small command around the loop over photographs, for its tests."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import read_role_mask
from data.photo import encode
from engine.inferring import check, infer_options
from engine.photos import Job, Picture, run

OUTPUTS = ["_mask.png", "_restored.{ext}"]
calls = []  # names of the photographs that `same` has processed


def photo(path, seed=0):
    """Writes a small photograph of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)).save(path)
    return path


def same(photo, source):
    """Work that changes nothing and counts its calls; it has a bug where the name says "broken"."""
    calls.append(source.name)
    if "broken" in source.name:
        raise RuntimeError("two\nlines")
    mask, notes = np.zeros(photo.size[::-1], np.uint8), []
    if "mask" in source.companions:
        mask, notes = read_role_mask(source.companions["mask"], "mask", photo.size)
    files = {"_mask.png": encode(mask, None, "PNG"), "_restored.{ext}": Picture(photo.pixels)}
    return files, {"invented": float((mask == 255).mean()), "seconds": {"x": 0.1}, "warnings": notes}


def command(*words, work=same, commit=True, options=None, outputs=OUTPUTS, weights=None):
    """Parses the words and runs the job; returns the exit status."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    infer_options(parser)
    parser.add_argument("--mask", type=Path)
    arguments = parser.parse_args([str(word) for word in words])
    check(parser, arguments, outputs, reports=commit)
    tiles = {"tile": arguments.tile, **(options or {})}
    companions = {"mask": arguments.mask}
    return run(arguments, Job(work, outputs, tiles, weights or {"x": "ab"}, companions, commit))
