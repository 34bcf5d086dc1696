"""Signals to all processes of a training run, as Slurm, systemd, Docker and a terminal send them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import SMALL, STATE, STEPS, equal, log, train

import segment
from data import checkpoint
from engine import training

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such signals")
ROOT = Path(__file__).parent.parent
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
PROGRAM = """
import pathlib, sys, time
import segment
from engine import training
moment, seen = sys.argv[1], pathlib.Path(sys.argv[2])
def lingering(name, real, number=1):
    calls = []
    def changed(*args, **named):
        calls.append(1)
        if name == moment and len(calls) == number and not seen.exists():
            seen.touch()
            time.sleep(2)
        return real(*args, **named)
    return changed
segment.damaged_photos = lingering("check", segment.damaged_photos)
segment.compute_losses = lingering("step", segment.compute_losses, 7)
segment.evaluate = lingering("evaluation", segment.evaluate)
training.EVALUATIONS = 2
status = segment.main(["train", *sys.argv[3:]])
sys.stdout.write(f"status {status}\\n")  # one write: print makes two without a buffer
sys.stdout.flush()
sys.exit(status)
"""


def started(tmp_path, data, moment, launch=()):
    """A run in a process group of its own, once it is at this moment."""
    (tmp_path / "program.py").write_text(PROGRAM)
    words = ["--data", data, "--run-dir", tmp_path / "run", "--steps", STEPS, "--device", "cpu", "--ema", 0.9]
    words = [*launch, tmp_path / "program.py", moment, tmp_path / "seen", *words, *SMALL[segment]]
    process = subprocess.Popen(
        [sys.executable, *map(str, words), "--workers", "2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not (tmp_path / "seen").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def said(error):
    """The lines on standard error that are not of the log."""
    return [line for line in error.splitlines() if not line.startswith("{")]


def assert_goes_on_to_the_same(run, data, whole):
    assert train(segment, data, run) == 0
    resumed, uninterrupted = (checkpoint.read(path / "last.pt") for path in (run, whole))
    for name in STATE:
        assert equal(resumed[name], uninterrupted[name]), name
    assert [row["step"] for row in log(run)] == [row["step"] for row in log(whole)]


def test_a_step_is_finished_and_saved(trained, data_folder, tmp_path):
    process = started(tmp_path, data_folder, "step")
    for number in (signal.SIGTERM, signal.SIGINT):
        os.killpg(process.pid, number)
        time.sleep(0.1)
    output, error = process.communicate(timeout=120)
    assert said(error) == ["stopped at step 7; the same command goes on from there"]
    assert output == "status 130\n"
    assert process.returncode == 130
    assert checkpoint.read(tmp_path / "run/last.pt")["done"] == 7
    assert_goes_on_to_the_same(tmp_path / "run", data_folder, trained(segment))


def test_under_torchrun_all_processes_stop_at_the_same_step(data_folder, tmp_path):
    process = started(tmp_path, data_folder, "step", TORCHRUN)
    os.killpg(process.pid, signal.SIGTERM)
    output, error = process.communicate(timeout=120)
    done = checkpoint.read(tmp_path / "run/last.pt")["done"]
    assert 7 <= done < STEPS
    assert error.count(f"stopped at step {done}; the same command goes on from there\n") == 1
    assert "DataLoader" not in error
    assert output == "status 130\n" * 2


@pytest.mark.parametrize("launch", [[], TORCHRUN], ids=["alone", "torchrun"])
def test_an_evaluation_is_broken_off_and_repeated(trained, data_folder, tmp_path, launch):
    process = started(tmp_path, data_folder, "evaluation", launch)
    os.killpg(process.pid, signal.SIGTERM)
    output, error = process.communicate(timeout=120)
    assert error.count("interrupted; the same command goes on from the last checkpoint\n") == 1
    assert output == "status 130\n" * (2 if launch else 1)
    state = checkpoint.read(tmp_path / "run/last.pt")
    assert (state["done"], state["unevaluated"], state["finished"]) == (STEPS // 2, True, False)
    if not launch:
        assert len(said(error)) == 1
        assert_goes_on_to_the_same(tmp_path / "run", data_folder, trained(segment))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_photograph_that_never_comes_does_not_delay_the_end(tmp_path, number):
    """A pipe to which nobody writes, or a network disk that hangs."""
    os.mkfifo(tmp_path / "pipe.png")
    words = [sys.executable, "restore.py", tmp_path / "pipe.png", tmp_path / "out", "--only", "color"]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with open(tmp_path / "pipe.png", "wb"):  # which waits until the other end is open
        time.sleep(0.3)
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, "interrupted\n")
    assert not list((tmp_path / "out").glob("*"))


def test_before_the_first_step_there_is_nothing_to_save(data_folder, tmp_path):
    process = started(tmp_path, data_folder, "check")
    os.killpg(process.pid, signal.SIGTERM)
    output, error = process.communicate(timeout=120)
    assert said(error) == ["interrupted; the same command starts again"]
    assert output == "status 130\n"
    assert not (tmp_path / "run").exists()


def test_while_saving_the_file_is_written_whole(data_folder, tmp_path, monkeypatch):
    real, saved = checkpoint.save, []

    def save(path, content):
        os.kill(os.getpid(), signal.SIGTERM)
        saved.append(path.name)
        real(path, content)

    monkeypatch.setattr(training, "SAVE_EVERY", 5)
    monkeypatch.setattr(checkpoint, "save", save)
    assert train(segment, data_folder, tmp_path) == 130
    assert saved == ["last.pt", "last.pt"]
    assert checkpoint.read(tmp_path / "last.pt")["done"] == 6


def test_workers_end_with_their_training_process(data_folder, tmp_path):
    process = started(tmp_path, data_folder, "step")
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 60
    with pytest.raises(ProcessLookupError):  # when nobody is left in the group
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.1)
