"""Decodes picture files to grey or RGB pixels, alpha and infrared, at the file's full bit depth.

file = open_file(data, max_pixels, notes)
pixels, alpha, infrared = decode(file, notes)
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from data import containers, deep, exif, metadata, pages, tiff
from data.containers import Carried
from data.errors import PhotoError
from data.pages import Page, Samples
from data.pixels import upright
from data.tiff import Directory

Image.MAX_IMAGE_PIXELS = None  # Pillow only warns, and raises at twice its limit; `open_file` checks instead
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it also raises everything that it logs
with contextlib.suppress(AttributeError, OSError):  # libtiff prints errors that Pillow also raises
    for _name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        _set_handler = getattr(ctypes.CDLL(Image.core.__file__), _name)
        _set_handler.argtypes, _set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        _set_handler(None)

# Still pictures decoded in this process. EPS, for example, would start Ghostscript.
FORMATS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "TGA", "PCX"]


@dataclass
class File:
    """A picture file, not yet decoded."""

    data: bytes  # as decoders need it: a TIFF starts with its photograph, a PNG has no texts
    image: Image.Image | None  # None for a TIFF that Pillow does not support
    format: str  # Pillow's name
    size: tuple[int, int]  # (width, height) as stored
    carried: Carried  # metadata
    max_pixels: int
    page: Page | None = None  # TIFF only
    upright: bool = False  # set by decoding if Pillow applied the orientation

    def directory(self, notes: list[str]) -> Directory | None:
        """Its EXIF directory."""
        if self.page is None:
            return metadata.exif_directory(self.carried.exif, notes)
        return tiff.resolve(self.page.directory, self.data, exif.DIRECTORIES)

    def explore(self, notes: list[str]) -> None:
        """Finds frames and metadata through Pillow, which raises almost any exception on broken files."""
        if self.page is None:
            frames = getattr(self.image, "n_frames", 1)
            if frames > 1:
                notes.append(f"only the first of {frames} frames was read")
        if self.page is None and self.format != "PNG":
            self.carried = metadata.carried_by(self.image, self.data)

    def dpi(self) -> tuple[float, float] | None:
        """Its resolution, if EXIF does not have it."""
        return None if self.page or not self.image else metadata.resolution(self.image)

    def bits(self) -> int:
        """Bits per sample, which Pillow's mode does not say."""
        if self.page:
            return self.page.bits
        if self.format == "PPM" and self.image.mode != "1" and self.image.tile[0][0].startswith("ppm"):
            return int(self.image.tile[0][3][1]).bit_length()  # bits of the largest value
        if self.format == "JPEG2000":
            start = self.data.find(b"\xff\x4f\xff\x51")  # SOC and SIZ markers; Ssiz of the first component
            return (self.data[start + 42] & 0x7F) + 1 if start >= 0 else 8
        return deep.bits(self.data, self.format)


def open_file(data: bytes, max_pixels: int, notes: list[str]) -> File:
    """Opens a file and checks its size. Raises PhotoError if it is not an image, damaged, or larger than
    `max_pixels`.
    """
    page, carried = None, None
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        try:
            page, said = pages.choose(data)
        except ValueError as error:
            raise PhotoError(f"damaged or truncated TIFF file ({error})") from None
        notes.extend(said)
        data, carried = page.alone(data), metadata.carried_by_tiff(page.directory)
    elif data.startswith(containers.SIGNATURE):
        data, carried = containers.png(data)
    image = _open(data, page)
    size = page.size if page else image.size
    if size[0] * size[1] > max_pixels:
        shape = f"{size[0]} x {size[1]}"
        what = f"{shape} pixels are more than the limit of {max_pixels}"
        raise PhotoError(f"{what}: scale it down, or raise --max-pixels")
    return File(data, image, image.format if image else "TIFF", size, carried or Carried(), max_pixels, page)


def _open(data: bytes, page: Page | None) -> Image.Image | None:
    """Pillow's picture, not decoded; None for a TIFF that tifffile has to decode."""
    if page and not page.by_pillow():
        return None
    if data[:2] == b"\xff\xd8":
        data = deep.header_for_pillow(data)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if page:
            return None
        if deep.is_heic(data):
            return _open_heic(data)
        raise PhotoError("not an image of a known kind: save it as TIFF, PNG or JPEG, 8 or 16 bits") from None
    except Exception as error:
        raise PhotoError(f"damaged or truncated image ({error or type(error).__name__})") from None


def _open_heic(data: bytes) -> Image.Image:
    try:
        return deep.open_heic(data)
    except PhotoError:
        raise
    except Exception as error:
        raise PhotoError(f"damaged or truncated HEIC file ({error or type(error).__name__})") from None


def orientation(directory: Directory | None, packet: bytes) -> int:
    """1 to 8, from EXIF or else from XMP."""
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', packet)
    value = directory.number(exif.ORIENTATION, 0) if directory else 0
    return int(value or (found.group(1) if found else 1))


