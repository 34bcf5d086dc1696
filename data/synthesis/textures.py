"""Random fields and shapes of real defects, the raw material of synthetic damage.

Everything is drawn from the numpy Generator passed in, so the same generator state gives the same field on
any machine.
"""

from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.crops import attempted, naming
from data.folder import grouped

_SIDE = 512  # px, period of the noise bank
# Binomial smoothing passes of its noises: standard deviation of the grain's shape 0, 0.7, 1.2, 2.4 px
_PASSES = (0, 1, 3, 12)
SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_TILE = 256  # px, side of a tile cut from a large scan


@lru_cache(maxsize=1)
def _bank() -> tuple[np.ndarray, ...]:
    """Periodic Gaussian noise of mean 0 and standard deviation 1 with four grain sizes, each tiled 2 x 2."""
    noise = np.random.default_rng(1839).standard_normal((_SIDE, _SIDE), dtype=np.float32)
    bank = []
    for passes in _PASSES:
        field = noise
        for _ in range(passes):
            for axis in (0, 1):
                field = 0.5 * field + 0.25 * (np.roll(field, 1, axis) + np.roll(field, -1, axis))
        bank.append(np.tile(field / field.std(), (2, 2)))
    return tuple(bank)


def grain(shape, rng, size=0) -> np.ndarray:
    """Noise, (H, W) float32 of mean 0 and standard deviation 1. size: 0 (white) to 3 (grains of about 5 px).

    May be a view: read only.
    """
    tile = _bank()[size]
    top, left, mirror = rng.integers(_SIDE), rng.integers(_SIDE), rng.integers(4)
    height, width = shape
    if max(shape) <= _SIDE:
        field = tile[top : top + height, left : left + width]
    else:
        field = tile[np.ix_((top + np.arange(height)) % _SIDE, (left + np.arange(width)) % _SIDE)]
    return field[:: -1 if mirror & 1 else 1, :: -1 if mirror & 2 else 1]


def clouds(shape, rng, cells=4) -> np.ndarray:
    """Smooth noise, (H, W) float32 of mean 0 and standard deviation near 0.7, with about `cells` bumps along
    the longer side.
    """
    height, width = shape
    scale = cells / max(shape)
    grid = rng.standard_normal(
        (max(2, round(height * scale)) + 1, max(2, round(width * scale)) + 1), dtype=np.float32
    )
    return enlarge(grid, shape)


@lru_cache(maxsize=256)
def _weights(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that resizes columns of `old` values to `new`, bicubic as in Pillow."""
    unit = Image.fromarray(np.eye(old, dtype=np.float32))
    return np.array(unit.resize((old, new), Image.Resampling.BICUBIC), np.float64)


def enlarge(array, shape) -> np.ndarray:
    """(h, w) float32 -> (H, W) float32, bicubic.

    Two small matrix products are much faster than Pillow's filter, and torch's, unlike numpy's, keep to one
    thread in a worker. In double precision their sums, rounded, do not depend on the number of threads.
    """
    import torch

    rows, columns = (torch.from_numpy(_weights(*pair)) for pair in zip(array.shape, shape))
    return (rows @ (torch.tensor(array, dtype=torch.float64) @ columns.T)).float().numpy()


def blur(picture, amount):
    """One binomial pass of standard deviation sqrt(2 amount) px, in place; a negative amount sharpens as
    scanners do.
    """
    for middle, before, after in (
        (picture[:, 1:-1], picture[:, :-2], picture[:, 2:]),
        (picture[1:-1], picture[:-2], picture[2:]),
    ):
        beside = before + after  # before the middle changes
        beside *= amount
        middle *= 1 - 2 * amount
        middle += beside
    return picture


@dataclass
class Textures:
    """Shapes of real and hand-made defects, white on black. False if there are none."""

    # one list per folder of ((width, height), packed bits)
    groups: list[list[tuple]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.groups)

    def draw(self, rng, scale) -> Image.Image:
        """A shape as an 8-bit picture, scaled, rotated, mirrored and cropped. Thin shapes are 3-6 px wide at
        scale 1.
        """
        group = self.groups[rng.integers(len(self.groups))]
        shape = Image.frombytes("1", *group[rng.integers(len(group))]).convert("L")
        shape = shape.resize([max(1, round(side * scale)) for side in shape.size], Image.Resampling.BILINEAR)
        shape = shape.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR, expand=True)
        if rng.random() < 0.5:
            shape = shape.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return shape.crop(shape.getbbox() or (0, 0, 1, 1))


def load_textures(folder) -> Textures:
    """All shapes under `folder`, each direct subfolder a group that is drawn equally often. Empty if None or
    missing. Raises PhotoError with the name of a file that cannot be read.

    Large scans are halved and cut into tiles, and empty tiles dropped. Masks that are mostly white (drawn
    inverted, or a whole sheet) or have a ruled frame are left out, since they are not shapes of defects.
    """
    folder = Path(folder) if folder else None
    if folder is None or not folder.is_dir():
        return Textures()
    groups = []
    for group in grouped(folder):
        paths = [path for path in group if path.suffix.lower() in SUFFIXES]
        shapes = [(tile.size, tile.tobytes()) for path in paths for tile in _tiles(path)]
        if shapes:
            groups.append(shapes)
    return Textures(groups)


def _tiles(path: Path) -> list[Image.Image]:
    with naming(path):
        return attempted(partial(_cut, path))


def _cut(path: Path) -> list[Image.Image]:
    with Image.open(path) as picture:
        if max(picture.size) <= 1024:
            shape = picture.convert("L").point(lambda level: 255 if level > 127 else 0)
            array = np.asarray(shape)
            box = shape.getbbox()
            if box is None or array.mean() > 0.5 * 255:
                return []
            rim = array[box[1] : box[3], box[0] : box[2]]
            ruled = max(rim[0].mean(), rim[-1].mean(), rim[:, 0].mean(), rim[:, -1].mean()) > 0.5 * 255
            return [] if ruled and min(rim.shape) > 100 else [shape.crop(box).convert("1")]
        picture = picture.convert("L").reduce(2)
    tiles = []
    for top in range(0, picture.height, _TILE):
        for left in range(0, picture.width, _TILE):
            tile = picture.crop(
                (left, top, min(left + _TILE, picture.width), min(top + _TILE, picture.height))
            )
            if 30 < np.count_nonzero(np.asarray(tile)) < 0.5 * _TILE * _TILE:
                tiles.append(tile.point(lambda level: 255 if level > 100 else 0).convert("1"))
    return tiles
