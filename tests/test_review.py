"""The review page, in a real browser where there is one, and its corrections applied to the results."""

import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from chromium import downloaded
from conftest import files, save, square
from PIL import Image
from runs import train

import restore
import segment
from data.corrections import labelled_photographs, read_corrections
from data.datasets import SegmentSamples
from data.errors import UserError
from data.photo import Photo, read_photo
from data.pixels import rgb_to_ycbcr
from engine import review
from engine.review import doubts
from nets.ops.detection import enlarge

PAGES = Path(review.__file__).parent
ODD = 'a <b>&"x" </script><img src=x onerror=alert(1)>'


def restored(photos, out, weights, *words):
    """The exit status of restore.py with small networks."""
    options = [word for stage, path in weights.items() for word in (f"--{stage}-weights", path)]
    return restore.main([str(w) for w in (photos, out, *options, "--device", "cpu", "--quiet", *words)])


@pytest.fixture(scope="module")
def template(tmp_path_factory, portrait, tiny_weights):
    """A folder with three photographs in scans/, restored in out/ with --page."""
    folder = tmp_path_factory.mktemp("review")
    for number, name in enumerate(("a", "deep/b", ODD.replace("/", ""))):
        save(folder / f"scans/{name}.png", portrait[20 * number : 20 * number + 96, 60:188])
    assert restored(folder / "scans", folder / "out", tiny_weights, "--page", "--recursive") == 0
    return folder


@pytest.fixture
def folder(template, tmp_path, monkeypatch):
    """A copy of that, to change, and to run commands in."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(browser, page, downloads, width=1280, height=800):
    page = browser.page(page.as_uri(), width, height, downloads)
    page.until("!!current")
    return page


def saved(folder):
    return downloaded(folder / "corrections.zip")


def name_at(page):
    return page.run("page.photos[state.at].name")


def go_to(page, name):
    page.run(f"go(page.photos.findIndex(photo => photo.name === {json.dumps(name)}))")
    page.until("!!current")


def window_point(page, x, y):
    """Where a point of the photograph is in the window."""
    return page.run(
        f"""(() => {{ const r = stage.getBoundingClientRect(), g = current.grid;
        return [r.left + view.x + {x} * g.sx * view.k, r.top + view.y + {y} * g.sy * view.k] }})()"""
    )


def swept(shape, stroke):
    """Pixels whose center is at most the radius away from the stroke, by definition."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    points, radius = np.array(stroke["points"]), max(stroke["radius"], 0.71)
    found = np.zeros(shape, bool)
    for a, b in zip(points[[0, *range(len(points) - 1)]], points):
        along = ((columns - a[0]) * (b - a)[0] + (rows - a[1]) * (b - a)[1]) / max(((b - a) ** 2).sum(), 1e-9)
        along = along.clip(0, 1)
        away = np.hypot(columns - a[0] - along * (b - a)[0], rows - a[1] - along * (b - a)[1])
        found |= away <= radius
    return found


def mask_of(path):
    return np.asarray(Image.open(path))


# ------------------------------------------------------------------------------------------ page and record


def test_the_page_stands_alone_and_escapes_names(template):
    page = (template / "out/review.html").read_text("utf-8")
    text = re.sub(r"data:image/webp;base64,[\w+/=]*", "", page)
    assert "://" not in text  # no address at all
    assert "<img src=x" not in text
    assert text.count("</script>") == 3 + 2
    index = json.loads(re.search(r'id="index" type="application/json">(.*?)</script>', text)[1])
    assert {photo["name"] for photo in index["photos"]} == {"a", "deep/b", ODD.replace("/", "")}


def test_records_are_results_like_others(folder):
    report = json.loads((folder / "out/a.json").read_text())
    assert "a_review.json" in report["outputs"]
    assert "outside_mask" in report["measured"]


def test_the_command_is_that_of_the_run(template):
    page = (template / "out/review.html").read_text("utf-8")
    command = json.loads(re.search(r'id="index" type="application/json">(.*?)</script>', page)[1])["command"]
    assert command.startswith(f"python restore.py {template}/scans {template}/out --segment-weights ")
    assert command.endswith(" --page --recursive --corrections corrections.zip --overwrite")


