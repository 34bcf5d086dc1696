"""Which photographs a command takes: files, folders, their names, and what belongs to them."""

import errno
import io
import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from conftest import files
from loop import calls, command, photo, same

from data.errors import UserError
from engine.inputs import keep_apart, list_photos, passed_over, read_list


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


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
    assert names("x/a.jpg", "y/a.jpg") == [("a", False), ("a", True)]  # their suffix separates nothing
    assert names("x/a.jpg", "y/a.png") == [("a.jpg", False), ("a.png", False)]
    assert names("x/a.jpg", "y/a.jpg", "y/a.png") == [("a.jpg", False), ("a.jpg", True), ("a.png", False)]
    mac, other = (unicodedata.normalize(form, "Müller") for form in ("NFD", "NFC"))
    assert names(f"{mac}.jpg", f"{other}.png") == [(f"{mac}.jpg", False), (f"{other}.png", False)]
    assert names(f"{mac}.jpg", f"{other}.jpg") == [(mac, False), (other, True)]
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
    assert [s.name for s in tree] == ["a", "b", "sub/c", "sub/sub/c"]
    assert not any(s.error for s in tree)


def test_a_folder_names_what_it_passes_over(tmp_path, capsys):
    """In one line, once, even if nothing else is in it; hidden files and companions are not worth a word."""
    for name in ("a.png", "a_IR.tif", "b.MPO", "sub/c.j2c"):
        photo(tmp_path / "in" / name)
    others = "x.dng y.DNG plain sub/z.dng sub/z.txt ._a.jpg .DS_Store Thumbs.db sub/desktop.ini"
    for name in others.split():
        (tmp_path / "in" / name).write_bytes(b"II*")
    assert command(tmp_path / "in", tmp_path / "out") == 0
    line = f"{tmp_path}/in: 3 files passed over: 2 .dng, 1 without a suffix"
    assert capsys.readouterr().err.splitlines()[0] == line
    assert calls == ["a", "b"]
    assert command(tmp_path / "in", tmp_path / "tree", "--recursive") == 0
    error = capsys.readouterr().err
    assert error.splitlines()[0] == f"{tmp_path}/in: 5 files passed over: 3 .dng, 1 .txt, 1 without a suffix"
    assert error.count("passed over") == 1
    assert command(tmp_path / "in", tmp_path / "again", "--quiet") == 0
    assert command(tmp_path / "in/a.png", tmp_path / "file") == 0
    assert "passed over" not in capsys.readouterr().err


def test_many_kinds_passed_over_are_one_short_line():
    line = passed_over([Path(f"{number}.k{number}") for number in range(12)] + [Path("x.txt")] * 2)
    assert line == "14 files passed over: 2 .txt, 1 .k0, 1 .k1, 1 .k10, 1 .k11, 1 .k2, 1 .k3, 1 .k4, 5 others"
    assert passed_over([Path("notes.TXT")]) == "1 file passed over: 1 .txt"


@pytest.mark.parametrize(
    "text, names",
    [
        (b"a.png\n\nx y.png\n", ["a.png", "x y.png"]),
        (b"a.png\r\n \r\nsub\r\n", ["a.png", "sub"]),
        (b"\xef\xbb\xbfa.png", ["a.png"]),
        ("\ufeffä.png\r\nb.png\r\n".encode("utf-16-le"), ["ä.png", "b.png"]),
        ("\ufeffä.png\n".encode("utf-16-be"), ["ä.png"]),
        (b"two\nlines.png\0 b.png\0\0", ["two\nlines.png", " b.png"]),
        (b"d\xe9j\xe0 vu.png\n", ["d\udce9j\udce0 vu.png"]),
        (b"-\n", ["-"]),
    ],
)
def test_lists_of_files(tmp_path, monkeypatch, text, names):
    (tmp_path / "list").write_bytes(text)
    assert read_list(tmp_path / "list") == [Path(name) for name in names]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert read_list(Path("-")) == [Path(name) for name in names]


@pytest.mark.skipif(sys.platform != "linux", reason="other disks refuse such names")
@pytest.mark.parametrize("stdin", [False, True])
def test_photographs_from_a_list(tmp_path, monkeypatch, capsys, stdin):
    """With those of the command line, each once; folders too. What is not there fails by itself."""
    names = ["x/a.png", "y/b.png", "y/d\udce9j\udce0.png", "y/two\nlines.png", "z/c.png"]
    for name in names:
        photo(tmp_path / name)
    listed = b"\0".join(os.fsencode(name) for name in ["x", *names[1:4], "x/a.png", "gone.png"])
    (tmp_path / "list").write_bytes(listed)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    monkeypatch.chdir(tmp_path)
    words = ["--quiet", "--files-from", "-" if stdin else "list"]
    assert command("z/c.png", *words, "out") == 1
    assert capsys.readouterr().err == "gone.png: no such file\n"
    assert calls == ["c", "a", "b", "d\udce9j\udce0", "two\nlines"]


