"""What is found in a data folder."""

import pytest
from PIL import Image

from data.errors import PhotoError
from data.folder import images_in, pairs_in, validation


def paint(path, level, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path


def test_pairs_are_by_stem(tmp_path):
    assert pairs_in(tmp_path) == []
    image, mask = paint(tmp_path / "images/a.jpg", 9), paint(tmp_path / "masks/a.png", 0)
    paint(tmp_path / "masks/unused.png", 0)
    assert pairs_in(tmp_path) == [(image, mask)]
    paint(tmp_path / "images/b.jpg", 9)
    with pytest.raises(PhotoError, match=r"images/b\.jpg: no mask of the same stem in .*masks"):
        pairs_in(tmp_path)


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


def test_validation_is_val_if_there_is_one(tmp_path):
    assert validation(tmp_path) == tmp_path
    (tmp_path / "val").mkdir()
    assert validation(tmp_path) == tmp_path / "val"
