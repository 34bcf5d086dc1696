"""What the review page shows: order and reasons, before and after, zoom, colors under the pointer."""

import json

import numpy as np
import pytest
from conftest import noise, square
from PIL import Image
from reviewing import NAMES, ODD, go_to, name_at, opened, window_point, written

from data.photo import Photo
from engine import review


def records(folder, facts, mask=None, pictures=None):
    """Records of photographs x0, x1 ... with these facts; their names."""
    mask = square() if mask is None else mask
    for number, fact in enumerate(facts):
        photo = Photo(noise(*mask.shape, 3, seed=number), sha256=str(number))
        record = review.record(photo, f"x{number}", "x.png", mask, pictures or {}, fact, None)
        (folder / f"x{number}_review.json").write_bytes(record)
    return [f"x{number}" for number in range(len(facts))]


def test_the_most_doubtful_comes_first_with_its_reason(tmp_path, browser):
    facts = [
        {"invented": 0.001, "regions": {"count": 2}, "warnings": []},
        {"invented": 0.04, "regions": {"count": 2}, "warnings": ["very small photograph"]},
        {"invented": 0.0, "regions": {"count": 0}, "warnings": []},
        {"invented": 0.02, "regions": {"count": 250}, "warnings": []},
    ]
    page = opened(browser, written(tmp_path, records(tmp_path, facts)), tmp_path)
    listed = page.run("[...document.querySelectorAll('#list b')].map(e => e.textContent)")
    assert listed == ["x1", "x3", "x0", "x2"]
    assert page.run("document.querySelector('#list small').textContent") == "4.0% of the pixels are invented"
    why = page.run("byId('why').innerText").splitlines()
    assert why[:2] == ["4.0% of the pixels are invented", "very small photograph"]
    assert page.run("page.photos.at(-1).reasons") == ["nothing is marked"]


