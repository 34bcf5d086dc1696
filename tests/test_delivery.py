"""All files of a photograph or none, on a full disk, when interrupted and when killed."""

import errno
import json
import multiprocessing
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
from loop import calls, command, photo, same
from PIL import Image

from data.errors import PhotoError
from data.files import fcntl, sha256
from engine import delivery
from engine.delivery import deliver


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


def test_a_photo_is_written_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    written = []

    def full_disk(path, data, write=delivery.write_synced):
        write(path, data)
        written.append(path.name)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(delivery, "write_synced", full_disk)
    assert command(photo(tmp_path / "a.png"), tmp_path / "out") == 1
    assert written == ["a_mask.png", "a_restored.png"]
    assert list((tmp_path / "out").iterdir()) == []
    assert (
        f"{tmp_path}/out/a_restored.png cannot be written: No space left on device\n"
        in capsys.readouterr().err
    )
    for name in ("a.json", "a_mask.png"):  # to be replaced: they are lost only when the new ones are there
        (tmp_path / "out" / name).write_text("former")
    written.clear()
    assert command(tmp_path / "a.png", tmp_path / "out", "--overwrite") == 1
    assert len(written) == 2
    assert {path.read_text() for path in (tmp_path / "out").iterdir()} == {"former"}
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
    assert files(tmp_path / "out") == ["a_restored.png"]
    assert mine.read_text() == "dear to me"


FULL = """
import resource, sys
sys.path.insert(0, "tests")
from loop import command
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(command(*sys.argv[1:]))
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
    """While the first photo's files are written (three) and moved (three): all of them are finished, and no
    other photo is begun.
    """
    steps = []

    def interrupted(function):
        def step(*arguments):
            steps.append(1)
            if len(steps) == moment + 1:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.3)
            return function(*arguments)

        return step

    monkeypatch.setattr(delivery, "write_synced", interrupted(delivery.write_synced))
    monkeypatch.setattr(os, "replace", interrupted(os.replace))
    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
    began = []

    def work(picture, source):
        began.append(source.name)
        time.sleep(0.2 if len(began) > 1 else 0)
        return same(picture, source)

    assert command(tmp_path / "in", tmp_path / "out", "--quiet", work=work) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert sorted(os.listdir(tmp_path / "out")) == ["a.json", "a_mask.png", "a_restored.png"]
    assert "c" not in began


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_former_results_come_back_if_one_cannot_be_replaced(tmp_path, monkeypatch, capsys, links):
    """As on Windows, where a file is open in another program; disks such as exFAT have no hard links."""
    out, scan, move = tmp_path / "out", photo(tmp_path / "a.png"), os.replace
    assert command(scan, out) == 0
    before = {name: (out / name).read_bytes() for name in files(out)}

    def held(path, to):
        if to == out / "a_restored.png" and path.parent.name != "former":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        move(path, to)

    def linkless(*_, **others):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "replace", held)
    if not links:
        monkeypatch.setattr(os, "link", linkless)
    photo(scan, seed=1)
    assert command(scan, out, "--overwrite", work=striped) == 1
    assert "a_restored.png cannot be written: Permission denied" in capsys.readouterr().err
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    monkeypatch.setattr(os, "replace", move)
    assert command(scan, out, "--overwrite", work=striped) == 0
    assert files(out) == sorted(before)
    assert all((out / name).read_bytes() != data for name, data in before.items())


def striped(photo, source):
    """Like `same`, with another mask."""
    outputs, facts = same(photo, source)
    return outputs | {"_mask.png": outputs["_mask.png"] + b"changed"}, facts


DEADLY = """
import os, signal, sys
sys.path.insert(0, "tests")
from engine import delivery
from loop import command
moment, words = int(sys.argv[1]), sys.argv[2:]
def count(function):  # of steps that change the disk; the process dies before one of them
    def counted(*arguments, **others):
        global moment
        if moment == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        moment -= 1
        return function(*arguments, **others)
    return counted
def refused(*arguments, **others):
    raise PermissionError
