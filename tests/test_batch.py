"""The loop over photos, driven by a small command as a user drives it."""

import argparse
import errno
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
from PIL import Image

from data import batch
from data.batch import list_photos
from data.photo import encode, read_mask, read_photo
from engine import commands
from engine.options import check, infer_options

OUTPUTS = ["_mask.png", "_restored.{ext}"]


def photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)).save(path)
    return path


def command(*words, work=None, commit=True, options=None, outputs=OUTPUTS, weights=None, **others):
    """Parse and run; the exit status. Without `work`, a stand-in that changes nothing and
    counts its calls.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    infer_options(parser)
    parser.add_argument("--mask", type=Path)
    arguments = parser.parse_args([str(word) for word in words])
    check(parser, arguments, stdout=len(outputs) == 1)
    companions = {"mask": arguments.mask}
    return batch.run(
        arguments, work or same, outputs, options or {}, weights or {"x": "ab"}, companions, commit, **others
    )


calls = []


def same(photo, source):
    calls.append(source.name)
    if "broken" in source.name:
        raise RuntimeError("two\nlines")
    mask = np.zeros(photo.size[::-1], np.uint8)
    notes = []
    if "mask" in source.companions:
        mask, notes = read_mask(source.companions["mask"], photo.size)
    files = {"_mask.png": encode(mask, None, "PNG"), "_restored.{ext}": (photo.pixels, "")}
    return files, {"invented": float((mask == 255).mean()), "seconds": {"x": 0.1}, "warnings": notes}


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_and_report(tmp_path):
    scan = photo(tmp_path / "a.b.tif")
    assert command(scan, tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.b.json", "a.b_mask.png", "a.b_restored.tif"]
    report = json.loads((tmp_path / "out/a.b.json").read_text())
    assert report["input"]["name"] == str(scan) and set(report["outputs"]) == {
        "a.b_mask.png",
        "a.b_restored.tif",
    }
    assert report["options"] == {
        "precision": "fp32",
        "tile": 1024,
        "overlap": 128,
        "format": "auto",
        "outputs": OUTPUTS,
    }
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
    assert [line.split(": ", 1) for line in err.splitlines()] == [
        [
            f"{tmp_path}/in/bad.png",
            "not an image of a known kind: save it as TIFF, PNG or JPEG, 8 or 16 bits",
        ],
        [f"{tmp_path}/in/broken.png", "RuntimeError: two lines"],
        [f"{tmp_path}/missing.png", "no such file"],
        [f"{tmp_path}/empty", "no photos in this folder"],
    ]
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "done", "failed", "failed"]
    assert rows[2]["error"] == "RuntimeError: two lines" and rows[0]["input"]["size"] == [8, 6]
    assert files(tmp_path / "out") == [s + e for s in "az" for e in (".json", "_mask.png", "_restored.png")]


def test_what_is_done_is_skipped_and_said(tmp_path, capsys):
    scan, out = photo(tmp_path / "a.png"), tmp_path / "out"
    assert command(scan, out) == 0
    assert command(scan, out, "--json", tmp_path / "log") == 0 and calls == ["a"]
    assert f"{scan}: already done" in capsys.readouterr().err
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
        assert command(scan, out, *words, **changed) == 1 and calls == ["a"]
        assert "--overwrite" in capsys.readouterr().err
        assert before == {path: path.read_bytes() for path in out.iterdir()}
    photo(scan, seed=1)
    assert command(scan, out) == 1 and calls == ["a"]
    assert command(scan, out, "--overwrite") == 0 and calls == ["a", "a"]
    np.testing.assert_array_equal(read_photo(out / "a_restored.png").pixels, read_photo(scan).pixels)
    assert command(scan, out) == 0 and calls == ["a", "a"]
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


def test_masks_pair_by_stem(tmp_path, capsys):
    seen = {}

    def work(photo, source):
        seen[source.name] = source.companions.get("mask")
        return same(photo, source)

    masks = tmp_path / "masks"
    for name in ("plain.png", "former.jpg", "sub/deep.jpg", "none.png", "two.png"):
        photo(tmp_path / "in" / name)
    for name in (
        "plain.png",
        "former_mask.png",
        "former_restored.png",
        "sub/deep.tif",
        "two.png",
        "two_mask.png",
    ):
        photo(masks / name)
    assert command(tmp_path / "in", tmp_path / "out", "--recursive", "--mask", masks, work=work) == 1
    assert seen == {
        "plain": masks / "plain.png",
        "former": masks / "former_mask.png",
        "sub/deep": masks / "sub/deep.tif",
        "none": None,
    }
    assert "two.png and" in capsys.readouterr().err
    assert command(tmp_path / "in/none.png", tmp_path / "out2", "--mask", tmp_path / "gone.png") == 1
    assert "mask " in (error := capsys.readouterr().err) and "no such file" in error


def test_a_stage_writes_no_report_and_skips_nothing(tmp_path):
    scan = photo(tmp_path / "a.png")
    assert command(scan, tmp_path / "out", commit=False) == 0
    assert files(tmp_path / "out") == ["a_mask.png", "a_restored.png"]
    assert command(scan, tmp_path / "out", commit=False) == 1 and calls == ["a"]


def test_a_photo_is_written_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    written = []

    def full_disk(path, data, write=batch.write_synced):
        write(path, data)
        written.append(path.name)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(batch, "write_synced", full_disk)
    assert command(photo(tmp_path / "a.png"), tmp_path / "out") == 1
    assert written == ["a_mask.png", "a_restored.png"] and list((tmp_path / "out").iterdir()) == []
    assert (
        f"{tmp_path}/out/a_restored.png cannot be written: No space left on device\n"
        in capsys.readouterr().err
    )
    for name in ("a.json", "a_mask.png"):  # to be replaced: they are lost only when the new ones are there
        (tmp_path / "out" / name).write_text("former")
    written.clear()
    assert command(tmp_path / "a.png", tmp_path / "out", "--overwrite") == 1
    assert len(written) == 2 and {path.read_text() for path in (tmp_path / "out").iterdir()} == {"former"}
    assert files(tmp_path / "out") == ["a.json", "a_mask.png"]


def test_report_is_moved_last(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(
        os, "replace", lambda path, to, move=os.replace: names.append(to.name) or move(path, to)
    )
    assert command(photo(tmp_path / "a.png"), tmp_path / "out") == 0
    assert names == ["a_mask.png", "a_restored.png", "a.json"]


def test_a_file_that_appears_meanwhile_stays(tmp_path, capsys):
    mine = tmp_path / "out/a_restored.png"

    def work(photo, source):
        mine.write_text("dear to me")
        return same(photo, source)

    assert command(photo(tmp_path / "a.png"), tmp_path / "out", work=work) == 1
    assert "a_restored.png exists" in capsys.readouterr().err
    assert files(tmp_path / "out") == ["a_restored.png"] and mine.read_text() == "dear to me"


def test_stems():
    def names(*paths):
        return [(s.name, bool(s.error)) for s in list_photos([Path(p) for p in paths], Path("out"), False)]

    assert names("x/a.jpg", "-") == [("a", False), ("stdin", False)]
    assert names("same.jpg", "same.png", "other.png") == [
        ("same.jpg", False),
        ("same.png", False),
        ("other", False),
    ]
    assert names("A.jpg", "a.png") == [("A.jpg", False), ("a.png", False)]  # one file on many disks
    assert names("a.jpg", "./a.jpg", "x/../a.jpg") == [("a", False)]
    assert names("x/a.jpg", "y/a.jpg") == [("a.jpg", False), ("a.jpg", True)]
    assert names("a.jpg", "a.png", "a.jpg.webp") == [("a.jpg", False), ("a.png", False), ("a.jpg", True)]


def test_folders(tmp_path):
    for name in (
        "b.PNG",
        "a.tiff",
        ".hidden.png",
        "sub/c.jpg",
        ".git/d.png",
        "sub/sub/c.jpg",
        "out/a_restored.png",
    ):
        photo(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    flat = list_photos([tmp_path], tmp_path / "out", recursive=False)
    assert [(s.name, s.path.name) for s in flat] == [("a", "a.tiff"), ("b", "b.PNG")]
    tree = list_photos([tmp_path], tmp_path / "out", recursive=True)
    assert [s.name for s in tree] == ["a", "b", "sub/c", "sub/sub/c"] and not any(s.error for s in tree)


def test_a_second_run_into_the_input_folder_takes_no_results(tmp_path):
    photo(tmp_path / "sub/a.png")
    for _ in range(2):
        assert command(tmp_path, tmp_path / "out", "--recursive") == 0
    assert files(tmp_path / "out") == ["sub/a.json", "sub/a_mask.png", "sub/a_restored.png"]


def test_results_never_replace_those_of_another_photo_of_the_run(tmp_path, capsys):
    for name in ("a.png", "a_restored.png"):
        photo(tmp_path / "in" / name)
    words = [tmp_path / "in", tmp_path / "out", "--overwrite"]

    def work(photo, source):
        return {"_restored.png": b"", "_restored_restored.png": b""}, {}

    assert command(*words, work=work, outputs=["_restored.png", "_restored_restored.png"]) == 1
    assert "already the result of another photo" in capsys.readouterr().err


def test_work_must_give_what_it_announced(tmp_path, capsys):
    assert command(photo(tmp_path / "a.png"), tmp_path / "out", work=lambda *_: ({"_mask.png": b""}, {})) == 1
    assert "TypeError" in capsys.readouterr().err and files(tmp_path / "out") == []


def test_processes_share_the_photos(tmp_path):
    for index in range(5):
        photo(tmp_path / f"in/{index}.png")
    for rank in range(2):
        assert command(tmp_path / "in", tmp_path / "out", rank=rank, world_size=2) == 0
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

    monkeypatch.setattr(batch, "read_photo", reading)
    assert command(tmp_path / "in", tmp_path / "out", work=work) == 0


class Bytes:
    """Standard input or output that has but a buffer."""

    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)


def test_standard_input_and_output(tmp_path, monkeypatch):
    data = photo(tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", Bytes(data))
    assert command("-", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["stdin.json", "stdin_mask.png", "stdin_restored.png"]

    monkeypatch.setattr(sys, "stdin", Bytes(data))
    monkeypatch.setattr(sys, "stdout", Bytes())
    monkeypatch.chdir(tmp_path)

    def work(photo, source):
        return {"_restored.{ext}": (photo.pixels, "")}, {}

    assert command("-", "-", work=work, outputs=["_restored.{ext}"]) == 0
    np.testing.assert_array_equal(read_photo(sys.stdout.buffer.getvalue()).pixels, read_photo(data).pixels)
    assert files(tmp_path) == ["a.png", "out/stdin.json", "out/stdin_mask.png", "out/stdin_restored.png"]


@pytest.mark.parametrize(
    "words, reason",
    [
        (["a.png"], "required: OUT"),
        (["a.png", "a.png"], "a.png is a file"),
        (["a.png", "a.png/below"], "cannot be made"),
        ([".", "."], "another folder"),
        (["a.png", "-"], "one result only"),
        (["a.png", "out", "--tile", "0"], "at least 1"),
        (["a.png", "out", "--tile", "1e3"], "whole number"),
        (["a.png", "out", "--overlap", "-1"], "--overlap"),
        (["a.png", "out", "--overlap", "1024"], "smaller than --tile"),
        (["a.png", "out", "--device", "gpu"], "'gpu' is none of"),
        (["a.png", "out", "--over"], "unrecognized"),
        (["a.png", "out", "--json", "missing/log"], "--json"),
    ],
)
def test_usage_errors(tmp_path, monkeypatch, capsys, words, reason):
    photo(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        command(*words)
    assert caught.value.code == 2 and reason in capsys.readouterr().err and not calls


def test_help_gives_every_default():
    parser = argparse.ArgumentParser(prog="x")
    infer_options(parser)
    actions = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    assert [o.dest for o in actions] == [
        "device",
        "precision",
        "tile",
        "overlap",
        "recursive",
        "overwrite",
        "format",
        "json",
        "quiet",
    ]
    for option in actions:
        default = {None: "n", False: "n"}.get(option.default, option.default)  # none, no
        assert f"(default: {default}" in option.help


def test_infer_command_checks_before_it_runs(tmp_path, monkeypatch, capsys):
    parser = argparse.ArgumentParser()
    inferring = commands.infer_command(parser.add_subparsers(), lambda arguments: 7, Path("w.pt"))
    inferring.add_argument("--mask")
    monkeypatch.chdir(tmp_path)
    arguments = parser.parse_args(["infer", "a.png", "out", "--mask", "m"])
    assert (arguments.run(arguments), arguments.weights, arguments.mask) == (7, Path("w.pt"), "m")
    arguments = parser.parse_args(["infer", "a.png", "-", "--weights", "x.pt"])
    with pytest.raises(SystemExit):
        arguments.run(arguments)
    assert "one result only" in capsys.readouterr().err


SCRIPT = """
import argparse, sys, time
from data import batch
from engine import options
parser = argparse.ArgumentParser()
options.infer_options(parser)
arguments = parser.parse_args()
options.check(parser, arguments)
def work(photo, source):
    if source.name == "b":
        print("computing", flush=True)
        time.sleep(60)
    return {"_restored.{ext}": (photo.pixels, "")}, {}
