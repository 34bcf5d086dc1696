"""Checks of a data folder before training: what is wrong with its files, found in seconds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from data.crops import converted
from data.errors import PhotoError
from data.folder import grouped, paired, validation
from data.photo import read_photo, read_size

# stage -> the parts of a data folder that it reads
PARTS = {
    "segment": ("clean", "labelled/images", "labelled/masks", "negatives", "textures"),
    "inpaint": ("clean", "labelled/masks", "textures"),
    "colorize": ("clean", "cutouts", "backgrounds", "overlays", "color_small"),
}
# Read by `read_photo`; of the others, Pillow reads what a crop needs
READ_WHOLE = ("labelled", "negatives", "val")
TAIL = 4096  # bytes at the end of a file in which a picture ends; cameras append little
ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
UNUSUAL = ("F", "I", "LAB")  # Pillow's modes of which crops may be impossible, or all black or white
THREADS = 8  # which wait for the disk
LISTED = 20  # faults that are named; more would not be read


def pictures(data: Path, stage: str) -> list[Path]:
    """All pictures of a data folder that a stage reads, its validation part included."""
    folders = [root / part for root in dict.fromkeys((data, validation(data))) for part in PARTS[stage]]
    return [path for folder in folders for group in grouped(folder) for path in group]


def faults(data: Path, paths: list[Path]) -> list[str]:
    """What is wrong with each of these pictures of a data folder, in a line; "" for nothing."""
    Image.init()  # not safe in threads

    def fault(path: Path) -> str:
        return _fault(path, path.relative_to(data).parts[0] in READ_WHOLE)

    return in_threads(fault, paths)


def labelled(data: Path, stage: str) -> tuple[list[tuple[Path, Path]], list[str], list[Path]]:
    """What `paired` says of the labelled photographs of a data folder, its validation part included; nothing
    for a stage that does not read them.
    """
    roots = dict.fromkeys((data, validation(data))) if "labelled/images" in PARTS[stage] else ()
    found = [paired(root / "labelled") for root in roots]
    return tuple([x for part in parts for x in part] for parts in zip(*found)) if found else ([], [], [])


def pair_faults(pairs: list[tuple[Path, Path]]) -> list[str]:
    """What is wrong with each of these pairs of readable pictures, in a line; "" for nothing."""
    return in_threads(_pair_fault, pairs)


def listing(lines: list[str]) -> list[str]:
    """The first of these lines, and how many there are more."""
    more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return [*lines[:LISTED], *more]


def in_threads(function: Callable, items: list) -> list:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))


def _fault(path: Path, read_whole: bool) -> str:
    """Decodes only a picture that does not look sound."""
    if _looks_sound(path):
        return ""
    try:
        read_photo(path)
        if not read_whole:
            with Image.open(path) as picture:
                picture.load()
                converted(picture, "RGB")
    except PhotoError as error:
        return f"{path}: {error}"
    except Exception as error:  # of Pillow's plugins, which raise almost any
        return f"{path}: crops of it cannot be read ({error}): save it as PNG or JPEG"
    return ""


def _looks_sound(path: Path) -> bool:
    """Whether a file has the header of a picture with common pixels and, if it is a JPEG, PNG or TIFF, its
    end.
    """
    try:
        with open(path, "rb") as file, Image.open(file) as picture:
            if picture.mode in UNUSUAL:
                return False
            length = file.seek(0, 2)
            if picture.format == "TIFF":
                tags = [picture.tag_v2.get(tag, ()) for tag in (273, 324, 279, 325)]
                return all(at + size <= length for at, size in zip(tags[0] + tags[1], tags[2] + tags[3]))
            file.seek(max(0, length - TAIL))
            return ENDS.get(picture.format, b"") in file.read()
    except Exception:  # of Pillow's plugins, which raise almost any
        return False


def _pair_fault(pair: tuple[Path, Path]) -> str:
    photo, mask = pair
    try:
        sizes = [read_size(path) for path in pair]
    except PhotoError:  # named by `faults`
        return ""
    if sizes[0] == sizes[1]:
        return ""
    shown = [f"{width} x {height} px" for width, height in sizes]
    return f"{mask}: {shown[1]}, but {photo} has {shown[0]}: save the mask at the size of the photograph"
