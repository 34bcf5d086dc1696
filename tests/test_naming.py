"""Names of results: from the template of `--name`, each once in a run, and not too long for the disk."""

import os
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from conftest import files
from loop import calls, command, photo, same

from engine import delivery
from engine.naming import Entry, names, template


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


@pytest.mark.parametrize("text", ["{stem}", "{stem}_restored", "{number}", "{parent}-{number}", "{{}}{stem}"])
def test_templates(text):
    assert template(text) == text


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "must contain {stem} or {number}"),
        ("restored", "must contain"),
        ("{parent}", "must contain"),
        ("{stem", "brace"),
        ("{stem}}", "brace"),
        ("{name}", "{name} is none of {stem}, {parent}, {number}"),
        ("{}{stem}", "{} is none of"),
        ("{stem.x}", "{stem.x} is none of"),
        ("{number:03}", "without : or !"),
        ("{stem!r}", "without : or !"),
        ("new/{stem}", "leave out / and"),
        ("..\\{stem}", "leave out / and"),
    ],
)
def test_templates_that_cannot_work(text, reason):
    with pytest.raises(ArgumentTypeError) as caught:
        template(text)
    assert reason in str(caught.value)


def test_fields():
    paths = [f"box {number // 4}/{number}.jpg" for number in range(12)]
    entries = [Entry(Path("scans") / path, Path(path)) for path in paths]
    assert names(entries, "{parent}_{number}_{stem}")[10] == "box 2/box 2_11_10"
    assert names(entries, "{number}")[0] == "box 0/01"
    beside = Path("a.png")
    assert names([Entry(beside, beside)], "{parent}_{stem}") == [f"{Path.cwd().name}_a"]
    twins = [Entry(Path("x/a.jpg"), Path("a.jpg")), Entry(Path("x/a.png"), Path("a.png"))]
    assert names(twins, "{stem}_new") == ["a.jpg_new", "a.png_new"]
    assert names(twins, "{stem}{number}") == ["a1", "a2"]


def test_every_file_of_a_photograph_gets_the_name(tmp_path):
    photo(tmp_path / "in/a.png")
    photo(tmp_path / "in/sub/b.png")
    words = [tmp_path / "in", tmp_path / "out", "--recursive", "--name", "{number} {stem} {{new}}"]
    assert command(*words) == 0
    made = ["1 a {new}", "sub/2 b {new}"]
    ends = (".json", "_mask.png", "_restored.png")
    assert files(tmp_path / "out") == [f"{name}{end}" for name in made for end in ends]
    assert command(*words) == 0
    assert calls == made  # the second time they are skipped
    assert command(*words[:-1], "{stem}") == 0
    assert len(files(tmp_path / "out")) == 12


def test_photographs_that_would_share_a_name(tmp_path, capsys):
    """The later one fails before anything of it is computed; the folder in the name tells them apart."""
    scans = [photo(tmp_path / f"{folder}/a.png") for folder in "xy"]
    assert command(*scans, tmp_path / "out", "--quiet", "--name", "{stem}_new") == 1
    reason = f"its results would have the names of those of {scans[0]}: give another OUT, or a --name with "
    assert capsys.readouterr().err == f"{scans[1]}: {reason}{{parent}} or {{number}}\n"
    assert calls == ["a_new"]
    assert command(*scans, tmp_path / "out", "--name", "{parent}_{stem}") == 0
    assert calls[1:] == ["x_a", "y_a"]


def test_masks_are_paired_by_the_photographs_own_name(tmp_path):
    seen = {}

    def work(photo, source):
        seen[source.name] = source.companions.get("mask")
        return same(photo, source)

    photo(tmp_path / "in/a.png")
    mask = photo(tmp_path / "masks/a_mask.png")
    photo(tmp_path / "masks/new a.png")
    words = ["--mask", tmp_path / "masks", "--name", "new {stem}"]
    assert command(tmp_path / "in", tmp_path / "out", *words, work=work) == 0
    assert seen == {"new a": mask}


@pytest.mark.parametrize("out", ["x.png", "-"])
def test_out_is_no_folder(tmp_path, monkeypatch, capsys, out):
    photo(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        command("a.png", out, "--name", "{stem}_new", outputs=["_restored.{ext}"])
    assert "--name works with a folder only" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="other limits")
@pytest.mark.parametrize("stem", ["n" * 250, "é" * 125])
def test_names_that_are_too_long(tmp_path, capsys, stem):
    """One line, before anything is computed; a shorter name helps."""
    scan = photo(tmp_path / "in" / f"{stem}.png")
    photo(tmp_path / "in/a.png")
    assert command(scan.parent, tmp_path / "out", "--quiet") == 1
    size = len(os.fsencode(f"{stem}_restored.png"))
    reason = f"its results would have names of up to {size} bytes, more than the 255 of this disk"
    assert capsys.readouterr().err == f"{scan}: {reason}: give a shorter --name or OUT\n"
    assert calls == ["a"]
    assert files(tmp_path / "out") == ["a.json", "a_mask.png", "a_restored.png"]
    assert command(scan, tmp_path / "out", "--name", "{number}") == 0


@pytest.mark.skipif(os.name == "nt", reason="other limits")
def test_the_longest_name_fits(tmp_path, monkeypatch, capsys):
    scan = photo(tmp_path / "in" / f"{'n' * (255 - len('_restored.png'))}.png")
    assert command(scan, tmp_path / "out") == 0
    monkeypatch.setattr(delivery.os, "pathconf", lambda path, name: 143)  # as on encrypted disks
    assert command(scan, tmp_path / "other") == 1
    assert "more than the 143 of this disk" in capsys.readouterr().err
