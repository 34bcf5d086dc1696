"""Pictures that show several steps at once."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 8  # px between panels


def compare(panels: dict[str, np.ndarray]) -> np.ndarray:
    """The pictures side by side with their names below: (h, w, 3) uint8.

    panels: name -> (H, W) or (H, W, 3), uint8 or uint16, all of one size.
    """
    pictures = {name: _rgb8(pixels) for name, pixels in panels.items()}
    height, width = next(iter(pictures.values())).shape[:2]
    size = max(12, round(width / 24))  # of the letters, px
    total = len(pictures) * width + (len(pictures) - 1) * GAP
    sheet = Image.new("RGB", (total, height + 2 * size), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    for index, (name, pixels) in enumerate(pictures.items()):
        left = index * (width + GAP)
        sheet.paste(Image.fromarray(pixels), (left, 0))
        draw.text((left + width / 2, height + size), name, fill="black", font=font, anchor="mm")
    return np.asarray(sheet)


def _rgb8(pixels: np.ndarray) -> np.ndarray:
    pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
