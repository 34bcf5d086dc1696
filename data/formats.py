"""Encoders of the output formats: TIFF by hand; PNG, WebP and JPEG by Pillow."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from data.errors import PhotoError

XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"  # start of a JPEG's XMP segment (ISO 16684-3)
MAX_XMP_SEGMENT = 65535 - 2 - len(XMP_SEGMENT)  # bytes of a packet that fit into one segment


def by_pillow(
    samples: np.ndarray,
    format: str,
    exif: Image.Exif,
    icc: bytes | None,
    packet: bytes | None,
    dpi: tuple[float, float] | None,
) -> bytes:
    """PNG, WebP (lossless) or JPEG (quality 95, 4:4:4).

    samples: (H, W, C) uint8 of grey, grey with alpha, RGB or RGBA, or uint16 grey for PNG. packet: XMP.
    Raises PhotoError if the format cannot hold the picture.
    """
    if samples.dtype == np.uint16 and (format != "PNG" or samples.shape[2] > 1):
        kind = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
        raise PhotoError(f"{format} is not written with 16-bit {kind}: use --format tif")
    options: dict = {"exif": exif.tobytes()} if len(exif) else {}
    if icc:
        options["icc_profile"] = icc
    if dpi and format != "WEBP":
        options["dpi"] = dpi
    if packet and format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    elif packet and format == "WEBP":
        options["xmp"] = packet
    elif packet and len(packet) <= MAX_XMP_SEGMENT:
        length = 2 + len(XMP_SEGMENT) + len(packet)
        options["extra"] = b"\xff\xe1" + length.to_bytes(2, "big") + XMP_SEGMENT + packet
    if format == "WEBP":
        options.update(lossless=True, exact=True)  # exact: keeps the values of transparent pixels
    elif format == "JPEG":
        options.update(quality=95, subsampling=0)
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    file = io.BytesIO()
    try:
        image.save(file, format, **options)
    except (OSError, ValueError) as error:  # too wide for the format, or too much metadata
        raise PhotoError(f"cannot be written as {format} ({error}): use --format tif or png") from None
    return file.getvalue()


def tiff(samples: np.ndarray, exif: Image.Exif, icc: bytes | None, packet: bytes | None) -> bytes:
    """TIFF 6.0 with Deflate (8) and horizontal differencing (2), in one strip.

    Written by hand, because Pillow cannot write 16-bit RGB and drops the EXIF directory when it compresses.
    An EXIF block is a TIFF without pixels, so only the pixel tags and the strip have to be added.
    """
    height, width, channels = samples.shape
    color = channels >= 3
    difference = samples.copy()
    difference[:, 1:] -= samples[:, :-1]  # modulo 256 or 65536
    strip = zlib.compress(difference.astype(difference.dtype.newbyteorder("<"), copy=False))
    tags = Image.Exif()
    tags.endian = "<"
    for tag in exif:
        tags[tag] = exif.get_ifd(tag) if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) else exif[tag]
    tags[256], tags[257] = width, height
    tags[258] = (samples.itemsize * 8,) * channels
    tags[259], tags[317] = 8, 2
    tags[262], tags[277] = (2 if color else 1), channels
    tags[273], tags[278], tags[279] = 0, height, len(strip)  # Pillow adds the length of all tags to the 0
    if channels in (2, 4):
        tags[338] = 2  # unassociated alpha
    if packet:
        tags[700] = packet
    if icc:
        tags[34675] = icc
    head = tags.tobytes()[len(b"Exif\0\0") :]
    if len(head) + len(strip) >= 1 << 32:
        raise PhotoError("more than 4 GiB do not fit into a TIFF: use --format png")
    return head + strip
