"""The file of corrections: read, refused if it is damaged, applied, and trained on."""

import contextlib
import io
import json
import zipfile

import numpy as np
import pytest
from conftest import files, noise, save, square
from PIL import Image
from reviewing import mask_of, restored
from runs import log, train

import segment
from data import labelled
from data.corrections import read_corrections
from data.datasets import SegmentSamples
from data.errors import UserError
from data.photo import read_photo


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
    "nested": (
        {"changes": {"decisions.json": "[" * 100_000}},
        "decisions.json is missing, damaged or of another version",
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


def test_a_file_with_any_damage_is_one_clear_line(tmp_path):
    """Bytes replaced anywhere: offsets, names, packed data."""
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_LZMA):
        path = archive(tmp_path / "c.zip", compression=compression)
        data, rng = path.read_bytes(), np.random.default_rng(0)
        for at in rng.integers(len(data), size=400):
            path.write_bytes(data[:at] + rng.bytes(4) + data[at + 4 :])
            with contextlib.suppress(UserError):
                read_corrections(path)


def test_an_entry_without_a_name_is_one_clear_line(tmp_path):
    """ZipInfo.is_dir() of some versions of Python fails for it."""
    path = archive(tmp_path / "c.zip", changes={"y" * 40: ""})
    path.write_bytes(path.read_bytes().replace(b"y" * 40, b"\0" * 40))
    with pytest.raises(UserError, match=r"damaged|belongs to no photograph"):
        read_corrections(path)


@pytest.mark.parametrize("offset", [1 << 62, 1 << 63, (1 << 64) - 1])
def test_an_offset_beyond_any_file_is_one_clear_line(tmp_path, offset):
    path = tmp_path / "c.zip"
    with zipfile.ZipFile(path, "w") as entries:
        entry = zipfile.ZipInfo("decisions.json")
        entries.writestr(entry, "{}")
        entry.header_offset = offset  # in the directory at the end of the file, as 64 bits
    with pytest.raises(UserError, match="damaged, or not a file that the review page saved"):
        read_corrections(path)


def test_a_photograph_that_was_replaced_is_not_corrected(tmp_path, scan, tiny_weights, capsys):
    path = archive(tmp_path / "c.zip", [{"name": "scan", "sha256": "0" * 64}])
    assert restored(scan, tmp_path / "out", tiny_weights, "--corrections", path) == 1
    assert "the file has changed since it was corrected" in capsys.readouterr().err


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


def corrected(path, photos=None):
    (photo,) = labelled.training_photos(path.parent / "nothing", None, [path], photos)
    assert photo.name == "scan.png"
    return photo.read()


def test_corrections_are_labelled_pairs(tmp_path, scan, data_folder, monkeypatch):
    photo = read_photo(scan)
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": str(scan), "sha256": photo.sha256}])
    picture, mask = corrected(path)
    assert picture.shape == mask.shape == (48, 64)
    assert (mask[11:29, 21:49] == 255).all() and (mask[10, 20:50] == 128).all() and mask[9, 20] == 0
    monkeypatch.setattr(labelled, "WORKING_SIDE", 32)
    picture, mask = corrected(path, scan.parent)
    assert picture.shape == mask.shape == (24, 32)
    options = {"seed": 0, "side": 64, "labelled_share": 1.0}
    without = SegmentSamples(data_folder, **options)
    with_it = SegmentSamples(data_folder, **options, corrections=[path], photos=scan.parent)
    assert len(with_it.labelled) == len(without.labelled) + 1


def test_photographs_of_corrections_that_are_gone_are_named(tmp_path, scan):
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": "gone/scan.png"}])
    with pytest.raises(UserError, match=r"gone/scan\.png: no such file; give the folder .* with --photos"):
        corrected(path)
    with pytest.raises(UserError, match="the file has changed since it was corrected"):
        corrected(path, scan.parent)


def test_line_breaks_in_the_name_of_a_corrected_photograph_are_escaped(tmp_path, scan):
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": "two\nlines/scan.png"}])
    with pytest.raises(UserError) as error:
        corrected(path)
    assert r"two\nlines/scan.png: no such file" in str(error.value)


@pytest.mark.parametrize("command", ["train", "eval"])
def test_a_folder_of_photographs_needs_corrections(tmp_path, data_folder, capsys, command):
    words = [command, "--data", data_folder, "--photos", tmp_path, "--device", "cpu"]
    words += ["--run-dir", tmp_path / "run", "--dry-run"] if command == "train" else []
    assert segment.main([str(word) for word in words]) == 2
    assert capsys.readouterr().err.endswith(": --photos needs --corrections\n")


def test_a_training_run_takes_corrections(tmp_path, scan, data_folder):
    photo = read_photo(scan)
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": "scan.png", "sha256": photo.sha256}])
    words = ["--corrections", path, "--photos", scan.parent, "--labelled-share", 1]
    assert train(segment, data_folder, tmp_path / "run", *words, steps=2, evaluations=1) == 0
    assert json.loads((tmp_path / "run/args.json").read_text())["corrections"] == [str(path)]


def test_corrections_alone_are_trained_and_measured_on(tmp_path, data_folder, capsys):
    """A data folder with nothing in it will do, and a fold leaves some of them out of training."""
    photos = []
    for name in "abc":
        photo = read_photo(save(tmp_path / f"in/{name}.png", noise(48, 64, seed=ord(name))))
        photos.append({"name": name, "input": str(tmp_path / f"in/{name}.png"), "sha256": photo.sha256})
    path, mine = archive(tmp_path / "c.zip", photos), tmp_path / "mine"
    mine.mkdir()
    words = ["--corrections", path, "--labelled-share", 1]
    assert train(segment, mine, tmp_path / "run", *words, steps=2, evaluations=1) == 0
    (score,) = [row for row in log(tmp_path / "run") if "score" in row]
    assert score["photos"] == 3
    assert {picture.name for picture in (tmp_path / "run/samples").iterdir()} == {"a.png", "b.png", "c.png"}
    assert [photo.name for photo in labelled.training_photos(mine, "1/3", [path])] == ["b.png", "c.png"]
    assert [photo.name for photo in labelled.measured_photos(mine, "1/3", [path])] == ["a.png"]
    (best,) = (tmp_path / "run").glob("best-*.pt")
    words = ["eval", "--data", mine, "--weights", best, "--device", "cpu", "--corrections", path]
    capsys.readouterr()
    assert segment.main([str(word) for word in words]) == 0
    assert json.loads(capsys.readouterr().out)["dice"] == pytest.approx(score["dice"], abs=1e-6)


def test_the_last_correction_of_a_photograph_counts(tmp_path, scan):
    """Otherwise it could be trained on with one mask, and measured on with the other."""
    facts = {"name": "scan", "input": str(scan), "sha256": read_photo(scan).sha256}
    first, second = archive(tmp_path / "1.zip", [facts]), archive(tmp_path / "2.zip", [facts])
    (photo,) = labelled.training_photos(tmp_path, None, [first, second])
    assert photo.read.args[0] == second


def test_validation_pairs_take_precedence_over_corrections(tmp_path, data_folder):
    path = archive(tmp_path / "c.zip", [{"name": "scan", "input": "scan.png"}])
    found = labelled.measured_photos(data_folder, None, [path])
    assert [photo.name for photo in found] == ["v.png"]
