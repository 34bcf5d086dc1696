"""The run folder: log, curves, pictures, best weights."""

import json
import multiprocessing
import time

import numpy as np
import pytest
from PIL import Image, ImageColor

from data import checkpoint, run_folder
from data.errors import PhotoError, UserError
from data.files import fcntl
from data.run_folder import RunFolder


def test_a_process_that_does_not_write_writes_nothing(tmp_path):
    run = RunFolder(tmp_path / "run", writes=False)
    run.begin({"stage": "segment"})
    run.log(step=1, loss=0.5)
    run.save({"done": 1, "best": []})
    run.save_weights("best-1.pt", dict)
    run.draw({"a": (np.zeros((4, 4), np.float32),)})
    run.go_on(0, evaluated=True)
    assert not list((tmp_path / "run").iterdir())


def test_the_log_is_json_and_survives_a_cut_line(tmp_path, capsys):
    run = RunFolder(tmp_path, writes=True)
    run.begin({"stage": "segment"})
    run.log(step=1, loss=float("nan"), lr=1.23456789)
    assert json.loads(capsys.readouterr().err) == {"step": 1, "loss": None, "lr": 1.234568}
    run.log(step=50, loss=0.5)
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 100, "lo')
    assert [row["step"] for row in run_folder.read_log(tmp_path)] == [1, 50]
    run.go_on(1, evaluated=True)
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1, "loss": null, "lr": 1.234568}\n'
    assert run_folder.read_log(tmp_path / "none") == []


def test_lines_of_other_programs_are_no_log(tmp_path):
    run = RunFolder(tmp_path, writes=True)
    run.begin({"stage": "segment"})
    run.log(step=1, loss=0.5)
    for line in (b'{"status": "done"}', b"{}", b"5", b"\xff\xfe", b'{"step": "x"}', b"[" * 100000):
        with open(tmp_path / "log.jsonl", "ab") as file:
            file.write(line + b"\n")
    run.log(step=2, loss=0.4)
    assert [row["step"] for row in run_folder.read_log(tmp_path)] == [1, 2]
    run.go_on(2, evaluated=True)
    run.draw({})
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["log.jsonl", "curves.png", "args.json", "samples"])
def test_files_of_other_programs_are_not_replaced(tmp_path, name):
    (tmp_path / name).write_text('{"name": "mine"}\n')
    run = RunFolder(tmp_path, writes=True)
    with pytest.raises(UserError, match=f"{name} is not of a training run: give another --run-dir"):
        run.begin({"stage": "segment"})
    assert [path.read_text() for path in tmp_path.iterdir() if path.name == name] == ['{"name": "mine"}\n']
    assert not list(tmp_path.glob("best-*"))


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file: give a folder"):
        RunFolder(tmp_path / "file", writes=True)


def test_only_the_best_stay(tmp_path):
    run = RunFolder(tmp_path, writes=True)
    run.save_weights("best-1.pt", lambda: {"a": 1})
    run.save_weights("best-2.pt", lambda: {"a": 2})
    run.save({"best": [(2.0, "best-2.pt")]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-2.pt", "last.pt"]


def test_copies_that_the_user_made_of_weights_stay(tmp_path):
    run = RunFolder(tmp_path, writes=True)
    for name in ("best-mine.pt", "best-1-copy.pt"):
        (tmp_path / name).write_bytes(b"mine")
    assert not run.has_results()
    run.save_weights("best-1.pt", dict)
    assert run.has_results()
    run.save({"best": []})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-1-copy.pt", "best-mine.pt", "last.pt"]


def test_the_former_best_stay_until_the_checkpoint_is_saved(tmp_path, monkeypatch):
    """So that a killed process leaves no last.pt that names a missing file."""
    run = RunFolder(tmp_path, writes=True)
    run.save_weights("best-1.pt", dict)
    run.save({"best": [(1.0, "best-1.pt")]})
    run.save_weights("best-2.pt", dict)

    def killed(path, content):
        raise SystemExit(9)

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(SystemExit):
        run.save({"best": [(2.0, "best-2.pt")]})
    named = [name for _, name in checkpoint.read(run.last)["best"]]
    assert named == ["best-1.pt"]
    assert (tmp_path / "best-1.pt").exists()


def test_a_full_disk_is_named_and_leaves_no_part_of_a_file(tmp_path, capsys):
    """Here the largest size of a file that is allowed stands for the disk; capsys prints to no file."""
    resource = pytest.importorskip("resource")
    (tmp_path / "run").mkdir()
    run, limits = RunFolder(tmp_path / "run", writes=True), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        with pytest.raises(PhotoError, match=r"run/args\.json cannot be written: File too large"):
            run.begin({"stage": "segment"})
        assert not list(run.path.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
        run.log(step=1)
        with pytest.raises(PhotoError, match=r"run/log\.jsonl cannot be written: File too large"):
            run.log(step=2, loss=0.123456)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        run.close()
    assert (run.path / "log.jsonl").read_text() == '{"step": 1}\n'


def lingering(together):
    """A worker that outlives its run."""
    together.wait(60)
    time.sleep(60)


@pytest.mark.skipif(fcntl is None, reason="folders cannot be locked on Windows")
def test_a_run_folder_is_for_one_run_at_a_time(tmp_path):
    run = RunFolder(tmp_path, writes=True)
    assert not run.taken
    assert RunFolder(tmp_path, writes=True).taken
    assert not RunFolder(tmp_path, writes=False).taken
    forked = multiprocessing.get_context("fork")
    together = forked.Barrier(2)
    worker = forked.Process(target=lingering, args=[together], daemon=True)
    worker.start()
    together.wait(60)
    run.close()
    again = RunFolder(tmp_path, writes=True)
    assert not again.taken
    again.close()
    worker.kill()


def test_samples_are_strips_of_one_height(tmp_path):
    grey, color = np.full((6, 4), 0.5, np.float32), np.full((6, 4, 3), (10, 20, 30), np.uint8)
    RunFolder(tmp_path, writes=True).draw({"photo": (grey, color, 2 * grey)})
    strip = np.asarray(Image.open(tmp_path / "samples/photo.png"))
    assert strip.shape == (6, 12, 3)
    assert [tuple(strip[0, column]) for column in (0, 4, 8)] == [
        (128, 128, 128),
        (10, 20, 30),
        (255, 255, 255),
    ]


def test_curves_show_every_loss_and_the_score():
    rows = [
        {"step": step, "loss": 1 / step, "bce": 0.5, "lr": 0.1, "samples_per_s": 9.0} for step in (1, 50, 100)
    ]
    rows += [{"step": step, "score": step / 100} for step in (50, 100)] + [
        {"step": 70, "skipped": "not finite"}
    ]
    sheet = run_folder.curves(rows)

    def shown(number, rows):
        return (sheet[rows] == ImageColor.getrgb(run_folder.COLORS[number])).all(-1).sum()

    upper, lower = np.s_[:360], np.s_[360:]
    assert shown(0, upper) > 200  # loss
    assert shown(1, upper) > 200  # bce
    assert shown(0, lower) > 200  # score
    assert shown(2, upper) == 0 == shown(1, lower)  # lr and speed are no losses
    assert run_folder.curves([]).shape == sheet.shape == (720, 900, 3)
    # measured before the first step
    assert run_folder.curves([{"step": 0, "score": 0.5}]).shape == sheet.shape
    assert run_folder.curves([{"step": 1, "loss": None}]).shape == sheet.shape
