"""The review page on screens of all sizes, with many photographs, by keyboard and screen reader."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import noise, square
from PIL import Image
from reviewing import NAMES, opened, saved, window_point, written

from data.photo import Photo
from engine import review

PAGES = Path(review.__file__).parent


def test_everything_can_be_reached_by_tab_and_has_a_name(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    reached, focus = set(), "document.activeElement"
    page.run("byId('help').focus()")
    for _ in range(60):
        page.press("Tab")
        reached.add(page.run(f"{focus}.id || {focus}.getAttribute('aria-label') || {focus}.textContent"))
    assert {
        "save",
        "stage",
        "split",
        "threshold",
        "approve",
        "next",
        "out",
        "Brush",
        "Eraser",
        "Protect",
        "Color",
    } <= reached
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "application", "progressbar", "navigation", "link", "ColorWell"}
    nameless = [
        node for node in nodes if node["role"]["value"] in roles and not node["name"]["value"].strip()
    ]
    assert nameless == []


def test_text_is_legible():
    style = (PAGES / "review.html").read_text("utf-8")
    value = dict(re.findall(r"--([\w-]+): (#\w{6})", style))

    def luminance(color):
        parts = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for text, ground in (
        ("ink", "panel"),
        ("soft", "panel"),
        ("soft", "raised"),
        ("accent", "raised"),
        ("on-accent", "accent"),
        ("good", "panel"),
    ):
        dark, light = sorted((luminance(value[text]), luminance(value[ground])))
        assert (light + 0.05) / (dark + 0.05) > 4.5, (text, ground)


def test_a_phone_with_fingers(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed, 390, 844)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    assert page.run("document.documentElement.scrollWidth") == 390
    assert page.run("stage.clientHeight") > 400
    page.click("[aria-label='Color']")  # shows all there is
    small = page.run(
        "[...document.querySelectorAll('button, input, summary')].filter(e => e.offsetParent)"
        ".filter(e => e.getBoundingClientRect().height < (e.type === 'range' ? 28 : 36))"
        ".map(e => e.id || e.title)"
    )
    assert small == []
    page.click("[aria-label='Brush']")
    x, y = window_point(page, 40, 40)
    page.touch([(x, y)], [(x + 30, y)], [(x + 60, y + 10)])
    assert page.run("state.photos[0].actions.length") == 1
    scale = page.run("view.k")
    page.touch([(x, y)], [(x, y), (x + 50, y)], [(x - 20, y), (x + 80, y)])
    assert page.run("view.k") == pytest.approx(2 * scale)
    assert page.run("state.photos[0].actions.length") == 1  # two fingers paint nothing
    page.click("#menu")
    page.click("#list li:nth-child(2) button")
    page.until("!!current && state.at === 1")
    assert page.run("getComputedStyle(byId('list')).display") == "none"
    page.click("#menu")
    page.touch([(380, 300)])  # beside the list
    assert page.run("getComputedStyle(byId('list')).display") == "none"
    assert page.run("state.photos[1]") is None
    page.click("#approve")
    page.click("#save")
    assert saved(reviewed)
    assert page.complaints() == []


def test_work_survives_a_reload_and_a_browser_without_storage(reviewed, browser):
    page = opened(browser, reviewed / "out/review.html", reviewed)
    page.press("b")
    page.drag(window_point(page, 20, 20), window_point(page, 50, 20))
    page.press("ArrowRight")
    page.reload()
    page.until("!!current")
    assert page.run("state.at") == 1 and page.run("isChanged(0)")
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }})",
    )
    page.reload()
    page.until("!!current")
    assert page.run("state.at") == 0
    page.press("Enter", "s")
    assert saved(reviewed)
    assert page.complaints() == []


def test_two_hundred_photographs(tmp_path, browser):
    """Of 40 MB, they open at once, and only those around the one shown are decoded."""
    photo = Photo(np.asarray(Image.fromarray(noise(320, 400)).resize((1280, 1024))))
    facts = {"invented": 0.1, "regions": {"count": 1}, "warnings": []}
    mask = square(1024, 1280, np.s_[100:300, 200:500])
    content = json.loads(review.record(photo, "x", "x.png", mask, {"restored": photo.pixels}, facts, None))
    names = [str(number) for number in range(200)]
    for name in names:
        (tmp_path / f"{name}_review.json").write_text(json.dumps({**content, "name": name}))
    path = written(tmp_path, names)
    assert path.stat().st_size > 40e6
    page = opened(browser, path, tmp_path)
    assert page.run("performance.now()") < 20000  # 2 s where nothing else runs
    for _ in range(6):
        page.press("ArrowRight")
        page.until("!!current")
    assert page.run("state.at") == 6
    assert page.run("cache.size") <= 4
    page.call("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in page.call("Performance.getMetrics")["metrics"]}
    assert metrics["JSHeapUsedSize"] < 100e6


def test_more_photographs_than_a_page_takes_make_several(reviewed, monkeypatch, browser):
    monkeypatch.setattr(review, "PER_PAGE", 2)
    names = NAMES
    review._write_pages(reviewed / "out", names, ["python", "restore.py"], overwrite=False)
    page = opened(browser, reviewed / "out/review-2.html", reviewed)
    assert page.run("count") == 1
    assert page.run("page.corrections") == "corrections-2.zip"
    assert page.run("document.querySelector('#others a').getAttribute('href')") == "review.html"
