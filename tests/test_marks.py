"""The marks in a mask: listed for the report, and dropped by size, but never from a given mask."""

import json
import time

import numpy as np
import pytest
from conftest import files, save, square
from PIL import Image, ImageDraw
from restoring import options, pixels, report
from test_infrared import drawn_dust
from test_infrared import scan as film_scan
from test_infrared_files import rgbi

import restore
import segment
from data import marks
from data.errors import UserError
from data.photo import read_photo
from nets.finder import working_size
from restore import Restorer


def specks(shape, share, seed):
    return ((np.random.default_rng(seed).random(shape) < share) * 255).astype(np.uint8)


def serpentine(side):
    """One long line that turns at every edge."""
    mask = np.zeros((side, side), np.uint8)
    mask[::2] = 255
    mask[1::4, -1] = mask[3::4, 0] = 255
    return mask


SHAPES = [(1, 1), (1, 9), (9, 1), (7, 5), (40, 60)]
MASKS = [specks(shape, share, seed) for seed, share in enumerate((0, 0.05, 0.3, 0.5, 1)) for shape in SHAPES]
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
    found = marks.regions(mask, most=10**6)
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
    found = marks.regions(mask)
    assert found["count"] == 150
    assert len(found["largest"]) == marks.LARGEST == 100
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
    assert 4000 < marks.regions(mask)["count"] < 5000
    assert time.process_time() - began < 0.5


# ------------------------------------------------------------------------------------------ dropped


