"""Runs of restore.py: nothing is lost, overwritten or done twice; standard input; usage errors."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, files, noise, save
from PIL import Image, ImageCms
from restoring import ALL, options, pixels, report

import colorize
import inpaint
import segment
from data import checkpoint
from data.photo import read_photo


def test_metadata_survives(tmp_path, portrait, run):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[270], exif[274], exif[0x8769] = "Grandmother, 1943", 6, {36867: "1999:01:02 03:04:05"}
    path = tmp_path / "turned.jpg"
    Image.fromarray(portrait[:48, :64]).save(path, exif=exif, icc_profile=icc, dpi=(300, 600), quality=95)
    photo = read_photo(path)
    assert run(path, tmp_path / "out", "--threshold", 0.4) == 0
    for part in ALL[:1] + ALL[2:]:
        result = read_photo(tmp_path / f"out/turned{part}.png")
        assert result.size == (48, 64)  # upright now
        assert result.icc == icc
        assert result.dpi == pytest.approx(photo.dpi, abs=0.02)
        tags = Image.Exif()
        tags.load(result.exif)
        assert 274 not in tags
        assert tags.get_ifd(0x8769)[36867] == "1999:01:02 03:04:05"
        remarks = {
            "_restored": [inpaint.REMARK],
            "_color": [colorize.REMARK],
            "_restored_color": [inpaint.REMARK, colorize.REMARK],
        }
        assert tags[270] == "; ".join(["Grandmother, 1943", *remarks[part]])


def test_nothing_is_overwritten_unless_asked(tmp_path, portrait, run, capsys):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out/a_restored.png"
    mine.write_bytes(b"dear to me")
    assert run(tmp_path / "in", tmp_path / "out", "--quiet") == 1
    error = capsys.readouterr().err
    assert error == f"{tmp_path}/in/a.png: {mine} exists: give --overwrite to replace it\n"
    assert mine.read_bytes() == b"dear to me"
    assert files(tmp_path / "out") == sorted(["a_restored.png", "b.json", *(f"b{part}.png" for part in ALL)])
    assert run(tmp_path / "in/a.png", tmp_path / "out", "--overwrite") == 0
    assert pixels(mine).shape == (48, 64, 3)


def test_what_is_done_is_skipped(scan, tmp_path, run, tiny_weights, capsys):
    out = tmp_path / "out"
    assert run(scan, out) == 0
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    capsys.readouterr()
    assert run(scan, out) == 0
    assert capsys.readouterr().err == f"1 photograph skipped (already done): results in {out}\n"
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    # Other weights or options are other work, and are refused rather than mixed up.
    content = checkpoint.read(tiny_weights["colorize"])
    content["state"]["head.bias"] += 0.25
    checkpoint.save(tmp_path / "other.pt", content)
    for words, weights in (
        (["--threshold", 0.9], tiny_weights),
        (["--no-grain"], tiny_weights),
        (["--dilate", 7], tiny_weights),
        ([], {**tiny_weights, "colorize": tmp_path / "other.pt"}),
    ):
        assert run(scan, out, *words, weights=weights) == 1
        assert "--overwrite" in capsys.readouterr().err
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    assert run(scan, out, "--overwrite", weights={**tiny_weights, "colorize": tmp_path / "other.pt"}) == 0
    assert (out / "scan_color.png").read_bytes() != before["scan_color.png"][0]


def test_one_bad_photo_never_stops_the_rest(tmp_path, portrait, run, capsys):
    for name in ("a b", "c", "ü"):
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    whole = (tmp_path / "in/c.png").read_bytes()
    (tmp_path / "in/b cut.png").write_bytes(whole[: len(whole) // 2])
    words = [
        tmp_path / "in",
        tmp_path / "gone.png",
        tmp_path / "out",
        "--only",
        "color",
        "--quiet",
        "--json",
        "-",
    ]
    assert run(*words) == 1
    out, error = capsys.readouterr()
    assert [line.split(": ")[0] for line in error.splitlines()] == [
        f"{tmp_path}/in/b cut.png",
        f"{tmp_path}/gone.png",
    ]
    assert files(tmp_path / "out") == sorted(
        f"{name}{end}" for name in ("a b", "c", "ü") for end in (".json", "_color.png")
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "failed", "done", "done", "failed"]
    assert rows[0] == {"status": "done", **report(tmp_path / "out", "a b")}
    assert "truncated" in rows[1]["error"]


def test_too_many_pixels_are_refused(scan, tmp_path, run, capsys):
    assert run(scan, tmp_path / "out", "--max-pixels", 1000) == 1
    assert "--max-pixels" in capsys.readouterr().err
    assert files(tmp_path / "out") == []


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_photo_leaves_nothing(tmp_path, portrait, run, monkeypatch, capsys, number):
    """The signal comes while the second photo is computed."""
    for name in "abc":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    real, calls = colorize.Colorizer.chroma, []

    def chroma(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
            time.sleep(5)
        return real(self, *arguments)

    monkeypatch.setattr(colorize.Colorizer, "chroma", chroma)
    assert run(tmp_path / "in", tmp_path / "out", "--quiet", "--threshold", 0.4) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert files(tmp_path / "out") == sorted(["a.json", *(f"a{part}.png" for part in ALL)])
    monkeypatch.undo()
    # and goes on from there
    assert run(tmp_path / "in", tmp_path / "out", "--quiet", "--threshold", 0.4) == 0
    assert len(files(tmp_path / "out")) == 15


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_ctrl_c_of_the_program(tmp_path, tiny_weights):
    """Pressed again and again, as people do while torch unloads."""
    for number in range(300):
        save(tmp_path / f"in/{number:03}.png", noise(24, 24, seed=number))
    words = [
        sys.executable,
        "restore.py",
        *options(tiny_weights),
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        "--quiet",
    ]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "out").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        error = process.stderr.readline()
        while process.poll() is None:
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
        error += rest
    assert process.returncode == 130
    assert error == "interrupted\n"
    assert out == ""
    found = files(tmp_path / "out")
    done = [name.removesuffix(".json") for name in found if name.endswith(".json")]
    assert 0 < len(done) < 300
    assert found == sorted(
        name for stem in done for name in (f"{stem}.json", *(f"{stem}{part}.png" for part in ALL))
    )


def test_the_probability_is_that_of_finding(scan, tmp_path, run, tiny_weights, capsys):
    assert run(scan, tmp_path / "out", "--probability", "--only", "mask") == 0
    assert (
        segment.main(
            [
                "infer",
                str(scan),
                str(tmp_path / "found"),
                "--probability",
                "--weights",
                str(tiny_weights["segment"]),
            ]
        )
        == 0
    )
    one, other = ((tmp_path / folder / "scan_probability.png").read_bytes() for folder in ("out", "found"))
    assert one == other
    assert "scan_probability.png" in report(tmp_path / "out")["outputs"]
    for words in (["--mask", scan], ["--only", "color"], ["--only", "color", "--only", "color"]):
        with pytest.raises(SystemExit):
            run(scan, tmp_path / "none", "--probability", *words)
        assert "--probability: with these options, no network" in capsys.readouterr().err


def test_processes_share_the_photos(tmp_path, portrait, run, monkeypatch):
    """As torchrun starts them."""
    for name in "abc":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, done in (("1", ["b"]), ("0", ["a", "b", "c"])):
        monkeypatch.setenv("RANK", rank)
        assert run(tmp_path / "in", tmp_path / "out", "--only", "color") == 0
        assert files(tmp_path / "out") == sorted(
            f"{name}{end}" for name in done for end in (".json", "_color.png")
        )


def test_standard_input_to_standard_output(scan, tmp_path, run, tiny_weights):
    words = [
        sys.executable,
        "restore.py",
        "-",
        "-",
        "--only",
        "restored",
        "--threshold",
        "0.4",
        *options(tiny_weights),
    ]
    done = subprocess.run(words, cwd=ROOT, input=scan.read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert run(scan, tmp_path / "out", "--only", "restored", "--threshold", 0.4) == 0
    assert done.stdout == (tmp_path / "out/scan_restored.png").read_bytes()
    assert b"Traceback" not in done.stderr
    assert b"Warning" not in done.stderr


def test_standard_input_to_a_folder(scan, tmp_path, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(scan.read_bytes())))
    assert run("-", tmp_path / "out", "--only", "mask") == 0
    assert files(tmp_path / "out") == ["stdin.json", "stdin_mask.png"]
    assert report(tmp_path / "out", "stdin")["input"]["name"] == "stdin"


USAGE = [
    [],
    ["a.png"],
    ["a.png", "out", "--threshold", "1.5"],
    ["a.png", "out", "--only", "everything"],
    ["a.png", "out", "--dilate", "-1"],
    ["a.png", "out", "--max-side", "0"],
    ["a.png", "out", "--tile", "1"],
    ["a.png", "out", "--tile", "128", "--overlap", "65"],
    ["a.png", "out", "--threshold", "0"],
    ["a.png", "out", "--dilate", "100000"],
    ["a.png", "out", "--thres", "0.5"],
    ["a.png", "-"],
    ["a.png", "-", "--only", "mask", "--only", "color"],
    ["a.png", "-", "--only", "mask", "--json", "-"],
    ["a.png", "-", "--only", "mask", "--compare"],
    ["a.png", "a.png"],
    ["a.png", "-", "--only", "mask", "--psd"],
    ["a.png", "out", "--device", "gpu"],
    ["a.png", "out", "--precision", "fp8"],
    ["a.png", "out", "--max-pixels", "0"],
]

CODE = f"""
import contextlib, io, json, os, sys
sys.path.insert(0, {str(ROOT)!r})
import restore
answers = []
for words in {USAGE!r}:
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            status = restore.main(words)
    except SystemExit as caught:
        status = caught.code
    answers.append([status, error.getvalue()])
