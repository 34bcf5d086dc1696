"""Blind votes: the page with its key, and the count."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import files, save, square
from voting import content, decoded, vote

import colorize
import inpaint
from data import checkpoint
from data import files as data_files
from data.photo import read_photo
from data.pixels import luma
from engine import ballot


def test_the_page_holds_all_pictures_and_no_name(example_ballot):
    folder, key = example_ballot
    inside, page = content(folder)
    assert files(folder) == ["index.html"]
    assert folder.with_name("ballot.key.json").exists()
    assert inside.keys() == {"id", "question", "photos"}
    assert inside["id"] == key["ballot"]
    text = re.sub(r"data:image/jpeg;base64,[\w+/=]*", "", page)
    for word in (
        "bob",
        ".pt",
        ".png",
        "seed",
        *key["weights"].values(),
        *(photo["sha256"] for photo in key["photos"]),
    ):
        assert word not in text, word
    assert "://" not in text  # no address at all
    for photo in inside["photos"]:
        assert photo.keys() == {"shown", "pictures"}
        for url in (photo["shown"], *photo["pictures"]):
            picture = decoded(url)
            assert picture.mode == "RGB"
            assert picture.size == (130, 90)
            assert not picture.getexif()
            assert "comment" not in picture.info


def test_the_key_tells_which_model_made_which_picture(example_ballot, models, portrait):
    folder, key = example_ballot
    inside, _ = content(folder)
    assert key["candidates"] == ["ann", "bob", "cat"]
    assert key["seed"] == 5
    assert key["weights"] == {path.stem: checkpoint.fingerprint(path) for path in models}
    assert [Path(photo["name"]).name for photo in key["photos"]] == ["0.png", "1.png", "2.png", "3.png"]
    assert len({tuple(photo["order"]) for photo in key["photos"]}) > 1  # shuffled for each
    for number in (0, 3):
        grey = luma(portrait[10 * number : 10 * number + 90, 60:190])
        colored = {path.stem: colorize.load(path, "cpu")(grey).astype(int) for path in models}
        for name, url in zip(
            key["photos"][number]["order"], inside["photos"][number]["pictures"], strict=True
        ):
            away = {
                other: np.abs(np.asarray(decoded(url)) - picture).mean() for other, picture in colored.items()
            }
            assert min(away, key=away.get) == name
        # grey: gives no color away
        assert np.ptp(np.asarray(decoded(inside["photos"][number]["shown"])), axis=-1).max() <= 2


def test_the_seed_decides_the_order(tmp_path, scan, models):
    orders = []
    for name, words in (("a", ["--seed", 1]), ("b", ["--seed", 1]), ("c", []), ("d", [])):
        assert vote(scan, tmp_path / name, models[:2], *words) == 0
        orders.append(json.loads((tmp_path / f"{name}.key.json").read_text()))
    assert orders[0] == orders[1]
    assert len({key["ballot"] for key in orders}) == 3
    assert orders[2]["seed"] != orders[3]["seed"]


def test_candidates_without_weights_and_of_one_name(tmp_path, scan, models):
    (tmp_path / "x").mkdir()
    other = tmp_path / "x/ann.pt"
    other.write_bytes(models[0].read_bytes())
    assert vote(scan, tmp_path / "b", [models[0], other], "--include", "grey") == 0
    key = json.loads((tmp_path / "b.key.json").read_text())
    assert key["candidates"] == [str(models[0]), str(other), "grey"]
    assert len(key["weights"]) == 2
    inside, _ = content(tmp_path / "b")
    grey = inside["photos"][0]["pictures"][key["photos"][0]["order"].index("grey")]
    assert grey == inside["photos"][0]["shown"]


def test_large_photos_are_shown_smaller(tmp_path, models):
    save(tmp_path / "a.png", np.zeros((100, 300), np.uint8))
    assert vote(tmp_path / "a.png", tmp_path / "b", models, "--page-side", 150) == 0
    assert decoded(content(tmp_path / "b")[0]["photos"][0]["shown"]).size == (150, 50)


def test_bad_photos_are_named_and_the_rest_is_there(tmp_path, scan, models, capsys):
    (scan.parent / "cut.png").write_bytes(b"no picture")
    assert vote(scan.parent, tmp_path / "b", models) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{scan.parent}/cut.png: ")
    assert error.count("\n") == 1
    assert len(content(tmp_path / "b")[0]["photos"]) == 1
    assert vote(scan.parent / "cut.png", tmp_path / "c", models) == 2  # nothing is left
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "c.key.json").exists()


def test_a_ballot_is_not_overwritten_unasked(tmp_path, scan, models, capsys):
    for name in ("b/index.html", "b.key.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("dear to me")
        assert vote(scan, tmp_path / "b", models) == 2
        assert capsys.readouterr().err.endswith(f"{path} exists: give --overwrite to replace it\n")
        assert path.read_text() == "dear to me"
        assert len(files(tmp_path)) == 2
        path.unlink()
    (tmp_path / "b/index.html").write_text("old")
    assert vote(scan, tmp_path / "b", models, "--overwrite") == 0
    assert content(tmp_path / "b")


@pytest.mark.parametrize("full", ["index.html", "b.key.json"])
def test_a_full_disk_leaves_the_old_page_with_its_key(tmp_path, scan, models, capsys, monkeypatch, full):
    """Without its key, no vote on a page could be counted."""
    assert vote(scan, tmp_path / "b", models) == 0
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    room = {"index.html": 0, "b.key.json": 1}[full]
    written = []

    def filling(path, data, write=data_files.write_synced):
        written.append(path)
        if len(written) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data)

    monkeypatch.setattr(data_files, "write_synced", filling)
    assert vote(scan, tmp_path / "b", models, "--overwrite", "--seed", "7") == 2
    assert f"{full} cannot be written: No space left on device\n" in capsys.readouterr().err
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.parametrize(
    "weights, words", [(1, []), (0, ["--include", "grey"]), (9, ["--include", "grey"]), ("twice", [])]
)
def test_usage_of_vote(tmp_path, scan, models, capsys, weights, words):
    given = (
        [models[0]] * 2 if weights == "twice" else [tmp_path / f"{number}.pt" for number in range(weights)]
    )
    with pytest.raises(SystemExit) as caught:
        vote(scan, tmp_path / "b", given, *words)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def votes(path, key, choices, voter="v", saved="2026-01-01T00:00:00Z", **others):
    """A votes file. choices: photo from 0 -> a model's name, or None for no difference."""
    chosen = {
        str(i + 1): key["photos"][i]["order"].index(name) + 1 if name else 0 for i, name in choices.items()
    }
    path.write_text(
        json.dumps(
            {"version": 1, "ballot": key["ballot"], "voter": voter, "saved": saved, "votes": chosen, **others}
        )
    )
    return path