def test_names_are_texts_and_nothing_else(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    name = ODD.replace("/", "")
    go_to(page, name)
    assert page.run("byId('name').textContent") == name
    assert page.run("document.querySelectorAll('#list b, #list img, h1 *').length") == 2 * len(NAMES)
    assert page.run("[...document.images].every(image => image.src.startsWith('data:'))")
    page.press("Enter", "s")
    page.until("document.querySelector('#saved').open")
    assert page.complaints() == []
    assert all(url.startswith(("file:", "blob:")) for url in page.requests())


def test_nothing_can_be_loaded_from_elsewhere(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    load = "new Promise(done => {{ {} }})"
    image = "const i = new Image(); i.onload = () => done('loaded'); i.onerror = () => done('refused'); "
    assert page.run(load.format(image + "i.src = 'http://127.0.0.1:9/x.png'")) == "refused"
    assert (
        page.run(load.format("fetch('http://127.0.0.1:9').then(() => done(1), () => done('refused'))"))
        == "refused"
    )


def test_wheel_pinch_keys_and_drags_zoom_and_move(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    place = window_point(page, 40, 30)
    scale = page.run("view.k")
    page.wheel(*place, -200)
    assert page.run("view.k") > 1.2 * scale
    # what is under the pointer stays there, but for the part of a pixel that events leave out
    assert window_point(page, 40, 30) == pytest.approx(place, abs=1.5)
    page.wheel(*place, -50, control=True)  # a pinch on a touch pad
    assert window_point(page, 40, 30) == pytest.approx(place, abs=1.5)
    near = page.run("view.k")
    page.press("v")
    place = window_point(page, 40, 30)
    page.drag(place, (place[0] + 60, place[1] + 25))
    assert window_point(page, 40, 30) == pytest.approx([place[0] + 60, place[1] + 25], abs=1)
    assert page.run("isChanged(state.at)") is False
    page.press("+", "-")
    assert page.run("view.k") == pytest.approx(near)
    page.press("0")
    assert page.run("view.k") == pytest.approx(scale)
    for _ in range(60):
        page.press("ArrowLeft", shift=True)
    shown = page.run(
        "(() => { const r = sheet.getBoundingClientRect(), s = stage.getBoundingClientRect();"
        "return Math.min(r.right, s.right) - Math.max(r.left, s.left) })()"
    )
    assert shown > 20  # it cannot be lost


def after_share(page):
    """The share of the picture that the result covers."""
    return page.run("1 - parseFloat(current.images[result].style.clipPath.match(/([0-9.]+)%\\)/)[1]) / 100")


def test_before_and_after(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    assert after_share(page) == pytest.approx(0.5, abs=0.01)
    box = page.run(
        "(() => { const r = byId('split').getBoundingClientRect(); return [r.x + r.width / 2, r.y + 100] })()"
    )
    page.drag(box, (box[0] + 150, box[1]))
    assert after_share(page) < 0.4
    page.run("byId('split').focus()")
    page.press("Home")
    assert after_share(page) == 1
    page.press("End", "ArrowLeft")
    assert 0 <= after_share(page) < 0.1
    page.press("x")
    assert page.run("[byId('tagBefore').textContent, byId('tagAfter').hidden]") == ["Original", True]
    page.press("x", "g")
    assert page.run("[result, byId('tagAfter').textContent]") == ["restored_color", "Restored, color"]


def test_the_eyedropper_takes_the_color_that_is_shown(tmp_path, browser):
    original, result = (
        np.full((48, 64, 3), (200, 40, 90), np.uint8),
        np.full((48, 64, 3), (30, 120, 60), np.uint8),
    )
    photo, facts = Photo(original), {"invented": 0.1, "regions": {"count": 1}, "warnings": []}
    record = review.record(photo, "x", "x.png", square(), {"restored": result}, facts, None)
    (tmp_path / "x_review.json").write_bytes(record)
    page = opened(browser, written(tmp_path), tmp_path)
    for x, expected in ((10, (200, 40, 90)), (54, (30, 120, 60))):  # before and after
        page.press("i")
        page.drag(window_point(page, x, 24))
        picked = page.run("color")
        assert [int(picked[at : at + 2], 16) for at in (1, 3, 5)] == pytest.approx(expected, abs=4)  # WebP
        assert page.run("[tool, picking]") == ["color", False]


def test_undo_redo_and_reset(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    before = page.run("markedShare()")
    shares = [before]
    for key, row in (("b", 20), ("p", 40), ("e", 60)):
        page.press(key)
        page.drag(window_point(page, 20, row), window_point(page, 90, row + 20))
        shares.append(page.run("markedShare()"))
    for share in shares[-2::-1]:
        page.press("u")
        assert page.run("markedShare()") == pytest.approx(share)
    for share in shares[1:]:
        page.press("z", control=True, shift=True)
        assert page.run("markedShare()") == pytest.approx(share)
    page.click("#reset")
    assert page.run("[markedShare(), isChanged(state.at)]") == [pytest.approx(before), False]
    page.press("z", control=True)
    assert page.run("markedShare()") == pytest.approx(shares[-1])


def test_protect_is_stronger_than_brush_and_threshold(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    page.press("p")
    page.drag(window_point(page, 20, 30), window_point(page, 100, 30))
    page.press("b")
    page.drag(window_point(page, 20, 30), window_point(page, 100, 30))
    page.press(*"," * 30)
    flag = "current.flags[30 * current.width + 60]"
    assert page.run(f"[Boolean({flag} & PROTECTED), tool]") == [True, "brush"]
    shown = page.run("Array.from(context.getImageData(60, 30, 1, 1).data)")
    assert shown[1] > shown[0]  # green, not red


def test_the_first_approved_photograph_leads_to_the_next(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    seen = []
    for _ in NAMES:
        seen.append(name_at(page))
        page.press("Enter")
        page.until("!!current")
    assert sorted(seen) == sorted(NAMES)
    assert "All are approved" in page.run("byId('status').textContent")
    assert page.run("byId('bar').value") == len(NAMES)
    page.press("u")  # approval can be taken back
    assert page.run("workOf(state.at).approved") is False


def test_a_large_photograph_is_shown_at_1280_px(tmp_path, browser):
    photo = Photo(np.asarray(Image.fromarray(noise(30, 40)).resize((2600, 1950))))
    facts = {"invented": 0.1, "regions": {"count": 1}, "warnings": []}
    mask = square(1950, 2600, np.s_[900:1000, 700:1500])
    record = review.record(photo, "x", "x.png", mask, {"restored": photo.pixels}, facts, None)
    assert len(record) < 400_000
    assert json.loads(record)["size"] == [2600, 1950]
    (tmp_path / "x_review.json").write_bytes(record)
    page = opened(browser, written(tmp_path), tmp_path)
    assert page.run("[current.width, current.height]") == [1280, 960]
    assert page.run("markedShare()") == pytest.approx((mask == 255).mean(), rel=0.05)


def test_without_a_correction_there_is_no_command_to_run(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    page.press("s")
    assert "Nothing to save yet" in page.run("byId('status').textContent")
    shown = "[byId('command'), byId('copy'), byId('savedHow')].filter(e => e.offsetParent).length"
    page.press("Enter", "s")
    page.until("document.querySelector('#saved').open")
    assert page.run(shown) == 0
    assert "nothing to repair again" in page.run("byId('savedNote').textContent")
    page.run("byId('saved').close()")
    page.press("b")
    page.until("!!current")
    page.drag(window_point(page, 20, 20), window_point(page, 60, 20))
    page.press("s")
    page.until("document.querySelector('#saved').open")
    assert page.run(shown) == 3
