"""Training and measuring by several processes, as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from runs import SMALL, STAGES, STATE, equal, log

import colorize
import segment
from data import checkpoint, run_folder
from engine.processes import Processes

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not Path("/proc/self/task").exists(),
    reason="needs torch.distributed, and Linux to find the processes that torchrun starts",
)


def start(stage, *words, restarts=0):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        f"--max-restarts={restarts}",
        stage.__file__,
        *words,
    ]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process, condition):
    end = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def children(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@STAGES
def test_two_processes_stopped_killed_and_resumed(data_folder, tmp_path, stage):
    """60 steps of two processes; the same with SIGTERM on the way and, resumed, SIGKILL for one of them:
    equal weights.
    """
    words = ["--steps", 60, "--device", "cpu", "--workers", 0, "--ema", 0.9, *SMALL[stage]]
    words = ["train", "--data", data_folder, *words, "--run-dir"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    process = start(stage, *words, whole)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    rows = log(whole)
    assert [row["step"] for row in rows if "loss" in row] == [1, 50]  # written once, not twice
    assert len(list(whole.glob("best-*.pt"))) == 1

    process = start(stage, *words, stopped)
    wait_for(process, lambda: any(row["step"] >= 10 for row in run_folder.read_log(stopped)))
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0
    done = checkpoint.read(stopped / "last.pt")["done"]
    assert 10 <= done < 60
    # Between two steps, or during an evaluation
    assert f"stopped at step {done}" in error or "goes on from the last checkpoint" in error

    process = start(stage, *words, stopped, restarts=1)
    wait_for(process, lambda: any(row["step"] >= done + 10 for row in run_folder.read_log(stopped)))
    os.kill(children(process)[-1], signal.SIGKILL)
    assert checkpoint.read(stopped / "last.pt")["done"] > done  # readable at any moment
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    first, second = (checkpoint.read(run / "last.pt") for run in (whole, stopped))
    assert first["done"] == second["done"] == 60
    assert all(equal(first[name], second[name]) for name in STATE)
    scores = [[(row["step"], row["score"]) for row in log(run) if "score" in row] for run in (whole, stopped)]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 12


@STAGES
def test_eval_of_two_processes(data_folder, tiny_weights, capsys, stage):
    words = ["eval", "--data", data_folder, "--weights", tiny_weights[stage.STAGE], "--device", "cpu"]
    words += ["--no-tta", "--max-side", 64] if stage is segment else []  # two sizes in place of five
    assert stage.main([str(word) for word in words]) == 0
    alone = json.loads(capsys.readouterr().out)
    process = start(stage, *words)
    output, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert json.loads(output) == alone


def test_the_score_is_that_of_the_weights_kept(data_folder, tmp_path):
    """Each process has norm statistics of its own, but only those of the first are kept."""
    words = ["--steps", 30, "--device", "cpu", "--workers", 0, "--ema", 0.1, *SMALL[colorize]]
    process = start(colorize, "train", "--data", data_folder, *words, "--run-dir", tmp_path)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    state = checkpoint.read(tmp_path / "last.pt")
    net = colorize.build(json.loads((tmp_path / "args.json").read_text())["network"])
    net.load_state_dict(state["ema"])
    with closing(Processes("cpu")) as alone:
        result = colorize.evaluate(net, data=data_folder, processes=alone)
    assert log(tmp_path)[-1]["score"] == pytest.approx(result["score"], abs=2e-5)
