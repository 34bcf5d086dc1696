"""Batches of training samples, and files that cannot be read, a machine that runs out of memory."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import noise
from PIL import Image
from runs import STATE, equal, log, stopped_at, train

import colorize
from data import checkpoint
from data.errors import PhotoError, UserError
from engine import training
from engine.batches import SPARE, TRIES, Batches, explained_shortages


class Numbers(torch.utils.data.Dataset):
    """Item n is n; those of `broken` cannot be read."""

    def __init__(self, broken=()):
        self.broken = broken

    def __getitem__(self, number):
        if number in self.broken:
            raise PhotoError(f"{number}.png: cut")
        return torch.tensor(number)


class Failing(Numbers):
    def __init__(self, error):
        self.error = error

    def __getitem__(self, number):
        raise self.error


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_batches_of_all_processes_are_the_global_batch(world):
    for step in (0, 3):
        parts = [Batches(Numbers(), 8, rank, world)[step].samples.tolist() for rank in range(world)]
        assert sorted(number for part in parts for number in part) == list(range(step * 8, step * 8 + 8))
        assert {len(part) for part in parts} == {8 // world}


def test_another_sample_is_drawn_in_place_of_an_unreadable_one():
    batch = Batches(Numbers({5, 6, 6 + SPARE}), 4, 0, 1)[1]
    assert batch.samples.tolist() == [4, 5 + SPARE, 6 + 2 * SPARE, 7]
    assert batch.unreadable == ["5.png: cut", "6.png: cut", f"{6 + SPARE}.png: cut"]


@pytest.mark.parametrize(
    "error, text",
    [
        (PhotoError("a.png: cut"), f"{TRIES} samples in a row cannot be read; the last one: a.png: cut"),
        (OSError(24, "Too many open files"), "too many open files: raise the limit with ulimit -n"),
        (MemoryError(), "not enough memory: lower --workers"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory: lower --workers"),
        (
            RuntimeError("unable to write to file </torch_7_1>: No space left on device (28)"),
            "shared memory (/dev/shm) is full",
        ),
    ],
)
def test_an_error_of_the_machine_takes_the_place_of_the_batch(error, text):
    loader = torch.utils.data.DataLoader(
        Batches(Failing(error), 4, 0, 1), batch_size=None, sampler=range(1), num_workers=1
    )
    (found,) = list(loader)
    assert isinstance(found, UserError)
    assert text in str(found)
    assert "\n" not in str(found)


def test_a_full_disk_is_not_taken_for_shared_memory():
    with pytest.raises(OSError, match="run/last"), explained_shortages():
        raise OSError(28, "No space left on device", "run/last.pt")


class Kills(Numbers):
    """Its worker gets this signal."""

    def __init__(self, number):
        self.number = number

    def __getitem__(self, number):
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number, text", [(9, "killed, most likely for lack of memory"), (7, "/dev/shm")])
def test_a_killed_worker_is_explained(number, text):
    loader = torch.utils.data.DataLoader(
        Batches(Kills(number), 4, 0, 1), batch_size=None, sampler=range(9), num_workers=1
    )
    with pytest.raises(UserError) as caught, explained_shortages():
        list(loader)
    assert text in str(caught.value)
    assert "lower --workers" in str(caught.value)


FEW_FILES = """
import resource, sys
import torch
from data.errors import UserError
from engine.batches import Batches, explained_shortages, loaded
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    with explained_shortages(), loaded(Batches(torch.arange(99), 2, 0, 1), range(9), 12, False) as batches:
        list(batches)
except UserError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such limit")
def test_workers_that_cannot_all_be_started_do_not_keep_the_process():
    command = [sys.executable, "-c", FEW_FILES]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("too many open files: raise the limit with ulimit -n")
    assert "Traceback" not in done.stderr


def test_a_bug_in_a_worker_keeps_its_traceback():
    loader = torch.utils.data.DataLoader(
        Batches(Failing(ValueError("shapes differ")), 4, 0, 1),
        batch_size=None,
        sampler=range(1),
        num_workers=1,
    )
    with pytest.raises(ValueError, match="Traceback") as caught, explained_shortages():
        list(loader)
    assert "shapes differ" in str(caught.value)


def spoil(path):
    """Writes a PNG that opens and ends well, but cannot be decoded."""
    Image.fromarray(noise(60, 80, 3)).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    path.write_bytes(content)


@pytest.fixture
def spoilt(data_folder, tmp_path):
    """A data folder in which one photograph of fourteen breaks when it is decoded."""
    folder = shutil.copytree(data_folder, tmp_path / "data")
    for number in range(12):
        shutil.copy(folder / "clean/others/c.png", folder / f"clean/others/c{number}.png")
    spoil(folder / "clean/others/spoilt.png")
    return folder


def test_an_unreadable_photograph_is_skipped_and_counted(spoilt, tmp_path, monkeypatch, capsys):
    """And a run that is stopped goes on bit for bit."""
    assert train(colorize, spoilt, tmp_path / "whole") == 0
    error = capsys.readouterr().err
    assert error.count("spoilt.png: ") == 1
    assert "other samples are drawn in its place" in error
    assert sum(row.get("unreadable", 0) for row in log(tmp_path / "whole")) > 0
    with monkeypatch.context() as patch:
        stopped_at(colorize, patch, 7, signals=1)
        assert train(colorize, spoilt, tmp_path / "halves", "--workers", 1) == 130
    assert train(colorize, spoilt, tmp_path / "halves") == 0
    whole, halves = (checkpoint.read(tmp_path / run / "last.pt") for run in ("whole", "halves"))
    for name in STATE:
        assert equal(halves[name], whole[name]), name


def test_too_many_unreadable_samples_end_the_run(spoilt, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "LEAST_UNREADABLE", 5)
    for path in (spoilt / "clean/others").iterdir():
        spoil(path)
    assert train(colorize, spoilt, tmp_path / "run") == 2
    done, error = checkpoint.read(tmp_path / "run/last.pt")["done"], capsys.readouterr().err
    assert 0 < done < 40
    last = error.splitlines()[-1]
    assert last.startswith(f"stopped at step {done}, since ")
    assert last.endswith(" samples were unreadable: repair these files; the same command goes on from there")


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_but_unreadable_photographs_is_one_line(data_folder, tmp_path, capsys, workers):
    folder = shutil.copytree(data_folder, tmp_path / "data")
    (folder / "clean/people/b.jpg").unlink()
    for path in (folder / "clean").rglob("*.png"):
        spoil(path)
    assert train(colorize, folder, tmp_path / "run", "--workers", workers, steps=1) == 2
    error = capsys.readouterr().err
    assert f"samples in a row cannot be read; the last one: {folder / 'clean'}" in error
    assert error.count("\n") == 1


def test_an_unreadable_validation_photograph_is_named_and_nothing_is_lost(data_folder, tmp_path, capsys):
    folder = shutil.copytree(data_folder, tmp_path / "data")
    spoil(folder / "val/clean/people/p.png")
    assert train(colorize, folder, tmp_path / "run", steps=4) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{folder}/val/clean/people/p.png: damaged or truncated PNG file" in last
    assert checkpoint.read(tmp_path / "run/last.pt")["done"] == 2