sys.exit(batch.run(arguments, work, ["_restored.{ext}"], {}, {}, commit=True))
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
        assert process.wait(20) == 130 and time.monotonic() - start < 10
        assert process.stderr.read() == "interrupted\n"
    assert files(tmp_path / "out") == ["a.json", "a_restored.png"]


# ------------------------------------------------------------------------------------- odd names and faults


@pytest.mark.skipif(sys.platform != "linux", reason="other disks refuse such names")
@pytest.mark.parametrize(
    "name",
    ["two words", "line\nend", "d\udce9j\udce0 vu", "Grüße 写真", "-f", "--overwrite", "$(date);&'\"*", ".x"],
)
def test_names(tmp_path, monkeypatch, capsys, name):
    """Given by itself and found in a folder; its JSON line and its failure are one line each."""
    photo(tmp_path / "in" / f"{name}.png")
    monkeypatch.chdir(tmp_path / "in")
    assert command("--json", tmp_path / "log", "--", f"{name}.png", tmp_path / "out") == 0
    expected = {f"{name}{end}" for end in (".json", "_mask.png", "_restored.png")}
    assert set(os.listdir(tmp_path / "out")) == expected
    (line,) = (tmp_path / "log").read_text("utf-8").splitlines()
    assert json.loads(line)["input"]["name"] == f"{name}.png" and set(json.loads(line)["outputs"]) < expected
    assert command("--", f"{name}.png", tmp_path / "out") == 0 and len(calls) == 1  # skipped
    if name[0] != ".":
        assert (
            command(tmp_path / "in", tmp_path / "again", "--quiet") == 0
            and set(os.listdir(tmp_path / "again")) == expected
        )
    capsys.readouterr()
    (tmp_path / "in" / f"{name}.png").write_text("no image")
    assert command("--quiet", "--", f"{name}.png", tmp_path / "third") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "not an image" in error