def tally(folder, *paths):
    return colorize.main(["tally", str(folder), *map(str, paths)])


def test_the_count(tmp_path, example_ballot, capsys):
    folder, key = example_ballot
    first = votes(tmp_path / "1.json", key, {0: "ann", 1: "ann", 2: "bob", 3: None}, "x")
    second = votes(tmp_path / "2.json", key, {0: "ann", 1: "bob"}, "y")  # partial
    assert tally(folder, first, second) == 0
    out, error = capsys.readouterr()
    result = json.loads(out)
    assert out.count("\n") == 1
    assert result["ballot"] == key["ballot"]
    assert {name: result[name] for name in ("voters", "photos", "votes", "ties")} == {
        "voters": 2,
        "photos": 4,
        "votes": 6,
        "ties": 1,
    }
    # Photos: ann 1, half, 0, a third; bob 0, half, 1, a third; cat 0, 0, 0, a third.
    expected = {"ann": (3, 11 / 24), "bob": (2, 11 / 24), "cat": (0, 1 / 12)}
    assert {name: (row["wins"], row["win_rate"]) for name, row in result["models"].items()} == {
        name: (wins, pytest.approx(rate, abs=1e-4)) for name, (wins, rate) in expected.items()
    }
    assert list(result["models"])[-1] == "cat"  # best first
    for row in result["models"].values():
        assert row["win_rate_95"] == ballot.wilson(row["win_rate"], 4)
        assert row["win_rate_95"][0] <= row["win_rate"]
    lines = error.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "6 votes of 2 voters on 4 photographs, 1 without difference"
    assert "45.8%" in error


def test_wilson():
    """Against values of R's prop.test(..., correct = FALSE)."""
    for wins, trials, low, high in ((8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962)):
        assert ballot.wilson(wins / trials, trials) == pytest.approx([low, high], abs=2e-4)
    assert ballot.wilson(0.0, 0) == [0, 1]


def test_of_repeated_files_the_last_saved_counts(tmp_path, example_ballot, capsys):
    folder, key = example_ballot
    old = votes(tmp_path / "old.json", key, {0: "ann"}, saved="2026-01-01T10:00:00Z")
    new = votes(tmp_path / "new.json", key, {0: "bob", 1: "bob"}, saved="2026-01-02T09:00:00Z")
    for paths in ((old, new), (new, old), (new, old, new)):
        assert tally(folder, *paths) == 0
        out, error = capsys.readouterr()
        result = json.loads(out)
        assert result["voters"] == 1
        assert result["models"]["bob"]["wins"] == 2
        assert result["models"]["ann"]["wins"] == 0
        assert error.count("the one saved last counts") == len(paths) - 1


