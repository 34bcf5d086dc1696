"""The report is a stable format, and what decides that a photo is done."""

import hashlib
import json
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data import report
from data.defects import tint
from data.images import Photo, luma

SETTINGS = {
    "options": {"threshold": 0.5, "outputs": ["_mask.png"]},
    "weights": {"segment": "ab"},
    "companions": {},
}


def example(**facts):
    photo = Photo(
        np.zeros((3, 5, 3), np.uint16), format="TIFF", sha256="cd", notes=["first frame of 2 taken"]
    )
    return report.build(photo, "scans/a.tif", SETTINGS, {"a_mask.png": b"mask"}, **facts)


def test_the_format_is_as_documented():
    facts = {
        "invented": np.float32(0.25),
        "regions": {"count": 0, "largest": []},
        "measured": {"luma_color": np.float32(0.4996)},
        "seconds": {"segment": 1.23456},
        "warnings": ["large hole"],
    }
    assert example(program="photo-restore 0.1.0", **facts) == {
        "version": 1,
        "program": "photo-restore 0.1.0",
        "input": {
            "name": "scans/a.tif",
            "sha256": "cd",
            "format": "TIFF",
            "size": [5, 3],
            "bits": 16,
            "channels": 3,
        },
        "options": {"threshold": 0.5, "outputs": ["_mask.png"]},
        "weights": {"segment": "ab"},
        "companions": {},
        "outputs": {"a_mask.png": hashlib.sha256(b"mask").hexdigest()},
        "invented": 0.25,
        "regions": {"count": 0, "largest": []},
        "measured": {"luma_color": 0.5},
        "seconds": {"segment": 1.235},
        "warnings": ["first frame of 2 taken", "large hole"],
    }
    assert example()["invented"] is None and example()["regions"] is None and example()["measured"] == {}
    for key in example():
        assert f"\n    {key} " in report.__doc__


def test_one_line_or_many():
    assert report.dumps(example()).count("\n") == 1
    assert json.loads(report.dumps(example(), indent=2)) == example()
    with pytest.raises(ValueError):  # NaN is not JSON
        report.dumps(example(invented=float("nan")))


def test_done_only_when_all_is_the_same(tmp_path):
    path = tmp_path / "a.json"
    assert report.done(path, "cd", SETTINGS) is None
    path.write_text(report.dumps(example()), "utf-8")
    assert report.done(path, "cd", SETTINGS) is None  # its output is missing
    (tmp_path / "a_mask.png").touch()
    assert report.done(path, "cd", SETTINGS) == example()
    assert report.done(
        path, "cd", {**SETTINGS, "options": {"threshold": 0.5, "outputs": ("_mask.png",)}}
    )  # a tuple
    assert report.done(path, "ce", SETTINGS) is None
    assert report.done(path, "cd", {**SETTINGS, "options": {"threshold": 0.6}}) is None
    assert report.done(path, "cd", {**SETTINGS, "weights": {"segment": "ff"}}) is None
    assert report.done(path, "cd", {**SETTINGS, "companions": {"mask": "01"}}) is None
    path.write_text(report.dumps({**example(), "version": 2}))
    assert report.done(path, "cd", SETTINGS) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"version": 1, "input": 3}', "\udcff"])
def test_foreign_files_are_not_reports(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert report.done(path, "cd", SETTINGS) is None


# ------------------------------------------------------------------------------------------- regions


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
MASKS += [
    np.diag([255] * 30).astype(np.uint8),
    np.diag([255] * 30)[::-1].astype(np.uint8),
]  # joined by corners only


@pytest.mark.parametrize("mask", MASKS)
def test_regions_are_those_of_scikit_image(mask):
    from skimage.measure import label, regionprops

    parts = regionprops(label(mask == 255, connectivity=2))
    expected = sorted(
        (int(p.area), p.bbox[1], p.bbox[0], p.bbox[3] - p.bbox[1], p.bbox[2] - p.bbox[0]) for p in parts
    )
    found = report.regions(mask, most=10**6)
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
    found = report.regions(mask)
    assert found["count"] == 150 and len(found["largest"]) == report.LARGEST == 100
    assert found["largest"][0] == {
        "box": [600, 0, 3, 9],
        "pixels": 27,
    }  # of equal ones the first in the photo
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
    assert 4000 < report.regions(mask)["count"] < 5000
    assert time.process_time() - began < 0.5


# ------------------------------------------------------------------------------------------ measures


def test_differences_are_in_steps_of_8_bits():
    grey = np.full((4, 5), 100, np.uint8)
    other = grey.copy()
    other[0, 0], other[3, 4] = 90, 130
    where = np.ones((4, 5), bool)
    assert report.difference(grey, other, where) == 30 and report.difference(grey, grey, where) == 0
    where[3, 4] = False
    assert report.difference(grey, other, where) == 10 and report.difference(other, grey, where) == 10
    assert report.difference(grey, other, ~np.ones((4, 5), bool)) == 0
    wide = [np.repeat(x[..., None], 3, -1).astype(np.uint16) * 257 for x in (grey, other)]
    assert report.difference(*wide, where) == 10


def test_luma_differences():
    grey = np.full((4, 5), 100 * 257, np.uint16)
    color = np.full((4, 5, 3), 100, np.uint8)
    assert report.luma_difference(grey, color) == pytest.approx(0, abs=1e-4)
    color[2, 2, 1] += 10
    assert report.luma_difference(grey, color) == pytest.approx(5.87, abs=1e-3)


# ------------------------------------------------------------------------------------------ cautions


def coloured(pixels):
    return report.chroma(pixels)[1] > 6


def test_toned_prints_are_not_taken_for_colour(portrait):
    """Sepia, cold and other tones, grain and an uneven yellow do not make a colour photograph; a faded one
    still is one.
    """
    rng = np.random.default_rng(0)
    assert coloured(portrait) and coloured(portrait.astype(np.uint16) * 257)
    assert coloured((portrait * 0.5 + 100).astype(np.uint8))
    assert not coloured(portrait[..., 0]) and not coloured(np.full((1, 1, 3), 200, np.uint8))
    for _ in range(8):
        toned = tint(luma(portrait), rng)
        assert not coloured(toned)
        noisy = toned + rng.normal(0, 8, toned.shape) - np.linspace(0, 12, 256)[:, None] * [0, 0, 1]
        assert not coloured(noisy.clip(0, 255).astype(np.uint8))


def test_cautions(portrait):
    assert report.cautions(Photo(portrait), coloring=False) == []
    assert report.cautions(Photo(portrait[..., 0]), coloring=True) == []
    (sentence,) = report.cautions(Photo(portrait), coloring=True)
    assert "already coloured" in sentence
    sepia = np.clip(portrait[..., :1] * [1.0, 0.85, 0.6] + [10, 5, 0], 0, 255).astype(np.uint8)
    assert report.cautions(Photo(sepia), coloring=True) == [
        "toned print: its tone is replaced by guessed colours"
    ]
    assert report.cautions(Photo(sepia), coloring=False) == []
    (sentence,) = report.cautions(Photo(portrait[:255, :, 0]), coloring=True)
    assert sentence == "very small photo (256 x 255 px): scan it at a higher resolution"
