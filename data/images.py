"""Photographs, masks and color hints given as paths, bytes, Pillow pictures or arrays.

photo = read_image(array)
mask, notes = read_role_mask("mask.png", "mask", photo.size)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data.decode import File, decode
from data.errors import PhotoError
from data.hints import Hints, read_hints
from data.metadata import Carried
from data.photo import MAX_PIXELS, Photo, read_bytes, read_mask, read_photo

ImageLike = str | os.PathLike | bytes | Image.Image | np.ndarray


def read_image(image: ImageLike, max_pixels: int = MAX_PIXELS) -> Photo:
    """The photograph, as returned by `read_photo`.

    image: path or bytes of a file, Pillow picture, or array (H, W), (H, W, 3) RGB or (H, W, 4) RGBA of uint8
    or uint16, of any byte order. Pictures and arrays are copied, taken as upright, and have no metadata.
    Raises PhotoError, with the file name if there is one.
    """
    with _naming("", image):
        return _read(image, max_pixels)


def read_role_mask(image: ImageLike, role: str, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """`read_mask` for anything that `read_image` takes, for a photograph of `size` (width, height).

    Raises PhotoError with the role and the file name.
    """
    with _naming(role, image):
        return read_mask(_read(image, _limit(size)), size)


def read_protection(image: ImageLike | None, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """What must not be repaired in a photograph of `size` (width, height): (H, W) bool; and notes.

    None protects nothing. To be read before damage is detected, which takes time. Raises PhotoError with the
    file name.
    """
    if image is None:
        return np.broadcast_to(False, size[::-1]), []
    mask, notes = read_role_mask(image, "protect", size)
    return mask == 255, notes


def read_role_infrared(image: ImageLike, size: tuple[int, int]) -> np.ndarray:
    """The infrared picture (h, w), uint8 or uint16, of a photograph of `size` (width, height); of any size.

    Raises PhotoError with the file name.
    """
    with _naming("infrared", image):
        pixels = _read(image, _limit(size)).pixels
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def read_role_hints(image: ImageLike | None, size: tuple[int, int]) -> tuple[Hints | None, list[str]]:
    """`read_hints` for anything that `read_image` takes, for a photograph of `size` (width, height).

    None gives no hints. Raises PhotoError with the file name.
    """
    if image is None:
        return None, []
    with _naming("hints", image):
        return read_hints(_read(image, _limit(size)), size)


def digest(image: ImageLike, role: str) -> str:
    """SHA-256 of a file, or of the shape, type and pixels of a picture or array, with its palette applied.

    Raises PhotoError with the role and the file name.
    """
    if isinstance(image, (str, os.PathLike)):
        with _naming(role, image):
            image = read_bytes(Path(image))
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if isinstance(image, Image.Image) and image.mode == "P":
        image = image.convert("RGBA")
    pixels = np.asarray(image)
    layout = f"{pixels.shape} {pixels.dtype.str}".encode()
    return hashlib.sha256(layout + pixels.tobytes()).hexdigest()


def _limit(size: tuple[int, int]) -> int:
    """The largest number of pixels of a mask or hints: that of the photograph, whatever its own limit was."""
    return max(MAX_PIXELS, size[0] * size[1])


@contextlib.contextmanager
def _naming(role: str, image: ImageLike) -> Iterator[None]:
    """Prefixes errors with the role and the file name."""
    try:
        yield
    except PhotoError as error:
        path = str(image) if isinstance(image, (str, os.PathLike)) else ""
        name = f"{role} {path}".strip()
        raise PhotoError(f"{name}: {error}" if name else str(error)) from None


def _read(image: ImageLike, max_pixels: int) -> Photo:
    if isinstance(image, (str, os.PathLike)):
        return read_photo(Path(image), max_pixels)
    if isinstance(image, bytes):
        return read_photo(image, max_pixels)
    notes: list[str] = []
    if isinstance(image, Image.Image):
        pixels, alpha = _decode_picture(image, max_pixels, notes)
    elif isinstance(image, np.ndarray):
        if np.ma.is_masked(image):
            raise PhotoError("array with masked elements: give a plain one, such as array.filled(0)")
        pixels, alpha = _split(np.asarray(image))
    else:
        kind = type(image).__name__
        raise PhotoError(f"{kind} is not a photograph: give a path, bytes, a Pillow picture or an array")
    height, width = pixels.shape[:2]
    if not 0 < height * width <= max_pixels:
        raise PhotoError(f"{width} x {height} pixels: there must be 1 to {max_pixels}, max_pixels")
    return Photo(pixels, alpha, format="", sha256=digest(image, ""), notes=notes)


def _decode_picture(picture: Image.Image, max_pixels: int, notes: list[str]):
    try:
        picture = picture.copy()  # reads the file if Pillow has not yet
    except (OSError, SyntaxError, ValueError) as error:
        raise PhotoError(f"damaged or truncated picture ({error})") from None
    return decode(File(b"", picture, "", picture.size, Carried(), max_pixels), notes)[:2]


def _split(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Copies of pixels and alpha. Raises PhotoError if the array is not a picture."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f"array of {array.dtype}: scale it to 0..255 as uint8, or to 0..65535 as uint16")
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        shape = " x ".join(map(str, array.shape))
        raise PhotoError(f"array of shape {shape}: give (H, W), (H, W, 3) RGB or (H, W, 4) RGBA")
    if array.ndim == 3 and array.shape[2] == 4:
        return array[..., :3].copy(), array[..., 3].copy()
    return array.copy(), None
