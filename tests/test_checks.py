"""What is wrong with a data folder is said before training, all at once."""

import shutil

import numpy as np
import pytest
from conftest import noise
from PIL import Image, ImageFile
from runs import train

import colorize
import segment
from data import checks


@pytest.fixture
def folder(data_folder, tmp_path):
    return shutil.copytree(data_folder, tmp_path / "data")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_all_faults_are_named_at_once_and_nothing_is_trained(folder, tmp_path, capsys):
    Image.new("L", (50, 50)).save(folder / "labelled/masks/scratched.png")
    Image.new("L", (50, 50)).save(folder / "labelled/images/new.png")
    Image.new("L", (50, 50)).save(folder / "labelled/masks/left.png")
    cut(folder / "clean/people/b.jpg")
    (folder / "clean/people/empty.tif").touch()
    (folder / "val/clean/people/text.png").write_text("no picture")
    for name in ("clean/people/._a.png", "labelled/images/._scratched.png", "clean/.DS_Store"):
        (folder / name).write_bytes(b"\0\5\x16\7" + bytes(200))
    assert train(segment, folder, tmp_path / "run") == 2
    lines = capsys.readouterr().err.splitlines()
    expected = [
        ("labelled/masks/left.png: not used", ""),
        ("data: 5 problems; nothing was trained", ""),
        ("labelled/images/new.png: no new or new_mask", ""),
        ("clean/people/b.jpg: ", "truncated"),
        ("clean/people/empty.tif: ", "is empty"),
        ("val/clean/people/text.png: ", "not an image"),
        ("labelled/masks/scratched.png: 50 x 50 px, but ", "has 160 x 160 px"),
    ]
    assert len(lines) == len(expected)
    for line, (start, end) in zip(lines, expected):
        assert start in line
        assert end in line
    assert not (tmp_path / "run").exists()


PIXELS = {
    "float": (Image.new("F", (60, 60), 0.5), "floating-point pixels: save it with 8 or 16 bits"),
    "signed": (Image.new("I", (60, 60), -9), "grey values outside 0..65535"),
    "lab": (Image.new("LAB", (60, 60), 9), "pixels of kind LAB are not supported"),
}


@pytest.mark.parametrize("part", ["clean/people", "cutouts", "backgrounds", "overlays", "color_small"])
@pytest.mark.parametrize("picture, reason", PIXELS.values(), ids=PIXELS)
def test_pixels_that_crops_cannot_have_are_named(tmp_path, part, picture, reason):
    (tmp_path / part).mkdir(parents=True)
    picture.save(tmp_path / part / "x.tif")
    (path,) = checks.pictures(tmp_path, "colorize")
    (fault,) = checks.faults(tmp_path, [path])
    assert fault.startswith(f"{path}: {reason}")


def test_one_fault_is_one_line(folder, tmp_path, capsys):
    cut(folder / "clean/others/c.png")
    assert train(colorize, folder, tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{folder}/clean/others/c.png: ")
    assert error.count("\n") == 1


def test_line_breaks_in_names_are_escaped(folder, tmp_path, capsys):
    (folder / "clean/others/two\nlines.png").touch()
    Image.new("L", (50, 50)).save(folder / "labelled/masks/left\nover.png")
    assert train(segment, folder, tmp_path / "run") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert r"left\nover.png: not used" in lines[0] and r"two\nlines.png: is empty" in lines[1]


def test_a_stage_checks_what_it_reads(folder, tmp_path):
    Image.new("L", (50, 50)).save(folder / "labelled/masks/scratched.png")
    (folder / "negatives").mkdir()
    (folder / "negatives/x.png").touch()
    assert train(colorize, folder, tmp_path / "run", steps=1) == 0


def test_many_faults_are_not_all_listed():
    assert checks.listing(list("ab")) == ["a", "b"]
    assert checks.listing([str(number) for number in range(25)])[-2:] == ["19", "and 5 more"]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.gif", "a.bmp"])
def test_a_sound_picture_is_not_decoded(tmp_path, monkeypatch, name):
    path = tmp_path / "clean" / name
    path.parent.mkdir()
    Image.fromarray(noise(60, 80)).save(path)
    with monkeypatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", None)
        assert checks.faults(tmp_path, [path]) == [""]
    if name[2:] not in ("gif", "bmp"):  # they say nothing of their end
        cut(path)
        assert str(path) in checks.faults(tmp_path, [path])[0]


def test_a_picture_that_something_follows_is_sound(tmp_path):
    """As the video of a motion photo does."""
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(60, 80)).save(path)
    path.write_bytes(path.read_bytes() + b"\1" * 2 * checks.TAIL)
    assert checks.faults(tmp_path, [path]) == [""]


def test_sizes_are_compared_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(noise(50, 80)).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(np.zeros((80, 50), np.uint8)).save(tmp_path / "m.png")
    assert checks.pair_faults([(tmp_path / "a.jpg", tmp_path / "m.png")]) == [""]
    Image.fromarray(np.zeros((50, 80), np.uint8)).save(tmp_path / "m.png")
    assert "m.png: 80 x 50 px, but" in checks.pair_faults([(tmp_path / "a.jpg", tmp_path / "m.png")])[0]
