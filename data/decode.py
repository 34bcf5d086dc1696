"""Decodes picture files to grey or RGB pixels and alpha, at the file's full bit depth.

image = open_image(data, max_pixels)
pixels, alpha = decode(image, data, notes)
"""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import PhotoError

Image.MAX_IMAGE_PIXELS = None  # Pillow only warns, and raises at twice its limit; `open_image` checks instead
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it also raises everything that it logs

# Still pictures decoded in this process. EPS, for example, would start Ghostscript.
FORMATS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "TGA", "PCX"]


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Opens an image without decoding it, and checks its size."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise PhotoError("not an image of a known kind: save it as TIFF, PNG or JPEG, 8 or 16 bits") from None
    except Exception as error:
        raise PhotoError(f"damaged or truncated image ({error or type(error).__name__})") from None
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height}"
        raise PhotoError(f"{size} pixels are more than the limit of {max_pixels}: raise --max-pixels")
    return image


def decode(image: Image.Image, data: bytes, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha as stored, in grey or RGB. Conversions are added to `notes`."""
    mode = image.mode
    if mode == "I" or mode.startswith("I;16"):
        return _decode_grey16(image)
    if mode == "F":
        raise PhotoError("floating-point pixels: save it with 8 or 16 bits")
    bits = _bits(image, data)
    if bits > 8:  # Pillow would silently return 8 of them
        if image.format == "TIFF" and mode in ("RGB", "RGBA", "RGBX"):
            return _decode_tiff_rgb16(data)
        kind = f"{bits}-bit {mode} {image.format}"
        raise PhotoError(f"{kind} would lose bits: save it as 16-bit RGB TIFF, or with 8 bits")
    image.load()
    transparent = "transparency" in image.info
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
        return (array[..., 0] if image.mode == "LA" else array[..., :3]), array[..., -1]
    return array, None


def _decode_grey16(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    array = np.asarray(image)
    if image.mode == "I" and (array.min() < 0 or array.max() > 65535):
        raise PhotoError("grey values outside 0..65535: save it with 8 or 16 bits")
    pixels = array.astype(np.uint16)  # native byte order
    alpha = None
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = np.where(pixels == transparent, 0, 65535).astype(np.uint16)
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # white is zero: Pillow inverts 8 bits only
        pixels = 65535 - pixels
    return pixels, alpha


def _decode_tiff_rgb16(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    hint = "pip install 'photo-restore[scans]'"
    try:
        import tifffile
    except ImportError:
        raise PhotoError(f"16-bit RGB TIFF needs tifffile: {hint}") from None
    logging.getLogger("tifffile").setLevel(
        logging.CRITICAL
    )  # warnings about odd metadata, which the user cannot act on
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        try:
            array = page.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):  # for example, tifffile needs it for LZW
                kind = f"16-bit RGB TIFF with {page.compression.name} compression"
                raise PhotoError(f"{kind} needs imagecodecs: {hint}") from None
            raise
        if array.dtype.kind != "u" or array.itemsize != 2:
            raise PhotoError(f"RGB TIFF of type {array.dtype}: save it with 8 or 16 bits")
        if page.axes == "SYX":  # stored plane by plane
            array = np.moveaxis(array, 0, -1)
        array = array.astype(np.uint16, copy=False)
        alpha = (
            array[..., 3]
            if array.shape[-1] > 3 and page.extrasamples and page.extrasamples[0] in (1, 2)
            else None
        )
        return array[..., :3], alpha


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per sample in the file, which Pillow's mode does not say."""
    if image.format == "PNG":
        return data[24]  # IHDR is always first: signature 8, length 4, type 4, width 4, height 4, bit depth
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (1,)))
    if image.format == "PPM" and image.tile[0][0].startswith("ppm"):
        return int(image.tile[0][3][1]).bit_length()  # bits of the largest value
    if image.format == "JPEG2000":
        start = data.find(b"\xff\x4f\xff\x51")  # SOC and SIZ markers; Ssiz of the first component 42 bytes on
        return (data[start + 42] & 0x7F) + 1 if start >= 0 else 8
    return 8
