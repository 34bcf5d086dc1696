"""Pages that people open in a browser: one HTML file with its pictures and scripts inside, and no network."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from data.pixels import rgb8

HERE = Path(__file__).parent


def data_url(pixels: np.ndarray, side: int, format: str, **options) -> str:
    """A picture as a data URL: RGB, without metadata, its longer side at most `side` px.

    pixels: as for `rgb8`. format, options: Pillow's, of `Image.save`.
    """
    image = Image.fromarray(rgb8(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format, **options)
    return f"data:image/{format.lower()};base64," + base64.b64encode(file.getvalue()).decode()


def inline_json(content) -> str:
    """JSON that can stand inside a <script> element, whatever texts it holds."""
    return json.dumps(content).replace("<", "\\u003c")


def template(name: str, scripts: list[str]) -> str:
    """A page of this folder with its scripts in place of SCRIPT."""
    code = "\n".join((HERE / script).read_text("utf-8") for script in scripts)
    return (HERE / name).read_text("utf-8").replace(">SCRIPT<", f">\n{code}<")