def test_foreign_and_damaged_files_are_named_and_the_rest_is_counted(tmp_path, example_ballot, capsys):
    folder, key = example_ballot
    good = votes(tmp_path / "good.json", key, {0: "ann"})
    bad = {
        "votes of another ballot": votes(tmp_path / "other.json", key, {0: "ann"}, ballot="ffff"),
        "no such file": tmp_path / "gone.json",
        "damaged: no picture 4 of photograph 1": votes(tmp_path / "a.json", key, {}, votes={"1": 4}),
        "damaged: no picture 1 of photograph 5": votes(tmp_path / "b.json", key, {}, votes={"5": 1}),
        "damaged: no picture 1 of photograph 0": votes(tmp_path / "c.json", key, {}, votes={"0": 1}),
        "damaged: no picture True of": votes(tmp_path / "d.json", key, {}, votes={"1": True}),
    }
    for name, text in (
        ("e", "{"),
        ("f", "[]"),
        ("g", "\xff"),
        ("h", "{}"),
        ("i", '{"version": 2}'),
        ("j", "null"),
        ("k", "[" * 100_000),
    ):
        (tmp_path / f"{name}.json").write_text(text, "latin-1")
        assert tally(folder, tmp_path / f"{name}.json", good) == 1
        assert f"{name}.json: no votes of a ballot, or damaged" in capsys.readouterr().err
    assert tally(folder, *bad.values(), good) == 1
    out, error = capsys.readouterr()
    assert json.loads(out)["votes"] == 1
    for reason, path in bad.items():
        assert f"{path}: {reason}" in error


def test_without_the_key_nothing_is_counted(tmp_path, example_ballot, capsys):
    good = votes(tmp_path / "v.json", example_ballot[1], {0: "ann"})
    assert tally(tmp_path / "b", good) == 2
    out, error = capsys.readouterr()
    assert not out
    assert f"key {tmp_path}/b.key.json: no such file" in error
    assert error.count("\n") == 1
    (tmp_path / "b.key.json").write_text("{}")
    assert tally(tmp_path / "b", good) == 2
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    ["[" * 100_000, {"candidates": ["ann", "bob"]}, {"photos": [{"order": ["eve"]}]}, {"photos": 3}],
)
def test_a_key_that_does_not_fit_itself_is_one_line(tmp_path, example_ballot, capsys, changes):
    key = example_ballot[1]
    text = changes if isinstance(changes, str) else json.dumps({**key, **changes})
    (tmp_path / "b.key.json").write_text(text)
    assert tally(tmp_path / "b", votes(tmp_path / "v.json", key, {0: "ann"})) == 2
    assert capsys.readouterr().err.endswith(f": key {tmp_path}/b.key.json: damaged\n")


def test_votes_alone_and_none_at_all(tmp_path, example_ballot, capsys):
    folder, key = example_ballot
    assert tally(folder, votes(tmp_path / "v.json", key, {})) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["votes"] == 0
    assert all(row["win_rate_95"] == [0, 1] for row in result["models"].values())


def test_repairs_are_voted_on_too(tmp_path, scan, tiny_weights, capsys):
    cv2 = pytest.importorskip("cv2")
    save(tmp_path / "masks/scan.png", square())
    words = [
        "vote",
        scan,
        tmp_path / "b",
        "--weights",
        tiny_weights["inpaint"],
        "--include",
        "telea",
        "--device",
        "cpu",
        "--quiet",
    ]
    assert inpaint.main([*map(str, words), "--mask", str(tmp_path / "masks")]) == 0
    inside, _ = content(tmp_path / "b")
    order = json.loads((tmp_path / "b.key.json").read_text())["photos"][0]["order"]
    pixels = read_photo(scan).pixels
    expected = {
        "telea": cv2.inpaint(pixels, square(), 3, cv2.INPAINT_TELEA),
        "inpaint": inpaint.load(tiny_weights["inpaint"], torch.device("cpu"))(pixels, square()),
    }
    for name, url in zip(order, inside["photos"][0]["pictures"], strict=True):
        away = {
            other: np.abs(np.asarray(decoded(url)).astype(int) - picture).mean()
            for other, picture in expected.items()
        }
        assert min(away, key=away.get) == name
        assert away[name] < 4
    for value, marked in ((0, "nothing"), (255, "the whole photograph")):
        save(tmp_path / "masks/scan.png", np.full_like(square(), value))
        assert inpaint.main([*map(str, words), "--overwrite", "--mask", str(tmp_path / "masks")]) == 2
        assert f"{scan}: the mask marks {marked}: there is nothing to vote on" in capsys.readouterr().err
    (tmp_path / "masks/scan.png").unlink()
    assert inpaint.main([*map(str, words), "--overwrite", "--mask", str(tmp_path / "masks")]) == 2
    assert f"{scan}: no mask for it in {tmp_path}/masks" in capsys.readouterr().err


def test_telea_needs_opencv(tmp_path, scan, tiny_weights, monkeypatch, capsys):
    monkeypatch.setattr(inpaint, "opencv", lambda method: None)
    words = [
        "vote",
        scan,
        tmp_path / "b",
        "--weights",
        tiny_weights["inpaint"],
        "--include",
        "telea",
        "--mask",
        scan,
    ]
    assert inpaint.main([str(word) for word in words]) == 2
    assert capsys.readouterr().err.endswith(
        "--include telea needs OpenCV: pip install opencv-python-headless\n"
    )
