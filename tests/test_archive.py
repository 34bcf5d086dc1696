"""benchmarks/archive.py: the photographs that it makes, and the faults that its checks find."""

import shutil

import pytest
from conftest import files

import restore
from benchmarks import archive
from data.errors import PhotoError
from data.photo import read_photo


def test_it_makes_photos_of_all_kinds_and_broken_ones(tmp_path):
    whole, broken = archive.fill(tmp_path, 60, 5)
    assert len(whole) == 55
    assert len(broken) == 5
    assert len(files(tmp_path)) == 60
    photos = [read_photo(tmp_path / path) for path in whole]
    assert {photo.format for photo in photos} == {"JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"}
    assert {photo.pixels.ndim for photo in photos} == {2, 3}
    assert {photo.pixels.itemsize for photo in photos} == {1, 2}
    for path in broken:
        with pytest.raises(PhotoError):
            read_photo(tmp_path / path)


def test_torn_and_leftover_files_are_found(tmp_path, tiny_weights):
    whole, _broken = archive.fill(tmp_path / "in", 6, 1)
    words = [word for stage, path in tiny_weights.items() for word in (f"--{stage}-weights", str(path))]
    out = tmp_path / "out"
    words += ["--recursive", "--quiet", "--device", "cpu"]
    assert restore.main([str(tmp_path / "in"), str(out), *words]) == 1
    assert len(archive.reports(out)) == len(whole) == 5
    assert archive.torn(out) == []
    report = archive.reports(out)[0]
    picture = next(report.parent.glob(f"{report.stem}_restored.*"))
    shutil.copy(picture, out / "extra.png")
    picture.write_bytes(picture.read_bytes()[:-1])
    (out / ".a.part").mkdir()
    left = [f"{out / name}: left over" for name in ("extra.png", ".a.part")]
    assert archive.torn(out) == [f"{picture}: missing or torn", *left]


FINISHED = {"status": 1, "done": 2, "failed": ["c.png"], "torn": [], "again": [], "stderr": ""}


def judge(processes=1, **facts):
    return archive.judge({**FINISHED, **facts}, ["a.png", "b.png"], ["c.png"], processes)


def test_a_finished_folder_is_good():
    assert judge()
    assert judge(processes=2, stderr="Traceback")  # torchrun's own


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 0},
        {"done": 1},
        {"failed": []},
        {"torn": ["out/a.png: left over"]},
        {"again": ["out/a.json"]},
        {"stderr": "Traceback"},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_every_fault_counts(fault):
    assert not judge(**fault)
