"""Records, order and pages of --page, without a browser."""

import json
import re

import numpy as np
import pytest
from conftest import save, square
from reviewing import NAMES, restored, written

from data.photo import Photo
from engine import review
from engine.review import doubts


def test_the_page_stands_alone_and_escapes_names(review_template):
    page = (review_template / "out/review.html").read_text("utf-8")
    text = re.sub(r"data:image/webp;base64,[\w+/=]*", "", page)
    assert "://" not in text  # no address at all
    assert "<img src=x" not in text
    assert text.count("</script>") == 3 + 2
    index = json.loads(re.search(r'id="index" type="application/json">(.*?)</script>', text)[1])
    assert {photo["name"] for photo in index["photos"]} == set(NAMES)


def test_records_are_results_like_others(reviewed):
    report = json.loads((reviewed / "out/a.json").read_text())
    assert "a_review.json" in report["outputs"]
    assert "outside_mask" in report["measured"]


def test_the_command_is_that_of_the_run(review_template):
    page = (review_template / "out/review.html").read_text("utf-8")
    command = json.loads(re.search(r'id="index" type="application/json">(.*?)</script>', page)[1])["command"]
    assert command.startswith(
        "python restore.py --corrections corrections.zip --overwrite "
        f"{review_template}/scans {review_template}/out --segment-weights "
    )
    assert command.endswith(" --page --recursive")


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
    words = ["--overwrite", "--page", "--", "--overwrite", "-odd.jpg", "out"]
    assert review.command_words(words)[2:] == ["--page", "--", "--overwrite", "-odd.jpg", "out"]


def test_a_page_of_someone_else_is_not_overwritten(reviewed, tiny_weights, capsys):
    (reviewed / "out/review.html").write_text("dear to me")
    for path in (reviewed / "out").glob("*.json"):  # nothing may be computed in vain
        path.unlink()
    assert restored(reviewed / "scans", reviewed / "out", tiny_weights, "--page", "--recursive") == 2
    assert not list((reviewed / "out").glob("*.json"))
    assert "review.html exists: give --overwrite to replace it" in capsys.readouterr().err
    assert (reviewed / "out/review.html").read_text() == "dear to me"


def test_our_own_page_is_made_anew_with_photographs_done_before(reviewed, tiny_weights):
    before = (reviewed / "out/review.html").read_bytes()
    save(reviewed / "scans/new.png", np.zeros((64, 64), np.uint8))
    assert restored(reviewed / "scans", reviewed / "out", tiny_weights, "--page", "--recursive") == 0
    page = (reviewed / "out/review.html").read_text()
    assert page != before.decode()
    assert page.count('type="application/json" id="photo-') == 4


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


def test_two_hundred_photographs_fill_a_page(tmp_path):
    record = json.loads(review.record(Photo(square()), "x", "x.png", square(), {}, {}, None))
    names = [f"{number:03}" for number in range(201)]
    for name in names:
        (tmp_path / f"{name}_review.json").write_text(json.dumps({**record, "name": name}))
    written(tmp_path, names)
    assert [path.name for path in sorted(tmp_path.glob("*.html"))] == ["review-2.html", "review.html"]
    counts = [page.read_text().count('id="photo-') for page in sorted(tmp_path.glob("*.html"))]
    assert counts == [1, 200]
    (tmp_path / "review-3.html").write_text("not a page of ours")
    written(tmp_path, names[:200])  # an earlier run's second page would still show its pictures
    assert [path.name for path in sorted(tmp_path.glob("*.html"))] == ["review-3.html", "review.html"]
