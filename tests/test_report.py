"""The report is a stable format, and what decides that a photo is done."""

import hashlib
import json

import numpy as np
import pytest

from data import report
from data.photo import Photo

SETTINGS = {
    "options": {"threshold": 0.5, "outputs": ["_mask.png"]},
    "weights": {"segment": "ab"},
    "companions": {},
}


def example(**facts):
    photo = Photo(
        np.zeros((3, 5, 3), np.uint16),
        format="TIFF",
        sha256="cd",
        notes=["only the first of 2 pages was read"],
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
        "tone": None,
        "seconds": {"segment": 1.235},
        "warnings": ["only the first of 2 pages was read", "large hole"],
    }
    assert example()["invented"] is None
    assert example()["regions"] is None
    assert example()["measured"] == {}
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
    # a tuple
    assert report.done(path, "cd", {**SETTINGS, "options": {"threshold": 0.5, "outputs": ("_mask.png",)}})
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
