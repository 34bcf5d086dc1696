"""Layout of a data folder: photographs, labelled pairs, validation set.

TRAINING.md describes it: `clean/`, `labelled/images` and `labelled/masks`, `textures/`, and `val/`.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from data.errors import PhotoError
from data.photo import IMAGE_SUFFIXES

SMALL = "color_small"  # folder of photographs too small for anything but color


def composed(name: str) -> str:
    """A file name in the Unicode form NFC. A Mac writes "ü" as two characters, other systems as one."""
    return unicodedata.normalize("NFC", name)


def images_in(folder: Path) -> list[Path]:
    """All pictures under a folder, recursively, sorted; [] if there is no such folder. Hidden files and
    folders are left out, such as the `._scan.jpg` that macOS writes beside scan.jpg.

    Raises PhotoError if a folder cannot be read, or a picture is a pipe or device, which may never end.
    """
    return sorted(path for _, pictures in _walk(folder) for path in pictures)


def grouped(folder: Path) -> list[list[Path]]:
    """The pictures of each direct subfolder, which may be a link, and those beside them, without empty
    lists. Raises PhotoError like `images_in`.
    """
    subfolders, beside = next(_walk(folder), ([], []))
    groups = [*map(images_in, sorted(subfolders)), sorted(beside)]
    return [group for group in groups if group]


def _walk(folder: Path) -> Iterator[tuple[list[Path], list[Path]]]:
    """The visible subfolders and pictures of a folder, then those of all folders below, without links."""
    for root, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if name[0] != "."]
        paths = [Path(root, name) for name in files if name[0] != "."]
        pictures = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
        for path in pictures:
            if not os.path.isfile(path) and os.path.exists(path):  # a dangling link fails when it is read
                raise PhotoError(f"{path}: is not a file")
        yield [Path(root, name) for name in folders], pictures


def _refuse(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise PhotoError(f"{error.filename}: cannot be read: {error.strerror}") from None


def paired(folder: Path) -> tuple[list[tuple[Path, Path]], list[str], list[Path]]:
    """(image, mask) pairs of `folder`/images and `folder`/masks, what is wrong with others, in a line each,
    and the masks without a photograph.

    The mask of a/scan.jpg is a/scan.png or a/scan_mask.png. A photograph whose stem no other one has may have
    its mask in any folder below masks/.
    """
    images, masks = (Path(folder) / part for part in ("images", "masks"))
    by_name, by_stem = defaultdict(list), defaultdict(list)
    for mask in images_in(masks):
        by_name[_name(mask, masks)].append(mask)
        by_stem[composed(mask.stem)].append(mask)
    photos = images_in(images)
    stems = Counter(composed(path.stem) for path in photos)
    owners, pairs, faults = {}, [], []
    for path in photos:
        name = _name(path, images)
        other = name.with_name(f"{name.name}_mask")
        fitting = by_name[name] + by_name[other]
        if not fitting and stems[name.name] == 1:
            fitting = by_stem[name.name] + by_stem[other.name]
        if not fitting:
            faults.append(f"{path}: no {name} or {other} in {masks}")
        elif len(fitting) > 1:
            faults.append(f"both {fitting[0]} and {fitting[1]} could be the mask of {path}: remove one")
        elif fitting[0] in owners:
            faults.append(f"{fitting[0]} would be the mask of {owners[fitting[0]]} and {path}: rename one")
        else:
            pairs.append((path, fitting[0]))
        owners.update(dict.fromkeys(fitting, path))
    unused = [mask for found in by_stem.values() for mask in found if mask not in owners]
    return pairs, faults, unused


def _name(path: Path, folder: Path) -> Path:
    """What a photograph and its mask have in common: the path below the folder, without suffix."""
    return Path(composed(str(path.relative_to(folder).with_suffix(""))))


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """The pairs of `paired`. Raises PhotoError if anything is wrong with others."""
    pairs, faults, _ = paired(folder)
    if faults:
        raise PhotoError(faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))
    return pairs


def validation(data: Path) -> Path:
    """The validation part of a data folder: `val/` if it exists, else the folder itself."""
    return data / "val" if (data / "val").is_dir() else data


def validation_photos(data: Path) -> list[Path]:
    """The undamaged validation photographs. Raises PhotoError if there are none."""
    folder = validation(data) / "clean"
    return images_in(folder) or _nothing(folder, "photographs")


def small_photos(data: Path) -> list[Path]:
    """The validation photographs that are too small for anything but color."""
    return images_in(validation(data) / SMALL)


def validation_pairs(data: Path) -> list[tuple[Path, Path]]:
    """The damaged validation photographs with their masks. Raises PhotoError if there are none."""
    folder = validation(data) / "labelled"
    return pairs_in(folder) or _nothing(folder, "labelled photographs")


def thinned(items: list, number: int) -> list:
    """Every n-th item, leaving at least `number` and less than twice as many; all if there are fewer."""
    return items[:: max(1, len(items) // number)]


def evenly_chosen(items: list, number: int) -> list:
    """`number` items at equal steps, including the first and the last; all if there are fewer."""
    steps = max(1, min(number, len(items)) - 1)
    return [items[round(place * (len(items) - 1) / steps)] for place in range(min(number, len(items)))]


def held_out(pairs: list, fold: str | None) -> tuple[list, list]:
    """Splits labelled pairs, or photographs, into those to train on and those to validate on.

    fold: "I/N" holds out every N-th item from the I-th on; None holds out nothing.
    """
    if fold is None:
        return pairs, []
    part, parts = (int(number) for number in fold.split("/"))
    kept = [pair for index, pair in enumerate(pairs) if index % parts != part - 1]
    return kept, pairs[part - 1 :: parts]


def measured_folder(data: Path, fold: str | None) -> Path:
    """The folder that a training run is validated on: `val/`, or the whole data folder for a fold of it."""
    return validation(data) if fold is None else Path(data)


def measured_scans(data: Path, fold: str | None) -> list[Path]:
    """The undamaged old scans to evaluate on: those of `val/negatives`, or a fold of `negatives/`."""
    scans = images_in(measured_folder(data, fold) / "negatives")
    return held_out(scans, fold)[1] if fold else scans


def damage_in(data: Path, fold: str | None) -> dict[str, str]:
    """stem -> kinds of damage of the labelled photographs, from `kinds.tsv` beside them with the columns
    "name" and "damage"; empty if there is no such file. Raises PhotoError if it cannot be read.
    """
    table = measured_folder(data, fold) / "labelled/kinds.tsv"
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            return {row["name"]: row["damage"] or "" for row in csv.DictReader(lines, delimiter="\t")}
    except (KeyError, UnicodeDecodeError, csv.Error):
        wanted = "a table in UTF-8 with the columns name and damage, separated by tabs"
        raise PhotoError(f"{table}: is not {wanted}") from None


def _nothing(folder: Path, what: str):
    raise PhotoError(f"{folder}: no {what} to measure on")
