"""Decodes more than 8 bits per sample where Pillow gives 8: PNG, JPEG and AVIF by imagecodecs, HEIC by
pillow-heif.

    if bits(data, "PNG") > 8:
        pixels, alpha = decode(data, "PNG")
"""

from __future__ import annotations

import io
from importlib.util import find_spec

import numpy as np
from PIL import Image

from data import containers
from data.errors import PhotoError
from data.pages import full_range

SCANS = "pip install -e '.[scans]'"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG's frame headers
# Pillow's name of a format -> imagecodecs' function.
DECODED = {
    "PNG": "png_decode",
    "JPEG": "jpeg_decode",
    "MPO": "jpeg_decode",
    "AVIF": "avif_decode",
    "HEIF": "",
}
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def available() -> bool:
    """Whether such pictures can be decoded, and 16-bit RGB PNG written."""
    return find_spec("imagecodecs") is not None


def bits(data: bytes, format: str) -> int:
    """Bits per sample of a PNG, JPEG, AVIF or HEIF file; 8 for other files and if it is not stored."""
    if format == "PNG":
        return data[24]  # IHDR is first: signature 8, length 4, type 4, width 4, height 4, bit depth
    if format in ("JPEG", "MPO"):
        return _jpeg_frame(data)[0]
    if format in ("AVIF", "HEIF"):
        at = data.find(b"av1C" if format == "AVIF" else b"hvcC")
        if not 0 <= at < len(data) - 24:
            return 8
        if format == "AVIF":  # high_bitdepth and twelve_bit (AV1 in ISOBMFF, 2.3.3)
            return {0x40: 10, 0x60: 12}.get(data[at + 6] & 0x60, 8)
        return 8 + (data[at + 21] & 7)  # bit_depth_luma_minus8 (ISO 14496-15, 8.3.3.1)
    return 8


def _jpeg_frame(data: bytes) -> tuple[int, int]:
    """Bits per sample of a JPEG, and the position of that byte in the file; (8, 0) without a frame."""
    for marker, content in containers.segments(data):
        if marker in _FRAMES and content:
            head = bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big")
            start = data.find(head + content)  # -1 if the file ends within this segment
            return content[0], start + len(head) if start >= 0 else len(data) - len(content)
    return 8, 0


def header_for_pillow(data: bytes) -> bytes:
    """A JPEG with its bit depth set to 8, so that Pillow reads the rest of the header."""
    depth, at = _jpeg_frame(data)
    return data[:at] + b"\x08" + data[at + 1 :] if depth != 8 else data


def is_heic(data: bytes) -> bool:
    """Whether the file has one of HEIC's brands."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC


def open_heic(data: bytes) -> Image.Image:
    """Pillow's picture of a HEIC file. Raises PhotoError if pillow-heif is missing."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise PhotoError(f"HEIC needs pillow-heif: {SCANS}") from None
    return HeifImageFile(io.BytesIO(data))


def decode(data: bytes, format: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels (H, W) or (H, W, 3) and alpha (H, W), uint16; lower bit depths are scaled to 16.

    Raises PhotoError if imagecodecs is missing or does not support the file.
    """
    depth = bits(data, format)
    kind = f"{depth}-bit {format}"
    if format == "HEIF":
        array = _heic(data, depth)
    else:
        try:
            import imagecodecs
        except ImportError:
            raise PhotoError(f"{kind} needs imagecodecs: {SCANS}") from None
        try:
            array = getattr(imagecodecs, DECODED[format])(data)
        except Exception as error:  # codecs raise almost any exception
            raise PhotoError(f"{kind} is damaged, or not supported ({error})") from None
    if array.dtype != np.uint16 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4):
        raise PhotoError(f"{kind} of shape {array.shape} is not supported: save it as grey or RGB")
    array = full_range(array, depth)
    if array.ndim == 2:
        return array, None
    channels = array.shape[2] - 1 + array.shape[2] % 2  # 1 or 3
    alpha = array[..., channels].copy() if array.shape[2] > channels else None
    return np.ascontiguousarray(array[..., 0] if channels == 1 else array[..., :3]), alpha


def _heic(data: bytes, depth: int) -> np.ndarray:
    """(H, W, C) uint16 with values of `depth` bits."""
    import pillow_heif

    return np.asarray(pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)) >> (16 - depth)


def png(samples: np.ndarray, metadata: bytes) -> bytes:
    """A PNG of (H, W, C) uint16 with all other chunks of another one. Raises PhotoError without
    imagecodecs.
    """
    kind = {2: "grey with alpha", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
    try:
        import imagecodecs
    except ImportError:
        raise PhotoError(f"16-bit {kind} PNG needs imagecodecs: {SCANS}, or use --format tif") from None
    pixels = list(containers.chunks(imagecodecs.png_encode(samples)))
    return containers.SIGNATURE + b"".join(
        containers.chunk(name, b"".join(part for other, part, _ in pixels if other == name) or content)
        for name, content, _ in containers.chunks(metadata)
    )
