"""Processes alone: device names, and lists that are divided and put together again."""

import itertools
import os
import signal
from argparse import Namespace

import pytest
import torch

from data.errors import UserError
from engine.processes import Processes, StopSignals, pick_device


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "mps"])
def test_a_device_that_is_not_there_is_one_line(name):
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(UserError, match=f"--device {name}: ") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)


def test_the_device_is_found(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")


def test_rows_come_back_in_the_order_of_the_list(monkeypatch):
    items = list(range(7))
    processes = [Namespace(rank=rank, world=3) for rank in range(3)]
    shares = [Processes.shard(process, items) for process in processes]
    assert sorted(itertools.chain(*shares)) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1

    def all_gather_object(parts, rows):
        parts[:] = shares

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    for process, rows in zip(processes, shares):
        assert Processes.gather(process, rows) == items


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_noted_and_their_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert not signals.received
        os.kill(os.getpid(), number)
        assert signals.received
    assert signal.getsignal(number) is before
