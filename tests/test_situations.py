"""A few of the situations of benchmarks/situations.py, and that all of them are described."""

import json
from pathlib import Path

import pytest

from benchmarks import record, report, situations
from benchmarks.cases.trial import SITUATIONS, Done, Poor, Skipped, Trial, Wrong
from benchmarks.situations import ROOT


def test_there_are_59():
    assert len({(situation.kind, situation.name) for situation in SITUATIONS}) == 59
    assert all(situation.kind and situation.name for situation in SITUATIONS)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, ("right", "")),
        (Wrong("lost"), ("wrong", "lost")),
        (Poor("two\nlines"), ("poor", "two lines")),
        (Skipped("no exiftool"), ("skipped", "no exiftool")),
        (KeyError("x"), ("wrong", "KeyError: 'x'")),
    ],
)
def test_verdicts(error, verdict):
    def check():
        if error:
            raise error

    assert situations.verdict(check) == verdict


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Traceback (most\nOops: 1", "a traceback: Oops: 1"),
        ("x: error: unrecognized arguments: --y", "option"),
    ],
)
def test_commands_that_fail_are_wrong(tmp_path, said, reason):
    trial = Trial(tmp_path, ROOT)
    program = f"import sys; sys.exit({said!r})"
    with pytest.raises(Wrong, match=reason):
        trial.run("-c", program)
    assert trial.run("-c", "print(1)") == Done(0, "1\n", "")


def named(*names):
    found = [situation for situation in SITUATIONS if situation.name in names]
    assert len(found) == len(names)
    return found


def test_files_of_one_command(tmp_path):
    """Two kinds that were wrong once, with the real weights."""
    names = ("grey of 12 bits", "JPEG: comment", "grey JPEG with an RGB profile")
    found = situations.run_all(named(*names), Path(ROOT), tmp_path)
    assert found == dict.fromkeys(names, ("right", ""))


def test_commands_of_their_own(tmp_path):
    names = ("--device mps where there is none", "--tile 1, --threshold 0")
    assert situations.run_all(named(*names), Path(ROOT), tmp_path) == dict.fromkeys(names, ("right", ""))


def test_a_program_that_drops_everything_is_found(tmp_path):
    """The checks can fail: here against a script that copies pixels and nothing else."""
    (tmp_path / "restore.py").write_text(COPIES)
    names = ("JPEG: comment", "PNG: tEXt, zTXt and iTXt", "grey of 12 bits")
    found = situations.run_all(named(*names), tmp_path, tmp_path / "work")
    assert [found[name][0] for name in names] == ["wrong"] * 3


def test_the_table(monkeypatch, tmp_path):
    row = {"kind": "TIFF", "name": "grey", "verdict": "right", "reason": ""}
    former = {**row, "verdict": "wrong", "reason": "a | b"}
    for name, rows in (("situations", [row, {**row, "name": "new"}]), ("situations_before", [former])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": rows}))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    lines = report.block("situations").splitlines()
    assert (
        lines[0] == "Before: 0 right, 0 poor, 1 wrong, 0 skipped. Now: 2 right, 0 poor, 0 wrong, 0 skipped."
    )
    assert lines[-2:] == ["| TIFF | grey | wrong: a / b | right |", "| TIFF | new | not measured | right |"]


COPIES = """
import json, sys
from pathlib import Path
from PIL import Image
words = sys.argv[1:]
out = Path("out")
out.mkdir()
with open("log.jsonl", "w") as log:
    for path in map(Path, words[: words.index("out")]):
        name = f"{path.stem}_restored{'.tif' if path.suffix == '.tif' else '.png'}"
        row = {"input": {"name": str(path)}, "outputs": {name: ""}, "warnings": []}
        try:
            with Image.open(path) as picture:
                Image.frombytes("L", picture.size, picture.convert("L").tobytes()).save(out / name)
        except OSError:
            row = {"input": row["input"], "error": "unknown kind"}
        log.write(json.dumps(row) + "\\n")
"""
