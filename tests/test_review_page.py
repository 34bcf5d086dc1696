"""The tools of the review page in a real browser, and what they change when corrections are applied."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from conftest import files
from PIL import Image
from reviewing import go_to, mask_of, name_at, opened, restored, saved, swept, window_point

from data.corrections import read_corrections
from data.photo import Photo, read_photo
from data.pixels import rgb_to_ycbcr
from engine import review
from nets.ops.detection import enlarge


def test_exactly_the_brushed_pixels_change(reviewed, browser, tiny_weights, capsys):
    before = mask_of(reviewed / "out/deep/b_mask.png")
    untouched = {
        name: (reviewed / "out" / name).stat().st_mtime_ns
        for name in files(reviewed / "out")
        if name[0] == "a"
    }
    page = opened(browser, reviewed / "out/review.html", reviewed)
    go_to(page, "deep/b")
    page.press("b")
    page.drag(*(window_point(page, x, y) for x, y in ((20, 20), (60, 30), (61.5, 70))))
    page.press("e")
    page.drag(*(window_point(page, x, y) for x, y in ((70, 80), (110, 80))))
    brush, eraser = page.run("state.photos[state.at].actions")
    page.press("s")
    archive = saved(reviewed)
    page.until("document.querySelector('#saved').open")
    assert page.run("byId('command').textContent").startswith(
        "python restore.py --corrections corrections.zip --overwrite "
    )
    assert page.complaints() == []
    assert {url.split(":")[0] for url in page.requests()} <= {"file", "blob"}

    assert zipfile.ZipFile(archive).namelist() == ["masks/deep/b.png", "decisions.json"]
    words = ["--page", "--recursive", "--corrections", archive, "--overwrite"]
    assert restored(reviewed / "scans", reviewed / "out", tiny_weights, *words) == 0, capsys.readouterr().err
    after = mask_of(reviewed / "out/deep/b_mask.png")
    expected = ((before == 255) | swept(before.shape, brush)) & ~swept(before.shape, eraser)
    assert np.array_equal(after, np.where(expected, 255, 0))
    photo, result = (
        read_photo(reviewed / name).pixels for name in ("scans/deep/b.png", "out/deep/b_restored.png")
    )
    assert np.array_equal(photo[after == 0], result[after == 0])
    report = json.loads((reviewed / "out/deep/b.json").read_text())
    assert report["companions"].keys() == {"mask"} and report["measured"]["outside_mask"] == 0
    assert untouched == {name: (reviewed / "out" / name).stat().st_mtime_ns for name in untouched}

    page = opened(
        browser, reviewed / "out/review.html", reviewed
    )  # which has the new mask, and still a threshold
    go_to(page, "deep/b")
    assert page.run("page.photos[state.at].reasons[0]") == "corrected by hand"
    assert not page.run("byId('threshold').disabled")


def test_corrections_are_applied_once(reviewed, browser, tiny_weights):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    page.press("b")
    page.drag(window_point(page, 20, 20), window_point(page, 50, 20))
    page.press("s")
    words = ["--page", "--recursive", "--corrections", saved(reviewed), "--overwrite"]
    assert restored(reviewed / "scans", reviewed / "out", tiny_weights, *words) == 0
    times = {
        name: (reviewed / "out" / name).stat().st_mtime_ns
        for name in files(reviewed / "out")
        if ".html" not in name
    }
    assert restored(reviewed / "scans", reviewed / "out", tiny_weights, *words) == 0
    assert times == {name: (reviewed / "out" / name).stat().st_mtime_ns for name in times}


def test_the_threshold_redraws_the_mask_as_the_program_does(tmp_path, browser):
    """On a large scan: the page sees it at 1280 px, the mask has its own size, with smooth outlines."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1500, 2001), np.uint8)
    probability = np.asarray(Image.fromarray(rng.random((24, 32), np.float32)).resize((1024, 768), 2)).clip(
        0, 1
    )
    mask = np.where(rng.random(pixels.shape) < 0.001, 255, 0).astype(np.uint8)
    facts = {"invented": 0.001, "regions": {"count": 9}, "warnings": []}
    detection = review.Detection(probability, 0.5)
    record = review.record(Photo(pixels), "x", "x.png", mask, {}, facts, detection)
    (tmp_path / "x_review.json").write_bytes(record)
    review._write_pages(tmp_path, ["x"], ["restore.py"], False)
    page = opened(browser, tmp_path / "review.html", tmp_path)
    page.press(".", ".", ",", ".", ".")
    assert page.run("byId('threshold').value") == "53"
    share = float(page.run("byId('thresholdText').textContent.match(/, ([0-9.]+)%/)[1]"))
    page.press("p")
    page.drag(window_point(page, 300, 300), window_point(page, 1700, 900))
    (_, protected) = page.run("state.photos[0].actions")
    page.press("s")
    (correction,) = read_corrections(saved(tmp_path))
    drawn = np.asarray(Image.open(io.BytesIO(correction.mask)))
    levels = np.rint(probability * 100)
    levels[levels < review.LEAST] = 0
    expected = enlarge(torch.from_numpy(levels), (2001, 1500)).numpy() >= 53
    assert share == pytest.approx(expected.mean() * 100, abs=0.2)
    expected &= ~swept(expected.shape, protected)
    assert set(np.unique(drawn)) == {0, 255}
    assert ((drawn == 255) != expected).mean() < 1e-5  # rounding, where the level is 53 exactly
    (tmp_path / "corrections.zip").unlink()
    page.press("Escape")
    page.run("byId('saved').close()")
    page.press("u", "u", "Enter", "s")
    (correction,) = read_corrections(saved(tmp_path))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(correction.mask))), mask)  # every pixel of it
    assert not correction.changed


