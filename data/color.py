"""Color profiles: the tones that a profile shows, as sRGB, and colors of sRGB brought into a profile.

    y = tones(photo.pixels, photo.icc)                    # (H, W) in [0, 1], for the network
    rgb = into_profile(colorizer(y), photo.pixels, photo.icc, dtype)

A picture without profile, or with one that shows what sRGB does, stays as it is.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from data.pixels import bands, luma, merge_chroma, rgb8, rgb_to_ycbcr

_D50 = 63190, 65536, 54061  # XYZ of the white of all profiles, in 65536ths (ICC.1:2022, 7.2.16)
_SAME = 2  # of 255: a profile that shows colors to within this is taken for sRGB


def space(icc: bytes | None) -> bytes:
    """b"GRAY", b"RGB " or another color space; b"" without a profile (ICC.1:2022, 7.2.6)."""
    return icc[16:20] if icc else b""


@lru_cache(1)
def srgb() -> bytes:
    """The sRGB profile, always of the same bytes."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # date of creation
    icc[84:100] = bytes(16)  # digest
    return bytes(icc)


@lru_cache(8)
def _transform(source: bytes, target: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From one profile into another in 8 bits; None if one is damaged. mode: L or RGB, of the source."""
    try:
        profiles = [ImageCms.ImageCmsProfile(io.BytesIO(icc)) for icc in (source, target)]
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        return ImageCms.buildTransform(*profiles, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _apply(transform: ImageCms.ImageCmsTransform, pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of (H, W) or (H, W, 3) uint8."""
    result = np.empty((*pixels.shape[:2], 3), np.uint8)
    for rows in bands(len(pixels)):
        image = Image.fromarray(np.ascontiguousarray(pixels[rows]))
        result[rows] = np.asarray(ImageCms.applyTransform(image, transform))
    return result


@lru_cache(8)
def shows_as_srgb(icc: bytes | None) -> bool:
    """Whether RGB values mean the same as in sRGB; also of a damaged profile, which shows nothing."""
    transform = _transform(icc, srgb(), "RGB") if space(icc) == b"RGB " else None
    if transform is None:
        return True
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 36, 3)
    return np.abs(_apply(transform, colors).astype(int) - colors).max() <= _SAME


def tones(pixels: np.ndarray, icc: bytes | None) -> np.ndarray:
    """Luma of the picture as sRGB, (H, W) float32 in [0, 1]. pixels: (H, W) or (H, W, 3), uint8 or uint16."""
    if space(icc) == b"GRAY" and pixels.ndim == 2:
        return _curve(icc, np.iinfo(pixels.dtype).max)[pixels]
    if space(icc) != b"RGB " or shows_as_srgb(icc):
        return luma(pixels)
    transform, result = _transform(icc, srgb(), "RGB"), np.empty(pixels.shape[:2], np.float32)
    for rows in bands(len(pixels)):
        result[rows] = luma(_apply(transform, rgb8(pixels[rows])))
    return result


def into_profile(picture: np.ndarray, pixels: np.ndarray, icc: bytes | None, dtype: str) -> np.ndarray:
    """A color picture in the photograph's profile, of the luma of its pixels: (H, W, 3) of `dtype`.

    picture: (H, W, 3) in sRGB, made of `tones`. Of a photograph with a grey profile, which has no colors, the
    picture stays sRGB. The profile of a scanner may tell how values look, but not which value shows a color;
    there the chroma stays that of sRGB.
    """
    if space(icc) != b"RGB " or shows_as_srgb(icc):
        return picture
    transform, result = _transform(srgb(), icc, "RGB"), np.empty(picture.shape, dtype)
    for rows in bands(len(picture)):
        shown = rgb8(picture[rows])
        chroma = rgb_to_ycbcr(_apply(transform, shown) if transform else shown)[..., 1:]
        result[rows] = merge_chroma(luma(pixels[rows]), chroma, dtype)
    return result


@lru_cache(8)
def _curve(icc: bytes, white: int) -> np.ndarray:
    """sRGB's value for each value of a grey profile, (white + 1,) float32 in [0, 1]."""
    values = np.linspace(0, 1, white + 1)
    response = _tags(icc).get(b"kTRC")
    linear = _response(response, values) if response else None
    if linear is not None:
        linear = np.clip(linear, 0, 1)
        shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return shown.astype(np.float32)
    transform = _transform(icc, srgb(), "L")
    if transform is None:
        return values.astype(np.float32)
    shown = _apply(transform, np.arange(256, dtype=np.uint8)[None])[0, :, 1]
    return np.interp(values * 255, np.arange(256), shown / 255).astype(np.float32)


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """The elements of a profile (ICC.1:2022, 7.3)."""
    if len(icc) < 132:
        return {}
    count = min(struct.unpack_from(">I", icc, 128)[0], (len(icc) - 132) // 12)
    entries = [struct.unpack_from(">4sII", icc, 132 + 12 * number) for number in range(count)]
    return {name: icc[start : start + length] for name, start, length in entries}


def _response(element: bytes, values: np.ndarray) -> np.ndarray | None:
    """Linear light of values in [0, 1] by a curve (ICC.1:2022, 10.6 and 10.18); None if it is damaged."""
    try:
        if element[:4] == b"curv":
            (count,) = struct.unpack_from(">I", element, 8)
            table = np.frombuffer(element, ">u2", count, 12)
            if count > 1:
                return np.interp(values, np.linspace(0, 1, count), table / 65535)
            return values ** (table[0] / 256 if count else 1)
        if element[:4] == b"para":
            (kind,) = struct.unpack_from(">H", element, 8)
            numbers = struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", element, 12)
            return _parametric(kind, [number / 65536 for number in numbers], values)
    except (struct.error, ValueError, IndexError, ZeroDivisionError):
        pass
    return None


def _parametric(kind: int, numbers: list[float], x: np.ndarray) -> np.ndarray:
    """Functions 0 to 4 of ICC.1:2022, table 68."""
    g, a, b, c, d, e, f = (*numbers, *[0.0] * (7 - len(numbers)))
    if kind == 0:
        return x**g
    power = np.maximum(a * x + b, 0) ** g
    if kind == 1:
        return np.where(x >= -b / a, power, 0)
    if kind == 2:
        return np.where(x >= -b / a, power + c, c)
    return np.where(x >= d, power + e, c * x + f)


@lru_cache(8)
def grey_profile(icc: bytes) -> bytes | None:
    """A grey profile with the tones of an RGB one; None if it has no curve of tones (a LUT profile)."""
    curve = _tags(icc).get(b"gTRC")
    if not curve or _response(curve, np.zeros(1)) is None:
        return None
    name = b"Grey of the scan"
    elements = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", *_D50),
        b"kTRC": curve,
    }
    table, body = struct.pack(">I", len(elements)), b""
    start = 132 + 12 * len(elements)
    for tag, element in elements.items():
        table += struct.pack(">4sII", tag, start + len(body), len(element))
        body += element + b"\0" * (-len(element) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", *_D50)
    return head.ljust(128, b"\0") + table + body


def fitting(icc: bytes | None, was_grey: bool, is_grey: bool) -> bytes | None:
    """The profile of a picture made from a photograph with this one; None if none fits.

    was_grey, is_grey: the photograph and the picture are grey. A grey picture gets no RGB profile but a grey
    one of its tones; colored ones are sRGB where the photograph's profile is grey (see `into_profile`).
    """
    if is_grey:
        return grey_profile(icc) if space(icc) == b"RGB " else icc
    if space(icc) == b"GRAY":
        return srgb() if was_grey else None
    return icc
