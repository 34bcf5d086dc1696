"""Pixel operations: luma and chroma (BT.601, full range), bit depth, orientation, resizing."""

from __future__ import annotations

import numpy as np
from PIL import Image

_KR, _KG, _KB = LUMA_WEIGHTS = 0.299, 0.587, 0.114  # weights of R, G and B: ITU-R BT.601-7, 2.5.1
BAND = 256  # rows of a photograph processed at a time


def bands(height: int) -> list[slice]:
    """All rows of a photograph, `BAND` at a time, so that temporaries stay small compared to it."""
    return [slice(top, min(top + BAND, height)) for top in range(0, height, BAND)]


_TURN = {  # EXIF orientation -> the upright array
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a),
}


def upright(array: np.ndarray, orientation: int | None) -> np.ndarray:
    """The array (H, W[, C]) turned upright, from its EXIF orientation."""
    return np.ascontiguousarray(_TURN.get(orientation, lambda a: a)(array))


def _white(dtype: np.dtype) -> int:
    return np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1


def luma(pixels: np.ndarray) -> np.ndarray:
    """BT.601 luma of gamma-coded values: (H, W) float32 in [0, 1]. Grey is its own luma.

    pixels: (H, W) or (H, W, 3), uint8, uint16, or float in [0, 1].
    """
    if pixels.ndim == 2:
        y = pixels.astype(np.float32)
    else:
        y = pixels[..., 0] * np.float32(_KR)
        y += pixels[..., 1] * np.float32(_KG)
        y += pixels[..., 2] * np.float32(_KB)
    y /= np.float32(_white(pixels.dtype))
    return np.minimum(y, 1, out=y)  # white may round to 1 + 1e-7


def rgb_to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: Y in [0, 1], Cb and Cr in [-0.5, 0.5] (BT.601 full range, as in JFIF).

    rgb: (H, W, 3), uint8, uint16, or float in [0, 1].
    """
    scale = np.float32(1 / _white(rgb.dtype))
    out = np.empty(rgb.shape, np.float32)
    out[..., 0] = luma(rgb)
    out[..., 1] = (rgb[..., 2] * scale - out[..., 0]) / np.float32(2 - 2 * _KB)
    out[..., 2] = (rgb[..., 0] * scale - out[..., 0]) / np.float32(2 - 2 * _KR)
    return out


def merge_chroma(luma: np.ndarray, cbcr: np.ndarray, dtype: str | type = np.uint8) -> np.ndarray:
    """(H, W, 3) RGB of `dtype` (uint8 or uint16) with exactly this luma.

    luma: (H, W) in [0, 1]. cbcr: (H, W, 2) in [-0.5, 0.5]. Where R, G or B would leave [0, 1], chroma is
    scaled by the largest factor in [0, 1] that keeps all three inside: hue and luma stay, saturation is
    reduced. Rounding changes luma by at most half a step.
    """
    top = np.iinfo(dtype).max
    out = np.empty((*luma.shape, 3), dtype)
    for rows in bands(len(luma)):
        y = luma[rows].astype(np.float32)
        cb, cr = np.moveaxis(cbcr[rows].astype(np.float32), -1, 0)
        # (3, H, W)
        offset = np.stack(  # R, G and B minus luma; their mean weighted by KR, KG and KB is 0
            [
                (2 - 2 * _KR) * cr,
                (-2 * _KB * (1 - _KB) / _KG) * cb + (-2 * _KR * (1 - _KR) / _KG) * cr,
                (2 - 2 * _KB) * cb,
            ]
        )
        tiny = np.float32(1e-12)  # grey: no offset, no limit
        room = np.minimum((1 - y) / np.maximum(offset.max(0), tiny), y / np.maximum(-offset.min(0), tiny))
        rgb = y + np.clip(room, 0, 1) * offset
        out[rows] = np.moveaxis(np.rint(np.clip(rgb, 0, 1) * top), 0, -1)
    return out


def resize(array: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Resizes (H, W) or (H, W, C) to `size` (width, height) with antialiasing, in float32 throughout.

    method: bilinear, bicubic, box or lanczos (which overshoots, so the caller clips). Downsampling widens the
    filter. Pillow copies its input, so large pictures are resized a band of rows at a time.
    """
    (height, width), resample = array.shape[:2], Image.Resampling[method.upper()]
    planes = np.moveaxis(np.atleast_3d(array), -1, 0)  # (C, H, W)
    out = np.empty((size[1], size[0], len(planes)), np.float32)
    scale = height / size[1]
    margin = 3 * max(scale, 1) + 1  # px that lanczos, the widest filter, reaches beyond its output rows
    step = max(1, int(BAND * 4096 / width / scale))  # output rows from about a million px
    for top in range(0, size[1], step):
        rows = slice(top, min(top + step, size[1]))
        first, last = (
            max(0, int(rows.start * scale - margin)),
            min(height, int(rows.stop * scale + margin) + 1),
        )
        box = (0, rows.start * scale - first, width, min(rows.stop * scale, height) - first)
        for channel, plane in enumerate(planes):
            part = Image.fromarray(np.ascontiguousarray(plane[first:last], np.float32))
            out[rows, :, channel] = part.resize((size[0], rows.stop - rows.start), resample, box)
    return out if array.ndim == 3 else out[..., 0]


def as_depth(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Pixels as uint8 or uint16. 255 becomes 65535, a factor of 257; in the other direction it rounds.

    pixels: uint8 or uint16.
    """
    if pixels.dtype == dtype:
        return pixels
    if dtype == np.uint16:
        return pixels.astype(np.uint16) * np.uint16(257)
    rounded = np.empty(pixels.shape, np.uint8)
    for rows in bands(len(pixels)):
        rounded[rows] = (pixels[rows].astype(np.uint32) + 128) // 257
    return rounded


def rgb8(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of grey or RGB in 8 or 16 bits, or float in [0, 1], where NaN becomes black."""
    if pixels.dtype == np.uint16:
        pixels = as_depth(pixels, np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = np.rint(np.nan_to_num(np.clip(pixels, 0, 1)) * 255).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
