"""What a run says on standard error about its photographs."""

from pathlib import Path

import pytest
import torch
from loop import command, photo, same

from engine.messages import GRAVITY, Progress, summary

ROOT = Path(__file__).parent.parent


def warned(*warnings):
    """Work that gives these warnings."""

    def work(photo, source):
        made, facts = same(photo, source)
        return made, {**facts, "warnings": [*warnings]}

    return work


def test_one_warning_is_told_whole_and_of_several_the_gravest():
    assert summary(["toned print: x"]) == "toned print: x"
    several = ["palette converted to RGB", "toned print: x", "probably already in color: y"]
    assert summary(several) == "3 warnings, most serious: probably already in color: y"
    assert summary(["a dropped", "b dropped"]) == "2 warnings, most serious: a dropped"


@pytest.mark.parametrize("phrase", GRAVITY)
def test_every_kind_of_warning_is_one_that_the_program_gives(phrase):
    folders = [ROOT / folder for folder in (".", "data", "engine", "nets/ops")]
    sources = [path for folder in folders for path in folder.glob("*.py") if path.name != "messages.py"]
    assert any(phrase in path.read_text("utf-8") for path in sources)


def test_a_line_for_a_photograph_with_warnings_and_one_at_the_end(tmp_path, capsys):
    scan, out = photo(tmp_path / "a.png"), tmp_path / "out"
    assert command(scan, out, work=warned("toned print", "already in color")) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"{scan}: 2 warnings, most serious: already in color",
        f"1 photograph done: results in {out}",
    ]
    assert command(scan, out, "--overwrite", work=same) == 0
    assert capsys.readouterr().err == f"1 photograph done: results in {out}\n"
    assert command(scan, out, "--overwrite", "--quiet", work=warned("toned print")) == 0
    assert capsys.readouterr().err == ""


def test_want_of_memory_is_one_line(tmp_path, capsys):
    def work(photo, source):
        torch.empty(1 << 56)

    scan = photo(tmp_path / "a.png")
    assert command(scan, tmp_path / "out", "--quiet", work=work) == 1
    assert capsys.readouterr().err == f"{scan}: not enough memory\n"


def test_the_end_counts_done_skipped_and_failed(tmp_path, capsys):
    out = tmp_path / "out"
    assert command(photo(tmp_path / "in/a.png"), out) == 0
    for name in "bc":
        photo(tmp_path / f"in/{name}.png")
    (tmp_path / "in/d.png").write_text("no image")
    capsys.readouterr()
    assert command(tmp_path / "in", out) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"2 photographs done, 1 skipped (already done), 1 failed: results in {out}"
    assert command(tmp_path / "in/d.png", out) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "1 photograph failed"


def test_a_process_of_several_says_which_one_it_is(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    progress = Progress(tmp_path, quiet=False)
    for _ in range(2):
        progress.add("a", "done", [])
    progress.end()
    assert capsys.readouterr().err == f"process 3 of 4: 2 photographs done: results in {tmp_path}\n"
