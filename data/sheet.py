"""Contact sheets: rows of labelled pictures on one sheet, and side-by-side comparison."""

from __future__ import annotations

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.pixels import rgb8

GAP = 8  # px between pictures
LINE = 20  # px, height of a line of text


def compare(panels: dict[str, np.ndarray]) -> np.ndarray:
    """The pictures side by side with their names below: (h, w, 3) uint8.

    panels: name -> (H, W) or (H, W, 3), uint8 or uint16, all of the same size.
    """
    pictures = {name: rgb8(pixels) for name, pixels in panels.items()}
    height, width = next(iter(pictures.values())).shape[:2]
    size = max(12, round(width / 24))  # font size, px
    total = len(pictures) * width + (len(pictures) - 1) * GAP
    sheet = Image.new("RGB", (total, height + 2 * size), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    for index, (name, pixels) in enumerate(pictures.items()):
        left = index * (width + GAP)
        sheet.paste(Image.fromarray(pixels), (left, 0))
        draw.text((left + width / 2, height + size), name, fill="black", font=font, anchor="mm")
    return np.asarray(sheet)


def contact_sheet(rows: list[tuple[str, dict[str, np.ndarray | str]]], width: int = 480) -> np.ndarray:
    """A sheet (H, W, 3) uint8 of rows, each with a title and below it cells of `width` px with their labels.

    rows: (title, label -> picture), at least one. A picture is (h, w) or (h, w, 3), uint8, uint16 or float in
    [0, 1]; wider ones are downsized. A sentence in place of a picture says why there is none.
    """
    drawn = [_row(title, cells, width) for title, cells in rows]
    sheet = Image.new("RGB", (max(row.width for row in drawn), sum(row.height for row in drawn)), "white")
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    return np.asarray(sheet)


def _row(title: str, cells: dict[str, np.ndarray | str], width: int) -> Image.Image:
    """One row of a contact sheet."""
    contents = [cell if isinstance(cell, str) else _fitted(cell, width) for cell in cells.values()]
    height = max([3 * LINE, *(content.height for content in contents if not isinstance(content, str))])
    row = Image.new("RGB", (len(cells) * (width + GAP) - GAP, 2 * LINE + height + GAP), "white")
    draw, font = ImageDraw.Draw(row), ImageFont.load_default(14)
    draw.text((0, LINE / 2), title, "black", font, "lm")
    for left, label, content in zip(range(0, row.width, width + GAP), cells, contents):
        draw.text((left, 1.5 * LINE), label, "#555555", font, "lm")
        if isinstance(content, str):
            draw.multiline_text((left, 2 * LINE), textwrap.fill(content, max(8, width // 8)), "#aa3311", font)
        else:
            row.paste(content, (left, 2 * LINE))
    return row


def _fitted(pixels: np.ndarray, width: int) -> Image.Image:
    """The picture in 8-bit RGB, at most `width` px wide."""
    picture = Image.fromarray(rgb8(pixels))
    if picture.width <= width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.BOX)


def overlay(grey: np.ndarray, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Detected and true masks in color over a darkened photograph: (H, W, 3) float in [0, 1].

    Green is in both, red detected only, blue true only. grey: (H, W) float in [0, 1]; masks: (H, W) bool.
    """
    picture = np.repeat(0.7 * grey[..., None], 3, 2)
    picture[found & ~truth] = (1, 0.1, 0.1)
    picture[found & truth] = (0.1, 0.9, 0.2)
    picture[truth & ~found] = (0.2, 0.4, 1)
    return picture


def grid(pictures: list[np.ndarray], width: int = 1600) -> np.ndarray:
    """Pictures (h, w) or (h, w, 3) of equal size in rows of at most `width` px; the last row is filled with
    black.
    """
    columns = max(1, min(len(pictures), width // pictures[0].shape[1]))
    pictures = pictures + [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[first : first + columns]) for first in range(0, len(pictures), columns)]
    return np.vstack(rows)


def side_by_side(luma: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A training sample (h, 2 w) uint8: luma (h, w) in [0, 1], and its mask (h, w) uint8."""
    return np.hstack([(luma * 255).astype(np.uint8), mask])