def test_colors_are_painted_and_used(reviewed, browser, tiny_weights):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    go_to(page, "a")
    page.press("c")
    page.click("[aria-label='red']")
    page.drag(window_point(page, 30, 30), window_point(page, 60, 50))
    page.press("i")
    page.drag(window_point(page, 100, 50))
    picked = page.run("color")
    page.drag(window_point(page, 90, 60), window_point(page, 90, 80))
    first, second = page.run("state.photos[state.at].actions")
    assert (first["color"], second["color"]) == ("#a8322f", picked)
    page.press("s")
    with zipfile.ZipFile(saved(reviewed)) as archive:
        hints = np.asarray(Image.open(io.BytesIO(archive.read("hints/a.png"))))
    assert hints.shape == (96, 128, 4)
    assert np.array_equal(hints[..., 3] == 255, swept((96, 128), first) | swept((96, 128), second))
    assert hints[30, 30].tolist() == [0xA8, 0x32, 0x2F, 255]
    words = ["--recursive", "--corrections", reviewed / "corrections.zip", "--overwrite"]
    assert restored(reviewed / "scans", reviewed / "out", tiny_weights, *words) == 0
    assert json.loads((reviewed / "out/a.json").read_text())["companions"].keys() == {"mask", "hints"}
    colors = (read_photo(reviewed / "out/a_color.png").pixels[30:31, 30:31], hints[30:31, 30:31, :3])
    result, painted = (rgb_to_ycbcr(color)[0, 0, 1:] for color in colors)
    assert result == pytest.approx(painted * np.hypot(*result) / np.hypot(*painted), abs=0.01)  # its hue
    assert np.hypot(*result) > 0.1


def test_keyboard_alone(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    first = name_at(page)
    page.press("ArrowRight")
    page.until("!!current")
    assert name_at(page) != first
    page.press("ArrowLeft", "Enter")
    page.until("!!current && state.at === 1")
    page.press("b", "]", " ")
    page.press(*["ArrowRight"] * 8, *["ArrowDown"] * 4, shift=True)
    page.press(" ")
    (stroke,) = page.run("state.photos[1].actions")
    across, down = np.subtract(stroke["points"][-1], stroke["points"][0])
    assert across == pytest.approx(2 * down, rel=0.1) and down > 0
    page.press(".")
    assert page.run("state.photos[1].actions.length") == 2
    page.press("u", "u")
    assert page.run("isChanged(1)") is False
    page.press("y")
    assert page.run("isChanged(1)") is True
    page.press("m")
    assert page.run("overlay.hidden") is True
    scale = page.run("view.k")
    page.press("+", "v")
    assert page.run("view.k") > scale
    place = page.run("view.x")
    page.press("ArrowRight", shift=True)
    assert page.run("view.x") < place
    page.press("s")
    decisions = json.loads(zipfile.ZipFile(saved(reviewed)).read("decisions.json"))
    assert [(photo["approved"], photo["changed"]) for photo in decisions["photos"]] == [
        (True, False),
        (False, True),
    ]
    page.until("document.querySelector('#saved').open")
    page.press("Enter")  # the focus is on the button that closes it
    page.until("!document.querySelector('#saved').open")
    page.until("document.activeElement !== document.body")