def separate_infrared(file: File, turn: int, notes: list[str]) -> np.ndarray | None:
    """The infrared channel that `decode` does not return, (H, W), upright; None if there is none.

    A page of its own, or the fourth sample where Pillow returns three. turn: the orientation of the
    photograph, 1 to 8. What cannot be read is left out, with a note.
    """
    page = file.page
    try:
        if page and page.infrared:
            data = page.infrared.alone(file.data)
            image = _open(data, page.infrared)
            size, carried = page.infrared.size, file.carried
            other = File(data, image, "TIFF", size, carried, file.max_pixels, page.infrared)
            infrared = decode(other, []).pixels
            return infrared if other.upright else upright(infrared, turn)
        if page and page.has_infrared and file.image and file.image.mode == "RGB":
            infrared = pages.decode(file.data, page, file.max_pixels).infrared
            return None if infrared is None else upright(infrared, turn)
    except Exception as error:  # Pillow's plugins raise almost any exception on broken files
        notes.append(f"the infrared channel was not read: {error or type(error).__name__}")
    return None


def decode(file: File, notes: list[str]) -> Samples:
    """The samples of the picture, except infrared in another page. Conversions are added to `notes`.

    As stored, except for a TIFF that Pillow turns; `file.upright` then says so. Raises PhotoError if bits
    would be lost.
    """
    image = file.image
    if file.page and file.page.signed and file.bits() <= 8:  # Pillow takes -100 for 156
        raise PhotoError(f"signed samples of {file.bits()} bits: save it with 8 or 16 bits, unsigned")
    notes.extend(_conversions(file))
    if image is None:
        if 8 < file.bits() < 16:
            notes.append(f"{file.bits()} bits scaled to 16")
        return pages.decode(file.data, file.page, file.max_pixels)
    if file.page:
        file.upright = image.getexif().get(exif.ORIENTATION, 1) != 1
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _grey16(file, notes)
    if image.mode == "F":
        raise PhotoError("floating-point pixels: save it with 8 or 16 bits")
    bits = file.bits()
    if bits > 8:  # Pillow would silently return 8 of them
        if file.format in deep.DECODED:
            if bits < 16:
                notes.append(f"{bits} bits scaled to 16")
            return Samples(*deep.decode(file.data, file.format))
        kind = f"{bits}-bit {image.mode} {file.format}"
        raise PhotoError(f"{kind} would lose bits: save it as 16-bit RGB TIFF, or with 8 bits")
    if file.page and file.page.has_infrared and image.mode in ("RGBA", "RGBX"):
        array = np.asarray(image)
        return Samples(array[..., :3], None, pages.unless_constant(array[..., 3]))
    if file.format == "PNG" and image.mode in ("1", "L") and "transparency" in image.info:
        return _transparent_level(file)
    return _eight_bits(image, notes)


def _conversions(file: File) -> list[str]:
    """Notes on what `Samples` holds in another way than the file, or not at all."""
    notes, page = [], file.page
    if (page and page.premultiplied) or (file.image and file.image.mode in ("La", "RGBa")):
        notes.append("premultiplied alpha converted to straight alpha, which changes translucent pixels")
    if page and page.dropped:
        samples = "1 further sample" if page.dropped == 1 else f"{page.dropped} further samples"
        notes.append(f"{samples} per pixel dropped: if that is infrared, save it as STEM_IR.tif")
    return notes


def _transparent_level(file: File) -> Samples:
    """A grey PNG in which one level is transparent; Pillow scales pixels to 8 bits, but not that level."""
    bits, level = file.data[24], file.image.info["transparency"]  # bits: of the IHDR chunk
    grey = np.asarray(file.image.convert("L"))
    if bits == 1:  # later versions of Pillow scale this one
        level = 255 if level else 0
    elif bits < 8:
        level = level * 255 // (2**bits - 1)
    return Samples(grey, np.where(grey == level, np.uint8(0), np.uint8(255)))


def _eight_bits(image: Image.Image, notes: list[str]) -> Samples:
    image.load()
    mode, transparent = image.mode, "transparency" in image.info
    if mode in ("P", "PA", "CMYK", "YCbCr"):
        notes.append(f"{'palette' if mode in ('P', 'PA') else mode} converted to RGB")
        image = image.convert("RGBA" if mode == "PA" or (mode == "P" and transparent) else "RGB")
    elif mode in ("La", "RGBa"):  # premultiplied
        image = image.convert(mode.upper())
    elif mode in ("L", "RGB") and transparent:  # one value or color is declared transparent
        image = image.convert(mode + "A")
    elif mode in ("1", "RGBX"):
        image = image.convert("L" if mode == "1" else "RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise PhotoError(f"pixels of kind {mode} are not supported: save it as grey or RGB")
    array = np.asarray(image)
    if image.mode.endswith("A"):
        return Samples(array[..., 0] if image.mode == "LA" else array[..., :3], array[..., -1])
    return Samples(array)


def _grey16(file: File, notes: list[str]) -> Samples:
    image = file.image
    array = np.asarray(image)
    if image.mode == "I" and (array.min() < 0 or array.max() > 65535):
        raise PhotoError("grey values outside 0..65535: save it with 8 or 16 bits, unsigned")
    pixels = array.astype(np.uint16)  # native byte order
    alpha = None
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = np.where(pixels == transparent, 0, 65535).astype(np.uint16)
    if file.page and 8 < file.bits() < 16:
        notes.append(f"{file.bits()} bits scaled to 16")
        pixels = pages.full_range(pixels, file.bits())
    if file.page and file.page.color == 0:  # white is zero: Pillow inverts 8 bits only
        pixels = 65535 - pixels
    return Samples(pixels, alpha)
