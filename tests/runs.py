"""Small training runs for the tests of training: commands that a laptop runs in seconds, and their traces."""

import json
import os
import signal
from unittest import mock

import pytest
import torch

import colorize
import inpaint
import segment
from engine import training

STEPS = 40
COMMON = ["--crop", 64, "--lr", 3e-3, "--batch-size", 4, "--width", 8]
SMALL = {
    segment: COMMON,
    inpaint: [*COMMON, "--levels", 4, "--widest", 2],
    colorize: [*COMMON, "--encoder", 18],
}
STAGES = pytest.mark.parametrize("stage", list(SMALL), ids=[stage.STAGE for stage in SMALL])
STATE = ("net", "ema", "optimizer", "best")  # of last.pt: what must be equal after a stop


def train(stage, data, run, *words, steps=STEPS, evaluations=2):
    """The exit status of `train` with the options `words`."""
    common = ["--data", data, "--run-dir", run, "--steps", steps, "--device", "cpu", "--workers", 0]
    with mock.patch.object(training, "EVALUATIONS", evaluations):
        return stage.main([str(word) for word in ("train", *common, "--ema", 0.9, *SMALL[stage], *words)])


def contents(folder):
    """name -> bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log(run):
    """The lines of log.jsonl, which must be JSON without NaN."""
    lines = (run / "log.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


def equal(a, b):
    """The same plain types and tensors, bit for bit."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
    if torch.is_tensor(a):
        return torch.is_tensor(b) and a.dtype == b.dtype and torch.equal(a, b)
    return a == b


def stopped_at(stage, monkeypatch, number, signals, signum=signal.SIGTERM):
    """`compute_losses` that sends this process a signal in its call `number`."""

    def signalled(call, losses):
        for _ in range(signals if call == number else 0):
            os.kill(os.getpid(), signum)
        return losses

    changed(stage, monkeypatch, signalled)


def poisoned(stage, monkeypatch, numbers):
    """`compute_losses` that gives NaN in these calls."""
    nan = float("nan")
    changed(
        stage,
        monkeypatch,
        lambda call, losses: {**losses, "loss": losses["loss"] * nan} if call in numbers else losses,
    )


def changed(stage, monkeypatch, change):
    """change(number of the call, losses) -> the losses that `compute_losses` gives instead."""
    real, calls = stage.compute_losses, []

    def compute_losses(*arguments, **named):
        calls.append(1)
        return change(len(calls), real(*arguments, **named))

    monkeypatch.setattr(stage, "compute_losses", compute_losses)
