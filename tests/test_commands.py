"""The three stage scripts as a user runs them: mistakes, versions, files."""

import subprocess
import sys

import pytest
import torch
from conftest import ROOT, files, save, square
from stages import command

import colorize
import inpaint
import segment
from data import checkpoint

CPU = torch.device("cpu")


@pytest.mark.parametrize("stage", [segment, inpaint, colorize])
def test_mistakes_give_one_line_and_status_2(scan, tmp_path, tiny_weights, capsys, stage):
    other = tiny_weights["inpaint" if stage is segment else "segment"]
    mask = ["--mask", scan] if stage is inpaint else []
    (tmp_path / "empty").mkdir()
    for words, reason in (
        (
            ["infer", scan, tmp_path / "out", *mask, "--weights", tmp_path / "none.pt"],
            "none.pt: no such weights file",
        ),
        (["infer", scan, tmp_path / "out", *mask, "--weights", other], f"but {stage.STAGE} was asked for"),
        (["infer", scan, tmp_path / "out", *mask, "--weights", scan], "not a readable weights file"),
        (
            [
                "infer",
                scan,
                tmp_path / "out",
                *mask,
                "--weights",
                tiny_weights[stage.STAGE],
                "--device",
                "cuda:99",
            ],
            "cuda:99",
        ),
        (
            ["eval", "--data", tmp_path / "empty", "--weights", tiny_weights[stage.STAGE], "--device", "cpu"],
            "to measure on",
        ),
    ):
        assert command(stage, *words) == 2
        out, error = capsys.readouterr()
        assert reason in error
        assert error.count("\n") == 1, error
        assert not out
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize("stage", [segment, inpaint, colorize])
def test_weights_of_another_version_are_refused(tmp_path, tiny_weights, scan, capsys, stage):
    content = checkpoint.read(tiny_weights[stage.STAGE])
    for build in ({**content["build"], "new_option": 1}, {**content["build"], "width": 8}):
        checkpoint.save(tmp_path / "w.pt", {**content, "build": build})
        words = ["infer", scan, tmp_path / "out", "--weights", tmp_path / "w.pt", "--device", "cpu"]
        assert command(stage, *words, *(["--mask", scan] if stage is inpaint else [])) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert "w.pt: " in error


@pytest.mark.parametrize("stage", [segment, inpaint, colorize])
def test_usage_errors_and_version(stage, capsys):
    wrong = [
        [],
        ["paint"],
        ["infer", "a.png"],
        ["infer", "a.png", "out", "--tile", "0"],
        ["train", "--steps", "0"],
        ["train", "--lr", "nan"],
        ["train", "--precision", "fp16"],
        ["eval", "--dat", "x"],
    ]
    wrong += [["infer", "a.png", "out", "--threshold", "2"]] if stage is segment else []
    wrong += [["infer", "a.png", "out"]] if stage is inpaint else []  # --mask is needed
    for words in wrong:
        with pytest.raises(SystemExit) as caught:
            stage.main(words)
        assert caught.value.code == 2
        assert "error: " in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        stage.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("photo-restore ")


@pytest.mark.parametrize(
    "stage, ending", [(segment, "_mask.png"), (inpaint, "_restored.png"), (colorize, "_color.png")]
)
def test_infer_writes_one_file_per_photo_and_never_replaces_it(
    tmp_path, portrait, tiny_weights, capsys, stage, ending
):
    for name in ("a b.png", "deep/c.png"):
        save(tmp_path / "in" / name, portrait[:40, :50])
        save(tmp_path / "masks" / name, square(40, 50))
    mask = ["--mask", tmp_path / "masks"] if stage is inpaint else []
    words = ["infer", tmp_path / "in", tmp_path / "out", "--recursive", "--quiet", *mask]
    assert command(stage, *words, weights=tiny_weights) == 0
    assert files(tmp_path / "out") == [f"a b{ending}", f"deep/c{ending}"]
    assert capsys.readouterr() == ("", "")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    assert command(stage, *words, weights=tiny_weights) == 1
    assert capsys.readouterr().err.count("--overwrite") == 2
    assert command(stage, *words, "--overwrite", weights=tiny_weights) == 0
    # and repeatable
    assert before == {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}


@pytest.mark.parametrize("stage", [segment, inpaint, colorize])
def test_infer_has_the_option_that_its_message_names(tmp_path, scan, tiny_weights, capsys, stage):
    words = ["infer", scan, tmp_path / "out", "--max-pixels", 1000]
    words += ["--mask", scan] if stage is inpaint else []
    assert command(stage, *words, weights=tiny_weights) == 1
    assert "more than the limit of 1000: scale it down, or raise --max-pixels" in capsys.readouterr().err


def test_a_stage_as_a_program(tmp_path, scan, tiny_weights):
    words = ["segment.py", "infer", scan, tmp_path / "missing.png", tmp_path / "out", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *map(str, words), "--weights", str(tiny_weights["segment"])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    last = f"1 photograph done, 1 failed: results in {tmp_path}/out\n"
    assert done.stderr == f"{tmp_path}/missing.png: no such file\n{last}"
    assert files(tmp_path / "out") == ["scan_mask.png"]


def test_under_torchrun_the_first_process_alone_says_what_is_wrong(monkeypatch, capsys):
    for number in ("0", "1"):
        monkeypatch.setenv("RANK", number)
        with pytest.raises(SystemExit, match="2"):
            segment.main(["train", "--steps", "0"])
        assert ("--steps" in capsys.readouterr().err) == (number == "0")
