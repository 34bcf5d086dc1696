"""The example photograph that the benchmarks of speed and memory process."""

from pathlib import Path

import numpy as np
from PIL import Image

from data.synthesis.holes import draw_holes

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "astronaut_old.jpg"


def photograph(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Luma (H, W), float32 in [0, 1], of the example, and holes in about 5 % of it, (H, W) uint8.

    size: (width, height).
    """
    picture = Image.open(EXAMPLE).convert("L").resize(size, Image.Resampling.BICUBIC)
    width, height = picture.size
    tile = draw_holes((512, 512), np.random.default_rng(0), (0.04, 0.06), ())
    holes = np.tile(tile, (-(-height // 512), -(-width // 512)))[:height, :width]
    return np.asarray(picture, np.float32) / 255, np.ascontiguousarray(holes)
