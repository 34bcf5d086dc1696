"""Labelled photographs: the pairs of a data folder, and those that were corrected on the review page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from data.corrections import Correction, read_corrections
from data.errors import PhotoError, UserError
from data.files import sha256
from data.folder import held_out, measured_folder, pairs_in
from data.photo import read_bytes, read_labelled, read_mask, read_photo
from data.pixels import luma, resize

WORKING_SIDE = 1024  # px, to which corrected scans are reduced: the scale at which damage is detected


class Labelled(NamedTuple):
    """A photograph with a mask that a person made.

    read: returns luma (H, W) float32 in [0, 1] and mask (H, W) uint8: 255 damaged, 0 intact, 128 ignored.
    Raises UserError.
    """

    name: str  # of the photograph's file
    read: Callable[[], tuple[np.ndarray, np.ndarray]]


def training_photos(
    data: Path, hold_out: str | None = None, corrections: list[Path] | None = None, photos: Path | None = None
) -> list[Labelled]:
    """The labelled photographs to train on, perhaps none. Raises UserError.

    hold_out: the fold to leave out, as for `held_out`. corrections: files of the review page, whose
    photographs join those of `labelled/`. photos: the folder of these; None: where restore.py read them.
    """
    return held_out(_labelled(Path(data), corrections, photos), hold_out)[0]


def measured_photos(
    data: Path, hold_out: str | None = None, corrections: list[Path] | None = None, photos: Path | None = None
) -> list[Labelled]:
    """The labelled photographs that a training run is validated on: those of `val/`, or, without it or for a
    fold, of the whole data folder, with the corrections. Raises UserError if there are none.

    The arguments are those of `training_photos`.
    """
    folder = measured_folder(data, hold_out)
    found = _labelled(folder, corrections if folder == Path(data) else None, photos)
    found = held_out(found, hold_out)[1] if hold_out else found
    if not found:
        part = f" in fold {hold_out}" if hold_out else ""
        raise PhotoError(f"{folder / 'labelled'}: no labelled photographs{part} to measure on")
    return found


def _labelled(folder: Path, corrections: list[Path] | None, photos: Path | None) -> list[Labelled]:
    """The pairs of a folder, and the corrected photographs, of each the last correction."""
    pairs = [Labelled(pair[0].name, partial(_pair, *pair)) for pair in pairs_in(folder / "labelled")]
    latest = {entry.sha256: (file, entry) for file in corrections or () for entry in read_corrections(file)}
    return pairs + [
        Labelled(Path(entry.input).name, partial(_corrected, file, entry, photos))
        for file, entry in latest.values()
    ]


def _pair(image: Path, mask_path: Path) -> tuple[np.ndarray, np.ndarray]:
    photo, mask = read_labelled(image, mask_path)  # upright, as the mask was drawn
    return luma(photo.pixels), mask


def _corrected(file: Path, correction: Correction, photos: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """A corrected photograph, reduced to WORKING_SIDE. The outermost pixels of each mark are ignored, since
    detected marks are widened.
    """
    source = Path(correction.input)
    if photos is not None:
        source = photos / PurePosixPath(correction.name).parent / source.name
    try:
        data = read_bytes(source)
        if sha256(data) != correction.sha256:
            raise PhotoError("the file has changed since it was corrected")
        picture = luma(read_photo(data).pixels)
        mask, _ = read_mask(correction.mask, picture.shape[::-1])
    except PhotoError as error:
        hint = "" if source.exists() else "; give the folder of the photographs with --photos"
        raise UserError(f"{file}: {source}: {error}{hint}") from None
    scale = WORKING_SIDE / max(picture.shape)
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in picture.shape[::-1])
        picture = resize(picture, size, "box").clip(0, 1)
        mask = np.where(resize(mask, size, "box") >= 127.5, 255, 0).astype(np.uint8)
    core = np.asarray(Image.fromarray(mask).filter(ImageFilter.MinFilter(3)))
    return picture, np.where(mask > core, np.uint8(128), mask)