def test_options_of_the_run_that_would_not_fit_are_left_out():
    words = [
        "in",
        "out",
        "--corrections",
        "a.zip",
        "--overwrite",
        "--probability",
        "--corrections=b.zip",
        "--psd",
    ]
    assert review.command_words(words)[1:] == ["restore.py", "in", "out", "--psd"]


def test_a_page_of_someone_else_is_not_overwritten(folder, tiny_weights, capsys):
    (folder / "out/review.html").write_text("dear to me")
    assert restored(folder / "scans", folder / "out", tiny_weights, "--page", "--recursive") == 2
    assert "review.html exists: give --overwrite to replace it" in capsys.readouterr().err
    assert (folder / "out/review.html").read_text() == "dear to me"


def test_our_own_page_is_made_anew_with_photographs_done_before(folder, tiny_weights):
    before = (folder / "out/review.html").read_bytes()
    save(folder / "scans/new.png", np.zeros((64, 64), np.uint8))
    assert restored(folder / "scans", folder / "out", tiny_weights, "--page", "--recursive") == 0
    page = (folder / "out/review.html").read_text()
    assert page != before.decode()
    assert page.count('type="application/json" id="photo-') == 4


def test_more_photographs_than_a_page_takes_make_several(folder, monkeypatch, browser):
    monkeypatch.setattr(review, "PER_PAGE", 2)
    names = ["a", "deep/b", ODD.replace("/", "")]
    review._write_pages(folder / "out", names, ["python", "restore.py"], overwrite=False)
    page = opened(browser, folder / "out/review-2.html", folder)
    assert page.run("count") == 1
    assert page.run("page.corrections") == "corrections-2.zip"
    assert page.run("document.querySelector('#others a').getAttribute('href')") == "review.html"


@pytest.mark.parametrize(
    "words", [["--only", "color", "--page"], ["--probability", "--corrections", "c.zip"]]
)
def test_usage(tmp_path, scan, tiny_weights, words):
    with pytest.raises(SystemExit) as caught:
        restored(scan, tmp_path / "out", tiny_weights, *words)
    assert caught.value.code == 2


def test_doubts_grow_with_what_is_invented_and_unsure():
    facts = {"invented": 0.01, "regions": {"count": 3}, "warnings": []}
    sure = np.where(np.arange(400).reshape(20, 20) < 40, 1.0, 0).astype(np.float32)
    least, reasons = doubts(facts, sure, 0.4)
    assert reasons == ["1.0% of the pixels are invented"]
    assert doubts({**facts, "invented": 0.2}, sure, 0.4)[0] > least
    assert doubts({**facts, "regions": {"count": 200}}, sure, 0.4)[0] > least
    assert doubts({**facts, "warnings": ["very small photograph"]}, sure, 0.4)[0] > least
    unsure, reasons = doubts(facts, sure * np.float32(0.45), 0.4)
    assert unsure > least
    assert any(reason == "100% of possible damage near the threshold" for reason in reasons)
    assert doubts({"invented": 0, "warnings": []}, sure * 0, 0.4) == (0, ["nothing is marked"])


# ------------------------------------------------------------------------------------------ in the browser


def test_exactly_the_brushed_pixels_change(folder, browser, tiny_weights, capsys):
    before = mask_of(folder / "out/deep/b_mask.png")
    untouched = {
        name: (folder / "out" / name).stat().st_mtime_ns for name in files(folder / "out") if name[0] == "a"
    }
    page = opened(browser, folder / "out/review.html", folder)
    go_to(page, "deep/b")
    page.press("b")
    page.drag(*(window_point(page, x, y) for x, y in ((20, 20), (60, 30), (61.5, 70))))
    page.press("e")
    page.drag(*(window_point(page, x, y) for x, y in ((70, 80), (110, 80))))
    brush, eraser = page.run("state.photos[state.at].actions")
    page.press("s")
    archive = saved(folder)
    page.until("document.querySelector('#saved').open")
    assert page.run("byId('command').textContent").endswith("--corrections corrections.zip --overwrite")
    assert page.complaints() == []
    assert {url.split(":")[0] for url in page.requests()} <= {"file", "blob"}

    assert zipfile.ZipFile(archive).namelist() == ["masks/deep/b.png", "decisions.json"]
    words = ["--page", "--recursive", "--corrections", archive, "--overwrite"]
    assert restored(folder / "scans", folder / "out", tiny_weights, *words) == 0, capsys.readouterr().err
    after = mask_of(folder / "out/deep/b_mask.png")
    expected = ((before == 255) | swept(before.shape, brush)) & ~swept(before.shape, eraser)
    assert np.array_equal(after, np.where(expected, 255, 0))
    photo, result = (
        read_photo(folder / name).pixels for name in ("scans/deep/b.png", "out/deep/b_restored.png")
    )
    assert np.array_equal(photo[after == 0], result[after == 0])
    report = json.loads((folder / "out/deep/b.json").read_text())
    assert report["companions"].keys() == {"mask"} and report["measured"]["outside_mask"] == 0
    assert untouched == {name: (folder / "out" / name).stat().st_mtime_ns for name in untouched}

    page = opened(
        browser, folder / "out/review.html", folder
    )  # which has the new mask, and still a threshold
    go_to(page, "deep/b")
    assert page.run("page.photos[state.at].reasons[0]") == "corrected by hand"
    assert not page.run("byId('threshold').disabled")


