"""Training samples of the three stages. Item n of a dataset is a function of (seed, n): the same on any machine, with
any number of processes or workers, so that a resumed run sees the samples that the uninterrupted one would have seen.

The data folder is described in the README: `clean/`, `labelled/images` and `labelled/masks`, `textures/`, `val/`.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image

from data import defects
from data.images import IMAGE_SUFFIXES, PhotoError, luma, read_mask, read_photo, resize, rgb_to_ycbcr


def images_in(folder: Path) -> list[Path]:
    """All pictures under a folder, sorted; an absent folder has none."""
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """(image, mask) pairs of `folder`/images and `folder`/masks, by stem. Raises PhotoError for an image without a mask."""
    masks = {path.stem: path for path in images_in(Path(folder) / "masks")}
    images = images_in(Path(folder) / "images")
    for path in images:
        if path.stem not in masks:
            raise PhotoError(f"{path}: no mask of the same stem in {Path(folder) / 'masks'}")
    return [(path, masks[path.stem]) for path in images]


def validation(data: Path) -> Path:
    """Where a data folder keeps its validation part: `val/` if there is one, else the folder itself."""
    return data / "val" if (data / "val").is_dir() else data


def validation_photos(data: Path) -> list[Path]:
    """The undamaged photographs to measure on. Raises PhotoError if there are none."""
    folder = validation(data) / "clean"
    return images_in(folder) or _nothing(folder, "photographs")


def validation_pairs(data: Path) -> list[tuple[Path, Path]]:
    """The damaged photographs to measure on, with their masks. Raises PhotoError if there are none."""
    folder = validation(data) / "labelled"
    return pairs_in(folder) or _nothing(folder, "labelled photographs")


def held_out(pairs: list, fold: str | None) -> tuple[list, list]:
    """(to train on, to measure on) of the labelled pairs: with the fold "I/N" every N-th from the I-th on is measured."""
    if fold is None:
        return pairs, []
    part, parts = (int(number) for number in fold.split("/"))
    return [pair for number, pair in enumerate(pairs) if number % parts != part - 1], pairs[part - 1 :: parts]


def measured_pairs(data: Path, fold: str | None) -> list[tuple[Path, Path]]:
    """What a training run measures on: `val/`, or its fold of `labelled/`. Raises PhotoError if there is nothing."""
    if fold is None:
        return validation_pairs(data)
    folder = Path(data) / "labelled"
    return held_out(pairs_in(folder), fold)[1] or _nothing(folder, f"labelled photographs in fold {fold}")


def _nothing(folder: Path, what: str):
    raise PhotoError(f"{folder}: no {what} to measure on")


class Clean:
    """The photographs of `clean/`, each direct sub-folder drawn equally often."""

    def __init__(self, data: Path):
        root = Path(data) / "clean"
        groups = [images_in(folder) for folder in sorted(root.iterdir()) if folder.is_dir()] if root.is_dir() else []
        loose = sorted(path for path in root.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        self.groups = [group for group in [*groups, loose] if group]
        if not self.groups:
            raise PhotoError(f"{root}: no photographs to train on")

    def draw(self, rng) -> Path:
        group = self.groups[rng.integers(len(self.groups))]
        return group[rng.integers(len(group))]


TURNS = {  # EXIF orientation: what brings the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def crop(picture: Image.Image, mode: str, side: int, rng, zoom=(0.25, 1.0), enlarge=2.5) -> np.ndarray:
    """A random square of a photograph, resized to `side`: (side, side[, 3]) float32 in [0, 1], mirrored half the time.

    The square's side is a share of the photograph's short side drawn from `zoom` (log-uniform), but not fewer than
    `side` / `enlarge` px, so that enlarging stays within what an enlarged small scan looks like. mode: "L" or "RGB".
    """
    (width, height), short = picture.size, min(picture.size)
    orientation = picture.getexif().get(ExifTags.Base.Orientation)
    span = int(min(short, max(short * np.exp(rng.uniform(*np.log(zoom))), side / enlarge)))
    left, top = rng.integers(width - span + 1), rng.integers(height - span + 1)
    picture.draft(mode, (width * side // span, height * side // span))  # JPEG decodes at 1/2, 1/4, 1/8 where that is enough
    scale = picture.width / width
    box = (left * scale, top * scale, (left + span) * scale, min((top + span) * scale, picture.height))
    if picture.mode.startswith("I;16"):  # Pillow would clip at 255
        picture = Image.fromarray((np.asarray(picture) / 257 + 0.5).astype(np.uint8))
    square = picture.convert(mode).resize((side, side), Image.Resampling.BICUBIC, box=box)
    if turn := TURNS.get(orientation):
        square = square.transpose(turn)
    array = np.asarray(square, np.float32) / 255
    return np.ascontiguousarray(array[:, ::-1] if rng.random() < 0.5 else array)


class _Samples(torch.utils.data.Dataset):
    """A map from sample numbers to samples; the generator of sample n is seeded by (seed, n)."""

    def __init__(self, args, clean=True):
        self.seed, self.side = args.seed, args.crop
        self.clean = Clean(args.data) if clean else None

    def __getitem__(self, number: int) -> dict:
        return self.sample(np.random.default_rng([self.seed, number]))

    def photo(self, mode: str, rng, **kwargs) -> np.ndarray:
        """A crop of a clean photograph. Raises PhotoError naming the file if it cannot be read."""
        path = self.clean.draw(rng)
        try:
            with Image.open(path) as picture:
                return crop(picture, mode, self.side, rng, **kwargs)
        except OSError as error:
            raise PhotoError(f"{path}: {error}") from None


class SegmentSamples(_Samples):
    """luma (1, S, S) float32 in [0, 1] and mask (1, S, S) uint8: synthetic damage, mixed with hand-labelled photographs."""

    def __init__(self, args):
        self.textures = defects.load_textures(args.data / "textures")
        pairs, _ = held_out(pairs_in(args.data / "labelled"), getattr(args, "hold_out", None))
        self.labelled = [_labelled(*pair) for pair in pairs]
        self.labelled_share = args.labelled_share if self.labelled else 0.0
        super().__init__(args, clean=self.labelled_share < 1)

    def sample(self, rng) -> dict:
        if rng.random() < self.labelled_share:
            picture, mask = self._real(rng)
        else:  # mostly as sharp as a photograph is: who sees only enlarged ones takes fine detail for damage
            clean = self.photo("L", rng, enlarge=2.5 if rng.random() < 0.3 else 1.0)
            picture, mask = defects.sample(clean, rng, self.textures)
        return {"luma": torch.from_numpy(picture)[None], "mask": torch.from_numpy(mask)[None]}

    def _real(self, rng):
        """A labelled crop: scaled by 0.6 to 2, turned by any multiple of 90 degrees, mirrored, with another tone."""
        picture, mask = self.labelled[rng.integers(len(self.labelled))]
        span = int(min(*picture.shape, self.side / np.exp(rng.uniform(np.log(0.6), np.log(2.0)))))
        top, left = (rng.integers(length - span + 1) for length in picture.shape)
        if rng.random() < 0.7:  # most crops hold damage: the best of a few places
            places = [[rng.integers(length - span + 1) for length in picture.shape] for _ in range(4)]
            top, left = max(places, key=lambda p: (mask[p[0] : p[0] + span : 4, p[1] : p[1] + span : 4] == 255).sum())
        here = np.s_[top : top + span, left : left + span]
        picture = resize(picture[here], (self.side, self.side), "bicubic")
        mask = np.array(Image.fromarray(mask[here]).resize((self.side, self.side), Image.Resampling.NEAREST))
        turns, mirrored = rng.integers(4), rng.random() < 0.5
        picture, mask = np.rot90(picture, turns), np.rot90(mask, turns)
        if mirrored:
            picture, mask = picture[:, ::-1], mask[:, ::-1]
        picture = np.clip(picture, 0, 1) ** np.exp(rng.normal(0, 0.25))
        picture = picture * rng.uniform(0.7, 1.1) + rng.uniform(-0.08, 0.12)
        picture = picture + rng.normal(0, rng.uniform(0, 0.02), picture.shape)
        return np.ascontiguousarray(np.clip(picture, 0, 1), np.float32), np.ascontiguousarray(mask)


class InpaintSamples(_Samples):
    """luma (1, S, S) float32 in [0, 1], slightly aged, and mask (1, S, S) float32: 1 valid, 0 in holes."""

    def __init__(self, args):
        super().__init__(args)
        self.textures = defects.load_textures(args.data / "textures")
        self.share = tuple(args.hole_share)

    def sample(self, rng) -> dict:
        picture = defects.age(self.photo("L", rng), rng, strength=rng.uniform(0, 0.5))
        holes = defects.holes(picture.shape, rng, self.share, self.textures)
        return {"luma": torch.from_numpy(picture)[None], "mask": torch.from_numpy((holes == 0).astype(np.float32))[None]}


class ColorizeSamples(_Samples):
    """luma (1, S, S) float32 in [0, 1] as an old print has it, and the true cbcr (2, S, S) float32 in [-0.5, 0.5]."""

    def sample(self, rng) -> dict:
        ycbcr = rgb_to_ycbcr(self.photo("RGB", rng, zoom=(0.5, 1.0)))
        picture = defects.age(np.ascontiguousarray(ycbcr[..., 0]), rng, strength=rng.uniform(0, 0.7))
        return {"luma": torch.from_numpy(picture)[None], "cbcr": torch.from_numpy(ycbcr[..., 1:].transpose(2, 0, 1).copy())}


def _labelled(image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    photo = read_photo(image)  # upright, as the mask was drawn
    return luma(photo.pixels), read_mask(mask, photo.size)[0]