@pytest.mark.parametrize(
    "text, world, reason", [(b"-\n", "1", "names -, which"), (b"a\n", "2", "one process only")]
)
def test_standard_input_is_read_once(tmp_path, monkeypatch, capsys, text, world, reason):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(SystemExit, match="2"):
        command("--files-from", "-", tmp_path / "out")
    assert reason in capsys.readouterr().err
    assert files(tmp_path) == []


@pytest.mark.parametrize("words", [["--files-from", "list", "out"], ["out", "--files-from", "list"]])
def test_out_alone_is_enough_with_a_list(tmp_path, monkeypatch, words):
    photo(tmp_path / "a.png")
    (tmp_path / "list").write_text("a.png\n")
    monkeypatch.chdir(tmp_path)
    assert command(*words) == 0
    assert "a_restored.png" in files(tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="no pipes")
def test_a_folder_without_photographs_says_what_it_holds(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/film.mov").touch()
    os.mkfifo(tmp_path / "in/pipe")
    assert command(tmp_path / "in", tmp_path / "out") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "photo/s" not in line and line]
    assert errors[0] == f"{tmp_path}/in: 1 file passed over: 1 .mov"
    assert f"{tmp_path}/in: no photographs in this folder" in errors


def test_an_empty_folder_that_has_no_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(".", tmp_path / "out", "--quiet") == 1
    assert capsys.readouterr().err == ".: no photographs in this folder\n"


@pytest.mark.skipif(os.name == "nt", reason="another limit")
def test_a_mask_whose_name_is_too_long(tmp_path):
    with pytest.raises(UserError, match=r"x: cannot be read: File name too long$"):
        command(photo(tmp_path / "a.png"), tmp_path / "out", "--mask", "x" * 300)


def test_a_second_run_into_the_input_folder_takes_no_results(tmp_path):
    photo(tmp_path / "sub/a.png")
    for _ in range(2):
        assert command(tmp_path, tmp_path / "out", "--recursive") == 0
    assert files(tmp_path / "out") == ["sub/a.json", "sub/a_mask.png", "sub/a_restored.png"]


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


def paired(work=same):
    """Work that also notes the mask of each photograph, and these notes: path -> mask."""
    seen = {}

    def noting(photo, source):
        seen[source.path] = source.companions.get("mask")
        return work(photo, source)

    return noting, seen


def test_photographs_of_one_folder_and_one_stem_share_a_mask(tmp_path):
    """Whatever their results are called. They are no masks themselves, if masks are in their folder."""
    work, seen = paired()
    scans = [photo(tmp_path / f"in/a.{suffix}") for suffix in ("jpg", "tif")]
    mask = photo(tmp_path / "masks/a.png")
    assert command(tmp_path / "in", tmp_path / "out", "--mask", mask.parent, work=work) == 0
    assert calls == ["a.jpg", "a.tif"]
    assert seen == dict.fromkeys(scans, mask)
    mask = photo(tmp_path / "in/a_mask.png")
    assert command(*scans, tmp_path / "out2", "--mask", tmp_path / "in", work=work) == 0
    assert seen == dict.fromkeys(scans, mask)


def test_masks_written_by_restore_py_find_their_photographs_of_one_stem(tmp_path):
    """out/a.jpg_mask.png is of a.jpg alone, and comes before out/a_mask.png."""
    work, seen = paired()
    scans = [photo(tmp_path / f"in/a.{suffix}") for suffix in ("jpg", "tif", "png")]
    masks = [photo(tmp_path / f"out/a.{suffix}_mask.png") for suffix in ("jpg", "tif")]
    masks.append(photo(tmp_path / "out/a_mask.png"))
    assert command(tmp_path / "in", tmp_path / "new", "--mask", tmp_path / "out", work=work) == 0
    assert seen == dict(zip(scans, masks))


def test_photographs_are_never_taken_for_masks_of_each_other(tmp_path, capsys):
    """Where masks lie among the photographs of one of two folders."""
    work, seen = paired()
    scans = [photo(tmp_path / f"{folder}/a.jpg") for folder in "xy"]
    words = ["--name", "{parent}_{stem}", "--mask", tmp_path / "x", "--quiet"]
    assert command(*scans, tmp_path / "out", *words, work=work) == 0
    assert seen == dict.fromkeys(scans)
    mask = photo(tmp_path / "x/a_mask.png")
    assert command(*scans, tmp_path / "out", *words, work=work) == 1
    assert f"{scans[1]}: {mask} could be for it or for {scans[0]}: process" in capsys.readouterr().err