def test_corrections_are_applied_once(folder, browser, tiny_weights):
    page = opened(browser, folder / "out/review.html", folder)
    page.press("b")
    page.drag(window_point(page, 20, 20), window_point(page, 50, 20))
    page.press("s")
    words = ["--page", "--recursive", "--corrections", saved(folder), "--overwrite"]
    assert restored(folder / "scans", folder / "out", tiny_weights, *words) == 0
    times = {
        name: (folder / "out" / name).stat().st_mtime_ns
        for name in files(folder / "out")
        if ".html" not in name
    }
    assert restored(folder / "scans", folder / "out", tiny_weights, *words) == 0
    assert times == {name: (folder / "out" / name).stat().st_mtime_ns for name in times}


def test_the_threshold_redraws_the_mask_as_the_program_does(tmp_path, browser):
    """On a large scan: the page sees it at 1280 px, the mask has its own size, with smooth outlines."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1500, 2001), np.uint8)
    probability = np.asarray(Image.fromarray(rng.random((24, 32), np.float32)).resize((1024, 768), 2)).clip(
        0, 1
    )
    mask = np.where(rng.random(pixels.shape) < 0.001, 255, 0).astype(np.uint8)
    facts = {"invented": 0.001, "regions": {"count": 9}, "warnings": []}
    record = review.record(Photo(pixels), "x", "x.png", mask, {}, probability, 0.5, facts)
    (tmp_path / "x_review.json").write_bytes(record)
    review._write_pages(tmp_path, ["x"], ["restore.py"], False)
    page = opened(browser, tmp_path / "review.html", tmp_path)
    page.press(".", ".", ",", ".", ".")
    assert page.run("byId('threshold').value") == "53"
    share = float(page.run("byId('thresholdText').textContent.match(/, ([0-9.]+) %/)[1]"))
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


def test_colors_are_painted_and_used(folder, browser, tiny_weights):
    page = opened(browser, folder / "out/review.html", folder)
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
    with zipfile.ZipFile(saved(folder)) as archive:
        hints = np.asarray(Image.open(io.BytesIO(archive.read("hints/a.png"))))
    assert hints.shape == (96, 128, 4)
    assert np.array_equal(hints[..., 3] == 255, swept((96, 128), first) | swept((96, 128), second))
    assert hints[30, 30].tolist() == [0xA8, 0x32, 0x2F, 255]
    words = ["--recursive", "--corrections", folder / "corrections.zip", "--overwrite"]
    assert restored(folder / "scans", folder / "out", tiny_weights, *words) == 0
    assert json.loads((folder / "out/a.json").read_text())["companions"].keys() == {"mask", "hints"}
    colors = (read_photo(folder / "out/a_color.png").pixels[30:31, 30:31], hints[30:31, 30:31, :3])
    result, painted = (rgb_to_ycbcr(color)[0, 0, 1:] for color in colors)
    assert result == pytest.approx(painted * np.hypot(*result) / np.hypot(*painted), abs=0.01)  # its hue
    assert np.hypot(*result) > 0.1


def test_keyboard_alone(folder, browser):
    page = opened(browser, folder / "out/review.html", folder)
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
    decisions = json.loads(zipfile.ZipFile(saved(folder)).read("decisions.json"))
    assert [(photo["approved"], photo["changed"]) for photo in decisions["photos"]] == [
        (True, False),
        (False, True),
    ]
    page.until("document.querySelector('#saved').open")
    page.press("Enter")  # the focus is on the button that closes it
    page.until("!document.querySelector('#saved').open")
    page.until("document.activeElement !== document.body")


def test_everything_can_be_reached_by_tab_and_has_a_name(folder, browser):
    page = opened(browser, folder / "out/review.html", folder)
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


def test_a_phone_with_fingers(folder, browser):
    page = opened(browser, folder / "out/review.html", folder, 390, 844)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    assert page.run("document.documentElement.scrollWidth") == 390
    assert page.run("stage.clientHeight") > 400
    small = page.run(
        "[...document.querySelectorAll('button, input')].filter(e => e.offsetParent)"
        ".filter(e => e.getBoundingClientRect().height < 24).map(e => e.id)"
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
    assert saved(folder)
    assert page.complaints() == []


def test_work_survives_a_reload_and_a_browser_without_storage(folder, browser):
    page = opened(browser, folder / "out/review.html", folder)
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
    assert saved(folder)
    assert page.complaints() == []


def test_two_hundred_photographs(folder, browser):
    """They open at once, and only those around the one shown are decoded."""
    content = json.loads((folder / "out/a_review.json").read_text())
    for number in range(200):
        (folder / f"{number}_review.json").write_text(json.dumps({**content, "name": str(number)}))
    review._write_pages(folder, [str(number) for number in range(200)], ["restore.py"], False)
    page = opened(browser, folder / "review.html", folder)
    assert page.run("performance.now()") < 20000
    for _ in range(6):
        page.press("ArrowRight")
        page.until("!!current")
    assert page.run("state.at") == 6
    assert page.run("cache.size") <= 4


# ------------------------------------------------------------------------------------------ corrections


def archive(path, photos=None, changes=None, compression=zipfile.ZIP_DEFLATED):
    """A file of corrections of one photograph, x; changes: name -> content, None to leave it out."""
    file = io.BytesIO()
    Image.fromarray(square()).save(file, "PNG")
    photo = {"name": "x", "input": "x.png", "sha256": "", "size": [64, 48], "changed": True, "hints": False}
    photos = [photo | change for change in photos or [{}]]
    contents = {f"masks/{photo['name']}.png": file.getvalue() for photo in photos}
    contents["decisions.json"] = json.dumps({"version": 1, "photos": photos})
    contents |= changes or {}
    with zipfile.ZipFile(path, "w", compression) as entries:
        for name, data in contents.items():
            if data is not None:
                entries.writestr(name, data)
    return path


def test_a_file_of_corrections_can_be_packed_again(tmp_path):
    (correction,) = read_corrections(archive(tmp_path / "c.zip"))
    assert (correction.name, correction.changed, correction.hints) == ("x", True, None)


BAD = {
    "name": ({"photos": [{"name": "../../x"}]}, "'../../x' is not the name of a photograph below OUT"),
    "root": ({"photos": [{"name": "/x"}]}, "'/x' is not the name"),
    "stranger": ({"changes": {"../evil.png": b"1"}}, "holds '../evil.png', which belongs to no photograph"),
    "no mask": ({"changes": {"masks/x.png": None}}, "masks/x.png is missing, damaged or not 64 x 48 px"),
    "size": ({"photos": [{"size": [64, 49]}]}, "masks/x.png is missing, damaged or not 64 x 49 px"),
    "no picture": ({"changes": {"masks/x.png": b"no"}}, "masks/x.png is missing, damaged"),
    "hints": ({"photos": [{"hints": True}]}, "hints/x.png is missing"),
    "decisions": (
        {"changes": {"decisions.json": "{"}},
        "decisions.json is missing, damaged or of another version",
    ),
    "version": (
        {"changes": {"decisions.json": '{"version": 2, "photos": []}'}},
        "decisions.json is missing, damaged or of",
    ),
    "twice": ({"photos": [{}, {}]}, "decisions.json is missing, damaged"),
}


@pytest.mark.parametrize("changes, message", BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_one_clear_line(tmp_path, scan, tiny_weights, capsys, changes, message):
    path = archive(tmp_path / "c.zip", **changes)
    assert restored(scan, tmp_path / "out", tiny_weights, "--corrections", path) == 2
    error = capsys.readouterr().err
    assert f"{path}: {message}" in error and error.count("\n") == 1
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize("cut", [0, 30, 200, -30])
def test_a_damaged_file_is_one_clear_line(tmp_path, cut):
    path = archive(tmp_path / "c.zip", compression=zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data[:cut] if cut != 200 else data[:100] + b"xxxx" + data[104:])
    with pytest.raises(UserError, match=r"empty|damaged, or not a file that the review page saved"):
        read_corrections(path)


def test_a_photograph_that_was_replaced_is_not_corrected(tmp_path, scan, tiny_weights, capsys):
    path = archive(tmp_path / "c.zip", [{"name": "scan", "sha256": "0" * 64}])
    assert restored(scan, tmp_path / "out", tiny_weights, "--corrections", path) == 1
    assert "its correction was made for a file of this name with another content" in capsys.readouterr().err


def test_corrections_of_other_photographs_are_named(tmp_path, scan, tiny_weights, capsys):
    path = archive(tmp_path / "c.zip")
    assert restored(scan, tmp_path / "out", tiny_weights, "--corrections", path) == 2
    assert "none of its photographs is among the inputs, for example 'x'" in capsys.readouterr().err
    photo = read_photo(scan)
    path = archive(tmp_path / "c.zip", [{}, {"name": "scan", "sha256": photo.sha256}])
    assert restored(scan, tmp_path / "out", tiny_weights, "--corrections", path) == 0
    assert "not among the inputs: x" in capsys.readouterr().err
    assert np.array_equal(mask_of(tmp_path / "out/scan_mask.png"), square())


def test_results_of_another_name_are_corrected(tmp_path, scan, tiny_weights):
    """The page and its corrections know a photograph by the name of its results."""
    words = ["--page", "--name", "{number}_{stem}", "--only", "restored"]
    assert restored(scan, tmp_path / "out", tiny_weights, *words) == 0
    assert files(tmp_path / "out") == [
        "1_scan.json",
        "1_scan_restored.png",
        "1_scan_review.json",
        "review.html",
    ]
    record = json.loads((tmp_path / "out/1_scan_review.json").read_text())
    changes = {key: record[key] for key in ("name", "input", "sha256")}
    assert changes["name"] == "1_scan"
    path = archive(tmp_path / "c.zip", [changes])
    assert restored(scan, tmp_path / "out", tiny_weights, *words, "--corrections", path, "--overwrite") == 0
    report = json.loads((tmp_path / "out/1_scan.json").read_text())
    assert report["invented"] == pytest.approx((square() == 255).mean(), abs=1e-6)


# ------------------------------------------------------------------------------------------ training


def test_corrections_are_labelled_pairs(tmp_path, scan, data_folder):
    photo = read_photo(scan)
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": str(scan), "sha256": photo.sha256}])
    ((picture, mask),) = labelled_photographs(path, None, side=1024)
    assert picture.shape == mask.shape == (48, 64)
    assert (mask[11:29, 21:49] == 255).all() and (mask[10, 20:50] == 128).all() and mask[9, 20] == 0
    ((picture, mask),) = labelled_photographs(path, scan.parent, side=32)
    assert picture.shape == mask.shape == (24, 32)
    options = {"seed": 0, "side": 64, "labelled_share": 1.0}
    without = SegmentSamples(data_folder, **options)
    with_it = SegmentSamples(data_folder, **options, corrections=[str(path)], photos=scan.parent)
    assert len(with_it.labelled) == len(without.labelled) + 1


def test_photographs_of_corrections_that_are_gone_are_named(tmp_path, scan):
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": "gone/scan.png"}])
    with pytest.raises(UserError, match=r"gone/scan\.png: no such file; give the folder .* with --photos"):
        labelled_photographs(path, None, 64)
    with pytest.raises(UserError, match="not the file that was corrected"):
        labelled_photographs(path, scan.parent, 64)


def test_a_training_run_takes_corrections(tmp_path, scan, data_folder):
    photo = read_photo(scan)
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": "scan.png", "sha256": photo.sha256}])
    words = ["--corrections", path, "--photos", scan.parent, "--labelled-share", 1]
    assert train(segment, data_folder, tmp_path / "run", *words, steps=2, evaluations=1) == 0
    assert json.loads((tmp_path / "run/args.json").read_text())["corrections"] == [str(path)]