def test_a_wrong_extension_does_not_matter(tmp_path):
    photo(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert command(tmp_path / "a.jpg", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out/a.json").read_text())["input"]["format"] == "PNG"


@pytest.mark.skipif(os.name == "nt", reason="no links and pipes")
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_no_file(tmp_path, capsys):
    """Links that go in a circle or nowhere are named; pipes, which would never end, are no photographs of a
    folder.
    """
    photo(tmp_path / "in/z.png")
    (tmp_path / "in/circle.png").symlink_to("circle.png")
    (tmp_path / "in/nowhere.png").symlink_to("gone.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    assert command(tmp_path / "in", tmp_path / "out", "--quiet") == 1
    assert [line.split("/in/")[1] for line in capsys.readouterr().err.splitlines()] == [
        "circle.png: cannot be read: Too many levels of symbolic links",
        "nowhere.png: no such file",
    ]
    assert len(files(tmp_path / "out")) == 3


def test_what_may_not_be_read(tmp_path, monkeypatch, capsys):
    for name in "ab":
        photo(tmp_path / f"in/{name}.png")
    read = Path.read_bytes

    def forbidden(path):  # the tests may run as root, whom no permissions stop
        if path.name == "a.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert command(tmp_path / "in", tmp_path / "out", "--quiet") == 1
    assert capsys.readouterr().err == f"{tmp_path}/in/a.png: cannot be read: Permission denied\n"
    assert len(files(tmp_path / "out")) == 3


FULL = """
import resource, sys
sys.path.insert(0, "tests")
import test_batch as t
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(t.command(*sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such limits")
def test_a_file_that_the_disk_does_not_take(tmp_path):
    """The large photograph fails with its name, and nothing of it stays; the small ones are done."""
    for name in "ac":
        photo(tmp_path / f"in/{name}.png")
    large = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    Image.fromarray(large).save(tmp_path / "in/b.png")
    words = [sys.executable, "-c", FULL, str(tmp_path / "in"), str(tmp_path / "out"), "--quiet"]
    done = subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"{tmp_path}/in/b.png: {tmp_path}/out/b_restored.png cannot be written: File too large\n"
    )
    assert sorted(os.listdir(tmp_path / "out")) == [
        s + e for s in "ac" for e in (".json", "_mask.png", "_restored.png")
    ]


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("moment", range(6))
def test_sigterm_while_a_photo_is_delivered(tmp_path, monkeypatch, capsys, moment):
    """Before the first photo's files are written (three) and moved (three): none of them stays."""
    steps = []

    def interrupted(function):
        def step(*arguments):
            steps.append(1)
            if len(steps) == moment + 1:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            return function(*arguments)

        return step

    monkeypatch.setattr(batch, "write_synced", interrupted(batch.write_synced))
    monkeypatch.setattr(os, "replace", interrupted(os.replace))
    assert command(photo(tmp_path / "a.png"), tmp_path / "out", "--quiet") == 130
    assert capsys.readouterr().err == "interrupted\n" and os.listdir(tmp_path / "out") == []


# ------------------------------------------------------------------------------- killed, and started again

DEADLY = """
import os, signal, sys
sys.path.insert(0, "tests")
import test_batch as t
moment, words = int(sys.argv[1]), sys.argv[2:]
def count(function):  # of steps that change the disk; the process dies before one of them
    def counted(*arguments, **others):
        global moment
        if moment == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        moment -= 1
        return function(*arguments, **others)
    return counted
t.batch.write_synced = count(t.batch.write_synced)
t.batch.os.replace, t.batch.shutil.rmtree = count(os.replace), count(t.batch.shutil.rmtree)
sys.exit(t.command(*words))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_killed_at_any_moment_it_does_the_photo_again(tmp_path):
    """SIGKILL before each of the steps that deliver a photo: three files written, three moved, their folder
    removed.
    """
    out, scan, statuses = tmp_path / "out", photo(tmp_path / "a.png"), []
    for moment in range(8):
        words = [sys.executable, "-c", DEADLY, moment, scan, out / str(moment), "--quiet"]
        statuses.append(subprocess.Popen([str(word) for word in words], cwd=Path(__file__).parent.parent))
    assert [process.wait(60) for process in statuses] == [-signal.SIGKILL] * 7 + [0]
    left = {moment: set(files(out / str(moment))) for moment in range(8)}
    visible = [sum(name[0] != "." for name in left[moment]) for moment in range(8)]
    assert visible == [0, 0, 0, 0, 1, 2, 3, 3] and left[5] >= {
        "a_mask.png",
        "a_restored.png",
        ".a.part/a.json",
    }
    for moment in range(8):
        assert command(scan, out / str(moment)) == 0
        assert sorted(os.listdir(out / str(moment))) == ["a.json", "a_mask.png", "a_restored.png"]
    assert len(calls) == 6  # committed: not again


def killed(out, scan, *edited):
    """What a run leaves that is killed when two files are moved; the texts of those in `edited` are the
    user's.
    """
    assert command(scan, out) == 0
    (out / ".a.part").mkdir()
    os.replace(out / "a.json", out / ".a.part/a.json")
    for name in edited:
        (out / name).write_text("dear to me")
    calls.clear()


def test_what_a_user_put_in_place_of_leftovers_is_not_replaced(tmp_path, capsys):
    out, scan = tmp_path / "out", photo(tmp_path / "a.png")
    killed(out, scan, "a_restored.png")
    assert command(scan, out) == 1 and not calls
    assert "a_restored.png exists: give --overwrite" in capsys.readouterr().err
    assert (out / "a_restored.png").read_text() == "dear to me" and os.listdir(out) == ["a_restored.png"]


def test_leftovers_of_other_options_are_done_with_the_new_ones(tmp_path):
    out, scan = tmp_path / "out", photo(tmp_path / "a.png")
    killed(out, scan)
    assert command(scan, out, "--format", "tif") == 0
    assert sorted(os.listdir(out)) == ["a.json", "a_mask.png", "a_restored.tif"]


def test_results_that_were_to_be_replaced_are_no_leftovers(tmp_path, capsys):
    """Killed just before it replaced a former run's files by the same bytes: theirs is the report that
    stands.
    """
    out, scan = tmp_path / "out", photo(tmp_path / "a.png")
    assert command(scan, out) == 0
    (out / ".a.part").mkdir()
    (out / ".a.part/a.json").write_bytes((out / "a.json").read_bytes())
    assert command(scan, out, options={"threshold": 1}) == 1
    assert sorted(os.listdir(out)) == ["a.json", "a_mask.png", "a_restored.png"]


# ------------------------------------------------------------------------------------- under torchrun

RANK = """
import os, sys, time
sys.path.insert(0, "tests")
import test_batch as t
rank, slow = int(os.environ["RANK"]), float(sys.argv[1])
def work(photo, source):
    if rank == 0:
        open(os.path.join(os.path.dirname(sys.argv[2]), "started"), "w").close()
        time.sleep(slow)
    print("computed", source.name, flush=True)
    return t.same(photo, source)
status = t.command(*sys.argv[2:], "--quiet", work=work, rank=rank, world_size=2)
if rank == 0:
    time.sleep(1.0)  # the other has ended by then, and torchrun kills who is left
print("ended", rank, status, flush=True)
sys.exit(status)
"""


def words_of_rank(tmp_path, slow):
    (tmp_path / "rank.py").write_text(RANK)
    return [str(word) for word in (tmp_path / "rank.py", slow, tmp_path / "in", tmp_path / "out")]


def start(words, **environment):
    root, pipes = (
        str(Path(__file__).parent.parent),
        {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
    )
    return subprocess.Popen(
        [sys.executable, *words], cwd=root, env={**os.environ, "PYTHONPATH": root, **environment}, **pipes
    )


def both(tmp_path, slow):
    """Two processes as torchrun starts them, whose end torchrun would see."""
    launch = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2"}
    return [start(words_of_rank(tmp_path, slow), RANK=rank, **launch) for rank in "01"]


@pytest.mark.skipif(os.name == "nt", reason="torchrun without signals")
def test_a_process_that_ends_early_with_a_failure_leaves_the_others_alone(tmp_path):
    """The photos of the second are broken; torchrun would kill the first as soon as that one ends with status
    1.
    """
    for name in ("a", "c", "e"):
        photo(tmp_path / f"in/{name}.png")
    for name in ("b", "d", "f"):
        photo(tmp_path / f"in/{name}.png").write_text("no image")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    with start([*torchrun, *words_of_rank(tmp_path, 0.5)]) as process:
        output, error = process.communicate(timeout=120)
    assert sorted(output.splitlines()) == [
        "computed a",
        "computed c",
        "computed e",
        "ended 0 1",
        "ended 1 1",
    ], error
    assert process.returncode == 1 and error.count("not an image") == 3
    assert sorted(os.listdir(tmp_path / "out")) == [
        s + e for s in "ace" for e in (".json", "_mask.png", "_restored.png")
    ]


def test_all_processes_end_well_together(tmp_path):
    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
    processes = both(tmp_path, 0.1)
    assert [process.communicate(timeout=60)[0].splitlines()[-1] for process in processes] == [
        "ended 0 0",
        "ended 1 0",
    ]
    assert [process.returncode for process in processes] == [0, 0] and len(os.listdir(tmp_path / "out")) == 9


def test_a_process_that_stops_by_an_error_says_so_to_the_others(tmp_path):
    photo(tmp_path / "in/a.png")
    photo(tmp_path / "in/b.png")
    words = words_of_rank(tmp_path, 0)
    (tmp_path / "broken.py").write_text(RANK.replace("def work", "t.batch._run = None\ndef work"))
    broken, whole = (
        start([program, *words[1:]], RANK=rank, TORCHELASTIC_RUN_ID="test")
        for program, rank in ((str(tmp_path / "broken.py"), "1"), (words[0], "0"))
    )
    assert whole.communicate(timeout=60)[0].splitlines() == ["computed a", "ended 0 2"]
    assert "TypeError" in broken.communicate(timeout=60)[1] and ".ended" not in " ".join(
        os.listdir(tmp_path / "out")
    )


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_sigterm_ends_one_that_waits(tmp_path):
    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
    processes = both(tmp_path, 60)
    end = time.monotonic() + 60
    while not (list((tmp_path / "out").glob(".ended-*/1-0")) and (tmp_path / "started").exists()):
        assert time.monotonic() < end
        time.sleep(0.05)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.communicate(timeout=60)[1] for process in processes] == ["interrupted\n"] * 2
    assert [process.returncode for process in processes] == [130, 130]
    assert sorted(os.listdir(tmp_path / "out")) == ["b.json", "b_mask.png", "b_restored.png"]