print(json.dumps(["torch" in sys.modules, answers]))
"""


def test_usage_errors_answer_before_anything_is_loaded(tmp_path):
    save(tmp_path / "a.png", noise(5, 6))
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    torch_was_loaded, answers = json.loads(done.stdout)
    assert not torch_was_loaded
    assert len(answers) == len(USAGE)
    for words, (status, error) in zip(USAGE, answers):
        assert status == 2, words
        assert "error: " in error, words
    assert all(path.name in ("a.png", "out") for path in tmp_path.iterdir())
    assert (tmp_path / "a.png").stat().st_size > 0


def test_weights_that_cannot_be_used(scan, tmp_path, run, tiny_weights, capsys):
    for stage in tiny_weights:
        other = "colorize" if stage != "colorize" else "inpaint"
        for path, reason in (
            (tmp_path / "none.pt", "no such weights file"),
            (scan, "not a readable weights file"),
            (tiny_weights[other], f"weights of {other}, but {stage} was asked for"),
        ):
            assert run(scan, tmp_path / "out", weights={**tiny_weights, stage: path}) == 2
            error = capsys.readouterr().err
            assert reason in error
            assert str(path) in error
            assert error.count("\n") == 1
    assert files(tmp_path / "out") == []


def test_ctrl_c_while_weights_are_read(scan, tmp_path, run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(segment, "load", interrupted)
    assert run(scan, tmp_path / "out") == 130
