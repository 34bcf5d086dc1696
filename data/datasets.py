"""Training samples of the three stages: item n is a function of (seed, n).

It is the same on any machine and for any number of processes or workers, so a resumed run gets the samples
that an uninterrupted one would have got. TRAINING.md describes the data folder: `clean/`, `labelled/images`
and `labelled/masks`, `textures/`, `val/`.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from data import portraits
from data.crops import crop, crop_pair, naming, read_old_scan
from data.errors import PhotoError
from data.folder import SMALL, grouped, held_out, images_in
from data.hints import simulate
from data.labelled import training_photos
from data.photo import read_mask, read_named
from data.pixels import rgb_to_ycbcr
from data.synthesis import defects, exposure, scans, shares
from data.synthesis.ageing import age
from data.synthesis.holes import draw_holes
from data.synthesis.prints import framed
from data.synthesis.textures import blur, enlarge, grain, load_textures

INVISIBLE = 0.045  # luma; damage that differs less from where it is pasted is ignored
MASK_TRIES = 20  # crops of real masks to try before holes are drawn instead
# Shares of the samples of the colorize stage
SMALL_SHARE = 0.2  # of color_small/: subjects that clean/ lacks, in little detail
CUTOUT_SHARE = 0.25  # of the others: cutouts in front of a background, if there are any
OVERLAID_SHARE = 1 / 3  # of the portraits, with overlays, if there are any
DYED_SHARE = 0.5  # of the portraits, with dark blue clothes in another color
EMULSION_SHARE = 0.25  # with the tones of an emulsion whose sensitivity is not that of luma
FRAMED_SHARE = 0.25  # with the border of a print or the rim of a negative


class Clean:
    """The photographs of `clean/`, with each direct subfolder drawn equally often.

    Raises PhotoError if there are none.
    """

    def __init__(self, data: Path):
        root = Path(data) / "clean"
        self.groups = grouped(root)
        if not self.groups:
            raise PhotoError(f"{root}: no photographs to train on")

    def draw(self, rng) -> Path:
        group = self.groups[rng.integers(len(self.groups))]
        return group[rng.integers(len(group))]


class _Samples(torch.utils.data.Dataset):
    """A map from sample numbers to samples; the generator of sample n is seeded by (seed, n).

    data: the data folder; side: of the samples, in px; clean: whether photographs of `clean/` are needed.
    Raises PhotoError if there are none.
    """

    def __init__(self, data: Path, *, seed: int, side: int, clean: bool = True):
        self.seed, self.side = seed, side
        self.clean = Clean(data) if clean else None

    def __getitem__(self, number: int) -> dict:
        return self.sample(np.random.default_rng([self.seed, number]))

    def photo(self, mode: str, rng, path: Path | None = None, **kwargs) -> np.ndarray:
        """A crop of the photograph `path`, by default of a clean one. Raises PhotoError with the file name if
        it cannot be read.
        """
        path = path or self.clean.draw(rng)
        with naming(path), Image.open(path) as picture:
            return crop(picture, mode, self.side, rng, **kwargs)


class SegmentSamples(_Samples):
    """luma (1, S, S) float32 in [0, 1] and mask (1, S, S) uint8: 255 damaged, 0 intact, 128 ignored.

    Synthetic damage, mixed with hand-labelled photographs and with undamaged old scans; see
    `synthesis/shares.py`. labelled_share: share of the samples from `labelled/` and the corrections, if there
    are any. hold_out: the fold "I/N" of these and of `negatives/` to leave out. corrections, photos: as in
    `data.labelled.training_photos`.
    """

    def __init__(
        self,
        data: Path,
        *,
        seed: int,
        side: int,
        labelled_share: float,
        hold_out: str | None = None,
        corrections: list[Path] | None = None,
        photos: Path | None = None,
    ):
        self.textures = load_textures(data / "textures")
        self.labelled = [photo.read() for photo in training_photos(data, hold_out, corrections, photos)]
        self.labelled_share = labelled_share if self.labelled else 0.0
        old, _ = held_out(images_in(data / "negatives"), hold_out)
        self.old = [read_old_scan(path) for path in old]
        super().__init__(data, seed=seed, side=side, clean=self.labelled_share < 1)

    def sample(self, rng) -> dict:
        if rng.random() < self.labelled_share:
            picture, mask = self._real(rng)
            if self.clean and rng.random() < shares.PASTED_SHARE:
                picture, mask = self._pasted(picture, mask, rng)
        elif self.old and rng.random() < shares.OLD_SCAN_SHARE:
            ground, unsure = self._old(rng)
            picture, mask = defects.sample(ground, rng, self.textures, **shares.ON_OLD_SCANS)
            mask = np.where((mask == 0) & (unsure > 0), np.uint8(128), mask)
        else:
            picture, mask = defects.sample(self._undamaged(rng), rng, self.textures)
        return {"luma": torch.from_numpy(picture)[None], "mask": torch.from_numpy(mask)[None]}

    def _undamaged(self, rng) -> np.ndarray:
        """A crop of a clean photograph, (S, S) float32, augmented hard, since memorized photographs do not
        generalize.

        Tones vary over many emulsions and exposures, and some crops are rotated. Most are as sharp as a
        photograph: a network trained on enlarged ones only mistakes fine detail for damage. Crops that are
        enlarged, so that eyes and stripes are as large as in a good scan, are mostly sharpened to look like
        one.
        """
        enlarged, other_tones = rng.random() < shares.ENLARGED_SHARE, rng.random() < 0.5
        picture = self.photo("RGB" if other_tones else "L", rng, enlarge=2.5 if enlarged else 1.0)
        if other_tones:
            picture = exposure.emulsion(picture, rng)
        if enlarged and rng.random() < shares.SHARPENED_SHARE:
            picture = _sharpened(picture, rng)
        if rng.random() < shares.ROTATED_SHARE:
            picture = np.rot90(picture, rng.integers(1, 4))
        return exposure.expose(np.ascontiguousarray(picture), rng)

    def _real(self, rng):
        """A labelled crop: scaled, rotated by any multiple of 90 degrees and up to 10 more, mirrored, with
        another tone.
        """
        picture, mask = self.labelled[rng.integers(len(self.labelled))]
        tries = 4 if rng.random() < 0.7 else 1
        scale = shares.COARSE_SCALES if rng.random() < shares.COARSE_SHARE else shares.SCALES
        picture, mask = crop_pair(picture, mask, self.side, rng, scale, tries)
        picture = picture * rng.uniform(0.7, 1.1) + rng.uniform(-0.08, 0.12)
        picture = picture + rng.uniform(0, 0.02) * grain(picture.shape, rng)
        return np.ascontiguousarray(np.clip(picture, 0, 1), np.float32), mask

    def _old(self, rng):
        """A crop of an undamaged old scan, scaled by 0.35 to 2, and its mask: 128 on isolated specks."""
        return crop_pair(*self.old[rng.integers(len(self.old))], self.side, rng, (0.35, 2.0))

    def _ground(self, rng):
        """An undamaged picture on which to paste real damage, and its mask, 0 or 128: an old scan, or an aged
        photograph, sometimes as a whole scan.
        """
        if self.old and rng.random() < shares.PASTED_ON_OLD_SHARE:
            return self._old(rng)
        other = age(self._undamaged(rng), rng, rng.uniform(0, 1))
        if rng.random() < shares.PASTED_ON_SCAN_SHARE:
            other = scans.compose(other, rng).picture
        return other, np.zeros(other.shape, np.uint8)

    def _pasted(self, picture, mask, rng):
        """The damage of a labelled crop on an undamaged photograph (Ghiasi et al. 2021, Simple Copy-Paste).

        Real damage is rare and would be memorized if it only appeared on its own photographs. The difference
        to the undamaged surroundings is pasted. Damage that is not visible on the new photograph is ignored.
        """
        ground, unsure = self._ground(rng)
        pasted = _paste_damage(picture, mask, ground)
        invisible = (mask == 255) & (np.abs(pasted - ground) < INVISIBLE)
        ignored = invisible | (mask == 0) & (unsure > 0)
        return pasted.astype(np.float32), np.where(ignored, np.uint8(128), mask)


class InpaintSamples(_Samples):
    """luma (1, S, S) float32 in [0, 1], slightly aged, and mask (1, S, S) float32: 1 valid, 0 in holes.

    Holes are synthetic or, in `mask_share` of the samples, cut from the masks of `labelled/masks` and of the
    folder `masks`. Their share of the crop is in the range `hole_share`. Raises PhotoError if there are no
    photographs, or no masks in `masks`.
    """

    def __init__(
        self,
        data: Path,
        *,
        seed: int,
        side: int,
        hole_share: tuple[float, float],
        masks: Path | None = None,
        mask_share: float = 0.0,
    ):
        super().__init__(data, seed=seed, side=side)
        self.textures = load_textures(data / "textures")
        self.share = tuple(hole_share)
        paths = images_in(data / "labelled/masks") + (_masks_in(masks) if masks else [])
        self.masks = [mask for path in paths if (mask := _packed_mask(path))]
        self.mask_share = mask_share if self.masks else 0.0

    def sample(self, rng) -> dict:
        picture = age(self.photo("L", rng), rng, strength=rng.uniform(0, 0.5))
        holes = self._real(rng) if rng.random() < self.mask_share else None
        if holes is None:
            holes = draw_holes(picture.shape, rng, self.share, self.textures)
        mask = (holes == 0).astype(np.float32, order="C")
        return {"luma": torch.from_numpy(picture)[None], "mask": torch.from_numpy(mask)[None]}

    def _real(self, rng):
        """A crop of a real mask, (S, S) uint8, 0 valid: scaled by 0.5 to 2, rotated by any multiple of 90
        degrees, mirrored half the time.

        None if all MASK_TRIES crops have fewer or more holes than allowed.
        """
        for _ in range(MASK_TRIES):
            packed, (height, width) = self.masks[rng.integers(len(self.masks))]
            span = int(min(height, width, self.side / np.exp(rng.uniform(np.log(0.5), np.log(2.0)))))
            top, left = rng.integers(height - span + 1), rng.integers(width - span + 1)
            holes = np.unpackbits(packed[top : top + span], axis=1, count=width)[:, left : left + span]
            holes = Image.fromarray(holes).resize((self.side, self.side), Image.Resampling.NEAREST)
            holes = np.asarray(holes)
            if self.share[0] <= holes.mean() <= self.share[1]:
                holes = np.rot90(holes, rng.integers(4))
                return holes[:, ::-1] if rng.random() < 0.5 else holes
        return None


class ColorizeSamples(_Samples):
    """luma (1, S, S) float32 in [0, 1] as in an old print, and the true cbcr (2, S, S) float32 in [-0.5,
    0.5].

    Emulsion, exposure, fading, grain and blur are random; a sepia print converted to grey is one of the tone
    curves. With `hint_share` above 0 also hints (3, S, S): Cb, Cr and where, all 0 in the other samples. A
    fifth of the samples are photographs of `color_small/`, if there are any: too small for anything but
    color, so that nearly the whole photograph is enlarged to the crop. A quarter of the others are
    `cutouts/`, if there are any, in front of `backgrounds/` or else of clean photographs. `overlays/` are
    pasted on a third of the portraits, which are cutouts and `clean/people`, or all of `clean/` if that
    folder is missing.
    """

    def __init__(self, data: Path, *, seed: int, side: int, hint_share: float = 0.0):
        super().__init__(data, seed=seed, side=side)
        self.cutouts, self.backgrounds, self.overlays = (
            images_in(data / part) for part in ("cutouts", "backgrounds", "overlays")
        )
        self.people = data / "clean/people"
        self.has_people = self.people.is_dir()
        self.small = images_in(data / SMALL)
        self.hint_share = hint_share

    def sample(self, rng) -> dict:
        picture, is_portrait = self._picture(rng)
        if is_portrait and self.overlays and rng.random() < OVERLAID_SHARE:
            for _ in range(rng.integers(1, 4)):
                overlay = self.overlays[rng.integers(len(self.overlays))]
                picture = portraits.overlay(picture, overlay, rng)
        ycbcr = rgb_to_ycbcr(picture)
        truth = ycbcr[..., 1:].transpose(2, 0, 1).copy()
        if is_portrait and rng.random() < DYED_SHARE:
            portraits.dye_dark_blue(truth, ycbcr[..., 0], rng)
        grey = exposure.emulsion(picture, rng) if rng.random() < EMULSION_SHARE else ycbcr[..., 0]
        grey = age(exposure.expose(grey, rng), rng, strength=rng.uniform(0, 0.7))
        if rng.random() < FRAMED_SHARE:
            grey = framed(grey, truth, rng)
        sample = {"luma": torch.from_numpy(grey)[None], "cbcr": torch.from_numpy(truth)}
        if self.hint_share:
            hinted = rng.random() < self.hint_share
            hints = simulate(truth, rng) if hinted else np.zeros((3, *grey.shape), np.float32)
            sample["hints"] = torch.from_numpy(hints)
        return sample

    def _picture(self, rng) -> tuple[np.ndarray, bool]:
        """A color photograph (S, S, 3) float32 in [0, 1], and whether it is a portrait."""
        if self.small and rng.random() < SMALL_SHARE:
            path = self.small[rng.integers(len(self.small))]
            return self.photo("RGB", rng, path, zoom=(0.8, 1.0)), False
        if not self.cutouts or rng.random() < 1 - CUTOUT_SHARE:
            path = self.clean.draw(rng)
            is_portrait = not self.has_people or self.people in path.parents
            return self.photo("RGB", rng, path, zoom=(0.5, 1.0)), is_portrait
        person = self.photo("RGB", rng, self.cutouts[rng.integers(len(self.cutouts))], zoom=(0.6, 1.0))
        path = self.backgrounds[rng.integers(len(self.backgrounds))] if self.backgrounds else None
        background = self.photo("RGB", rng, path, zoom=(0.5, 1.0))
        return portraits.replace_paper(person, background), True


def _sharpened(picture: np.ndarray, rng) -> np.ndarray:
    """A picture (H, W) after unsharp masking with a random radius and amount."""
    soft = picture.copy()
    for _ in range(rng.integers(1, 3)):
        blur(soft, 0.25)
    return picture + rng.uniform(0.5, 2) * (picture - soft)


def _paste_damage(picture: np.ndarray, mask: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """`ground` in [0, 1] with the damage of `picture`, where `mask` is not 0; all (H, W).

    Adds the difference between the damage and its intact surroundings: their mean over about 8 px or, where
    nothing is intact so near, over 64 px.
    """
    intact = (mask == 0).astype(np.float32)
    weight = total = 0.0
    for pitch, factor in ((8, 1.0), (64, 0.02)):
        weight = weight + factor * enlarge(np.asarray(Image.fromarray(intact).reduce(pitch)), mask.shape)
        reduced = np.asarray(Image.fromarray(intact * picture).reduce(pitch))
        total = total + factor * enlarge(reduced, mask.shape)
    surroundings = total / np.maximum(weight, 1e-4)
    marked = Image.fromarray(mask).point(lambda level: 255 * (level > 0))
    wide = np.asarray(marked.filter(ImageFilter.BoxBlur(1))) > 0  # and its neighbors
    alpha = blur(wide.astype(np.float32), 0.2) * (weight > 1e-4)
    return np.clip(ground + alpha * (picture - surroundings), 0, 1)


def _masks_in(folder: Path) -> list[Path]:
    """The masks of a folder: files named *_mask, next to which probabilities may lie, or else all pictures.

    Raises PhotoError if there are none.
    """
    paths = images_in(folder)
    paths = [path for path in paths if path.stem.endswith("_mask")] or paths
    if not paths:
        raise PhotoError(f"{folder}: no masks")
    return paths


def _packed_mask(path: Path) -> tuple[np.ndarray, tuple[int, int]] | None:
    """The damaged pixels of a mask, packed eight to a byte along each row, and (height, width); None if there
    are none.
    """
    photo = read_named(path)
    mask = read_mask(photo, photo.size)[0] == 255
    return (np.packbits(mask, axis=1), mask.shape) if mask.any() else None
