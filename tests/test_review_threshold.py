"""The threshold of the review page: what infrared, sizes and protected areas decide stays decided."""

import io
import json

import numpy as np
import pytest
import torch
from conftest import noise, save
from PIL import Image
from reviewing import mask_of, opened, saved, written
from test_infrared import drawn_dust
from test_infrared import scan as film_scan
from test_infrared_files import rgbi

from data import marks
from data.corrections import read_corrections
from data.photo import Photo
from engine import review
from nets.ops.detection import enlarge

SIZE = (96, 128)  # of the photograph; the probability has half of it
FACTS = {"invented": 0.01, "regions": {"count": 9}, "warnings": []}


def blobs(seed):
    """Probabilities (48, 64) of marks of several sizes, in percent steps."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.random((12, 16), np.float32))
    smooth = np.asarray(small.resize((64, 48), Image.Resampling.BICUBIC)).clip(0, 1) ** 2
    smooth[rng.random(smooth.shape) < 0.03] = 0.9  # and single pixels
    return np.round(smooth, 2)


def corner(top, left):
    area = np.zeros(SIZE, bool)
    area[top : top + 20, left : left + 30] = True
    return area


def page_of(folder, browser, mask, detection, protected=None):
    """An opened page of one photograph."""
    photo = Photo(noise(*SIZE))
    record = review.record(photo, "x", "x.png", mask, {}, FACTS, detection, protected=protected)
    (folder / "x_review.json").write_bytes(record)
    return opened(browser, written(folder), folder)


def saved_mask(page, folder):
    page.press("s")
    (correction,) = read_corrections(saved(folder))
    return mask_of(io.BytesIO(correction.mask))


def marked(probability, percent):
    """The mask (H, W) bool of a threshold, as the program makes it."""
    return enlarge(torch.from_numpy(probability * 100).float().round(), SIZE[::-1]).numpy() >= percent


def test_marks_of_infrared_stay_and_protected_areas_stay_free(tmp_path, browser):
    probability, dust, lace = blobs(0), corner(5, 5), corner(60, 80)
    mask = np.where((marked(probability, 50) | dust) & ~lace, 255, 0).astype(np.uint8)
    page = page_of(tmp_path, browser, mask, review.Detection(probability, 0.5, dust), lace)
    assert "Marks from infrared stay" in page.run("byId('thresholdHint').textContent")
    page.press(*"," * 10)
    assert page.run("byId('threshold').value") == "40"
    expected = (marked(probability, 40) | dust) & ~lace
    share = float(page.run("byId('thresholdText').textContent.match(/, ([0-9.]+)%/)[1]"))
    assert share == pytest.approx(100 * expected.mean(), abs=0.1)
    assert np.mean((saved_mask(page, tmp_path) == 255) != expected) < 1e-3  # rounding, at 40 exactly


def test_marks_of_other_sizes_stay_out(tmp_path, browser):
    probability, sizes = blobs(1), {"smallest": 4, "largest": 0.05}
    page = page_of(tmp_path, browser, noise(*SIZE) & 0, review.Detection(probability, 0.5, **sizes))
    page.press(*"," * 5)
    kept = np.where(np.rint(probability * 100) >= 45, 255, 0).astype(np.uint8)
    dropped = marks.drop(kept, **sizes)
    assert min(dropped.values()) > 0
    expected = marked(np.where((kept == 255) | (np.rint(probability * 100) < 45), probability, 0), 45)
    assert np.mean((saved_mask(page, tmp_path) == 255) != expected) < 1e-3


def test_the_page_starts_with_the_written_mask(tmp_path, browser, portrait, run, median):
    """Also if it is none that the threshold gives alone."""
    infrared, colors = film_scan(portrait, drawn_dust((240, 180), 1))
    (tmp_path / "film.tif").write_bytes(rgbi(infrared, colors))
    lace = save(tmp_path / "lace.png", np.pad(np.full((90, 100), 255, np.uint8), ((0, 90), (0, 140))))
    words = ["--threshold", median(Photo(colors)), "--smallest", 30, "--protect", lace]
    assert (
        run(tmp_path / "film.tif", tmp_path / "out", "--page", "--only", "restored", "--only", "mask", *words)
        == 0
    )
    facts = json.loads((tmp_path / "out/film.json").read_text())
    assert facts["infrared"] > 0
    assert facts["dropped"]["small"] > 0
    page = opened(browser, tmp_path / "out/review.html", tmp_path)
    page.press("Enter")
    mask = mask_of(tmp_path / "out/film_mask.png")
    np.testing.assert_array_equal(saved_mask(page, tmp_path), mask)
    assert "left out by size" in "".join(page.run("page.photos[0].reasons"))


@pytest.mark.parametrize("width", [1280, 390])
def test_without_a_probability_the_page_says_why(tmp_path, browser, width):
    reasons = {"mask": "Its mask was given", "infrared": "The marks come from infrared"}
    for name, detection in (
        ("mask", None),
        ("infrared", review.Detection(reason="The marks come from infrared.")),
    ):
        folder = tmp_path / name
        folder.mkdir()
        record = review.record(Photo(noise(*SIZE)), "x", "x.png", noise(*SIZE) & 0, {}, FACTS, detection)
        (folder / "x_review.json").write_bytes(record)
        page = opened(browser, written(folder), folder, width)
        assert page.run("byId('threshold').hidden") is True
        hint = "byId('thresholdHint')"
        assert reasons[name] in page.run(f"{hint}.textContent")
        assert page.run(f"{hint}.offsetParent !== null")
        page.press(",", ".")
        assert page.run("isChanged(0)") is False
        assert page.complaints() == []


def test_infrared_alone_is_such_a_case(tmp_path, portrait, run):
    infrared, colors = film_scan(portrait, drawn_dust((160, 120), 1)[:60, :80])
    (tmp_path / "film.tif").write_bytes(rgbi(infrared, colors))
    words = ["--infrared", "only", "--page", "--only", "restored"]
    assert run(tmp_path / "film.tif", tmp_path / "out", *words) == 0
    record = json.loads((tmp_path / "out/film_review.json").read_text())
    assert record["no_threshold"] == "The marks come from infrared, which has no threshold."
