"""Which folder of a data folder holds what: pictures, labelled pairs, what is measured on.

The README describes it: `clean/`, `labelled/images` and `labelled/masks`, `textures/`, and `val/`.
"""

from __future__ import annotations

from pathlib import Path

from data.errors import PhotoError
from data.photo import IMAGE_SUFFIXES


def images_in(folder: Path) -> list[Path]:
    """All pictures under a folder, sorted; an absent folder has none."""
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """(image, mask) pairs of `folder`/images and `folder`/masks, by stem. Raises PhotoError for an image
    without a mask.
    """
    masks = {path.stem: path for path in images_in(Path(folder) / "masks")}
    images = images_in(Path(folder) / "images")
    for path in images:
        if path.stem not in masks:
            raise PhotoError(f"{path}: no mask of the same stem in {Path(folder) / 'masks'}")
    return [(path, masks[path.stem]) for path in images]


def validation(data: Path) -> Path:
    """Where a data folder keeps its validation part: `val/` if there is one, else the folder itself."""
    return data / "val" if (data / "val").is_dir() else data


def validation_photos(data: Path) -> list[Path]:
    """The undamaged photographs to measure on. Raises PhotoError if there are none."""
    folder = validation(data) / "clean"
    return images_in(folder) or _nothing(folder, "photographs")


def validation_pairs(data: Path) -> list[tuple[Path, Path]]:
    """The damaged photographs to measure on, with their masks. Raises PhotoError if there are none."""
    folder = validation(data) / "labelled"
    return pairs_in(folder) or _nothing(folder, "labelled photographs")


def held_out(pairs: list, fold: str | None) -> tuple[list, list]:
    """(to train on, to measure on) of the labelled pairs: with the fold "I/N" every N-th from the I-th on is
    measured.
    """
    if fold is None:
        return pairs, []
    part, parts = (int(number) for number in fold.split("/"))
    return [pair for number, pair in enumerate(pairs) if number % parts != part - 1], pairs[part - 1 :: parts]


def measured_pairs(data: Path, fold: str | None) -> list[tuple[Path, Path]]:
    """What a training run measures on: `val/`, or its fold of `labelled/`. Raises PhotoError if there is
    nothing.
    """
    if fold is None:
        return validation_pairs(data)
    folder = Path(data) / "labelled"
    return held_out(pairs_in(folder), fold)[1] or _nothing(folder, f"labelled photographs in fold {fold}")


def _nothing(folder: Path, what: str):
    raise PhotoError(f"{folder}: no {what} to measure on")
