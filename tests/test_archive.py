"""The long form of a weekend's batch, benchmarks/archive.py, in miniature: what it makes and what it would
find.
"""

import shutil

import pytest
from conftest import files

import restore
from benchmarks import archive
from data.errors import PhotoError
from data.photo import read_photo


def test_it_makes_photos_of_all_kinds_and_broken_ones(tmp_path):
    whole, broken = archive.fill(tmp_path, 60, 5)
    assert len(whole) == 55 and len(broken) == 5 and len(files(tmp_path)) == 60
    photos = [read_photo(tmp_path / path) for path in whole]
    assert {photo.format for photo in photos} == {"JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"}
    assert {photo.pixels.ndim for photo in photos} == {2, 3} and {
        photo.pixels.itemsize for photo in photos
    } == {1, 2}
    for path in broken:
        with pytest.raises(PhotoError):
            read_photo(tmp_path / path)


def test_what_its_checks_find(tmp_path, tiny_weights):
    """Six photographs of which one is broken, with small networks; then a torn file, a foreign one and a
    hidden folder.
    """
    whole, _broken = archive.fill(tmp_path / "in", 6, 1)
    words = [word for stage, path in tiny_weights.items() for word in (f"--{stage}-weights", str(path))]
    out = tmp_path / "out"
    assert (
        restore.main([str(tmp_path / "in"), str(out), "--recursive", "--quiet", "--device", "cpu", *words])
        == 1
    )
    assert len(archive.reports(out)) == len(whole) == 5 and archive.torn(out) == []
    report = archive.reports(out)[0]
    picture = next(report.parent.glob(f"{report.stem}_restored.*"))
    shutil.copy(picture, out / "extra.png")
    picture.write_bytes(picture.read_bytes()[:-1])
    (out / ".a.part").mkdir()
    left = [f"{out / name}: left over" for name in ("extra.png", ".a.part")]
    assert archive.torn(out) == [f"{picture}: missing or torn", *left]