def blots(shape, share, seed):
    """Marks of all sizes: noise, some of it joined."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((-(-shape[0] // 4), -(-shape[1] // 4))) < share
    blocks = np.kron(coarse, np.ones((4, 4), bool))[: shape[0], : shape[1]]
    return np.where(blocks & (rng.random(shape) < 0.7), 255, 0).astype(np.uint8)


def by_brute_force(mask, least, most):
    """The mask without the parts below `least` or above `most` px, by filling from every pixel."""
    kept, waiting, dropped = mask.copy(), {tuple(place) for place in np.argwhere(mask == 255)}, [0, 0]
    while waiting:
        part, edge = set(), [waiting.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & waiting
            waiting -= near
            edge += near
        dropped[0] += len(part) < least
        dropped[1] += len(part) > most
        if not least <= len(part) <= most:
            kept[tuple(np.transpose(list(part)))] = 0
    return kept, {"small": dropped[0], "large": dropped[1]}


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (37, 53)], ids=str)
@pytest.mark.parametrize("share", [0, 0.1, 0.3, 1])
@pytest.mark.parametrize("least, most", [(5, 30), (1, 12), (12, 10**6)])
def test_dropping_equals_brute_force(shape, share, least, most):
    for seed in range(4):
        mask = blots(shape, share, seed)
        expected = by_brute_force(mask, least, most)
        dropped = marks.drop(mask, least, most / mask.size)
        np.testing.assert_array_equal(mask, expected[0])
        assert dropped == expected[1]


def test_no_limit_changes_nothing():
    mask = blots((40, 60), 0.3, 0)
    before = mask.copy()
    assert marks.drop(mask) is None
    np.testing.assert_array_equal(mask, before)


def test_the_smallest_area_is_that_of_a_reduced_copy():
    mask = np.zeros((80, 80), np.uint8)
    mask[10:14, 10:14] = mask[30:34, 30:35] = 255  # 16 and 20 px, of which 4 and 5 at half the size
    assert marks.drop(mask, 4.5, scale=2) == {"small": 1, "large": 0}
    assert not mask[:20].any()
    assert mask[30:34, 30:35].all()


def test_twelve_megapixels_take_no_time():
    rng = np.random.default_rng(0)
    mask = np.zeros((3000, 4000), np.uint8)
    for y, x, side in zip(rng.integers(0, 2990, 5000), rng.integers(0, 3990, 5000), rng.integers(1, 9, 5000)):
        mask[y : y + side, x : x + side] = 255
    began = time.process_time()
    dropped = marks.drop(mask, 16, 1e-6)
    assert time.process_time() - began < 0.3
    assert min(dropped.values()) > 100


# ------------------------------------------------------------------------------------------ the commands


@pytest.fixture
def words(scan, median):
    """A photograph with many marks, and a threshold that shows them."""
    return [scan, "--threshold", median(read_photo(scan), 0.1), "--dilate", 0]


def expected_mask(mask, photo, smallest, largest):
    """What the options leave of a mask."""
    mask = mask.copy()
    scale = max(photo.shape[:2]) / max(working_size(photo.shape[1::-1], segment.MAX_SIDE))
    return mask, marks.drop(mask, smallest, largest, scale)


def test_the_command_drops_detected_marks_and_says_how_many(words, tmp_path, run):
    scan, *words = words
    assert run(scan, tmp_path / "all", *words) == 0
    assert "dropped" not in report(tmp_path / "all")
    sizes = {"smallest": 80, "largest": 0.02}
    before = pixels(tmp_path / "all/scan_mask.png")
    expected, dropped = expected_mask(before, pixels(scan), **sizes)
    assert min(dropped.values()) > 0
    assert expected.any()
    words += ["--smallest", 80, "--largest", 0.02]
    assert run(scan, tmp_path / "out", *words) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_mask.png"), expected)
    facts = report(tmp_path / "out")
    assert facts["dropped"] == dropped
    assert facts["regions"]["count"] == report(tmp_path / "all")["regions"]["count"] - sum(dropped.values())
    assert {name: facts["options"][name] for name in sizes} == sizes
    restored, original = pixels(tmp_path / "out/scan_restored.png"), pixels(scan)
    assert (restored == original)[expected == 0].all()


def test_a_restorer_and_segment_give_the_same(words, tmp_path, tiny_weights):
    scan, _, threshold, *_ = words
    given = {f"{stage}_weights": path for stage, path in tiny_weights.items()}
    sizes = {"smallest": 80, "largest": 0.02}
    result = Restorer(device="cpu", threshold=threshold, dilate=0, **sizes, **given)(scan)
    out, weights = tmp_path / "out", ["--weights", tiny_weights["segment"]]
    command = ["infer", *weights, *words, out, "--smallest", 80, "--largest", 0.02, "--json", out / "log"]
    assert segment.main([str(word) for word in command]) == 0
    np.testing.assert_array_equal(pixels(out / "scan_mask.png"), result.mask)
    assert f'"dropped": {{"small": {result.report["dropped"]["small"]},' in (out / "log").read_text()


def test_a_given_mask_is_never_thinned(scan, tmp_path, run):
    mask = save(tmp_path / "m.png", square())
    words = ["--mask", mask, "--smallest", 10**6, "--largest", 1e-6, "--only", "mask"]
    assert run(scan, tmp_path / "out", *words) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_mask.png"), square())
    assert "dropped" not in report(tmp_path / "out")


def test_marks_of_infrared_are_dropped_too(tmp_path, portrait, run):
    infrared, colors = (part[:120, :160] for part in film_scan(portrait, drawn_dust((480, 360), 1)))
    (tmp_path / "in.tif").write_bytes(rgbi(infrared, colors))
    words = [tmp_path / "in.tif", "--infrared", "only", "--only", "mask", "--dilate", 0]
    assert run(words[0], tmp_path / "all", *words[1:]) == 0
    assert run(words[0], tmp_path / "out", *words[1:], "--largest", 0.003) == 0
    before, after = (pixels(tmp_path / name / "in_mask.png") for name in ("all", "out"))
    expected, dropped = expected_mask(before, colors, None, 0.003)
    assert dropped["large"] > 0
    np.testing.assert_array_equal(after, expected)
    assert report(tmp_path / "out", "in")["dropped"] == dropped


def test_if_nothing_is_left_the_report_says_so(words, tmp_path, run):
    scan, *words = words
    assert run(scan, tmp_path / "out", *words, "--smallest", 10**6, "--only", "restored") == 0
    assert any(
        "all marks were dropped by --smallest" in line for line in report(tmp_path / "out")["warnings"]
    )
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_restored.png"), pixels(scan))


@pytest.mark.parametrize("words", [["--largest", "0"], ["--largest", "2"], ["--smallest", "-1"]], ids=str)
def test_sizes_that_make_no_sense(scan, tmp_path, tiny_weights, words):
    with pytest.raises(SystemExit) as caught:
        restore.main([*options(tiny_weights), str(scan), str(tmp_path / "out"), *words])
    assert caught.value.code == 2
    assert files(tmp_path / "out") == []
    name, value = words[0].removeprefix("--"), float(words[1])
    with pytest.raises(UserError, match=name):
        Restorer(**{name: value})
