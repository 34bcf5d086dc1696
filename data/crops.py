"""Square crops for training: of photographs, of pictures with masks, and of old scans."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import exp
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFilter

from data.errors import PhotoError
from data.photo import read_named
from data.pixels import as_depth, luma, resize, upright

FAINT_SCALE = 0.6  # below this scale, damage that does not fill half of a pixel is ignored
SPECK = 9  # px, what is shorter in all directions is a speck
# Errors of a machine that has no more open files or memory, which are no faults of a file
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns OSError into PhotoError with the name of the file that cannot be read."""
    try:
        yield
    except OSError as error:
        if error.errno in SHORTAGES:
            raise
        raise PhotoError(f"{path}: {error.strerror or error}") from None


def attempted(read: Callable):
    """The result of read(). Raises OSError for broken files, for which Pillow's plugins raise almost any
    exception.
    """
    try:
        return read()
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from None


def converted(picture: Image.Image, mode: str) -> Image.Image:
    """A picture in another mode. Raises OSError if Pillow cannot convert it."""
    if picture.mode == "F":  # of which Pillow makes 0 and 1, on a scale to 255
        raise OSError("floating-point pixels: save it with 8 or 16 bits")
    return attempted(partial(picture.convert, mode))


def crop(picture: Image.Image, mode: str, side: int, rng, zoom=(0.25, 1.0), enlarge=2.5) -> np.ndarray:
    """A random square of a photograph, resized to `side`: (side, side[, 3]) float32 in [0, 1], mirrored half
    the time.

    The square's side is a share of the photograph's short side drawn from `zoom` (log-uniform), but at least
    `side` / `enlarge` px, so that enlargement stays within that of enlarged small scans. mode: "L" or "RGB".
    Raises OSError if it cannot be read.
    """
    if picture.format == "TIFF":
        attempted(picture.load)  # which turns it upright
    (width, height), short = picture.size, min(picture.size)
    orientation = attempted(picture.getexif).get(ExifTags.Base.Orientation)
    span = int(min(short, max(short * np.exp(rng.uniform(*np.log(zoom))), side / enlarge)))
    left, top = rng.integers(width - span + 1), rng.integers(height - span + 1)
    # JPEG decodes at 1/2, 1/4 or 1/8 if that is enough
    picture.draft(mode, (width * side // span, height * side // span))
    attempted(picture.load)
    scale = picture.width / width
    box = (left * scale, top * scale, (left + span) * scale, min((top + span) * scale, picture.height))
    if picture.mode == "I" or picture.mode.startswith("I;16"):  # Pillow would clip at 255
        picture = Image.fromarray(as_depth(np.asarray(picture).clip(0, 65535).astype(np.uint16), np.uint8))
    square = converted(picture, mode).resize((side, side), Image.Resampling.BICUBIC, box=box)
    array = upright(np.asarray(square, np.float32) / 255, orientation)
    return np.ascontiguousarray(array[:, ::-1] if rng.random() < 0.5 else array)


def crop_pair(picture, mask, side, rng, scale, tries=1):
    """A crop (side, side) float32 in [0, 1] of a picture and its mask uint8, the most damaged of `tries`.

    picture: (H, W) in [0, 1] or uint8. mask: (H, W) uint8. side: px. scale: least and greatest enlargement,
    drawn evenly on a logarithmic scale. Rotated by any multiple of 90 degrees and up to 10 more, mirrored,
    with another gamma; corners that come from outside are ignored (128).
    """
    span = int(min(*picture.shape, side / np.exp(rng.uniform(*np.log(scale)))))
    places = [[rng.integers(length - span + 1) for length in picture.shape] for _ in range(tries)]
    top, left = max(places, key=lambda p: (mask[p[0] : p[0] + span : 4, p[1] : p[1] + span : 4] == 255).sum())
    here = np.s_[top : top + span, left : left + span]
    size, angle = (side, side), rng.uniform(-10, 10) if rng.random() < 0.5 else 0.0
    picture = picture[here] / np.float32(255) if picture.dtype == np.uint8 else picture[here]
    picture = Image.fromarray(resize(picture, size, "bicubic")).rotate(
        angle, Image.Resampling.BICUBIC, fillcolor=0.5
    )
    mask = Image.fromarray(_resized_mask(mask[here], size)).rotate(angle, fillcolor=128)  # 128: ignored
    picture, mask = np.array(picture), np.array(mask)
    turns, mirrored = rng.integers(4), rng.random() < 0.5
    picture, mask = np.rot90(picture, turns), np.rot90(mask, turns)
    if mirrored:
        picture, mask = picture[:, ::-1], mask[:, ::-1]
    picture = np.clip(picture, 0, 1) ** np.float32(exp(rng.normal(0, 0.25)))
    return np.ascontiguousarray(picture, np.float32), np.ascontiguousarray(mask)


def _resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) uint8 at (width, height). Much reduced, a pixel that is only partly damaged is ignored:
    there thin cracks are too faint to be found.
    """
    if size[0] >= FAINT_SCALE * mask.shape[1]:
        return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    damaged, ignored = (
        resize((mask == level).astype(np.float32), size, "box") for level in (np.uint8(255), np.uint8(128))
    )
    result = np.where(damaged >= 0.5, np.uint8(255), np.uint8(0))
    result[(damaged + ignored >= 0.1) & (damaged < 0.5)] = 128
    return result


def read_old_scan(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """An undamaged old scan, (H, W) uint8 luma, and its mask: 128 on isolated small specks, else 0.

    Such specks may be dust that nobody marked.
    """
    grey = np.rint(luma(read_named(path).pixels) * 255).astype(np.uint8)
    specks = _small(grey) + _small(255 - grey)
    # with fine detail all around, specks belong to the picture
    crowded = Image.fromarray((specks > 16).view(np.uint8) * np.uint8(255)).reduce(16)
    crowded = crowded.filter(ImageFilter.MaxFilter(3)).resize(grey.shape[::-1], Image.Resampling.NEAREST)
    alone = (specks > 38) & (np.asarray(crowded) < 0.1 * 255)
    mask = Image.fromarray(alone.view(np.uint8) * np.uint8(128))
    return grey, np.asarray(mask.filter(ImageFilter.MaxFilter(3)))


def _small(grey: np.ndarray) -> np.ndarray:
    """How much brighter (H, W) uint8 is than without what is shorter than SPECK px along both rows and
    columns: a top-hat by two lines, which leaves ruled lines alone.
    """
    kept = np.zeros_like(grey)
    for axis in (0, 1):
        opened, pad = grey, [(0, 0), (0, 0)]
        pad[axis] = (SPECK // 2, SPECK // 2)
        for extreme in (np.minimum, np.maximum):
            padded, length = np.pad(opened, pad, "edge"), grey.shape[axis]
            opened = extreme.reduce([padded.take(range(at, at + length), axis) for at in range(SPECK)])
        kept = np.maximum(kept, opened)
    return grey - np.minimum(kept, grey)
