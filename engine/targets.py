"""OUT of a command: a folder, standard output, or the file of the only result."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from data.photo import IMAGE_SUFFIXES
from engine.inputs import STDIO
from engine.naming import STEM
from engine.photos import FORMATS

_FORMAT_OF = {**{f".{suffix}": suffix for suffix in FORMATS}, ".tiff": "tif", ".jpeg": "jpg"}
# Suffixes of other pictures: a name that ends in one is not meant as a folder.
_FOREIGN = {".psd", ".psb", ".jxl", ".dng", ".pdf", ".svg", ".ico"}
_COMPANIONS = ("mask", "protect", "hints")


def check_out(parser: argparse.ArgumentParser, arguments: argparse.Namespace, outputs: list[str]) -> None:
    """Sets `is_file` of the arguments, and `format` if OUT is a file; creates the folder of the results.

    outputs: as in `engine.photos.Job`. Needs `sources` of the arguments. Ends with a usage error (status 2)
    if OUT does not fit the photographs and results.
    """
    out, single = arguments.out, len(arguments.sources) == len(outputs) == 1
    arguments.is_file = out != STDIO and names_file(out)
    if arguments.name != STEM and (out == STDIO or arguments.is_file):
        parser.error(f"--name works with a folder only: leave it out, or give a folder in place of {out}")
    if out == STDIO:
        if not single:
            parser.error("OUT can be - for one photograph with one result only")
        if arguments.json == STDIO:
            parser.error("OUT and --json cannot both be standard output")
    elif arguments.is_file:
        _check_file(parser, arguments, outputs)
        _make_folder(parser, out.parent)
    else:
        for photo in arguments.photos:
            if photo != STDIO and os.path.isdir(photo) and os.path.realpath(photo) == os.path.realpath(out):
                parser.error(f"OUT must be another folder than the input folder {photo}")
        _make_folder(parser, out)


def names_file(out: Path) -> bool:
    """Whether OUT has the suffix of a picture and is no folder of such a name."""
    return out.suffix.lower() in IMAGE_SUFFIXES | _FOREIGN and not os.path.isdir(out)


def _check_file(parser: argparse.ArgumentParser, arguments: argparse.Namespace, outputs: list[str]) -> None:
    """Ends with a usage error if the file OUT cannot be the only result; its suffix is the `--format`."""
    out, photographs, results = arguments.out, len(arguments.sources), len(outputs)
    if photographs != 1:
        what = f"OUT {out} is a file for one result, but there are {photographs} photographs"
        parser.error(f"{what}: give a folder")
    if results != 1:
        what = f"OUT {out} is a file for one result, but there are {results}"
        parser.error(f"{what}: give a folder, or ask for one result")
    suffix = out.suffix.lower()
    if "{ext}" not in outputs[0] and suffix != ".png":
        parser.error(f"OUT {out}: a mask is always a PNG: give OUT the suffix .png")
    if suffix not in _FORMAT_OF:
        parser.error(f"OUT {out}: {suffix} cannot be written, but {', '.join(_FORMAT_OF)} can")
    if arguments.format not in ("auto", _FORMAT_OF[suffix]):
        what = f"OUT {out} is not --format {arguments.format}"
        parser.error(f"{what}: leave out --format, or change the suffix")
    arguments.format = _FORMAT_OF[suffix]
    companions = [getattr(arguments, role, None) for role in _COMPANIONS]
    for given in [arguments.sources[0].path, *filter(None, companions)]:
        if given != STDIO and os.path.exists(out) and os.path.exists(given) and os.path.samefile(out, given):
            parser.error(f"OUT must be another file than {given}")


def _make_folder(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Creates the folder of the results, or ends with a usage error."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        what = "a link to nothing" if folder.is_symlink() and not folder.exists() else "a file"
        parser.error(f"OUT must be a folder, but {folder} is {what}")
    except OSError as error:
        parser.error(f"OUT {folder} cannot be made: {error.strerror}")
    if not os.access(folder, os.W_OK | os.X_OK):
        parser.error(f"OUT {folder} cannot be written to")