delivery.write_synced = count(delivery.write_synced)
delivery.os.replace = count(os.replace)
delivery.os.link = count(os.link)
delivery.Path.unlink = count(delivery.Path.unlink)
delivery.shutil.rmtree = count(delivery.shutil.rmtree)
sys.exit(command(*words))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_killed_at_any_moment_it_does_the_photo_again(tmp_path):
    """SIGKILL before each of the steps that deliver a photo: three files written, three moved, their folder
    removed in two steps.
    """
    out, scan, statuses = tmp_path / "out", photo(tmp_path / "a.png"), []
    for moment in range(9):
        words = [sys.executable, "-c", DEADLY, moment, scan, out / str(moment), "--quiet"]
        statuses.append(subprocess.Popen([str(word) for word in words], cwd=Path(__file__).parent.parent))
    assert [process.wait(60) for process in statuses] == [-signal.SIGKILL] * 8 + [0]
    left = {moment: set(files(out / str(moment))) for moment in range(9)}
    visible = [sum(name[0] != "." for name in left[moment]) for moment in range(9)]
    assert visible == [0, 0, 0, 0, 1, 2, 3, 3, 3]
    assert left[5] >= {
        "a_mask.png",
        "a_restored.png",
        ".a.part/a.json",
    }
    for moment in range(9):
        assert command(scan, out / str(moment)) == 0
        assert sorted(os.listdir(out / str(moment))) == ["a.json", "a_mask.png", "a_restored.png"]
    assert len(calls) == 6  # committed: not again


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("steps, links", [(12, True), (15, False)], ids=["links", "no links"])
def test_killed_while_it_replaces_results_it_loses_none(tmp_path, steps, links):
    """SIGKILL before each step: three files written, kept and, after the old report, moved. The next run
    finds all of the former results or all of the new ones, even if it may replace none. Without hard links,
    it takes two steps to keep a file.
    """
    out, scan, statuses = tmp_path / "out", photo(tmp_path / "a.png"), []
    former, deadly = {}, DEADLY if links else DEADLY.replace("count(os.link)", "count(refused)")
    for moment in range(steps + 1):
        assert command(scan, out / str(moment)) == 0
        former[moment] = contents(out / str(moment))
    photo(scan, seed=1)
    for moment in range(steps + 1):
        words = [sys.executable, "-c", deadly, moment, scan, out / str(moment), "--quiet", "--overwrite"]
        statuses.append(subprocess.Popen([str(word) for word in words], cwd=Path(__file__).parent.parent))
    assert [process.wait(60) for process in statuses] == [-signal.SIGKILL] * steps + [0]
    for moment in range(steps + 1):
        is_new = moment >= steps - 2  # the last file is moved, the hidden folder not removed yet
        assert command(scan, out / str(moment)) == (0 if is_new else 1)
        assert (contents(out / str(moment)) == former[moment]) != is_new
        assert sorted(os.listdir(out / str(moment))) == ["a.json", "a_mask.png", "a_restored.png"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


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
    assert command(scan, out) == 1
    assert not calls
    assert "a_restored.png exists: give --overwrite" in capsys.readouterr().err
    assert (out / "a_restored.png").read_text() == "dear to me"
    assert os.listdir(out) == ["a_restored.png"]


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
    for path in out.glob("a*"):
        (out / ".a.part" / path.name).write_bytes(path.read_bytes())
    assert command(scan, out, options={"threshold": 1}) == 1
    assert sorted(os.listdir(out)) == ["a.json", "a_mask.png", "a_restored.png"]


def test_a_photo_is_written_while_the_next_one_is_computed(tmp_path, monkeypatch):
    """One at a time, and only if it does not take much memory."""
    events, deliver, computing = [], delivery.deliver, threading.Event()

    def delivered(contents, final, *rest):
        if final.name == "a.json":
            assert computing.wait(20)
            time.sleep(0.2)
        deliver(contents, final, *rest)
        events.append(f"wrote {final.stem}")

    def work(picture, source):
        events.append(f"began {source.name}")
        if source.name == "b":
            computing.set()
        return same(picture, source)

    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
    monkeypatch.setattr("engine.photos.deliver", delivered)
    assert command(tmp_path / "in", tmp_path / "out", "--quiet", work=work) == 0
    assert events.index("began b") < events.index("wrote a") < events.index("began c")
    monkeypatch.setattr("engine.photos.LARGE", 1)
    events.clear()
    assert command(tmp_path / "in", tmp_path / "out", "--quiet", "--overwrite", work=work) == 0
    assert events == [f"{step} {name}" for name in "abc" for step in ("began", "wrote")]


def test_inputs_of_a_run_are_not_replaced(tmp_path, capsys):
    """A photograph named like a result of another one, and a mask among the results."""
    photo(tmp_path / "in/a.png")
    photo(tmp_path / "in/a_restored.png", seed=1)
    photo(tmp_path / "masks/a_mask.png", seed=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    words = ["--overwrite", "--mask", tmp_path / "masks"]
    assert command(tmp_path / "in/a.png", tmp_path / "in/a_restored.png", tmp_path / "in", *words) == 1
    assert "a_restored.png is an input of this run, which is not replaced" in capsys.readouterr().err
    assert command(tmp_path / "in/a.png", tmp_path / "masks", *words) == 1
    assert "a_mask.png is an input of this run, which is not replaced" in capsys.readouterr().err
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_folder_of_the_user_is_no_leftover(tmp_path, capsys):
    diary = tmp_path / "out/.a.part/diary.txt"
    diary.parent.mkdir(parents=True)
    diary.write_text("dear to me")
    assert command(photo(tmp_path / "a.png"), tmp_path / "out") == 1
    assert f"{diary.parent} is in the way" in capsys.readouterr().err
    assert diary.read_text() == "dear to me"


def test_a_folder_in_place_of_a_result_costs_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    assert command(photo(tmp_path / "a.png"), out) == 0
    (out / "a_restored.png").unlink()
    (out / "a_restored.png").mkdir()
    before = {name: (out / name).read_bytes() for name in ("a.json", "a_mask.png")}

    def late(photo, source):
        """The folder appears while the photograph is computed."""
        (out / "a_restored.png").mkdir()
        return same(photo, source)

    assert command(tmp_path / "a.png", out, "--overwrite") == 1
    assert "a_restored.png is a folder" in capsys.readouterr().err
    (out / "a_restored.png").rmdir()
    assert command(tmp_path / "a.png", out, "--overwrite", work=late) == 1
    assert (out / "a_restored.png").is_dir()
    assert before == {name: (out / name).read_bytes() for name in before}


def delivering(out, by, rounds, together, failures):
    """What one of two runs does that deliver the same photograph again and again, at the same time."""
    for number in range(rounds):
        files = {
            out / f"a_{name}.png": f"{name} {by} {number}".encode() * 999 for name in ("mask", "restored")
        }
        outputs = {path.name: sha256(data) for path, data in files.items()}
        together.wait(60)
        try:
            deliver(files, out / "a.json", json.dumps({"outputs": outputs}).encode(), True, True)
        except BaseException as error:
            failures.put(repr(error))
        together.wait(60)


@pytest.mark.skipif(fcntl is None, reason="folders cannot be locked on Windows")
def test_two_runs_at_once_take_turns(tmp_path):
    """Report and files always come from one of the runs, and neither fails."""
    forked, rounds = multiprocessing.get_context("fork"), 40
    together, failures = forked.Barrier(3), forked.Queue()
    for by in "xy":
        words = (tmp_path, by, rounds, together, failures)
        forked.Process(target=delivering, args=words, daemon=True).start()
    for _ in range(rounds):
        together.wait(60)
        together.wait(60)
        assert failures.empty(), failures.get()
        report = json.loads((tmp_path / "a.json").read_text())
        assert {path.name: sha256(path.read_bytes()) for path in tmp_path.glob("*.png")} == report["outputs"]
        assert sorted(os.listdir(tmp_path)) == ["a.json", "a_mask.png", "a_restored.png"]


@pytest.mark.skipif(fcntl is None, reason="folders cannot be locked on Windows")
def test_a_run_waits_for_another_one_but_not_for_ever(tmp_path, monkeypatch, capsys):
    out, scan = tmp_path / "out", photo(tmp_path / "a.png")
    (out / ".a.part").mkdir(parents=True)
    (out / ".a.part/a_mask.png").write_bytes(b"being written")
    handle = os.open(out / ".a.part", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    monkeypatch.setattr(delivery, "WAIT", 0.1)
    assert command(scan, out) == 1
    assert "another run is writing its results: try again" in capsys.readouterr().err
    assert files(out) == [".a.part/a_mask.png"]
    os.close(handle)
    assert command(scan, out) == 0
    assert files(out) == ["a.json", "a_mask.png", "a_restored.png"]


def test_the_users_hidden_folder_is_left_alone(tmp_path, capsys):
    """Even if its files begin with the letters of the photograph's name."""
    (tmp_path / "out/.a.part").mkdir(parents=True)
    (tmp_path / "out/.a.part/attic.txt").write_text("dear to me")
    assert command(photo(tmp_path / "a.png"), tmp_path / "out") == 1
    assert ".a.part is in the way" in capsys.readouterr().err
    assert files(tmp_path / "out") == [".a.part/attic.txt"]
    with pytest.raises(PhotoError, match="is in the way"):  # appeared meanwhile
        deliver({tmp_path / "out/a_mask.png": b"new"}, tmp_path / "out/a.json", b"{}", True, True)
    assert (tmp_path / "out/.a.part/attic.txt").read_text() == "dear to me"


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
def test_what_has_the_name_of_the_hidden_folder_is_in_the_way(tmp_path, capsys, kind):
    part = tmp_path / "out/.a.part"
    part.parent.mkdir()
    if kind == "file":
        part.write_text("dear to me")
    else:
        part.symlink_to(tmp_path if kind == "link" else tmp_path / "gone")
    assert command(photo(tmp_path / "a.png"), tmp_path / "out") == 1
    assert ".a.part is in the way" in capsys.readouterr().err
    assert os.listdir(tmp_path / "out") == [".a.part"]


@pytest.mark.parametrize("moment", ["mkdir", "open"])
def test_a_hidden_folder_that_another_run_has_just_removed_is_made_again(tmp_path, monkeypatch, moment):
    part = tmp_path / "out/.a.part"
    part.mkdir(parents=True)
    real = getattr(os, moment)

    def late(path, *arguments, **others):
        if str(path) == str(part) and part.exists():
            monkeypatch.setattr(os, moment, real)
            result = FileExistsError(17, "File exists") if moment == "mkdir" else None
            part.rmdir()
            if result:
                raise result
        return real(path, *arguments, **others)

    monkeypatch.setattr(os, moment, late)
    deliver({tmp_path / "out/a_mask.png": b"new"}, tmp_path / "out/a.json", b"{}", True, True)
    assert files(tmp_path / "out") == ["a.json", "a_mask.png"]
