"""Photographs for `eval`: small, in 8 bits, with reproducible holes, or with a drawn hard negative."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.errors import UserError
from data.folder import SMALL, measured_folder, small_photos, thinned, validation, validation_photos
from data.labelled import Labelled, measured_photos
from data.photo import read_named
from data.pixels import as_depth, luma, resize
from data.synthesis import lookalikes
from data.synthesis.holes import draw_holes

SIDE = 512  # px, longer side; larger ones would take long and say little more
LEAST_HOLES = 0.002  # smallest share of the pixels worth measuring


def read_grey(path: Path) -> np.ndarray:
    """Luma (H, W) float32 in [0, 1], in steps of 1 / 255 as in an 8-bit file. Raises PhotoError."""
    grey = luma(read_named(path).pixels)
    scale = SIDE / max(grey.shape)
    if scale < 1:
        grey = resize(grey, tuple(max(1, round(side * scale)) for side in grey.shape[::-1]), "box")
    return np.round(grey * 255) / 255


def read_color(path: Path) -> np.ndarray | None:
    """RGB (H, W, 3) uint8; None for a grey photograph. Raises PhotoError."""
    pixels = read_named(path).pixels
    if pixels.ndim == 2:
        return None
    pixels = as_depth(pixels, np.uint8)
    if max(pixels.shape) > SIDE:
        height, width = (max(1, round(side * SIDE / max(pixels.shape))) for side in pixels.shape[:2])
        pixels = resize(pixels.astype("float32"), (width, height), "box") + 0.5
    return pixels.clip(0, 255).astype("uint8")


def color_photos(data: Path, few: bool) -> list[Path]:
    """The validation photographs to colorize, only some and no small ones if `few`, as in training. Raises
    UserError if none of them has color.
    """
    photos = validation_photos(data)
    photos = thinned(photos, 16) if few else photos + small_photos(data)
    if all(read_color(path) is None for path in photos):
        raise UserError(f"{validation(data)}: no color photographs to evaluate on")
    return photos


def damaged_photos(data: Path, hold_out: str | None = None, **corrections) -> list[Labelled]:
    """The photographs of `measured_photos`. Raises UserError if none of their masks marks damage."""
    found = measured_photos(data, hold_out, **corrections)
    if not any((photo.read()[1] == 255).any() for photo in found):
        folder = measured_folder(data, hold_out) / "labelled"
        raise UserError(f"{folder}: no mask marks any damage to measure on")
    return found


def color_group(path: Path) -> str:
    """Group of a validation photograph: "small" from `color_small/`, or else its folder's name."""
    return "small" if SMALL in path.parts else path.parent.name


def holes(shape: tuple[int, int], seed: list[int], share: tuple[float, float], textures) -> np.ndarray:
    """Synthetic holes (H, W) uint8, 255 in holes: a function of the shape and the seed.

    share: least and greatest share of hole pixels. textures: of `data.synthesis.textures.load_textures`.
    """
    least, most = share
    return draw_holes(shape, np.random.default_rng(seed), (max(least, LEAST_HOLES), most), textures)


def holes_by_share(shape: tuple[int, int], number: int, shares, textures) -> list[np.ndarray]:
    """`holes` of photograph `number`, one for each of the `shares`, the same every time."""
    return [holes(shape, [7, number, bin], share, textures) for bin, share in enumerate(shares)]


def hard_negatives(photos: list[Path]) -> list[tuple[str, Path, list[int]]]:
    """(kind, photograph, seed) for up to five of the photographs for each kind of hard negative."""
    cases = [(kind, path) for kind in lookalikes.KINDS for path in thinned(photos, 5)[:5]]
    return [(kind, path, [5, number]) for number, (kind, path) in enumerate(cases)]


def with_lookalike(path: Path, kind: str, seed: list[int], working_size) -> tuple[np.ndarray, np.ndarray]:
    """Luma (H, W) float32 in [0, 1] of a photograph at its working size, without and with a hard negative of
    this kind. working_size((width, height)) -> (width, height).
    """
    grey = luma(read_named(path).pixels)
    grey = np.clip(resize(grey, working_size(grey.shape[::-1]), "bicubic"), 0, 1)
    return grey, lookalikes.hard_negative(grey, np.random.default_rng(seed), [kind])
