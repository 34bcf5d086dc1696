"""Regions of a mask, differences of pictures, and cautions about a photograph."""

import json
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data import findings
from data.photo import Photo
from data.pixels import luma
from data.synthesis.ageing import tint


def marks(shape, share, seed):
    return ((np.random.default_rng(seed).random(shape) < share) * 255).astype(np.uint8)


def serpentine(side):
    """One long line that turns at every edge."""
    mask = np.zeros((side, side), np.uint8)
    mask[::2] = 255
    mask[1::4, -1] = mask[3::4, 0] = 255
    return mask


SHAPES = [(1, 1), (1, 9), (9, 1), (7, 5), (40, 60)]
MASKS = [marks(shape, share, seed) for seed, share in enumerate((0, 0.05, 0.3, 0.5, 1)) for shape in SHAPES]
MASKS += [serpentine(101), serpentine(101).T.copy()]


# joined by corners only
MASKS += [np.diag([255] * 30).astype(np.uint8), np.diag([255] * 30)[::-1].astype(np.uint8)]


@pytest.mark.parametrize("mask", MASKS)
def test_regions_are_those_of_scikit_image(mask):
    from skimage.measure import label, regionprops

    parts = regionprops(label(mask == 255, connectivity=2))
    expected = sorted(
        (int(p.area), p.bbox[1], p.bbox[0], p.bbox[3] - p.bbox[1], p.bbox[2] - p.bbox[0]) for p in parts
    )
    found = findings.regions(mask, most=10**6)
    assert found["count"] == len(parts)
    assert sorted((region["pixels"], *region["box"]) for region in found["largest"]) == expected
    sizes = [region["pixels"] for region in found["largest"]]
    assert sizes == sorted(sizes, reverse=True)
    json.dumps(found)  # plain types


def test_only_the_largest_regions_are_listed():
    mask = np.zeros((9, 900), np.uint8)
    for number in range(150):
        mask[:, 6 * number : 6 * number + 1 + number // 50] = 255
    mask[:, 2] = 128  # not a hole
    found = findings.regions(mask)
    assert found["count"] == 150
    assert len(found["largest"]) == findings.LARGEST == 100
    # of equal ones the first in the photo
    assert found["largest"][0] == {"box": [600, 0, 3, 9], "pixels": 27}
    assert {region["pixels"] for region in found["largest"]} == {27, 18}


def test_regions_of_a_large_scan_take_no_time():
    picture = Image.new("L", (4000, 3000))
    draw, rng = ImageDraw.Draw(picture), np.random.default_rng(0)
    for left, top, size in zip(
        rng.integers(0, 4000, 5000).tolist(),
        rng.integers(0, 3000, 5000).tolist(),
        rng.integers(1, 9, 5000).tolist(),
    ):
        draw.ellipse((left, top, left + size, top + size), fill=255)
    mask = np.asarray(picture)
    began = time.process_time()
    assert 4000 < findings.regions(mask)["count"] < 5000
    assert time.process_time() - began < 0.5


def test_differences_are_in_steps_of_8_bits():
    grey = np.full((4, 5), 100, np.uint8)
    other = grey.copy()
    other[0, 0], other[3, 4] = 90, 130
    where = np.ones((4, 5), bool)
    assert findings.difference(grey, other, where) == 30
    assert findings.difference(grey, grey, where) == 0
    where[3, 4] = False
    assert findings.difference(grey, other, where) == 10
    assert findings.difference(other, grey, where) == 10
    assert findings.difference(grey, other, ~np.ones((4, 5), bool)) == 0
    wide = [np.repeat(x[..., None], 3, -1).astype(np.uint16) * 257 for x in (grey, other)]
    assert findings.difference(*wide, where) == 10


def test_luma_differences():
    grey = np.full((4, 5), 100 * 257, np.uint16)
    color = np.full((4, 5, 3), 100, np.uint8)
    assert findings.luma_difference(grey, color) == pytest.approx(0, abs=1e-4)
    color[2, 2, 1] += 10
    assert findings.luma_difference(grey, color) == pytest.approx(5.87, abs=1e-3)


def colored(pixels):
    return findings.chroma(pixels)[1] > 6


def test_toned_prints_are_not_taken_for_color(portrait):
    """Sepia, cold and other tones, grain and an uneven yellow do not make a color photograph; a faded one
    still is one.
    """
    rng = np.random.default_rng(0)
    assert colored(portrait)
    assert colored(portrait.astype(np.uint16) * 257)
    assert colored((portrait * 0.5 + 100).astype(np.uint8))
    assert not colored(portrait[..., 0])
    assert not colored(np.full((1, 1, 3), 200, np.uint8))
    for _ in range(8):
        toned = tint(luma(portrait), rng)
        assert not colored(toned)
        noisy = toned + rng.normal(0, 8, toned.shape) - np.linspace(0, 12, 256)[:, None] * [0, 0, 1]
        assert not colored(noisy.clip(0, 255).astype(np.uint8))


def test_cautions(portrait):
    assert findings.cautions(Photo(portrait), coloring=False) == []
    assert findings.cautions(Photo(portrait[..., 0]), coloring=True) == []
    (sentence,) = findings.cautions(Photo(portrait), coloring=True)
    assert "already in color" in sentence
    sepia = np.clip(portrait[..., :1] * [1.0, 0.85, 0.6] + [10, 5, 0], 0, 255).astype(np.uint8)
    assert findings.cautions(Photo(sepia), coloring=True) == [
        "toned print: its tone is replaced by guessed colors"
    ]
    assert findings.cautions(Photo(sepia), coloring=False) == []
    (sentence,) = findings.cautions(Photo(portrait[:255, :, 0]), coloring=True)
    assert sentence == "very small photograph (256 x 255 px): scan it at a higher resolution"