def test_a_mask_that_photographs_of_two_folders_could_have_fails_for_both(tmp_path, capsys):
    work, seen = paired()
    scans = [photo(tmp_path / f"{folder}/a.png") for folder in "xyz"]
    others = [photo(tmp_path / f"{folder}/b{folder}.png") for folder in "xy"]
    masks = tmp_path / "masks"
    (mask, _), words = (photo(masks / f"{name}.png") for name in ("a", "bx")), ["--mask", masks, "--quiet"]
    words += ["--name", "{parent}_{stem}"]
    assert command(*scans[:2], *others, tmp_path / "out", *words, work=work) == 1
    what = "process them in two runs, each with its own --mask"
    assert capsys.readouterr().err.splitlines() == [
        f"{scans[0]}: {mask} could be for it or for {scans[1]}: {what}",
        f"{scans[1]}: {mask} could be for it or for {scans[0]}: {what}",
    ]
    assert seen == {others[0]: masks / "bx.png", others[1]: None}
    mask.unlink()  # now there is nothing to confuse
    assert command(*scans, tmp_path / "out", *words, work=work) == 0
    assert [seen[scan] for scan in scans] == [None] * 3


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_masks_are_found_however_a_disk_writes_accents(tmp_path, forms):
    work, seen = paired()
    scan, mask = (unicodedata.normalize(form, "Bücher/Müller") for form in forms)
    scans = [photo(tmp_path / "in" / f"{scan}.png"), photo(tmp_path / "in" / f"{scan}2.png")]
    masks = [photo(tmp_path / "masks" / f"{mask}.png"), photo(tmp_path / "masks" / f"{mask}2_mask.png")]
    words = ["--recursive", "--mask", tmp_path / "masks"]
    assert command(tmp_path / "in", tmp_path / "out", *words, work=work) == 0
    assert seen == dict(zip(scans, masks))


def test_results_of_two_photographs_are_not_one_file_on_any_disk():
    names = ["\u00fc.png", "u\u0308_a.png", "x.png", "X_a.png"]
    ends = {names[0]: ["_a_b"], names[1]: ["_b"], names[2]: ["_a_b"], names[3]: ["_b"]}
    sources = list_photos([Path(name) for name in names], Path("out"), False)
    kept = keep_apart(sources, lambda source: ends[source.path.name])
    assert [bool(source.error) for source in kept] == [False, True, False, True]
    assert f"{sources[1].name}_b is already a result of {names[0]}: " in kept[1].error


def test_a_folder_of_masks_that_may_not_be_read_is_one_usage_error(tmp_path, monkeypatch):
    photo(tmp_path / "in/a.png")
    (tmp_path / "masks").mkdir()
    access = os.access  # the tests may run as root, whom no permissions stop
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "masks" and access(path, mode))
    with pytest.raises(UserError) as caught:
        command(tmp_path / "in", tmp_path / "out", "--mask", tmp_path / "masks")
    assert str(caught.value) == f"--mask {tmp_path}/masks: cannot be read: Permission denied"
    assert calls == []


def test_a_subfolder_of_masks_that_may_not_be_read_fails_for_its_photographs(tmp_path, monkeypatch, capsys):
    for name in ("a.png", "sub/b.png"):
        photo(tmp_path / "in" / name)
        photo(tmp_path / "masks" / name)
    listed = Path.iterdir

    def forbidden(path):
        if path == tmp_path / "masks/sub":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", forbidden)
    words = ["--recursive", "--quiet", "--mask", tmp_path / "masks"]
    assert command(tmp_path / "in", tmp_path / "out", *words) == 1
    reason = f"mask {tmp_path}/masks/sub: cannot be read: Permission denied"
    assert capsys.readouterr().err == f"{tmp_path}/in/sub/b.png: {reason}\n"
    assert calls == ["a"]


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
    assert json.loads(line)["input"]["name"] == f"{name}.png"
    assert set(json.loads(line)["outputs"]) < expected
    assert command("--", f"{name}.png", tmp_path / "out") == 0
    assert len(calls) == 1  # skipped
    if name[0] != ".":
        assert command(tmp_path / "in", tmp_path / "again", "--quiet") == 0
        assert set(os.listdir(tmp_path / "again")) == expected
    capsys.readouterr()
    (tmp_path / "in" / f"{name}.png").write_text("no image")
    assert command("--quiet", "--", f"{name}.png", tmp_path / "third") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not an image" in error


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
