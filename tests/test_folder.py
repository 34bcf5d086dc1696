"""What is found in a data folder."""

import itertools
import os
import unicodedata

import pytest
from PIL import Image

from data.errors import PhotoError
from data.folder import (
    damage_in,
    evenly_chosen,
    grouped,
    held_out,
    images_in,
    measured_scans,
    paired,
    pairs_in,
    thinned,
    validation,
)


def paint(path, level, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path


def test_pairs_have_one_stem(tmp_path):
    assert pairs_in(tmp_path) == []
    image, mask = paint(tmp_path / "images/a.jpg", 9), paint(tmp_path / "masks/a.png", 0)
    paint(tmp_path / "masks/unused.png", 0)
    assert pairs_in(tmp_path) == [(image, mask)]
    paint(tmp_path / "images/b.jpg", 9)
    with pytest.raises(PhotoError, match=r"images/b\.jpg: no b or b_mask in .*masks"):
        pairs_in(tmp_path)


def test_a_detected_mask_keeps_its_name_in_a_pair(tmp_path):
    image, mask = paint(tmp_path / "images/a.jpg", 9), paint(tmp_path / "masks/a_mask.png", 0)
    assert pairs_in(tmp_path) == [(image, mask)]
    paint(tmp_path / "masks/a.png", 0)
    with pytest.raises(PhotoError, match=r"both .*a\.png and .*a_mask\.png could be the mask of .*a\.jpg"):
        pairs_in(tmp_path)


def test_equal_stems_in_subfolders_are_paired_by_folder(tmp_path):
    expected = []
    for folder, end in (("a", "png"), ("b", "tif")):
        image = paint(tmp_path / f"images/{folder}/IMG_1.jpg", 9)
        expected.append((image, paint(tmp_path / f"masks/{folder}/IMG_1_mask.{end}", 0)))
    assert pairs_in(tmp_path) == expected
    image = paint(tmp_path / "images/c/IMG_1.jpg", 9)
    with pytest.raises(PhotoError, match=r"c/IMG_1\.jpg: no c/IMG_1 or c/IMG_1_mask in .*masks"):
        pairs_in(tmp_path)


def test_a_stem_that_is_there_once_may_have_its_mask_in_another_folder(tmp_path):
    image, mask = paint(tmp_path / "images/a/x.jpg", 9), paint(tmp_path / "masks/x.png", 0)
    assert pairs_in(tmp_path) == [(image, mask)]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_pairs_are_found_however_a_disk_writes_accents(tmp_path, forms):
    image, mask = (unicodedata.normalize(form, "Bücher/Müller") for form in forms)
    expected = [(paint(tmp_path / f"images/{image}.jpg", 9), paint(tmp_path / f"masks/{mask}_mask.png", 0))]
    assert pairs_in(tmp_path) == expected
    one = tuple(unicodedata.normalize(form, "Zoë") for form in forms)
    expected += [
        (paint(tmp_path / f"images/{one[0]}.jpg", 9), paint(tmp_path / f"masks/sub/{one[1]}.png", 0))
    ]
    assert sorted(pairs_in(tmp_path)) == sorted(expected)


def test_a_mask_belongs_to_one_photograph(tmp_path):
    first, second = (paint(tmp_path / f"images/x.{end}", 9) for end in ("jpg", "tif"))
    mask, unused = paint(tmp_path / "masks/x.png", 0), paint(tmp_path / "masks/y.png", 0)
    pairs, faults, left = paired(tmp_path)
    assert pairs == [(first, mask)]
    assert faults == [f"{mask} would be the mask of {first} and {second}: rename one"]
    assert left == [unused]


def test_hidden_files_are_not_there(tmp_path):
    seen = [paint(tmp_path / "x.jpg", 9), paint(tmp_path / "b/x.jpg", 9)]
    for name in ("._x.jpg", "b/._x.jpg", ".thumbnails/x.jpg"):
        paint(tmp_path / name, 9)
    assert images_in(tmp_path) == seen[::-1]
    assert grouped(tmp_path) == [[seen[1]], [seen[0]]]


def test_pictures_are_found_recursively_and_sorted(tmp_path):
    names = ["b.PNG", "a/c.jpeg", "a/b.tif"]
    for name in names:
        paint(tmp_path / name, 0)
    (tmp_path / "a/readme.md").touch()
    assert [str(path.relative_to(tmp_path)) for path in images_in(tmp_path)] == [
        "a/b.tif",
        "a/c.jpeg",
        "b.PNG",
    ]
    assert images_in(tmp_path / "absent") == []


@pytest.mark.parametrize("locked", ["", "a", "a/b", "linked"])
def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, locked):
    paint(tmp_path / "clean/a/b/x.png", 0)
    paint(tmp_path / "elsewhere/x.png", 0)
    (tmp_path / "clean/linked").symlink_to(tmp_path / "elsewhere")
    folder, scandir = tmp_path / "clean" / locked, os.scandir

    def guarded(path):
        if os.fspath(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(PhotoError) as error:
        grouped(tmp_path / "clean")
    assert str(error.value) == f"{folder}: cannot be read: Permission denied"
    with pytest.raises(PhotoError):
        images_in(folder)


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    (tmp_path / "y.png").symlink_to("absent")
    for found in (images_in, grouped):
        with pytest.raises(PhotoError, match=r"x\.png: is not a file"):
            found(tmp_path)
    (tmp_path / "x.png").unlink()
    assert images_in(tmp_path) == [tmp_path / "y.png"]  # which the check of the data folder names


def test_validation_is_val_if_there_is_one(tmp_path):
    assert validation(tmp_path) == tmp_path
    (tmp_path / "val").mkdir()
    assert validation(tmp_path) == tmp_path / "val"


@pytest.mark.parametrize("count, left", [(0, 0), (5, 5), (12, 12), (23, 23), (24, 12), (30, 15), (120, 12)])
def test_thinned(count, left):
    items = thinned(list(range(count)), 12)
    assert len(items) == left
    assert len({b - a for a, b in itertools.pairwise(items)}) <= 1


def test_evenly_chosen():
    assert evenly_chosen([], 12) == []
    assert evenly_chosen([7], 12) == [7]
    assert evenly_chosen(list(range(5)), 12) == [0, 1, 2, 3, 4]
    assert evenly_chosen(list(range(9)), 3) == [0, 4, 8]
    assert evenly_chosen(list(range(10)), 1) == [0]


def test_held_out():
    pairs = list("abcdefg")
    assert held_out(pairs, None) == (pairs, [])
    assert held_out(pairs, "1/3") == (list("bcef"), list("adg"))
    assert held_out(pairs, "3/3") == (list("abdeg"), list("cf"))


def test_old_scans_are_held_out_like_labelled_pairs(tmp_path):
    for name in ("negatives/a.png", "negatives/b.png", "negatives/c.png", "val/negatives/v.png"):
        paint(tmp_path / name, 90)
    assert [path.stem for path in measured_scans(tmp_path, "1/2")] == ["a", "c"]
    assert [path.stem for path in measured_scans(tmp_path, None)] == ["v"]


def test_the_table_of_damage_belongs_to_what_is_measured(tmp_path):
    assert damage_in(tmp_path, None) == {}
    for folder, words in (("labelled", "cracks"), ("val/labelled", "stains, “peel”")):
        (tmp_path / folder).mkdir(parents=True)
        table = f"name\tkind\tdamage\nscan\tprint\t{words}\n"
        (tmp_path / folder / "kinds.tsv").write_text(table, "utf-8")
    assert damage_in(tmp_path, "1/2") == {"scan": "cracks"}
    assert damage_in(tmp_path, None) == {"scan": "stains, “peel”"}
    (tmp_path / "val/labelled/kinds.tsv").write_text(table, "utf-8-sig")  # as Excel and Notepad do
    assert damage_in(tmp_path, None) == {"scan": "stains, “peel”"}


def test_a_table_of_damage_that_is_none_is_named(tmp_path):
    table = tmp_path / "labelled/kinds.tsv"
    table.parent.mkdir()
    table.write_bytes(b"name\tdamage\nscan\n")
    assert damage_in(tmp_path, None) == {"scan": ""}
    for content in (b"name,damage\nscan,cracks\n", b"name\tdamage\nscan\t\xff\n"):
        table.write_bytes(content)
        with pytest.raises(PhotoError, match=r"kinds\.tsv: is not a table in UTF-8"):
            damage_in(tmp_path, None)
