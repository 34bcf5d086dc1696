"""OUT as a file: the only result of the only photograph, whole or not at all."""

import errno
import os

import numpy as np
import pytest
from conftest import files, save, square
from loop import OUTPUTS, calls, command, photo
from PIL import Image

import colorize
import inpaint
import segment
from data.photo import read_photo
from engine import delivery
from engine.photos import Picture

RESTORED = ["_restored.{ext}"]


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


def single(*words, **settings):
    """A command with one result, which is the photograph itself."""

    def work(photo, source):
        calls.append(source.name)
        return {"_restored.{ext}": Picture(photo.pixels)}, {}

    return command(*words, work=work, outputs=RESTORED, **settings)


@pytest.mark.parametrize(
    "name, format",
    [("x.png", "PNG"), ("new/x.TIF", "TIFF"), ("x.tiff", "TIFF"), ("x.webp", "WEBP"), ("x.jpeg", "JPEG")],
)
def test_the_suffix_is_the_format(tmp_path, name, format):
    scan = photo(tmp_path / "in/a.png")
    assert single(scan, tmp_path / name) == 0
    assert read_photo(tmp_path / name).format == format
    assert files(tmp_path) == sorted(["in/a.png", name])  # and no report, nor anything else


def test_a_folder_with_one_photograph_is_one_photograph(tmp_path):
    scan = photo(tmp_path / "in/a.png")
    assert single(scan.parent, tmp_path / "in/b.png", "--format", "png") == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "in/b.png").pixels, read_photo(scan).pixels)


def test_a_file_is_replaced_only_if_asked(tmp_path, capsys):
    scan, out = photo(tmp_path / "a.png"), tmp_path / "x.png"
    out.write_bytes(b"dear to me")
    assert single(scan, out, "--quiet") == 1
    assert capsys.readouterr().err == f"{scan}: {out} exists: give --overwrite to replace it\n"
    assert out.read_bytes() == b"dear to me"
    assert calls == []
    assert single(scan, out, "--overwrite") == 0
    assert read_photo(out).format == "PNG"
    assert files(tmp_path) == ["a.png", "x.png"]


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch, capsys):
    def full_disk(path, data, write=delivery.write_synced):
        write(path, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(delivery, "write_synced", full_disk)
    scan, out = photo(tmp_path / "a.png"), tmp_path / "x.png"
    assert single(scan, out, "--quiet") == 1
    assert capsys.readouterr().err == f"{scan}: {out} cannot be written: No space left on device\n"
    assert files(tmp_path) == ["a.png"]


def test_what_a_killed_run_left_of_a_file_is_removed(tmp_path):
    scan, out = photo(tmp_path / "a.png"), tmp_path / "x.png"
    (tmp_path / ".x.png.part").mkdir()
    (tmp_path / ".x.png.part/x.png").write_bytes(b"half")
    (tmp_path / "x.json").write_text("dear to me")
    assert single(scan, out) == 0
    assert files(tmp_path) == ["a.png", "x.json", "x.png"]


def test_a_folder_with_the_name_of_a_picture_stays_a_folder(tmp_path):
    (tmp_path / "x.png").mkdir()
    assert single(photo(tmp_path / "a.tif"), tmp_path / "x.png", "--format", "webp") == 0
    assert files(tmp_path / "x.png") == ["a.json", "a_restored.webp"]


@pytest.mark.parametrize(
    "words, outputs, reason",
    [
        (["a.png", "b.png", "x.png"], RESTORED, "2 photographs: give a folder"),
        (["in", "x.jpg"], RESTORED, "2 photographs: give a folder"),
        (["a.png", "x.png"], OUTPUTS, "there are 2: give a folder"),
        (["a.png", "x.gif"], RESTORED, ".gif cannot be written, but .png, .tif, .webp, .jpg"),
        (["a.png", "x.psd"], RESTORED, ".psd cannot be written"),
        (["a.png", "x.tif", "--format", "png"], RESTORED, "x.tif is not --format png"),
        (["a.png", "x.jpg"], ["_mask.png"], "a mask is always a PNG"),
        (["a.png", "a.png", "--overwrite"], RESTORED, "another file than a.png"),
        (["a.png", "b.png", "--mask", "b.png", "--overwrite"], RESTORED, "another file than b.png"),
        (["a.png", "a.png/x.png"], RESTORED, "a.png is a file"),
    ],
)
def test_usage_errors(tmp_path, monkeypatch, capsys, words, outputs, reason):
    for name in ("a.png", "b.png", "in/c.png", "in/d.png"):
        photo(tmp_path / name)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        command(*words, outputs=outputs)
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before
    assert not list(tmp_path.glob("x.*"))


def test_every_command_writes_one_file(scan, tmp_path, run, tiny_weights):
    """The same bytes as the result in a folder."""
    save(tmp_path / "mask.png", square())

    def stage(module, *words):
        weights = ["--weights", str(tiny_weights[module.STAGE]), "--device", "cpu"]
        return module.main(["infer", str(scan), *map(str, words), *weights])

    mask = "--mask", tmp_path / "mask.png"
    for name, result, infer in (
        ("a.tif", "scan_restored.tif", lambda *words: run(scan, *words, "--only", "restored", *mask)),
        ("b.png", "scan_mask.png", lambda *words: stage(segment, *words)),
        ("c.webp", "scan_restored.webp", lambda *words: stage(inpaint, *words, *mask)),
        ("d.jpg", "scan_color.jpg", lambda *words: stage(colorize, *words)),
    ):
        format = result.split(".")[1]
        assert infer(tmp_path / "one" / name) == 0
        assert infer(tmp_path / "out", "--format", format) == 0
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "out" / result).read_bytes()
    assert files(tmp_path / "one") == ["a.tif", "b.png", "c.webp", "d.jpg"]


def test_a_file_of_a_mask_alone(scan, tmp_path, run, capsys):
    for words in (["x.tif", "--only", "mask"], ["x.png"], ["x.png", "--only", "mask", "--compare"]):
        with pytest.raises(SystemExit):
            run(scan, tmp_path / words[0], *words[1:])
    first, second, third = (line for line in capsys.readouterr().err.splitlines() if "error: " in line)
    assert "a mask is always a PNG" in first
    assert "there are 4: give a folder" in second
    assert "there are 2: give a folder" in third
    assert run(scan, tmp_path / "x.png", "--only", "mask") == 0
    assert Image.open(tmp_path / "x.png").mode == "L"
