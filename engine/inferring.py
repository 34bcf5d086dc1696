"""Options of the commands that process photographs, `infer` and restore.py, and their checks."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from data.errors import UserError
from data.photo import IMAGE_SUFFIXES, MAX_PIXELS
from engine import naming, options, review
from engine.inputs import STDIO, list_photos, read_list
from engine.launch import rank, world
from engine.messages import say
from engine.photos import FORMATS
from engine.targets import check_out


def infer_options(parser: argparse.ArgumentParser, tiled: bool = True) -> None:
    """Adds the options that `infer` and restore.py share. tiled: whether the networks run in tiles."""
    _file_options(parser)
    options.device_option(parser)
    options.precision_option(parser)
    if tiled:
        options.tile_options(parser)
    add = parser.add_argument
    text = "include subfolders; OUT gets the same tree (default: no)"
    add("--recursive", action="store_true", help=text)
    text = "replace existing results (default: no, the photograph fails)"
    add("--overwrite", action="store_true", help=text)
    text = "format of the pictures; jpg is lossy (default: auto, where TIFF stays TIFF and everything else "
    text += "becomes PNG)"
    add("--format", choices=["auto", *FORMATS], default="auto", help=text)
    text = f"largest number of pixels of a photograph (default: {MAX_PIXELS})"
    add("--max-pixels", type=options.count(1), default=MAX_PIXELS, metavar="N", help=text)
    text = "append each report to FILE as one line of JSON, - for standard output (default: none)"
    add("--json", type=Path, metavar="FILE|-", help=text)
    add("--quiet", action="store_true", help="print failures only, no progress (default: no)")


def _file_options(parser: argparse.ArgumentParser) -> None:
    """Which photographs are read, and where the results go."""
    add = parser.add_argument
    text = "a file, a folder, or - for standard input; may be missing with --files-from"
    photos = add("photos", nargs="+", type=Path, metavar="PHOTO", help=text)
    text = "output folder, created if missing; for one result of one photograph also a file, whose suffix is "
    text += "the format, or - for standard output"
    out = add("out", type=Path, metavar="OUT", help=text)
    photos.required = out.required = False  # `_take_words` knows which of them must be there
    text = "also take the files and folders listed in FILE or, with -, on standard input: one a line, or "
    text += "separated by NUL as by find -print0 (default: none)"
    add("--files-from", type=Path, metavar="FILE|-", help=text)
    text = "name of the results in place of STEM, made of {stem}, {parent} (folder of the photograph) and "
    text += "{number} (its position in the run); _restored.png etc. are appended (default: {stem})"
    add("--name", type=naming.template, default=naming.STEM, metavar="TEMPLATE", help=text)


def check(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, outputs: list[str], reports: bool = False
) -> None:
    """Lists the photographs as `sources` of the arguments, and creates OUT. Ends with a usage error (status
    2) if the options of `infer_options` contradict each other or do not fit the photographs.

    outputs: as in `engine.photos.Job`; if it is one, OUT may be `-` or a file for one photograph. reports:
    whether each photograph gets a STEM.json in the folder OUT.
    """
    if hasattr(arguments, "tile") and (wrong := options.overlap_error(arguments.tile, arguments.overlap)):
        parser.error(wrong)
    _take_words(parser, arguments)
    tell = None if arguments.quiet or rank() > 0 else say
    listed = arguments.photos, arguments.out, arguments.recursive
    arguments.sources = list_photos(*listed, tell, arguments.name)
    check_out(parser, arguments, outputs)
    if arguments.json not in (None, STDIO):
        if reports and arguments.out != STDIO and not arguments.is_file:
            _check_reports(parser, arguments)
        _check_log(parser, arguments)


def _check_reports(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends with a usage error if the file of `--json` is a photograph's report or record for the page."""
    log = os.path.realpath(arguments.json)
    for source in arguments.sources:
        for suffix in (".json", review.SUFFIX):
            if log == os.path.realpath(arguments.out / f"{source.name}{suffix}"):
                parser.error(f"--json {arguments.json} is where a report of {source} goes: give another file")


def _check_log(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends with a usage error if lines cannot be appended to the file of `--json`, or must not."""
    path = arguments.json
    for name, value in vars(arguments).items():
        given = value if isinstance(value, list) else [value]
        paths = [item for item in given if isinstance(item, Path) and name not in ("json", "out")]
        if os.path.realpath(path) in map(os.path.realpath, paths):
            parser.error(f"--json {path}: this run reads that file: give another one")
    if path.suffix.lower() in {*IMAGE_SUFFIXES, ".psd", ".psb", ".html"}:
        parser.error(f"--json {path}: the reports are text, but this is the name of a picture or page")
    try:
        if not path.is_fifo():  # whose reader would take closing it for the end
            open(path, "a").close()
    except OSError as error:
        parser.error(f"--json {path} cannot be written: {error.strerror}")


def _take_words(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Settles which words are `photos` and which is `out`, and adds what `--files-from` lists; or ends with a
    usage error.
    """
    listing = arguments.files_from
    words = [*(arguments.photos or []), *filter(None, [arguments.out])]
    if len(words) < (1 if listing else 2):
        parser.error(f"the following arguments are required: {'OUT' if words or listing else 'PHOTO, OUT'}")
    *arguments.photos, arguments.out = words
    if listing is None:
        return
    if listing == STDIO and STDIO in arguments.photos:
        parser.error("PHOTO and --files-from cannot both be standard input")
    if listing == STDIO and world() > 1:
        parser.error("--files-from - works for one process only: give a file")
    try:
        listed = read_list(listing)
    except UserError as error:
        parser.error(f"--files-from: {error}")
    if listing == STDIO and STDIO in listed:
        parser.error("--files-from: standard input names -, which is standard input itself")
    arguments.photos += listed
