"""benchmarks/faces.py: the boxes of eyes and mouths, and what it counts in them."""

import json

import numpy as np
import pytest
import torch
from conftest import noise, save

from benchmarks import faces

COLUMNS = "# a comment\nname\tpart\tleft\ttop\twidth\theight\n"
MOST = 1400  # px, the longest side of a validation photograph


def written(path, *rows):
    lines = ["\t".join(map(str, row)) for row in rows]
    path.write_text(COLUMNS + "\n".join(lines) + "\n", "utf-8")
    return path


def test_boxes_are_read(tmp_path):
    path = written(tmp_path / "a.tsv", ("clean/a", "eye", 1, 2, 30, 4), ("clean/a", "mouth", 5, 6, 7, 8))
    assert faces.read_boxes(path) == {
        "clean/a": [faces.Box("eye", 1, 2, 30, 4), faces.Box("mouth", 5, 6, 7, 8)]
    }


@pytest.mark.parametrize(
    "row",
    [
        ("clean/a", "ear", 1, 2, 3, 4),
        ("clean/a", "eye", 1, 2, 3),
        ("clean/a", "eye", 1, 2, "x", 4),
        ("clean/a", "eye", -1, 2, 3, 4),
        ("clean/a", "eye", 1, 2, 0, 4),
    ],
)
def test_a_line_that_is_no_box_is_refused(tmp_path, row):
    with pytest.raises(ValueError, match="not a box"):
        faces.read_boxes(written(tmp_path / "a.tsv", row))


def test_the_boxes_are_plausible():
    boxes = faces.read_boxes(faces.BOXES)
    assert sum(name.startswith("clean/") for name in boxes) >= 24
    assert sum(name.startswith("labelled/images/") for name in boxes) >= 25
    for name, own in boxes.items():
        assert name.startswith(("clean/", "labelled/images/"))
        assert len(set(own)) == len(own), name
        assert any(box.part == "eye" for box in own), name
        for box in own:
            assert box.left + box.width <= MOST, name
            assert box.top + box.height <= MOST, name
            assert 6 <= box.width <= 250 or box.part == "ornament", name
            if box.part != "ornament":  # wider than high, in a tilted profile nearly square
                assert 0.9 <= box.width / box.height <= 10, name


def areas(**places):
    """Masks of 20 x 30 px, True in the given places."""
    masks = []
    for place in places.values():
        mask = torch.zeros(20, 30, dtype=torch.bool)
        mask[place] = True
        masks.append(mask)
    return masks


def test_marks_in_boxes_are_counted():
    boxes = [faces.Box("eye", 0, 0, 10, 5), faces.Box("eye", 20, 0, 10, 5), faces.Box("mouth", 5, 10, 10, 4)]
    found, widened, counted = areas(
        found=np.s_[:2, 8:20],  # reaches 2 px into the first eye
        widened=np.s_[:3, 7:21],  # and dilated, 1 px into the second
        counted=np.s_[1:, :],  # the first row is damaged
    )
    row = faces.count(boxes, found, widened, counted)
    eyes = {"boxes": 2, "pixels": 80, "marked": 2, "boxes_marked": 1, "widened": 8, "boxes_widened": 2}
    assert row["eye"] == eyes
    assert row["mouth"] == {**dict.fromkeys(eyes, 0), "boxes": 1, "pixels": 40}
    assert row["ornament"] == dict.fromkeys(eyes, 0)


def test_a_box_that_is_all_damage_is_left_out():
    found, counted = areas(found=np.s_[:, :], counted=np.s_[10:, :])
    row = faces.count([faces.Box("eye", 0, 0, 10, 5)], found, found, counted)
    assert row["eye"]["boxes"] == row["eye"]["marked"] == 0


def test_shares_are_of_all_photographs():
    nothing = dict.fromkeys(("boxes", "pixels", "marked", "boxes_marked", "widened", "boxes_widened"), 0)
    marked = {"boxes": 2, "pixels": 80, "marked": 20, "boxes_marked": 1, "widened": 40, "boxes_widened": 2}
    rest = {"mouth": nothing, "ornament": nothing}
    rows = [
        {"all": {"marked": 40, "widened": 50}, "eye": marked, **rest},
        {"all": {"marked": 0, "widened": 0}, "eye": {**nothing, "boxes": 2, "pixels": 120}, **rest},
    ]
    result = faces.summary(rows)
    assert result["photos"] == 2
    assert result["eye"] == {
        "boxes": 4,
        "pixels": 200,
        "marked": 0.1,
        "boxes_marked": 0.25,
        "of_all_marked": 0.5,
        "widened": 0.2,
        "boxes_widened": 0.5,
        "of_all_widened": 0.8,
    }
    assert set(result["mouth"].values()) == {0}


@pytest.fixture
def example(tmp_path, monkeypatch, tiny_weights):
    """Two photographs with boxes; runs the benchmark on them."""
    save(tmp_path / "data/val/clean/people/p.png", noise(48, 64, 3))
    save(tmp_path / "data/val/labelled/images/v.png", noise(48, 64, 3, seed=1))
    mask = np.zeros((48, 64), np.uint8)
    mask[:24], mask[24:30] = 255, 128
    save(tmp_path / "data/val/labelled/masks/v.png", mask)
    names = "clean/people/p", "labelled/images/v"
    rows = [(name, *box) for name in names for box in (("eye", 8, 4, 20, 8), ("mouth", 20, 20, 20, 20))]
    monkeypatch.setattr(faces, "BOXES", written(tmp_path / "faces.tsv", *rows))

    def run(*words):
        options = ["--data", tmp_path / "data", "--weights", tiny_weights["segment"], *words]
        monkeypatch.setattr("sys.argv", ["faces.py", *map(str, options)])
        faces.main()

    return run


def test_the_benchmark_runs(example, capsys):
    example("--no-tta")
    stored = json.loads(capsys.readouterr().out)
    assert stored["tta"] is False
    clean, damaged = stored["results"]["undamaged"], stored["results"]["damaged"]
    assert clean["photos"] == damaged["photos"] == 1
    assert (clean["eye"]["boxes"], clean["eye"]["pixels"]) == (1, 160)
    assert damaged["eye"]["boxes"] == 0  # all of it is damage
    assert (damaged["mouth"]["boxes"], damaged["mouth"]["pixels"]) == (1, 200)
    assert 0 < clean["eye"]["marked"] <= clean["eye"]["widened"] <= 1
    assert clean["eye"]["of_all_marked"] < 1
    rows = stored["results"]["rows"]
    assert rows["clean/people/p"]["eye"]["marked"] == round(160 * clean["eye"]["marked"])
    assert "eye" not in rows.get("labelled/images/v", {})


def test_a_missing_photograph_is_named(example, tmp_path, capsys):
    (tmp_path / "data/val/clean/people/p.png").unlink()
    with pytest.raises(SystemExit) as end:
        example()
    assert end.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.endswith(f"--data: {tmp_path / 'data/val'} has no clean/people/p (1 of 2 are missing)")
