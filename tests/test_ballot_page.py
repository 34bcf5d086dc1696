"""The page of a blind vote in a real browser, where there is one."""

import json
import subprocess
import sys

import pytest
from chromium import downloaded
from conftest import ROOT


def test_three_models_two_voters_from_vote_to_tally(tmp_path, example_ballot, browser):
    """One by keyboard at a desk, one by tapping on a phone-sized page; then the program counts."""
    folder, key = example_ballot
    picks = ({0: "ann", 1: "ann", 2: "cat", 3: None}, {0: "ann", 1: "bob", 2: "cat", 3: "cat"})
    saved = []
    for name, size, choices in (("desk", (1280, 800), picks[0]), ("phone", (390, 844), picks[1])):
        (tmp_path / name).mkdir()
        page = browser.page((folder / "index.html").as_uri(), *size, tmp_path / name)
        assert page.run("document.querySelectorAll('#pictures button').length") == 3
        assert page.run("[...document.images].every(image => image.naturalWidth == 130)")
        assert page.run("document.documentElement.scrollWidth") <= size[0]  # nothing sticks out
        assert not page.run("document.getElementById('save').classList.contains('ready')")
        for number, model in choices.items():
            place = key["photos"][number]["order"].index(model) + 1 if model else 0
            if name == "desk":
                page.press(str(place))
            else:
                page.click(f"#pictures button:nth-of-type({place})" if place else "#tie")
            if number == 1:  # progress survives
                page.reload()
                assert (
                    page.run("document.getElementById('status').textContent")
                    == "Photograph 3 of 4. 2 voted on."
                )
        assert page.run("document.getElementById('save').classList.contains('ready')")
        page.press("s") if name == "desk" else page.click("#save")
        saved.append(downloaded(tmp_path / name / "votes.json"))
        assert page.complaints() == []
        assert {url.split(":")[0] for url in page.requests()} <= {"file", "blob"}
    done = subprocess.run(
        [sys.executable, "colorize.py", "tally", folder, *saved], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["voters"], result["votes"], result["ties"]) == (2, 8, 1)
    assert {name: row["wins"] for name, row in result["models"].items()} == {"ann": 3, "bob": 1, "cat": 3}
    assert result["models"]["cat"]["win_rate"] == pytest.approx((0 + 0 + 1 + (1 / 3 + 1) / 2) / 4, abs=1e-4)


def test_votes_can_be_changed_and_moved_between(tmp_path, example_ballot, browser):
    page = browser.page((example_ballot[0] / "index.html").as_uri(), 1280, 800, tmp_path)
    status = "document.getElementById('status').textContent"
    for key in ("2", "ArrowLeft", "ArrowLeft", "4", "9", "x"):  # 4 and 9: there are only three pictures
        page.press(key)
    assert page.run(status) == "Photograph 1 of 4. 1 voted on."
    pressed = (
        "[...document.querySelectorAll('#pictures button')].map(button => "
        "button.getAttribute('aria-pressed')).join()"
    )
    assert page.run(pressed) == "false,true,false"
    page.press("3")
    page.click("#back")
    assert page.run(pressed) == "false,false,true"
    assert page.run("state.votes[1]") == 3
    for _ in range(5):
        page.press("ArrowRight")
    assert page.run(status) == "Photograph 4 of 4. 1 voted on."
    assert page.run("document.querySelector('#next').disabled")
    narrow = page.run("document.images[0].width")
    page.press("z")
    assert page.run("document.images[0].width") > narrow
    assert page.complaints() == []


def test_a_browser_without_storage_still_votes(tmp_path, example_ballot, browser):
    page = browser.page((example_ballot[0] / "index.html").as_uri(), 1280, 800, tmp_path)
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }})",
    )
    page.reload()
    for key in "1230s":
        page.press(key)
    votes = json.loads(downloaded(tmp_path / "votes.json").read_text())["votes"]
    assert votes == {"1": 1, "2": 2, "3": 3, "4": 0}
    assert page.complaints() == []
