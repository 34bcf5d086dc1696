"""The loop over photographs, driven by a small command as a user drives it."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import files
from loop import OUTPUTS, calls, command, photo, same

from data.photo import encode, read_photo
from engine import photos
from engine.photos import Picture


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


def test_files_and_report(tmp_path):
    scan = photo(tmp_path / "a.b.tif")
    assert command(scan, tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.b.json", "a.b_mask.png", "a.b_restored.tif"]
    report = json.loads((tmp_path / "out/a.b.json").read_text())
    assert report["input"]["name"] == str(scan)
    assert set(report["outputs"]) == {"a.b_mask.png", "a.b_restored.tif"}
    assert report["options"] == {"tile": 1024, "format": "auto", "outputs": OUTPUTS}
    np.testing.assert_array_equal(
        read_photo(tmp_path / "out/a.b_restored.tif").pixels, read_photo(scan).pixels
    )


@pytest.mark.parametrize(
    "given, asked, expected",
    [("a.tif", "auto", "tif"), ("a.jpg", "auto", "png"), ("a.webp", "auto", "png"), ("a.tif", "png", "png")]
    + [("a.png", ending, ending) for ending in ("tif", "webp", "jpg")],
)
def test_format(tmp_path, given, asked, expected):
    command(photo(tmp_path / given), tmp_path / "out", "--format", asked)
    written = read_photo(tmp_path / f"out/a_restored.{expected}")
    assert written.format == {"tif": "TIFF", "jpg": "JPEG"}.get(expected, expected.upper())
    warnings = json.loads((tmp_path / "out/a.json").read_text())["warnings"]
    assert (["not lossless" in w for w in warnings] == [True]) == (expected == "jpg")


def test_one_bad_photo_never_stops_the_rest(tmp_path, capfd):
    for name in ("a.png", "broken.png", "z.png"):
        photo(tmp_path / "in" / name)
    (tmp_path / "in/bad.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    words = [
        tmp_path / "in",
        tmp_path / "missing.png",
        tmp_path / "empty",
        tmp_path / "out",
        "--quiet",
        "--json",
        "-",
    ]
    assert command(*words) == 1
    out, err = capfd.readouterr()
    before, trace, after = err.partition("Traceback (most recent call last):\n")
    trace, _, after = after.partition("\nRuntimeError: two\nlines\n")
    assert before.splitlines() == [
        f"{tmp_path}/in/bad.png: not an image of a known kind: save it as TIFF, PNG or JPEG, 8 or 16 bits",
        f"{tmp_path}/in/broken.png: RuntimeError: two lines",
    ]
    assert "in same" in trace  # a bug shows where it is, a mistake of the user does not
    assert after.splitlines() == [
        f"{tmp_path}/missing.png: no such file",
        f"{tmp_path}/empty: no photographs in this folder",
    ]
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "done", "failed", "failed"]
    assert rows[2]["error"] == "RuntimeError: two lines"
    assert rows[0]["input"]["size"] == [8, 6]
    assert files(tmp_path / "out") == [s + e for s in "az" for e in (".json", "_mask.png", "_restored.png")]


def test_what_is_done_is_skipped_and_said(tmp_path, capsys):
    scan, out = photo(tmp_path / "a.png"), tmp_path / "out"
    assert command(scan, out) == 0
    assert command(scan, out, "--json", tmp_path / "log") == 0
    assert calls == ["a"]
    assert (
        capsys.readouterr().err.splitlines()[-1] == f"1 photograph skipped (already done): results in {out}"
    )
    assert json.loads((tmp_path / "log").read_text())["status"] == "skipped"

    # Whatever differs: not done, and nothing is overwritten or even computed.
    for words, changed in (
        ([], {"options": {"threshold": 1}}),
        ([], {"weights": {"x": "cd"}}),
        (["--tile", "512"], {}),
        (["--format", "tif"], {}),
        (["--mask", photo(tmp_path / "mask.png")], {}),
    ):
        before = {path: path.read_bytes() for path in out.iterdir()}
        assert command(scan, out, *words, **changed) == 1
        assert calls == ["a"]
        assert "--overwrite" in capsys.readouterr().err
        assert before == {path: path.read_bytes() for path in out.iterdir()}
    photo(scan, seed=1)
    assert command(scan, out) == 1
    assert calls == ["a"]
    assert command(scan, out, "--overwrite") == 0
    assert calls == ["a", "a"]
    np.testing.assert_array_equal(read_photo(out / "a_restored.png").pixels, read_photo(scan).pixels)
    assert command(scan, out) == 0
    assert calls == ["a", "a"]
    (out / "a_mask.png").unlink()  # then it is not done
    assert command(scan, out) == 1


def test_a_changed_mask_is_noticed(tmp_path):
    scan, mask = photo(tmp_path / "a.png"), tmp_path / "m.png"
    mask.write_bytes(encode(np.zeros((6, 8), np.uint8), None, "PNG"))
    command(scan, tmp_path / "out", "--mask", mask)
    mask.write_bytes(encode(np.full((6, 8), 255, np.uint8), None, "PNG"))
    assert command(scan, tmp_path / "out", "--mask", mask) == 1
    assert command(scan, tmp_path / "out", "--mask", mask, "--overwrite") == 0
    assert json.loads((tmp_path / "out/a.json").read_text())["invented"] == 1


def test_a_stage_writes_no_report_and_skips_nothing(tmp_path):
    scan = photo(tmp_path / "a.png")
    assert command(scan, tmp_path / "out", commit=False) == 0
    assert files(tmp_path / "out") == ["a_mask.png", "a_restored.png"]
    assert command(scan, tmp_path / "out", commit=False) == 1
    assert calls == ["a"]


def test_results_never_replace_those_of_another_photo_of_the_run(tmp_path, capsys):
    for name in ("a.png", "a_restored.png"):
        photo(tmp_path / "in" / name)
    words = [tmp_path / "in", tmp_path / "out", "--overwrite"]

    def work(photo, source):
        return {"_restored.png": b"", "_restored_restored.png": b""}, {}

    assert command(*words, work=work, outputs=["_restored.png", "_restored_restored.png"]) == 1
    assert f"a_restored_restored.png is already a result of {tmp_path}/in/a.png" in capsys.readouterr().err


def test_nor_those_of_another_process(tmp_path, monkeypatch, capsys):
    for name in ("a.png", "a_restored.png"):
        photo(tmp_path / "in" / name)
    words, outputs = [tmp_path / "in", tmp_path / "out", "--overwrite"], ["_x.{ext}", "_restored_x.{ext}"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    statuses = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        work = lambda photo, source: (dict.fromkeys(outputs, source.name.encode()), {})  # noqa: E731
        statuses.append(command(*words, work=work, outputs=outputs))
    assert statuses == [0, 1]
    assert (tmp_path / "out/a_restored_x.png").read_bytes() == b"a"
    assert "a_restored_x.png is already a result of" in capsys.readouterr().err


def test_a_folder_of_masks_is_listed_once(tmp_path, monkeypatch):
    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
        photo(tmp_path / f"masks/{name}_mask.png")
    listed, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iterdir(path))
    words = [tmp_path / "in", tmp_path / "out", "--mask", tmp_path / "masks", "--overwrite", "--quiet"]
    for _ in range(2):  # the second time, inputs are compared with what is to be replaced
        listed.clear()
        assert command(*words) == 0
        assert listed.count(tmp_path / "masks") == 1


def test_work_must_give_what_it_announced(tmp_path, capsys):
    work = lambda photo, source: ({"_mask.png": b""}, {})  # noqa: E731
    assert command(photo(tmp_path / "a.png"), tmp_path / "out", work=work) == 1
    assert "TypeError" in capsys.readouterr().err
    assert files(tmp_path / "out") == []


def test_processes_share_the_photos(tmp_path, monkeypatch):
    for index in range(5):
        photo(tmp_path / f"in/{index}.png")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        assert command(tmp_path / "in", tmp_path / "out") == 0
    assert calls == ["0", "2", "4", "1", "3"]


def test_the_next_photo_is_read_while_one_is_computed(tmp_path, monkeypatch):
    for name in "abc":
        photo(tmp_path / "in" / f"{name}.png")
    read = [threading.Event() for _ in range(3)]
    pending = iter(read)

    def reading(data, max_pixels):
        next(pending).set()
        return read_photo(data, max_pixels)

    def work(photo, source):
        index = "abc".index(source.name)
        assert index == 2 or read[index + 1].wait(10)
        assert index > 0 or not read[2].wait(0.2)  # but only one ahead
        return same(photo, source)

    monkeypatch.setattr(photos, "read_photo", reading)
    assert command(tmp_path / "in", tmp_path / "out", work=work) == 0


def test_a_full_memory_is_no_bug(tmp_path, capsys):
    def work(photo, source):
        raise MemoryError

    scan = photo(tmp_path / "a.png")
    assert command(scan, tmp_path / "out", "--quiet", work=work) == 1
    assert capsys.readouterr().err == f"{scan}: not enough memory\n"


class Bytes:
    """Standard input or output that has but a buffer."""

    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)


def test_standard_input_and_output(tmp_path, monkeypatch, capsys):
    data = photo(tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", Bytes(data))
    assert command("-", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["stdin.json", "stdin_mask.png", "stdin_restored.png"]

    monkeypatch.setattr(sys, "stdin", Bytes(data))
    monkeypatch.setattr(sys, "stdout", Bytes())
    monkeypatch.chdir(tmp_path)

    def work(photo, source):
        return {"_restored.{ext}": Picture(photo.pixels)}, {}

    capsys.readouterr()
    assert command("-", "-", work=work, outputs=["_restored.{ext}"]) == 0
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(read_photo(sys.stdout.buffer.getvalue()).pixels, read_photo(data).pixels)
    assert files(tmp_path) == ["a.png", "out/stdin.json", "out/stdin_mask.png", "out/stdin_restored.png"]

    monkeypatch.setattr(sys, "stdin", Bytes())
    assert command("-", tmp_path / "out", "--quiet") == 1
    assert capsys.readouterr().err == "stdin: is empty (0 bytes)\n"


SCRIPT = """
import sys, time
sys.path.insert(0, "tests")
from engine.photos import Picture
from loop import command
def work(photo, source):
    if source.name == "b":
        print("computing", flush=True)
        for _ in range(1200):  # a signal just before a long sleep would be seen only after it
            time.sleep(0.05)
    return {"_restored.{ext}": Picture(photo.pixels)}, {}
sys.exit(command(*sys.argv[1:], work=work, outputs=["_restored.{ext}"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_whole_photos_and_goes_on_later(tmp_path, number):
    for name in "abc":
        photo(tmp_path / "in" / f"{name}.png")
    words = [sys.executable, "-c", SCRIPT, tmp_path / "in", tmp_path / "out"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=Path(__file__).parent.parent, **pipes) as process:
        assert process.stdout.readline() == "computing\n"
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 130
        assert time.monotonic() - start < 10
        assert process.stderr.read() == "interrupted\n"
    assert files(tmp_path / "out") == ["a.json", "a_restored.png"]
